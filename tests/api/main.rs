//! The behaviour of every public item, on plain kernel threads and on green threads.

// For a choice of 256 arms: they are taken one by one.
#![recursion_limit = "1024"]

#[path = "../support/mod.rs"]
mod support;

mod blocking;
mod channel_basic;
mod channel_cases;
mod channel_crowds;
mod channel_drop;
mod channel_model;
mod channel_pipeline;
mod channel_select;
mod channel_timer;
mod context;
mod fairness;
mod fs;
mod io;
mod limits;
mod net_crowds;
mod net_gone;
mod net_short;
mod net_tcp;
mod net_udp;
mod net_unix;
mod observe;
mod observe_moved;
mod observe_waits;
mod pinned;
mod process;
mod runtime;
mod scope;
mod signal;
mod std_surface;
mod sync_condvar;
mod sync_group;
mod sync_mpsc;
mod sync_mutex;
mod sync_once;
mod sync_rwlock;
mod sync_semaphore;
mod sync_shutdown;
mod sync_wait_group;
mod thread;
