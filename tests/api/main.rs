//! The behaviour of every public item, on plain kernel threads and on green threads.

#[path = "../support/mod.rs"]
mod support;

mod channel_basic;
mod channel_drop;
mod channel_pipeline;
mod channel_select;
mod channel_timer;
mod net_tcp;
mod net_udp;
mod net_unix;
mod sync_mutex;
mod sync_wait_group;
