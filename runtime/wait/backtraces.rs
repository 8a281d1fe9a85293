//! Backtraces of those who wait, taken by themselves before they park, where asked for.
//!
//! Whoever waits is the only one that can walk over its stack and be sure that nobody runs on it. While
//! nothing is asked for this is one load for each park. Names are looked up when somebody looks.

use crate::base::primitives::global::{AtomicUsize, Mutex, MutexGuard, Ordering::Relaxed};
use std::{
    backtrace::Backtrace,
    collections::HashMap,
    sync::{Arc, LazyLock, PoisonError},
};

/// Whether any are kept.
static KEEP: AtomicUsize = AtomicUsize::new(0);

type Kept = HashMap<u64, Arc<Backtrace>>;

/// By the numbers of those who wait.
static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on.
pub(crate) fn keep_from_now_on() {
    KEEP.store(1, Relaxed);
}

/// A backtrace is kept as long as this lives.
#[derive(Debug)]
pub(super) struct Keeping(u64);

impl Drop for Keeping {
    #[cold]
    fn drop(&mut self) {
        let old = kept().remove(&self.0);
        // Not under the lock.
        drop(old);
    }
}

/// Takes the backtrace of the green thread that calls, with this number, if that is asked for.
#[inline]
pub(super) fn keep(id: impl FnOnce() -> u64) -> Option<Keeping> {
    // Relaxed: whoever has asked for it sees it soon enough.
    (KEEP.load(Relaxed) != 0).then(|| take(id()))
}

#[cold]
#[inline(never)]
fn take(id: u64) -> Keeping {
    let backtrace = Arc::new(Backtrace::force_capture());
    let old = kept().insert(id, backtrace);
    drop(old);
    Keeping(id)
}

/// Where the green thread with this number waits: its calls, the innermost first, from where it left this
/// crate to its own first line.
pub(crate) fn of(id: u64) -> Option<String> {
    if KEEP.load(Relaxed) == 0 {
        return None;
    }
    let backtrace = kept().get(&id).cloned()?;
    let text = backtrace.to_string();
    let mut shown = String::new();
    let mut shows = false;
    for line in text.lines() {
        let line = line.trim();
        let call = line
            .split_once(": ")
            .filter(|it| it.0.parse::<u32>().is_ok());
        if let Some((_, name)) = call {
            // What called the closure of the green thread.
            if name.contains("task::record::CodeOf") {
                break;
            }
            // The first few are this file's, and how one parks.
            shows = !is_inner(name);
        }
        if shows {
            match call {
                Some((_, name)) => shown.push_str(name),
                None => shown.extend(["    ", line]),
            }
            shown.push('\n');
        }
    }
    Some(shown)
}

/// A call that tells nothing: of std's backtrace and its catching of panics, or of the way to wait.
fn is_inner(name: &str) -> bool {
    let name = name.trim_start_matches('<');
    [
        "std::backtrace",
        "std::panic",
        "core::panic",
        "__rust_try",
        "sward::wait::",
        "core::ops::function::",
    ]
    .iter()
    .any(|it| name.starts_with(it))
}
