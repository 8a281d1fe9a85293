//! `std::sync`, green: locks and the like that let other green threads run while one waits, and Go's.
//!
//! Everything here works the same from green threads, of whatever runtime, and from plain kernel
//! threads, also between both: who waits on a green thread gives its kernel thread to others, who waits
//! on a kernel thread sleeps. Names, signatures and poisoning are those of [`std::sync`].

mod mutex;
mod poison;
mod raw_mutex;
mod wait_group;

pub use self::{
    mutex::{Mutex, MutexGuard},
    wait_group::WaitGroup,
};
pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};
