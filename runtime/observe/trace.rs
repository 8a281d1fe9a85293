//! What ran where and when, as a file for Perfetto or Chrome's tracing page.
//!
//! Every turn of a green thread on a worker is a slice, named after the place where the green thread was
//! spawned; it tells the green thread's number, how long it had been runnable, and how the turn ended. A mark
//! tells where a worker took a green thread from another's queue. Open
//! the file on <https://ui.perfetto.dev>, or at `chrome://tracing`.
//!
//! Each worker keeps the last [`CAPACITY`](self) turns in memory of its own until [`stop`]; older ones are
//! given up, and the file says how many. While no trace is written, a switch pays nothing for it beyond one
//! load that it shares with the metrics; while one is, two looks at the clock.
//!
//! # Examples
//!
//! ```
//! let path = std::env::temp_dir().join(format!("sward-trace-{}.json", std::process::id()));
//! sward::trace::start(&path)?;
//! sward::run(|| sward::scope(|scope| {
//!     for _ in 0..10 {
//!         scope.spawn(sward::yield_now);
//!     }
//! }));
//! sward::trace::stop()?;
//! assert!(std::fs::read_to_string(&path)?.contains("\"traceEvents\""));
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), std::io::Error>(())
//! ```

use super::json::write_string;
use crate::{
    base::lock::Lock,
    driver::clock,
    scheduler::{kernel, monitor},
    task::Task,
    wait::{self, reason::Reason},
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write},
    panic::Location,
    path::Path,
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// How many turns a worker keeps.
const CAPACITY: usize = 1 << 16;

/// The number of the trace that is being written; zero if none is.
static SESSION: AtomicU32 = AtomicU32::new(0);
/// What it has so far.
static TRACE: Mutex<State> = Mutex::new(State {
    last: 0,
    starting: false,
    trace: None,
});

struct State {
    /// The last number that a trace had.
    last: u32,
    /// A file is being made for one.
    starting: bool,
    trace: Option<Trace>,
}

struct Trace {
    file: File,
    since: u64,
    rings: Vec<Arc<Ring>>,
}

/// Waits for the trace. A panic in a section, for want of memory, leaves it whole.
fn state() -> MutexGuard<'static, State> {
    TRACE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Parked,
    Yielded,
    Blocking,
    Finished,
}

/// One turn. Times are [raw](clock::raw_ns).
#[derive(Debug, Clone, Copy)]
struct Turn {
    id: u64,
    spawned_at: &'static Location<'static>,
    waits_at: Option<&'static Location<'static>>,
    start: u64,
    end: u64,
    delay: Option<u64>,
    ended: Ended,
    reason: Reason,
}

/// The turns of one kernel thread.
#[derive(Debug)]
struct Ring {
    session: u32,
    /// When the trace began.
    since: u64,
    thread: libc::pid_t,
    name: String,
    turns: Lock<Turns>,
}

#[derive(Debug)]
struct Turns {
    kept: Vec<Turn>,
    /// How many there were.
    count: usize,
    /// When a green thread was taken from another worker, and its number.
    steals: VecDeque<(u64, u64)>,
}

impl Turns {
    fn push_steal(&mut self, steal: (u64, u64)) {
        if self.steals.len() == CAPACITY {
            self.steals.pop_front();
        }
        self.steals.push_back(steal);
    }

    fn push(&mut self, turn: Turn) {
        if self.kept.len() < CAPACITY {
            self.kept.push(turn);
        } else {
            self.kept[self.count % CAPACITY] = turn;
        }
        self.count += 1;
    }
}

/// A worker's way to its ring, for its own thread.
#[derive(Debug, Default)]
pub(crate) struct Tracer {
    ring: RefCell<Option<Arc<Ring>>>,
}

impl Tracer {
    /// Notes a turn of `task`, which is the caller's, if a trace is written.
    pub(crate) fn note(&self, task: &Task, times: [u64; 2], delay: Option<u64>, ended: Ended) {
        let waits = matches!(ended, Ended::Parked | Ended::Blocking);
        let turn = Turn {
            id: task.id(),
            spawned_at: task.spawned_at(),
            waits_at: task.place().filter(|_| waits),
            start: times[0],
            end: times[1],
            delay,
            ended,
            reason: task.reason(),
        };
        self.with_turns(times[0], |it| it.push(turn));
    }

    /// Notes that `task` was taken from another worker just now, if a trace is written.
    pub(crate) fn note_steal(&self, task: &Task) {
        let now = clock::raw_ns();
        self.with_turns(now, |it| it.push_steal((now, task.id())));
    }

    /// Notes what began at `start`.
    fn with_turns(&self, start: u64, f: impl FnOnce(&mut Turns)) {
        let session = SESSION.load(Relaxed);
        if session == 0 {
            return;
        }
        let mut own = self.ring.borrow_mut();
        if own.as_ref().is_none_or(|it| it.session != session) {
            *own = Ring::new(session);
        }
        // What was under way when the trace began is not in it, though another trace was when that began.
        if let Some(ring) = own.as_ref().filter(|it| it.since <= start) {
            f(&mut ring.turns.lock());
        }
    }
}

impl Ring {
    /// The calling thread's, for this trace; `None` if that is over.
    fn new(session: u32) -> Option<Arc<Self>> {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let thread = kernel::this_thread_id();
        let mut state = state();
        let trace = state
            .trace
            .as_mut()
            .filter(|_| SESSION.load(Relaxed) == session)?;
        let ring = Arc::new(Self {
            session,
            since: trace.since,
            thread,
            name,
            turns: Lock::new(Turns {
                kept: Vec::new(),
                count: 0,
                steals: VecDeque::new(),
            }),
        });
        trace.rings.push(Arc::clone(&ring));
        Some(ring)
    }
}

/// A trace is being written.
pub(crate) fn is_on() -> bool {
    SESSION.load(Relaxed) != 0
}

/// Begins a trace of all runtimes, which [`stop`] writes to the file at `path`.
///
/// The file is made now, and what it held is gone. Turns that are under way are not in the trace.
///
/// # Errors
///
/// The system's, with the path, if the file cannot be made; `AlreadyExists` if a trace is being written.
/// Then nothing has changed.
pub fn start(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let mut now = state();
    if now.starting || now.trace.is_some() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a trace is being written already",
        ));
    }
    now.starting = true;
    drop(now);
    // Without the lock, which must not be held while this waits.
    let file = wait::blocking(|| File::create(path));
    let mut state = state();
    state.starting = false;
    let file = file.map_err(|error| {
        let what = format!("cannot write a trace to {}: {error}", path.display());
        io::Error::new(error.kind(), what)
    })?;
    state.trace = Some(Trace {
        file,
        since: clock::raw_ns(),
        rings: Vec::new(),
    });
    state.last = state.last.wrapping_add(1).max(1);
    SESSION.store(state.last, Relaxed);
    drop(state);
    for it in monitor::runtimes() {
        it.look_for_trace();
    }
    Ok(())
}

/// Ends the trace and writes its file.
///
/// Turns that are under way are not in it. The caller waits for the file.
///
/// # Errors
///
/// `NotFound` if none is being written; the system's, if the file cannot be written. The trace is over then,
/// too.
pub fn stop() -> io::Result<()> {
    let mut state = state();
    SESSION.store(0, Relaxed);
    let trace = state.trace.take();
    drop(state);
    for it in monitor::runtimes() {
        it.look_for_trace();
    }
    match trace {
        Some(trace) => wait::blocking(|| trace.write()),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "no trace is being written",
        )),
    }
}

impl Trace {
    /// Writes the file: an event a line.
    fn write(self) -> io::Result<()> {
        let process = process::id();
        let mut out = BufWriter::new(self.file);
        let mut line = String::new();
        let mut lost = 0;
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        write!(
            out,
            "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{process},\"args\":{{\"name\":\"sward\"}}}}"
        )?;
        for ring in &self.rings {
            line.clear();
            // Writing to a string cannot fail.
            _ = write_string(&mut line, &format!("{} {}", ring.name, ring.thread));
            write!(
                out,
                ",\n{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{process},\"tid\":{},\"args\":{{\"name\":{line}}}}}",
                ring.thread
            )?;
            let turns = ring.turns.lock();
            let (count, kept, steals) = (turns.count, turns.kept.clone(), turns.steals.clone());
            drop(turns);
            lost += count - kept.len();
            let (newer, older) = kept.split_at(count % kept.len().max(1));
            // One that began before this trace, during an earlier one, is not in it.
            let since = |it: &&Turn| it.start >= self.since;
            for turn in older.iter().chain(newer).filter(since) {
                line.clear();
                // As above.
                _ = turn.write(&mut line, self.since, process, ring.thread);
                out.write_all(line.as_bytes())?;
            }
            for (at, id) in steals {
                let at = at.saturating_sub(self.since);
                write!(
                    out,
                    ",\n{{\"ph\":\"i\",\"name\":\"steal\",\"cat\":\"steal\",\"s\":\"t\",\"pid\":{process},\"tid\":{},\"ts\":{}.{:03},\"args\":{{\"green_thread\":{id}}}}}",
                    ring.thread,
                    at / 1000,
                    at % 1000
                )?;
            }
        }
        write!(out, "\n],\"otherData\":{{\"lost_turns\":\"{lost}\"}}}}\n")?;
        out.flush()
    }
}

impl Turn {
    fn write(
        &self,
        out: &mut String,
        since: u64,
        process: u32,
        thread: libc::pid_t,
    ) -> std::fmt::Result {
        let us = |ns: u64| (ns / 1000, ns % 1000);
        let (start, length) = (
            us(self.start.saturating_sub(since)),
            us(self.end - self.start),
        );
        out.push_str(",\n{\"ph\":\"X\",\"name\":");
        write_string(out, &self.spawned_at.to_string())?;
        write!(
            out,
            ",\"cat\":\"turn\",\"pid\":{process},\"tid\":{thread},\"ts\":{}.{:03},\"dur\":{}.{:03}",
            start.0, start.1, length.0, length.1
        )?;
        write!(out, ",\"args\":{{\"green_thread\":{}", self.id)?;
        if let Some(delay) = self.delay {
            write!(out, ",\"runnable_ns\":{delay}")?;
        }
        let ended = match self.ended {
            Ended::Parked => self.reason.text(),
            Ended::Yielded => "yielded",
            Ended::Blocking => Reason::Blocking.text(),
            Ended::Finished => "finished",
        };
        write!(out, ",\"ended\":\"{ended}\"")?;
        if let Some(place) = self.waits_at {
            out.push_str(",\"waits_at\":");
            write_string(out, &place.to_string())?;
        }
        out.push_str("}}");
        Ok(())
    }
}
