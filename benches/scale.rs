//! How costs grow with numbers: tasks, channels, alarms, sockets; and what memory comes back.
//!
//! ```text
//! cargo bench --bench scale                     # all tables, with one worker
//! cargo bench --bench scale -- --workers 2 alarms
//! cargo bench --bench scale -- --count          # instructions instead of nanoseconds, by callgrind
//! RECORD=1 cargo bench --bench scale            # and put tables and pictures into benches/
//! ```
//!
//! Each figure comes from a process of its own, so that none inherits another's heap. A row is what is
//! done, a column how many there are of it; the figure is the cost of one, once all are there:
//!
//! - `yield`: so many tasks in one queue; a turn.
//! - `pairs`: half as many pairs, all with a message under way; a round trip.
//! - `channels`: one task sends into so many channels of room for one in turn, and receives again.
//! - `locks`: one task locks and unlocks so many locks in turn.
//! - `alarms`: beside so many sleepers, a wait with a time-out that is called before: set and taken back.
//! - `sockets`: so many connected pairs, an echo over each in turn. Descriptors are limited: raise the hard
//!   limit for more than it allows.
//! - `memory`: bytes for each of so many tasks that wait, page tables too; then, with all of them gone, how
//!   much of the process is still there, by what it was before, when it no longer shrinks: 1.00 is the base.
//!
//! What is flat in instructions and not in nanoseconds are cache and page misses: a parked task has a stack
//! of its own, so each of a million turns touches lines that no cache holds any more. Workers who contend
//! for one thing are not here; `channel` has them.

#[path = "support/callgrind.rs"]
mod callgrind;
#[path = "support/chart.rs"]
mod chart;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/table.rs"]
mod table;

use std::{
    env, fs,
    hint::black_box,
    io::{Read, Write},
    process::{self, Command, ExitCode, Stdio},
    sync::{Arc, OnceLock},
    thread as kernel,
    time::{Duration, Instant},
};
use sward::{
    Runtime,
    channel::bounded,
    net::unix::UnixStream,
    spawn,
    sync::{Barrier, Mutex, WaitGroup},
    yield_now,
};
use table::Table;

/// What is done; with how many at most, and how often all together.
struct Row {
    name: &'static str,
    most: usize,
    rounds: usize,
    /// So many things, so many rounds on all of them together at least: how many were done, and in what time.
    work: fn(usize, usize) -> (usize, Duration),
}

const ROWS: &[Row] = &[
    Row {
        name: "yield",
        most: 1_000_000,
        rounds: 3_000_000,
        work: yields,
    },
    Row {
        name: "pairs",
        most: 1_000_000,
        rounds: 1_000_000,
        work: pairs,
    },
    Row {
        name: "channels",
        most: 1_000_000,
        rounds: 3_000_000,
        work: channels,
    },
    Row {
        name: "locks",
        most: 1_000_000,
        rounds: 3_000_000,
        work: locks,
    },
    Row {
        name: "alarms",
        most: 1_000_000,
        rounds: 1_000_000,
        work: alarms,
    },
    Row {
        name: "sockets",
        most: 100_000,
        rounds: 100_000,
        work: sockets,
    },
];

const SIZES: [usize; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Of tasks, for memory.
const CROWDS: [usize; 3] = [10_000, 100_000, 1_000_000];

/// Rounds each, so that all are done equally often, and the sum.
fn each(things: usize, rounds: usize) -> (usize, usize) {
    let each = rounds.div_ceil(things).max(2);
    (each, each * things)
}

/// The time that so many tasks take for the work that `work` makes for each, from the moment when the first
/// begins: all wait for that first, and whoever started them may have its turn after they are done.
fn together<W: FnOnce() + Send + 'static>(tasks: usize, mut work: impl FnMut() -> W) -> Duration {
    let ready = Arc::new(Barrier::new(tasks));
    let begun = Arc::new(OnceLock::new());
    let gone = WaitGroup::new();
    gone.add(tasks.cast_signed());
    for _ in 0..tasks {
        let (ready, begun, gone) = (Arc::clone(&ready), Arc::clone(&begun), gone.clone());
        let work = work();
        spawn(move || {
            ready.wait();
            begun.get_or_init(Instant::now);
            work();
            gone.done();
        });
    }
    gone.wait();
    begun.get_or_init(Instant::now).elapsed()
}

fn yields(tasks: usize, rounds: usize) -> (usize, Duration) {
    let (each, all) = each(tasks, rounds);
    let time = together(tasks, || {
        move || {
            for _ in 0..each {
                yield_now();
            }
        }
    });
    (all, time)
}

fn pairs(tasks: usize, rounds: usize) -> (usize, Duration) {
    let pairs = tasks.div_ceil(2);
    let (each, all) = each(pairs, rounds);
    let time = together(pairs, || {
        let (to_it, calls) = bounded(0);
        let (to_us, answers) = bounded(0);
        spawn(move || calls.iter().try_for_each(|it: usize| to_us.send(it)));
        move || {
            for round in 0..each {
                to_it.send(round).expect("it listens");
                assert_eq!(answers.recv(), Ok(round));
            }
        }
    });
    (all, time)
}

fn channels(channels: usize, rounds: usize) -> (usize, Duration) {
    let (each, all) = each(channels, rounds);
    let channels: Vec<_> = (0..channels).map(|_| bounded(1)).collect();
    let start = Instant::now();
    for round in 0..each {
        for (sender, receiver) in &channels {
            sender.send(round).expect("we receive");
            assert_eq!(receiver.recv(), Ok(round));
        }
    }
    (all, start.elapsed())
}

fn locks(locks: usize, rounds: usize) -> (usize, Duration) {
    let (each, all) = each(locks, rounds);
    let locks: Vec<_> = (0..locks).map(|_| Mutex::new(0)).collect();
    let start = Instant::now();
    for _ in 0..each {
        for lock in &locks {
            *black_box(lock).lock().expect("no panic") += 1;
        }
    }
    (all, start.elapsed())
}

fn alarms(sleepers: usize, rounds: usize) -> (usize, Duration) {
    const NEVER: Duration = Duration::from_hours(1);
    let asleep = WaitGroup::new();
    asleep.add(sleepers.cast_signed());
    let (gate, closed) = bounded::<()>(0);
    for sleeper in 0..sleepers {
        let (asleep, closed) = (asleep.clone(), closed.clone());
        // Each at a time of its own, minutes away.
        let nap = NEVER + Duration::from_millis(sleeper as u64);
        spawn(move || {
            asleep.done();
            assert!(closed.recv_timeout(nap).is_err(), "nothing is sent");
        });
    }
    asleep.wait();
    let (to_it, calls) = bounded(0);
    let (to_us, answers) = bounded(0);
    spawn(move || calls.iter().try_for_each(|it: usize| to_us.send(it)));
    let start = Instant::now();
    for round in 0..rounds {
        to_it.send(round).expect("it listens");
        assert_eq!(answers.recv_timeout(NEVER), Ok(round));
    }
    let time = start.elapsed();
    drop(gate);
    (rounds, time)
}

fn sockets(pairs: usize, rounds: usize) -> (usize, Duration) {
    let (each, all) = each(pairs, rounds);
    let mut ours: Vec<_> = (0..pairs)
        .map(|_| {
            let (ours, mut its) = UnixStream::pair().expect("enough descriptors");
            spawn(move || {
                let mut buffer = [0; 64];
                while its.read_exact(&mut buffer).is_ok() {
                    its.write_all(&buffer).expect("it listens");
                }
            });
            ours
        })
        .collect();
    let mut buffer = [7; 64];
    let mut echo = |stream: &mut UnixStream| {
        stream.write_all(&buffer).expect("it listens");
        stream.read_exact(&mut buffer).expect("it answers");
    };
    // Registers each with the poller.
    ours.iter_mut().for_each(&mut echo);
    let start = Instant::now();
    for _ in 0..each {
        ours.iter_mut().for_each(&mut echo);
    }
    (all, start.elapsed())
}

/// Bytes of memory in use, and of the page tables that map them.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let kilobytes = |line: &str| line.split_whitespace().nth(1)?.parse::<usize>().ok();
    let lines = status
        .lines()
        .filter(|it| it.starts_with("VmRSS:") || it.starts_with("VmPTE:"));
    lines.filter_map(kilobytes).sum::<usize>() * 1024
}

/// Starts so many tasks that wait; then they end.
fn crowd(tasks: usize) -> usize {
    let (arrived, gone) = (WaitGroup::new(), WaitGroup::new());
    arrived.add(tasks.cast_signed());
    gone.add(tasks.cast_signed());
    let (gate, closed) = bounded::<()>(0);
    for _ in 0..tasks {
        let (arrived, gone, closed) = (arrived.clone(), gone.clone(), closed.clone());
        spawn(move || {
            arrived.done();
            assert!(closed.recv().is_err(), "nothing is sent");
            gone.done();
        });
    }
    arrived.wait();
    let most = memory();
    drop(gate);
    gone.wait();
    most
}

/// Bytes for each of so many tasks that wait, and what is left of them by what was there before.
///
/// The base is a process that has run a hundred of them, as any has. It is looked at from a kernel thread,
/// while the runtime is idle.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
fn spike(runtime: &Runtime, tasks: usize) -> (f64, f64) {
    runtime.run(|| crowd(100));
    let base = memory();
    let most = runtime.run(move || crowd(tasks));
    // Until it has not shrunk for two seconds, which are several trim periods.
    let (mut least, mut since) = (memory(), Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        kernel::sleep(Duration::from_millis(50));
        let now = memory();
        if now < least {
            (least, since) = (now, Instant::now());
        }
    }
    let bytes = most.saturating_sub(base) as f64 / tasks as f64;
    (bytes, least as f64 / base as f64)
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder()
        .workers(workers)
        .build()
        .expect("a runtime starts")
}

/// The part that runs in a process of its own: prints figures, and ends without unwinding who waits.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
fn work(name: &str, things: usize, rounds: usize, workers: usize) -> ! {
    let runtime = runtime(workers);
    if name == "memory" {
        let (bytes, left) = spike(&runtime, things);
        println!("{bytes} {left}");
    } else {
        let work = ROWS.iter().find(|it| it.name == name).expect("a row").work;
        let (done, time) = runtime.run(move || work(things, rounds));
        println!("{}", time.as_secs_f64() * 1e9 / done as f64);
    }
    process::exit(0);
}

/// Figures of a process of its own, or why there are none.
fn figures(arguments: &[&str]) -> Result<Vec<f64>, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(this)
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{arguments:?}: {} {complaint}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .split_whitespace()
        .filter_map(|it| it.parse().ok())
        .collect())
}

/// Instructions for each of so many, from the difference of two runs.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
fn count(name: &str, things: usize) -> Result<f64, String> {
    let at_once = match name {
        "pairs" => things.div_ceil(2),
        "alarms" => 1,
        _ => things,
    };
    let few = at_once * (20_000 / at_once).max(2);
    let many = few + at_once * (80_000 / at_once).max(2);
    let run = |rounds: usize| {
        let (things, rounds) = (things.to_string(), rounds.to_string());
        callgrind::instructions(&["--work", name, &things, &rounds, "1"])
    };
    let more = run(many)?.checked_sub(run(few)?);
    let more = more.ok_or("more rounds took less")?;
    Ok(more as f64 / (many - few) as f64)
}

/// The median of three.
fn median(name: &str, things: usize, rounds: usize, workers: usize) -> Result<f64, String> {
    let (things, rounds, workers) = (things.to_string(), rounds.to_string(), workers.to_string());
    let mut values = Vec::new();
    for _ in 0..3 {
        values.extend(figures(&["--work", name, &things, &rounds, &workers])?);
    }
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied();
    middle.ok_or_else(|| format!("{name} says nothing"))
}

/// How many descriptors this process and its children may have: enough, or as many as are allowed.
fn descriptors() -> usize {
    const ENOUGH: usize = 300_000;
    let raise = |to: usize| {
        let raised = Command::new("prlimit")
            .args(["--pid", &process::id().to_string()])
            .arg(format!("--nofile={to}:{to}"))
            .stderr(Stdio::null())
            .status();
        raised.is_ok_and(|it| it.success()).then_some(to)
    };
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|it| it.starts_with("Max open files"));
    let mut numbers = line
        .into_iter()
        .flat_map(str::split_whitespace)
        .filter_map(|it| it.parse::<usize>().ok());
    let (soft, hard) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    raise(ENOUGH).or_else(|| raise(hard)).unwrap_or(soft)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|it| it != "--bench").collect();
    let number = |it: &String| it.parse::<usize>().expect("a number");
    if let [flag, name, things, rounds, workers] = arguments.as_slice()
        && flag == "--work"
    {
        work(name, number(things), number(rounds), number(workers));
    }
    let counts = arguments.iter().any(|it| it == "--count");
    let workers = arguments
        .iter()
        .position(|it| it == "--workers")
        .map_or(1, |at| number(&arguments[at + 1]));
    let wanted = |name: &str| {
        let names = |it: &&String| it.chars().all(|it| it.is_ascii_lowercase());
        arguments.iter().find(names).is_none() || arguments.iter().any(|it| it == name)
    };
    if counts && !callgrind::is_there() {
        println!("no valgrind here: nothing is counted");
        return ExitCode::from(77);
    }
    let descriptors = descriptors();
    let mut complaints = Vec::new();

    let mut costs = if counts {
        Table::new("Instructions for one among so many", "instructions")
    } else {
        Table::new("The cost of one among so many", "ns")
    };
    for row in ROWS.iter().filter(|it| wanted(it.name)) {
        for things in SIZES.into_iter().filter(|it| *it <= row.most) {
            // A few are the process's own.
            if row.name == "sockets" && things * 2 + 64 > descriptors {
                complaints.push(format!("{things} sockets: only {descriptors} descriptors"));
                continue;
            }
            // Callgrind is fifty times as slow.
            let figure = if counts && things > 100_000 {
                continue;
            } else if counts {
                count(row.name, things)
            } else {
                median(row.name, things, row.rounds, workers)
            };
            match figure {
                Ok(figure) => costs.set(row.name, &things.to_string(), figure),
                Err(why) => complaints.push(why),
            }
        }
    }
    costs.show(if counts { "scale-count" } else { "scale" });

    let mut bytes = Table::new("Memory of each task that waits, of so many", "bytes");
    let mut left = Table::new("What is left of so many, by what there was before", "ratio");
    for tasks in CROWDS.into_iter().filter(|_| wanted("memory") && !counts) {
        let tasks = tasks.to_string();
        match figures(&["--work", "memory", &tasks, "0", "2"]).as_deref() {
            Ok(&[each, ratio]) => {
                bytes.set("memory", &tasks, each);
                left.set("left", &tasks, ratio);
            }
            Ok(others) => complaints.push(format!("memory of {tasks}: {others:?}")),
            Err(why) => complaints.push(why.clone()),
        }
    }
    bytes.show("scale-memory");
    left.show("scale-left");
    for complaint in &complaints {
        println!("{complaint}");
    }
    ExitCode::SUCCESS
}
