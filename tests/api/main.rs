//! The behaviour of every public item, on plain kernel threads and on green threads.

#[path = "../support/mod.rs"]
mod support;

mod blocking;
mod net_tcp;
mod net_udp;
mod net_unix;
mod runtime;
mod scope;
mod sync_mutex;
mod sync_wait_group;
mod thread;
