//! The behaviour of every public item, on plain kernel threads and on green threads.

#[path = "../support/mod.rs"]
mod support;
