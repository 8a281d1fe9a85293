//! Backtraces of those who wait, taken by themselves before they park, where asked for.
//!
//! Whoever waits is the only one that can walk over its stack and be sure that nobody runs on it. While
//! nothing is asked for this is one load for each park. Names are looked up when somebody looks.
//!
//! # What it costs
//!
//! Some 2,600 instructions for each frame from here to the first of the kernel thread, below the green thread's
//! own: 55,000, or 6 us, from a shallow stack. Nearly all is unwinding, as what `std` captures are addresses. It does
//! so under one lock of the process, which a dump holds too while it looks names up.
//!
//! # What was not done
//!
//! - *Unwinding by ourselves*: `std` looks each frame up three times where once would do, and nothing makes it
//!   stop where the green thread begins. But it gives nobody the names of addresses that it did not capture,
//!   so that would need all of the `backtrace` crate, with readers of object files and debug information beside
//!   those in `std`, for what is asked for to find errors.

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

/// Whether anybody who parks should [keep](keep_during) one.
#[inline]
pub(super) fn are_kept() -> bool {
    // Relaxed: whoever has asked for it sees it soon enough.
    KEEP.load(Relaxed) != 0
}

/// Keeps the backtrace of the green thread that calls, with this number, while `suspend` runs.
#[cold]
#[inline(never)]
pub(super) fn keep_during(id: u64, suspend: impl FnOnce()) {
    let backtrace = Arc::new(Backtrace::force_capture());
    let before = kept().insert(id, backtrace);
    drop(before);
    suspend();
    let own = kept().remove(&id);
    // Not under the lock.
    drop(own);
}

/// Where the green thread with this number waits: its calls, the innermost first, from where it left this
/// crate to its own first line.
pub(crate) fn of(id: u64) -> Option<String> {
    if KEEP.load(Relaxed) == 0 {
        return None;
    }
    let backtrace = kept().get(&id).cloned()?;
    Some(shown(&backtrace.to_string()))
}

/// One call, as `std` writes it.
struct Call<'a> {
    name: &'a str,
    /// File, line and column. Not known without debug information.
    place: Option<&'a str>,
}

fn calls(text: &str) -> Vec<Call<'_>> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    for line in text.lines().map(str::trim) {
        let call = line.split_once(": ");
        if let Some((_, name)) = call.filter(|it| it.0.parse::<u32>().is_ok()) {
            calls.push(Call { name, place: None });
        } else if let (Some(place), Some(call)) = (line.strip_prefix("at "), calls.last_mut()) {
            call.place = Some(place);
        }
    }
    calls
}

/// What is of interest in a backtrace, a line or two for each call.
fn shown(text: &str) -> String {
    let calls = calls(text);
    // Where debug information is of lines alone, names are without their modules, and files tell more: those
    // of this crate lie where this one does.
    let ours = calls
        .iter()
        .find_map(|it| Some(it.place?.rsplit_once("wait/backtraces.rs:")?.0));
    let mut shown = String::new();
    for Call { name, place } in calls {
        let our_file = ours.and_then(|it| place?.strip_prefix(it));
        if begins(name, our_file) {
            break;
        }
        if !is_inner(name, our_file, place) {
            shown.extend([name, "\n"]);
            shown.extend(place.iter().flat_map(|it| ["    at ", it, "\n"]));
        }
    }
    shown
}

/// What calls the closure of the green thread.
fn begins(name: &str, our_file: Option<&str>) -> bool {
    let plain = name.starts_with("call<") || name.starts_with("run<") || name == "run";
    name.contains("task::record::CodeOf")
        || plain && our_file.is_some_and(|it| it.starts_with("task/record.rs:"))
}

/// A call that tells nothing: of std's backtrace and its catching of panics, or of the way to wait.
fn is_inner(name: &str, our_file: Option<&str>, place: Option<&str>) -> bool {
    let name = name.trim_start_matches('<');
    let by_name = [
        "std::backtrace",
        "std::panic",
        "core::panic",
        "__rust_try",
        "sward::wait::",
        "core::ops::function::",
    ];
    let by_place = [
        "/library/std/src/panic",
        "/library/core/src/panic",
        "/library/core/src/ops/function.rs:",
    ];
    our_file.is_some_and(|it| it.starts_with("wait/"))
        || by_name.iter().any(|it| name.starts_with(it))
        || place.is_some_and(|place| by_place.iter().any(|it| place.contains(it)))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::shown;

    const WITH_MODULES: &str = "   0: <std::backtrace::Backtrace>::create
             at /rustc/5980/library/std/src/backtrace.rs:331:13
   1: sward::wait::backtraces::keep_during
             at ./runtime/wait/backtraces.rs:54:30
   2: sward::wait::Waiting::park
             at ./runtime/wait/mod.rs:218:14
   3: program::work
             at /home/wait/program.rs:3:5
   4: core::ops::function::FnOnce::call_once
             at /rustc/5980/library/core/src/ops/function.rs:250:5
   5: sward::task::record::CodeOf<F,T>::call
             at ./runtime/task/record.rs:181:20
   6: sward::scheduler::worker::Worker::turn
";
    const LINES_ALONE: &str = "   0: <std::backtrace::Backtrace>::create
             at /rustc/5980/library/std/src/backtrace.rs:331:13
   1: keep_during<sward::wait::{impl#0}::park_at::{closure_env#1}>
             at /home/sward/runtime/wait/backtraces.rs:54:30
   2: park
             at /home/sward/runtime/wait/mod.rs:218:14
   3: run
             at /home/wait/program.rs:3:5
   4: do_call<core::panic::unwind_safe::AssertUnwindSafe<program::main::{closure_env#0}>, u32>
             at /rustc/5980/library/std/src/panicking.rs:581:40
   5: call<program::main::{closure_env#0}, u32, program::main::{closure_env#0}>
             at /home/sward/runtime/task/record.rs:181:20
   6: turn
             at /home/sward/runtime/scheduler/worker.rs:887:34
";
    const NO_LINES: &str = "   0: <std::backtrace::Backtrace>::create
   1: sward::wait::backtraces::keep_during
   2: program::work
   3: sward::task::record::CodeOf<F,T>::run
   4: clone3
";

    #[test]
    fn the_calls_of_the_program_are_shown_whatever_is_known_of_them() {
        let place = "    at /home/wait/program.rs:3:5";
        assert_eq!(shown(WITH_MODULES), format!("program::work\n{place}\n"));
        assert_eq!(shown(LINES_ALONE), format!("run\n{place}\n"));
        assert_eq!(shown(NO_LINES), "program::work\n");
        assert_eq!(shown("disabled backtrace"), "");
    }
}
