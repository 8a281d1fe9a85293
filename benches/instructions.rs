//! A guard against decay: how many instructions each hot path takes, counted and not timed.
//!
//! ```text
//! cargo bench --bench instructions                # count, and compare with what is recorded
//! cargo bench --bench instructions -- --record    # count, and record anew
//! cargo bench --bench instructions -- ping-pong   # some paths only
//! ```
//!
//! Times on a machine with other work differ by tens of per cent from run to run; counts by less than one
//! in two hundred (`echo`, where the kernel has a say, by one in fifty). Each path runs twice under
//! `valgrind --tool=callgrind`, in a process of its own with one worker, once ten times as often as the
//! other time. What both have in common (start, end, the first stack) falls out of the difference.
//! `instructions.txt` holds the counts, and with what they were made: another compiler or another libc
//! makes other code, and then the counts are printed only.
//!
//! More than five per cent above what is recorded is a failure. Fewer is not, but should be recorded, or
//! the next decay hides in it. Counts say nothing about cache misses, about what the kernel does, nor
//! about workers that get in each other's way: `switch`, `channel`, `scale` and `rivals/` time those.
//!
//! Without valgrind it ends with status 77.

#[path = "support/callgrind.rs"]
mod callgrind;
#[path = "support/machine.rs"]
mod machine;

use machine::{first_line, machine};
use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    hint::black_box,
    io::{Read, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use sward::{
    Runtime,
    channel::{Receiver, Sender, bounded, select, unbounded},
    net::{TcpListener, TcpStream},
    spawn,
    sync::{Mutex, RwLock, Semaphore},
    yield_now,
};

/// What it does, how often at least, and the work.
struct Path {
    name: &'static str,
    rounds: u64,
    work: fn(u64),
}

/// Each with so many rounds that the monitor's few looks do not show.
const PATHS: &[Path] = &[
    Path {
        name: "yield",
        rounds: 20_000,
        work: yields,
    },
    Path {
        name: "spawn-join",
        rounds: 5_000,
        work: spawn_join,
    },
    Path {
        name: "ping-pong",
        rounds: 5_000,
        work: ping_pong,
    },
    Path {
        name: "buffered",
        rounds: 20_000,
        work: buffered,
    },
    Path {
        name: "buffered-pair",
        rounds: 20_000,
        work: buffered_pair,
    },
    Path {
        name: "unbounded",
        rounds: 20_000,
        work: unbounded_channel,
    },
    Path {
        name: "select-ready",
        rounds: 10_000,
        work: select_ready,
    },
    Path {
        name: "select-waits",
        rounds: 5_000,
        work: select_waits,
    },
    Path {
        name: "alarm",
        rounds: 5_000,
        work: alarm,
    },
    Path {
        name: "mutex",
        rounds: 50_000,
        work: mutex,
    },
    Path {
        name: "rwlock-read",
        rounds: 50_000,
        work: rwlock_read,
    },
    Path {
        name: "semaphore",
        rounds: 50_000,
        work: semaphore,
    },
    Path {
        name: "echo",
        rounds: 2_000,
        work: echo,
    },
];

/// How much more often the second run does it.
const FACTOR: u64 = 10;

const TOLERANCE: f64 = 0.05;

/// Two green threads that give way: one turn.
fn yields(rounds: u64) {
    let threads = [(); 2].map(|()| {
        spawn(move || {
            for _ in 0..rounds / 2 {
                yield_now();
            }
        })
    });
    for thread in threads {
        thread.join().expect("it only gives way");
    }
}

/// One green thread that returns at once, and the wait for it.
fn spawn_join(rounds: u64) {
    for round in 0..rounds {
        let thread = spawn(move || black_box(round));
        assert_eq!(thread.join().expect("it returns"), round);
    }
}

/// A message there and one back, without buffers.
fn ping_pong(rounds: u64) {
    let (to_it, calls) = bounded::<u64>(0);
    let (to_us, answers) = bounded(0);
    let partner = spawn(move || calls.iter().try_for_each(|it| to_us.send(it)));
    for round in 0..rounds {
        to_it.send(round).expect("it listens");
        assert_eq!(answers.recv(), Ok(round));
    }
    drop(to_it);
    partner.join().expect("no panic").expect("we listened");
}

fn send_and_receive(rounds: u64, (sender, receiver): &(Sender<u64>, Receiver<u64>)) {
    for round in 0..rounds {
        sender.send(round).expect("we receive");
        assert_eq!(receiver.recv(), Ok(round));
    }
}

/// Into a buffer and out of it, where nobody waits.
fn buffered(rounds: u64) {
    send_and_receive(rounds, &bounded(128));
}

/// The same, of any size.
fn unbounded_channel(rounds: u64) {
    send_and_receive(rounds, &unbounded());
}

/// A message through a buffer from one green thread to another, who wait when it is full or empty.
fn buffered_pair(rounds: u64) {
    let (sender, receiver) = bounded(128);
    let partner = spawn(move || {
        for round in 0..rounds {
            sender.send(round).expect("we receive");
        }
    });
    assert_eq!(receiver.iter().count() as u64, rounds);
    partner.join().expect("no panic");
}

/// A choice among four, of which the last is ready.
fn select_ready(rounds: u64) {
    let quiet = [(); 3].map(|()| bounded::<u64>(1));
    let [(_, a), (_, b), (_, c)] = &quiet;
    let (sender, receiver) = bounded(1);
    for round in 0..rounds {
        sender.send(round).expect("we receive");
        select! {
            recv(a) -> it => unreachable!("{it:?}"),
            recv(b) -> it => unreachable!("{it:?}"),
            recv(c) -> it => unreachable!("{it:?}"),
            recv(receiver) -> it => assert_eq!(it, Ok(round)),
        }
    }
}

/// A choice among four without buffers, each with a sender of its own.
fn select_waits(rounds: u64) {
    let mut senders = Vec::with_capacity(4);
    let arms = [(); 4].map(|()| {
        let (sender, receiver) = bounded::<u64>(0);
        senders.push(spawn(move || while sender.send(1).is_ok() {}));
        receiver
    });
    let [a, b, c, d] = &arms;
    let mut sum = 0;
    for _ in 0..rounds {
        sum += select! {
            recv(a) -> it => it.expect("it sends"),
            recv(b) -> it => it.expect("it sends"),
            recv(c) -> it => it.expect("it sends"),
            recv(d) -> it => it.expect("it sends"),
        };
    }
    assert_eq!(sum, rounds);
    drop(arms);
    for sender in senders {
        sender.join().expect("no panic");
    }
}

/// A ping-pong whose waits for the answer have a time-out: an alarm is set and taken back.
fn alarm(rounds: u64) {
    const NEVER: Duration = Duration::from_hours(1);
    let (to_it, calls) = bounded::<u64>(0);
    let (to_us, answers) = bounded(0);
    let partner = spawn(move || calls.iter().try_for_each(|it| to_us.send(it)));
    for round in 0..rounds {
        to_it.send(round).expect("it listens");
        assert_eq!(answers.recv_timeout(NEVER), Ok(round));
    }
    drop(to_it);
    partner.join().expect("no panic").expect("we listened");
}

/// Lock and unlock, where nobody else does.
fn mutex(rounds: u64) {
    let mutex = Mutex::new(0);
    for _ in 0..rounds {
        *black_box(&mutex).lock().expect("no panic") += 1;
    }
    assert_eq!(mutex.into_inner().expect("no panic"), rounds);
}

/// Lock for reading, where nobody else does.
fn rwlock_read(rounds: u64) {
    let lock = RwLock::new(1);
    let sum: u64 = (0..rounds)
        .map(|_| *black_box(&lock).read().expect("no panic"))
        .sum();
    assert_eq!(sum, rounds);
}

/// One permit, taken and given back.
fn semaphore(rounds: u64) {
    let semaphore = Semaphore::new(1);
    for _ in 0..rounds {
        drop(black_box(&semaphore).acquire(1));
    }
    assert!(semaphore.try_acquire(1).is_some());
}

/// 64 bytes there and back over a loopback socket, both ends green.
fn echo(rounds: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let server = spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut buffer = [0; 64];
        while stream.read_exact(&mut buffer).is_ok() {
            stream.write_all(&buffer).expect("it listens");
        }
    });
    let mut client = TcpStream::connect(address).expect("a server");
    let mut buffer = [7; 64];
    for _ in 0..rounds {
        client.write_all(&buffer).expect("a server");
        client.read_exact(&mut buffer).expect("a server");
    }
    drop(client);
    server.join().expect("no panic");
}

/// The part that is counted.
fn work(name: &str, rounds: u64) {
    let path = PATHS.iter().find(|it| it.name == name);
    let work = path.unwrap_or_else(|| panic!("no path {name}")).work;
    let runtime = Runtime::builder()
        .workers(1)
        .build()
        .expect("a runtime starts");
    runtime.run(move || work(rounds));
}

/// Instructions for each round of a path.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
fn count(path: &Path) -> Result<f64, String> {
    let instructions =
        |rounds: u64| callgrind::instructions(&["--work", path.name, &rounds.to_string()]);
    let few = instructions(path.rounds)?;
    let many = instructions(path.rounds * FACTOR)?;
    let more = many.checked_sub(few).ok_or("more rounds took less")?;
    Ok(more as f64 / (path.rounds * (FACTOR - 1)) as f64)
}

/// With what the code was made, as `key value` pairs.
fn made_with() -> BTreeMap<String, String> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let libc =
        first_line("getconf", &["GNU_LIBC_VERSION"]).or_else(|| first_line("ldd", &["--version"]));
    [
        ("rustc", first_line(&rustc, &["-V"])),
        ("libc", libc),
        ("arch", Some(env::consts::ARCH.to_owned())),
    ]
    .map(|(key, value)| (key.to_owned(), value.unwrap_or_else(|| "?".to_owned())))
    .into()
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

/// What is recorded: a line is a key, and a value after it.
fn recorded() -> BTreeMap<String, String> {
    let text = fs::read_to_string(file()).unwrap_or_default();
    text.lines()
        .filter(|it| !it.starts_with('#'))
        .filter_map(|it| it.split_once(' '))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

fn record(made_with: &BTreeMap<String, String>, counts: &[(&str, f64)]) -> Result<(), String> {
    let mut text = String::from(
        "# Instructions for each round, by callgrind: one worker; benches/instructions.rs says of what.\n\
         # Recorded by `cargo bench --bench instructions -- --record`.\n",
    );
    for line in machine() {
        writeln!(text, "# {line}").expect("a string takes all");
    }
    for key in ["rustc", "libc", "arch"] {
        writeln!(text, "{key:<16} {}", made_with[key]).expect("a string takes all");
    }
    for (name, count) in counts {
        writeln!(text, "{name:<16} {count:.1}").expect("a string takes all");
    }
    fs::write(file(), text).map_err(|error| error.to_string())
}

/// Counts, and tells what has become worse, by name.
fn guard(wanted: &[String], anew: bool) -> Result<Vec<&'static str>, String> {
    let (made_with, recorded) = (made_with(), recorded());
    let different: Vec<_> = made_with
        .iter()
        .filter(|(key, value)| recorded.get(*key) != Some(value))
        .map(|(key, value)| {
            let before = recorded.get(key).map_or("nothing", String::as_str);
            format!("{key}: recorded with {before}, here {value}")
        })
        .collect();
    let comparable = different.is_empty();
    println!(
        "{:<16}{:>14}{:>14}{:>10}",
        "path", "instructions", "recorded", ""
    );
    let mut counts = Vec::new();
    let mut worse = Vec::new();
    for path in PATHS {
        if !wanted.is_empty() && !wanted.iter().any(|it| path.name.contains(it.as_str())) {
            continue;
        }
        let count = count(path)?;
        counts.push((path.name, count));
        let before: Option<f64> = recorded.get(path.name).and_then(|it| it.parse().ok());
        let verdict = before.map_or_else(
            || "not recorded".to_owned(),
            |before| {
                let change = count / before - 1.0;
                let word = match change {
                    _ if !comparable || anew => "",
                    it if it > TOLERANCE => {
                        worse.push(path.name);
                        "  MORE"
                    }
                    it if it < -TOLERANCE => "  fewer: record it",
                    _ => "",
                };
                format!("{before:>14.1}{:>+9.1}%{word}", change * 100.0)
            },
        );
        println!("{:<16}{count:>14.1}{verdict}", path.name);
        std::io::stdout()
            .flush()
            .map_err(|error| error.to_string())?;
    }
    if anew && wanted.is_empty() {
        record(&made_with, &counts)?;
        println!("recorded in {}", file().display());
    } else if !comparable {
        println!("not compared, only shown: {}", different.join("; "));
    }
    Ok(worse)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|it| it != "--bench").collect();
    if let [flag, name, rounds] = arguments.as_slice()
        && flag == "--work"
    {
        work(name, rounds.parse().expect("a number of rounds"));
        return ExitCode::SUCCESS;
    }
    if !callgrind::is_there() {
        println!("no valgrind here: nothing is counted");
        return ExitCode::from(77);
    }
    let anew = arguments.iter().any(|it| it == "--record");
    let wanted: Vec<String> = arguments
        .into_iter()
        .filter(|it| it != "--record")
        .collect();
    match guard(&wanted, anew) {
        Ok(worse) if worse.is_empty() => ExitCode::SUCCESS,
        Ok(worse) => {
            println!(
                "more than {:.0} % above what is recorded: {}",
                TOLERANCE * 100.0,
                worse.join(", ")
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
