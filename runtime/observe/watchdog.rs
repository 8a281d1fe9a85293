//! Looks for circles of waiting threads every now and then, where a runtime was built to.
//!
//! One kernel thread for all such runtimes, started by the first and ended when none is left. It wakes
//! nobody and holds nothing, so for the detector of deadlocks it sleeps all the time.

use super::circles::Told;
use crate::{
    base::naps,
    scheduler::{Scheduler, origin::start_helper},
};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

struct Watched {
    runtimes: Vec<(Weak<Scheduler>, Duration)>,
    /// There is a thread.
    runs: bool,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched {
    runtimes: Vec::new(),
    runs: false,
});
/// A runtime was added.
static ADDED: Condvar = Condvar::new();

fn watched() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks every `period` from now on, as long as the runtime lives.
///
/// # Errors
///
/// If there is no kernel thread to be had.
pub(crate) fn watch(runtime: &Arc<Scheduler>, period: Duration) -> io::Result<()> {
    let mut watched = watched();
    watched.runtimes.push((Arc::downgrade(runtime), period));
    if !watched.runs {
        if let Err(error) = start_helper("sward-watchdog", work) {
            watched.runtimes.pop();
            return Err(error);
        }
        watched.runs = true;
    }
    drop(watched);
    ADDED.notify_one();
    Ok(())
}

fn work() {
    naps::lie_down();
    let mut told = Told::default();
    loop {
        let mut watched = watched();
        watched.runtimes.retain(|it| it.0.strong_count() > 0);
        let Some(period) = watched.runtimes.iter().map(|it| it.1).min() else {
            watched.runs = false;
            break;
        };
        // Sooner if one was added: then the next look is at once.
        drop(
            ADDED
                .wait_timeout(watched, period)
                .unwrap_or_else(PoisonError::into_inner),
        );
        told.tell_news();
    }
    naps::get_up();
}
