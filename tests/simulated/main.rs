//! Orders that a seed decides: planted bugs are found, what is right holds, runs repeat exactly.

#[path = "../support/mod.rs"]
mod support;

mod breaking;
mod contexts;
mod figures;
mod found;
mod holds;
mod limits;
mod net;
mod net_faults;
mod net_unix;
mod repeats;
mod user;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic of `f` said; `None` if there was none.
fn complaint(f: impl FnOnce()) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(f)).err()?;
    let text = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|it| (*it).to_owned()));
    Some(text.expect("a panic with a text"))
}

/// The seed in the message of an exploration that failed.
fn seed_in(complaint: &str) -> u64 {
    let rest = complaint.strip_prefix("seed ").expect("the seed first");
    let digits = rest.split(' ').next().expect("a number");
    digits.parse().expect("a number")
}
