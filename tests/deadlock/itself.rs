//! Programs in which somebody waits for what only itself could do.

use crate::End;
use sward::sync::{Barrier, Group, LazyLock, Once, SingleFlight};

/// Each case's name, what it does, and how it ends.
pub(crate) const ALL: &[(&str, fn(), End)] = &[
    (
        "once_called_inside_itself",
        once_called_inside_itself,
        End::Deadlock(&["parked (once)", "itself.rs:"]),
    ),
    (
        "lazy_value_that_needs_itself",
        lazy_value_that_needs_itself,
        End::Deadlock(&["parked (once)"]),
    ),
    (
        "single_flight_inside_itself",
        single_flight_inside_itself,
        End::Deadlock(&["parked (single flight)", "itself.rs:"]),
    ),
    (
        "barrier_that_nobody_else_comes_to",
        barrier_that_nobody_else_comes_to,
        End::Deadlock(&["parked (barrier)", "itself.rs:"]),
    ),
    (
        "group_whose_thread_waits_for_it",
        group_whose_thread_waits_for_it,
        End::Deadlock(&["parked (group)", "2 green threads", "itself.rs:"]),
    ),
];

fn once_called_inside_itself() {
    sward::run(|| {
        let once = Once::new();
        once.call_once(|| once.call_once(|| {}));
    });
}

fn lazy_value_that_needs_itself() {
    static LAZY: LazyLock<u32> = LazyLock::new(|| *LAZY + 1);
    sward::run(|| *LAZY);
}

fn single_flight_inside_itself() {
    sward::run(|| {
        let flights = SingleFlight::new();
        flights.run("key", || flights.run("key", || 1).0)
    });
}

fn barrier_that_nobody_else_comes_to() {
    sward::run(|| Barrier::new(2).wait().is_leader());
}

fn group_whose_thread_waits_for_it() {
    sward::run(|| {
        let group = Group::<()>::new();
        let inner = group.clone();
        group.go(move || inner.wait());
        _ = group.wait();
    });
}
