//! Runtimes: N kernel threads that run any number of green threads; one of them is global.

use crate::{
    coroutine::stack,
    observe::{
        self, Dump, Metrics,
        deadlock::{self, Deadlock},
        signal, watchdog,
    },
    scheduler::{Config, MAX_BLOCKING, Scheduler},
    thread::{JoinHandle, spawn_on},
    wait::{self, home::Home},
};
use std::{
    env, fmt, io,
    panic::resume_unwind,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::available_parallelism,
    time::Duration,
};

/// For how long the drop of a runtime waits for its green threads to unwind.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// Some kernel threads, and the green threads that they run.
///
/// A program that only calls [`run`] and [`spawn`](crate::spawn()) uses the global one. A runtime of one's
/// own has its own workers; channels, locks and handles may be used across runtimes, and by plain kernel
/// threads.
///
/// # Shutdown
///
/// The drop of a runtime is [`shutdown_timeout`](Self::shutdown_timeout) with one second: green threads
/// that never ran drop their closures, those that wait are unwound, and `join` on them returns an `Err`
/// with [`Shutdown`](crate::Shutdown).
///
/// # Examples
///
/// ```
/// let runtime = sward::Runtime::builder().workers(2).build()?;
/// let sum = runtime.run(|| {
///     let parts: Vec<_> = (0..4).map(|it| sward::spawn(move || it * 10)).collect();
///     parts.into_iter().map(|it| it.join().expect("no panic")).sum::<i32>()
/// });
/// assert_eq!(sum, 60);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    scheduler: Arc<Scheduler>,
}

/// A runtime that is still to be built.
///
/// # Examples
///
/// ```
/// let runtime = sward::Runtime::builder()
///     .workers(1)
///     .stack_size(64 << 10)
///     .name("small")
///     .build()?;
/// assert_eq!(runtime.run(|| 1 + 1), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a runtime starts when it is built"]
pub struct RuntimeBuilder {
    workers: Option<usize>,
    dump_on: Option<i32>,
    watch_deadlocks: Option<Duration>,
    keep_backtraces: bool,
    config: Config,
}

impl RuntimeBuilder {
    fn new() -> Self {
        Self {
            workers: None,
            dump_on: None,
            watch_deadlocks: None,
            keep_backtraces: false,
            config: Config {
                workers: 1,
                stack_bytes: stack::DEFAULT_BYTES,
                name: "sward-worker".to_owned(),
                max_blocking: MAX_BLOCKING,
                warn_stalls: None,
            },
        }
    }

    /// How many green threads run at the same time, at most. Without this, as many as the machine runs
    /// threads at once, or what the environment variable `SWARD_WORKERS` says.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The size of the green threads' stacks, in bytes; 256 KiB without this, never less than 16 KiB.
    ///
    /// It is address space: memory is used as a stack is, page by page.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.config.stack_bytes = bytes;
        self
    }

    /// The name of the kernel threads, as debuggers and `top` show it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// How many kernel threads there may be beside the workers because green threads are in blocking
    /// calls; 512 without this. Beyond, a blocking call holds up its worker. Not counted is a call that waits
    /// inside for another thread, by a channel, a lock or `join` of this crate: that one might need the worker.
    pub fn max_blocking(mut self, threads: usize) -> Self {
        self.config.max_blocking = threads;
        self
    }

    /// Has the runtime name, on standard error, each green thread that stays in one turn for longer than
    /// `limit`: which it is, where it was spawned, for how long, computing or in a call that blocks. Others go
    /// on meanwhile, so this is for finding what should be in [`blocking`], or in pieces. At most one line a
    /// second.
    pub fn warn_stalls(mut self, limit: Duration) -> Self {
        self.config.warn_stalls = Some(crate::driver::clock::span_ns(limit));
        self
    }

    /// Lets a [dump](crate::dump) of all green threads be written to the standard error whenever `signal`
    /// comes, `SIGUSR1` say, by its number: as long as the process lives. It stops nobody.
    ///
    /// A program that waits for the signal as well, or has a handler for it, cannot do so.
    pub fn dump_on(mut self, signal: i32) -> Self {
        self.dump_on = Some(signal);
        self
    }

    /// Has a thread look every `period` whether some threads of the process wait for each other's locks, or
    /// ends, in a circle, though others go on; and tell each such circle once on standard error: who waits
    /// where, and for whom. The program goes on.
    ///
    /// There is no false alarm: only waits without a deadline count, and only for mutexes, for what is
    /// locked for writing, and for `join`. A look takes a few tenths of a microsecond for each green
    /// thread, and stops nobody. See [`Dump::deadlocks`](crate::observe::Dump::deadlocks), by which one can
    /// look at any time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let builder = sward::Runtime::builder().watch_deadlocks(Duration::from_millis(500));
    /// assert_eq!(builder.build()?.run(|| 1 + 1), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watch_deadlocks(mut self, period: Duration) -> Self {
        self.watch_deadlocks = Some(period);
        self
    }

    /// Has each green thread take a backtrace before it parks, which [dumps](crate::dump) then show while it
    /// is parked: [`GreenThread::backtrace`](crate::observe::GreenThread::backtrace). So one sees the line of
    /// the program also where a library waits in its place.
    ///
    /// For the whole process, from when this runtime is built. It is for finding errors: a park takes some
    /// ten microseconds more, and a few KiB of the green thread's stack, so those should not be the smallest.
    /// Names are looked up for the dump alone. `std` lets one kernel thread at a time take a backtrace or look up
    /// names, so the others that would park meanwhile wait for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = sward::Runtime::builder().workers(1).keep_backtraces().build()?;
    /// let (_tx, rx) = sward::channel::unbounded::<u32>();
    /// runtime.spawn(move || rx.iter().sum::<u32>());
    /// let text = loop {
    ///     let dump = runtime.dump();
    ///     if let Some(text) = dump.green_threads().iter().find_map(|it| it.backtrace.clone()) {
    ///         break text;
    ///     }
    ///     std::thread::yield_now();
    /// };
    /// assert!(text.contains("main"), "{text}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn keep_backtraces(mut self) -> Self {
        self.keep_backtraces = true;
        self
    }

    /// Starts the kernel threads.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are to be no workers or more than 1024, for an absurd size of stacks, and for
    /// a name with a zero byte, and for a signal to [dump on](Self::dump_on) that is none or cannot be handled;
    /// `AlreadyExists` if the program has a handler for that signal; else what the system says when it refuses memory or kernel threads.
    /// Nothing is left behind then.
    pub fn build(self) -> io::Result<Runtime> {
        let mut config = self.config;
        config.workers = match self.workers {
            Some(workers) => workers,
            None => default_workers()?,
        };
        if config.workers == 0 || config.workers > MAX_WORKERS {
            return Err(invalid(format!(
                "a runtime has 1 to {MAX_WORKERS} workers, not {}",
                config.workers
            )));
        }
        if config.name.contains('\0') {
            return Err(invalid(
                "the name of a runtime holds a zero byte".to_owned(),
            ));
        }
        if let Some(signal) = self.dump_on {
            signal::check(signal)?;
        }
        let scheduler = Scheduler::start(config)?;
        let runtime = Runtime { scheduler };
        if self.keep_backtraces {
            wait::backtraces::keep_from_now_on();
        }
        if let Some(period) = self.watch_deadlocks {
            // No faster than it can look.
            watchdog::watch(&runtime.scheduler, period.max(Duration::from_millis(1)))?;
        }
        if let Some(signal) = self.dump_on {
            signal::install(signal)?;
        }
        Ok(runtime)
    }
}

/// More workers than any machine has use for.
const MAX_WORKERS: usize = 1024;

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// As many workers as the environment says, or the machine.
fn default_workers() -> io::Result<usize> {
    match env::var("SWARD_WORKERS") {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| invalid(format!("SWARD_WORKERS is no number: {text:?}"))),
        Err(_) => Ok(available_parallelism().map_or(1, usize::from)),
    }
}

impl Runtime {
    /// A runtime to be built.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::new()
    }

    pub(crate) fn with_home<R>(&self, f: impl FnOnce(&(dyn Home + 'static)) -> R) -> R {
        f(&*self.scheduler)
    }

    /// Starts a green thread on this runtime. See [`spawn`](crate::spawn()).
    ///
    /// On a runtime that is shutting down, `f` is dropped instead of called.
    ///
    /// # Panics
    ///
    /// If there is no memory for it.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let wish = crate::thread::Wish::new();
        match self.with_home(|home| spawn_on(home, wish, f)) {
            Ok(handle) => handle,
            Err(error) => panic!("failed to spawn a green thread: {error}"),
        }
    }

    /// Runs `f` as a green thread and returns its value. Others that still run do not delay the return.
    ///
    /// The caller waits: a kernel thread sleeps, a green thread is parked.
    ///
    /// # Panics
    ///
    /// With the payload of `f`'s panic; and with `all green threads are asleep - deadlock!`, after a
    /// [dump](crate::dump) on the standard error, when nothing can ever run again. That is judged over all
    /// runtimes together, and only while every kernel thread of the process waits inside this crate: others
    /// might still send, or unlock. The green threads stay parked.
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.spawn(f).join_unless_deadlock() {
            Ok(result) => result.unwrap_or_else(|it| resume_unwind(it)),
            Err(Deadlock) => panic!("{}", deadlock::MESSAGE),
        }
    }

    /// How it does: what it has done so far, and who waits, runs, and could.
    ///
    /// The caller does not wait. See [`metrics`](crate::metrics) for all runtimes together.
    pub fn metrics(&self) -> Metrics {
        self.scheduler.metrics()
    }

    /// Lists its green threads. See [`dump`](crate::dump), which lists those of all runtimes.
    pub fn dump(&self) -> Dump {
        observe::dump_of(&self.scheduler)
    }

    /// Ends the runtime, in `timeout` and a little.
    ///
    /// Green threads that never ran drop their closures. The wait of each parked one is called off, so
    /// that no partner can choose it, and it unwinds: destructors run, but no panic hook, and no lock is
    /// poisoned. What has not ended at the deadline, because it computes or is in a blocking call, is
    /// abandoned: its stack is leaked, and it ends at its next call. From one of the runtime's own green
    /// threads this does not wait.
    pub fn shutdown_timeout(self, timeout: Duration) {
        self.scheduler.shut_down(timeout);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.scheduler.shut_down(DROP_TIMEOUT);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("config", self.scheduler.config())
            .finish_non_exhaustive()
    }
}

/// The global runtime, started when it is needed first. A failure is tried again.
pub(crate) fn global() -> io::Result<&'static Runtime> {
    static GLOBAL: OnceLock<Runtime> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(runtime) = GLOBAL.get() {
        return Ok(runtime);
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = GLOBAL.get() {
        return Ok(runtime);
    }
    let runtime = Runtime::builder().build()?;
    Ok(GLOBAL.get_or_init(|| runtime))
}

/// Runs `f` as the main green thread of the global runtime, and returns its value.
///
/// As when Go's `main` returns, green threads that still run do not delay this. The caller waits: a
/// kernel thread sleeps.
///
/// # Examples
///
/// ```
/// let greeting = sward::run(|| {
///     let (tx, rx) = sward::channel::bounded(0);
///     sward::spawn(move || tx.send("hello"));
///     rx.recv()
/// });
/// assert_eq!(greeting, Ok("hello"));
/// ```
///
/// # Panics
///
/// With the payload of `f`'s panic; if the global runtime cannot be started; and on a deadlock, see
/// [`Runtime::run`].
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match global() {
        Ok(runtime) => runtime.run(f),
        Err(error) => panic!("failed to start the global runtime: {error}"),
    }
}

/// Calls `f`, which may block its kernel thread: with file IO, a C library, a lock of `std`.
///
/// Other green threads go on meanwhile: the worker's queue is handed to another kernel thread if there is
/// anything in it. `f` runs on the kernel thread's own stack of 8 MiB, on that thread from start to end;
/// it may borrow, and call this again. A wait of this crate inside `f` blocks the kernel thread. A panic in
/// `f` passes through. On a plain kernel thread `f` is just called.
///
/// # Examples
///
/// ```
/// let manifest = sward::run(|| sward::blocking(|| std::fs::read_to_string("Cargo.toml")));
/// assert!(manifest.expect("it is there").contains("sward"));
/// ```
#[track_caller]
pub fn blocking<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    wait::blocking(f)
}
