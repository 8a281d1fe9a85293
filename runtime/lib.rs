//! Go's concurrency behind std's names: M green threads on N kernel threads.
//!
//! A green thread is a function with a stack of its own. It costs a page, so a program may have a
//! million of them; and whatever it waits for, a message, a lock, a socket, a timer, its kernel thread
//! runs others meanwhile. Code that blocks is written plainly: there is no `async` here.
//!
//! # Green threads
//!
//! [`run`] is the way in, [`spawn`] starts another one, `join` waits for its result:
//!
//! ```
//! let total = sward::run(|| {
//!     let parts: Vec<_> = (0..100_u64).map(|it| sward::spawn(move || it * it)).collect();
//!     parts.into_iter().map(|it| it.join().expect("no panic")).sum::<u64>()
//! });
//! assert_eq!(total, 328_350);
//! ```
//!
//! [`thread`] mirrors `std::thread`: names, parking, sleeping, and [`scope`], whose green threads borrow:
//!
//! ```
//! let words = ["sward", "turf", "lawn"];
//! let letters = sward::scope(|scope| {
//!     let threads = words.each_ref().map(|it| scope.spawn(move || it.len()));
//!     threads.map(|it| it.join().expect("no panic"))
//! });
//! assert_eq!(letters, [5, 4, 4]);
//! ```
//!
//! # Messages
//!
//! [`channel`] mirrors crossbeam-channel, with [`select!`]:
//!
//! ```
//! use std::time::Duration;
//! use sward::{channel, select};
//!
//! let (tx, rx) = channel::bounded(0);
//! sward::spawn(move || tx.send("news"));
//! let late = channel::after(Duration::from_secs(5));
//! let got = select! {
//!     recv(rx) -> news => news.expect("the sender is there"),
//!     recv(late) -> _ => "nothing",
//! };
//! assert_eq!(got, "news");
//! ```
//!
//! # And the rest of std's face
//!
//! [`sync`] has std's locks and Go's additions, [`net`] std's sockets, [`io`], [`fs`], [`process`] and
//! [`signal`] what goes with them, [`context`] Go's cancellation. What needs a kernel thread to itself for a
//! while goes into [`blocking`].
//!
//! All of it works on plain kernel threads too, which then wait themselves: a program may have one world
//! in the other, and share everything between them. [`Runtime::builder`] makes runtimes of one's own.
//!
//! # Looking on
//!
//! [`dump`] shows every green thread and what it waits for, [`metrics()`] counts, and [`sim`] runs code that
//! uses this crate under a virtual clock and a seeded order, to find the order in which it fails.
//!
//! # What you must know
//!
//! A green thread may go on in another kernel thread after every call that can wait. So the borrow of a
//! `thread_local!`, or the guard of a lock that belongs to a kernel thread (`std::sync::Mutex`), must not be
//! kept over such a call. No type says so: it is the one assumption that this crate makes of its users.
#![deny(
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod base;
pub mod channel;
pub mod context;
mod coroutine;
mod driver;
pub mod fs;
pub mod io;
pub mod net;
pub mod observe;
pub mod process;
mod runtime;
mod scheduler;
pub mod signal;
pub mod sim;
pub mod sync;
mod task;
pub mod thread;
pub mod time;
mod wait;

pub use observe::{Dump, Metrics, dump, metrics, trace};
pub use runtime::{Runtime, RuntimeBuilder, blocking, run};
pub use thread::{JoinHandle, scope, spawn, yield_now};
pub use wait::Shutdown;

/// The README's program compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
