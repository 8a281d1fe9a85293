//! Runs a test for one seed after another, and says what went wrong and how to see it again.

#![expect(unsafe_code, reason = "the first green thread borrows from its caller")]

use super::{
    choice::Strategy,
    log::Log,
    simulation::{Pause, Plan, Simulation},
};
use crate::{
    coroutine::{
        overflow::AlternateStack,
        stack::{DEFAULT_BYTES, StackClass},
    },
    scheduler::worker,
    wait::{
        self,
        home::{self, Context, Points},
    },
};
use std::{any::Any, fmt, io, ops::Range, panic::Location, time::Duration};

/// How many events a failing seed shows.
const TAIL: usize = 50;
/// How many events a report keeps.
const EVENTS: usize = 1 << 20;
/// How many steps a run may take unless another limit was set.
const STEPS: u64 = 10_000_000;

/// Runs `test` once for each seed.
///
/// See the [module](self) for what a run is. The caller does not return before all are done; it may be
/// any thread that is not itself in a simulation.
///
/// # Examples
///
/// ```
/// use sward::{sim, sync::{Mutex, Arc}};
///
/// sim::explore(0..200, || {
///     let count = Arc::new(Mutex::new(0));
///     let adders: Vec<_> = (0..3)
///         .map(|_| {
///             let count = Arc::clone(&count);
///             sward::spawn(move || *count.lock().expect("no panic") += 1)
///         })
///         .collect();
///     for adder in adders {
///         adder.join().expect("no panic");
///     }
///     assert_eq!(*count.lock().expect("no panic"), 3);
/// });
/// ```
///
/// # Panics
///
/// At the first seed that fails, with a message that says how to replay it, what it failed of, and what
/// happened last; if there is no memory for stacks; inside another simulation.
#[track_caller]
pub fn explore(seeds: impl IntoIterator<Item = u64>, test: impl Fn()) {
    Explorer::new().seeds(seeds).run(test);
}

/// Runs `test` with one seed, as [`explore`] did, and shows all that happened if it fails.
///
/// # Panics
///
/// If it fails; and as [`explore`].
#[track_caller]
pub fn replay(seed: u64, test: impl Fn()) {
    Explorer::new().replay(seed, test);
}

/// Runs `test` with one seed, and tells what happened, whether it fails or not.
///
/// # Examples
///
/// ```
/// use sward::sim;
///
/// let report = sim::run(7, || {
///     sward::spawn(sward::thread::park).join().expect("nobody wakes it");
/// });
/// assert!(report.failure().is_some_and(|it| it.contains("deadlock")));
/// assert!(report.log().contains("waits: park"));
/// ```
///
/// # Panics
///
/// If there is no memory for stacks; inside another simulation.
#[track_caller]
pub fn run(seed: u64, test: impl Fn()) -> Report {
    Explorer::new().report(seed, test)
}

/// How tests are run for seed after seed.
///
/// # Examples
///
/// ```
/// use sward::sim::Explorer;
///
/// Explorer::new().pct(3).seeds(0..100).run(|| {
///     let one = sward::spawn(|| 1);
///     let two = sward::spawn(|| 2);
///     assert_eq!(one.join().expect("no panic") + two.join().expect("no panic"), 3);
/// });
/// ```
#[derive(Debug, Clone)]
#[must_use = "it only explores when it is run"]
pub struct Explorer<S = Range<u64>> {
    seeds: S,
    settings: Settings,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    /// For how many steps in a certain order priorities are made.
    depth: Option<usize>,
    stack_bytes: usize,
    most_steps: u64,
}

impl Default for Explorer {
    fn default() -> Self {
        Self::new()
    }
}

impl Explorer {
    /// By lot, for the seeds from 0 to 999.
    pub fn new() -> Self {
        Self {
            seeds: 0..1000,
            settings: Settings {
                depth: None,
                stack_bytes: DEFAULT_BYTES,
                most_steps: STEPS,
            },
        }
    }
}

impl<S> Explorer<S> {
    /// For these seeds.
    pub fn seeds<T: IntoIterator<Item = u64>>(self, seeds: T) -> Explorer<T> {
        Explorer {
            seeds,
            settings: self.settings,
        }
    }

    /// Chooses by priorities that change `depth - 1` times in each run, instead of by lot at every step.
    ///
    /// That is probabilistic concurrency testing. It finds a bug that needs `depth` steps in a certain order
    /// (2 for most, hardly ever more than 3) in a share of the runs that does not shrink with the length of
    /// what else happens. Before the first seed the test is run once more, to count its steps.
    ///
    /// # Panics
    ///
    /// If `depth` is zero.
    pub fn pct(mut self, depth: usize) -> Self {
        assert!(depth > 0, "a bug has a depth of one at least");
        self.settings.depth = Some(depth);
        self
    }

    /// Gives green threads stacks of at least `bytes`, the test's closure too. Otherwise it is 256 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_bytes = bytes;
        self
    }

    /// Lets a run fail that takes more steps. Otherwise it is ten million.
    ///
    /// A step is what a green thread does between two choices.
    pub fn most_steps(mut self, steps: u64) -> Self {
        self.settings.most_steps = steps;
        self
    }

    /// Runs `test` with one seed, and tells what happened, whether it fails or not.
    ///
    /// # Panics
    ///
    /// If there is no memory for stacks; inside another simulation.
    #[track_caller]
    pub fn report(&self, seed: u64, test: impl Fn()) -> Report {
        let bench = Bench::new(self.settings, Location::caller());
        let strategy = match bench.strategy(&test) {
            Ok(strategy) => strategy,
            Err(failed) => return *failed,
        };
        bench.simulate(seed, strategy, EVENTS, &test)
    }

    /// Runs `test` with one seed, and shows all that happened if it fails.
    ///
    /// # Panics
    ///
    /// If it fails; and as [`report`](Self::report).
    #[track_caller]
    pub fn replay(&self, seed: u64, test: impl Fn()) {
        let report = self.report(seed, test);
        assert!(report.failure.is_none(), "{report}");
    }
}

impl<S: IntoIterator<Item = u64>> Explorer<S> {
    /// Runs `test` once for each seed. See [`explore`].
    ///
    /// # Panics
    ///
    /// As [`explore`].
    #[track_caller]
    pub fn run(self, test: impl Fn()) {
        let bench = Bench::new(self.settings, Location::caller());
        let strategy = match bench.strategy(&test) {
            Ok(strategy) => strategy,
            Err(failed) => panic!("{failed}"),
        };
        for seed in self.seeds {
            let report = bench.simulate(seed, strategy, TAIL, &test);
            assert!(report.failure.is_none(), "{report}");
        }
    }
}

/// What one run was like.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    depth: Option<usize>,
    steps: u64,
    elapsed: Duration,
    left: usize,
    failure: Option<String>,
    dump: String,
    log: Log,
}

impl Report {
    /// Its seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many steps it took; see [`Explorer::most_steps`].
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How long it took by the virtual clock.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How many green threads were left at the end, and were called off.
    pub fn left(&self) -> usize {
        self.left
    }

    /// What it failed of, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// All that happened, one event in a line, the last million of them: the time, who by number (the test's closure is
    /// 1), and what. The same seed and test give the same text.
    pub fn log(&self) -> String {
        self.log.to_string()
    }
}

/// What [`explore`] says of a seed that fails.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, .. } = self;
        match &self.failure {
            Some(failure) => writeln!(f, "seed {seed} fails: {failure}")?,
            None => writeln!(f, "seed {seed} does not fail")?,
        }
        match self.depth {
            Some(depth) => writeln!(
                f,
                "to replay: sim::Explorer::new().pct({depth}).replay({seed}, ..)"
            )?,
            None => writeln!(f, "to replay: sim::replay({seed}, ..)")?,
        }
        let elapsed = self.elapsed.as_nanos();
        let (seconds, nanos) = (elapsed / 1_000_000_000, elapsed % 1_000_000_000);
        writeln!(f, "after {steps} steps, at {seconds}.{nanos:09} s")?;
        if !self.dump.is_empty() {
            write!(f, "green threads:\n{}", self.dump)?;
        }
        write!(f, "what happened:\n{}", self.log)
    }
}

/// What all runs of one exploration share.
struct Bench {
    settings: Settings,
    class: &'static StackClass,
    caller: &'static Location<'static>,
}

impl Bench {
    #[track_caller]
    fn new(settings: Settings, caller: &'static Location<'static>) -> Self {
        // SAFETY: the home of an entered context is valid.
        let nested = home::home().is_some_and(|it| unsafe { it.as_ref() }.is_simulation());
        assert!(!nested, "a simulation cannot run inside another");
        let class = worker::prepare_process().and_then(|()| StackClass::of(settings.stack_bytes));
        match class {
            Ok(class) => Self {
                settings,
                class,
                caller,
            },
            Err(error) => panic!("failed to prepare a simulation: {error}"),
        }
    }

    /// How choices are to be made. For priorities the test's steps are counted, by a run of its own; if that fails, this
    /// is its report.
    fn strategy(&self, test: &impl Fn()) -> Result<Strategy, Box<Report>> {
        let Some(depth) = self.settings.depth else {
            return Ok(Strategy::Lot);
        };
        let counting = Strategy::Priorities { depth: 1, steps: 1 };
        let mut report = self.simulate(0, counting, TAIL, test);
        match &mut report.failure {
            None => Ok(Strategy::Priorities {
                depth,
                steps: report.steps,
            }),
            Some(failure) => {
                failure
                    .push_str(" (in the run that counts the steps, which comes before any seed)");
                Err(Box::new(report))
            }
        }
    }

    /// One run. From a green thread, on its kernel thread's own stack, while that thread's other work goes on elsewhere.
    fn simulate(
        &self,
        seed: u64,
        strategy: Strategy,
        most_events: usize,
        test: &impl Fn(),
    ) -> Report {
        let plan = Plan {
            seed,
            strategy,
            class: self.class,
            most_steps: self.settings.most_steps,
            most_events,
        };
        let report = wait::blocking(|| self.simulate_here(plan, test));
        match report {
            Ok(report) => report,
            Err(error) => panic!("failed to run a simulation: {error}"),
        }
    }

    fn simulate_here(&self, plan: Plan, test: &impl Fn()) -> io::Result<Report> {
        let simulation = Box::new(Simulation::new(plan)?);
        let context = Context::new(simulation.as_home());
        let _points = Points::watch();
        // Without one an overflow would still end the process, but say less.
        let _alternate = AlternateStack::arm();
        home::enter(&context, || {
            // SAFETY: `test` is borrowed until after the simulation has closed, or its frames never run again.
            let main = unsafe { simulation.start_main(test, self.caller) }?;
            let pause = simulation.drive(&context);
            let (steps, elapsed) = (simulation.steps(), simulation.elapsed());
            let left = simulation.live();
            let failure = match pause {
                // SAFETY: main's only handle, and it returns `()`.
                Pause::MainEnded | Pause::Empty => unsafe { main.take_result::<()>() }
                    .err()
                    .map(|it| text_of(&*it)),
                Pause::Stuck => Some("all green threads are asleep - deadlock!".to_owned()),
                Pause::TooLong => Some(format!("no end after {steps} steps")),
                Pause::Disturbed(id) => Some(format!(
                    "{} was woken by another kernel thread, which no seed decides",
                    simulation.describe(id)
                )),
            };
            let dump = match failure {
                Some(_) => simulation.dump(),
                None => String::new(),
            };
            let closed = simulation.close(&context);
            if !matches!(pause, Pause::MainEnded | Pause::Empty) {
                // SAFETY: main's only handle; its result was not taken.
                unsafe { main.detach() };
            }
            drop(main);
            let log = simulation.take_log();
            if !closed {
                // Stacks that are abandoned refer to it.
                Box::leak(simulation);
            }
            Ok(Report {
                seed: plan.seed,
                depth: self.settings.depth,
                steps,
                elapsed,
                left,
                failure,
                dump,
                log,
            })
        })
    }
}

/// What a panic said.
fn text_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<String>() {
        return text.clone();
    }
    match payload.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => "a panic whose payload is no text".to_owned(),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Explorer, explore};
    use crate::{coroutine::stack::StackClass, spawn, thread};

    /// A size that no other test of this binary uses.
    const BYTES: usize = 40 << 10;

    #[test]
    fn every_run_gives_its_stacks_back() {
        let class = StackClass::of(BYTES).expect("a class");
        let run = |seeds| {
            Explorer::new().stack_size(BYTES).seeds(seeds).run(|| {
                for _ in 0..50 {
                    spawn(thread::park);
                }
                thread::yield_now();
            });
            class.counts()
        };
        let first = run(0..1);
        assert_eq!((first.promised, first.out), (0, 0));
        let later = run(1..200);
        assert_eq!((later.promised, later.out), (0, 0));
        assert_eq!(later.warm + later.cold, first.warm + first.cold);
    }

    #[test]
    fn the_seeds_may_come_from_anywhere() {
        let count = std::cell::Cell::new(0);
        explore([3, 1, 4], || count.set(count.get() + 1));
        explore((0..10).filter(|it| it % 2 == 0), || {
            count.set(count.get() + 1);
        });
        assert_eq!(count.get(), 8);
    }
}
