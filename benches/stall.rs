//! How late others are beside green threads that hog or block their kernel threads.
//!
//! ```text
//! cargo bench --bench stall               # two workers, four times as many hogs
//! cargo bench --bench stall -- 4 2000     # four workers, two seconds for each figure
//! cargo bench --bench stall -- 2 2000 4   # two workers, two seconds, and four hogs
//! ```
//!
//! A row is what goes on beside; a column is who is measured: a sleeper of one millisecond, an echo over
//! a loopback socket, and a pair that passes a message to and fro through channels of no capacity. Each
//! figure is the median and the 99th percentile, in microseconds: of how much too late the sleeper wakes,
//! and of how long a round takes. It says nothing about throughput.

use std::{
    env, fs,
    hint::black_box,
    io::{Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread as kernel,
    time::{Duration, Instant},
};
use sward::{
    Runtime, channel,
    net::{TcpListener, TcpStream},
    spawn, thread,
};

/// Who goes on beside, and what it does until it is told to stop.
type Beside = (&'static str, fn(&AtomicBool));

const BESIDE: [Beside; 7] = [
    ("nothing", |_| {}),
    ("computing for ever", |stop| {
        while !stop.load(Relaxed) {
            compute(Duration::from_millis(10));
        }
    }),
    ("calls that block", |stop| {
        while !stop.load(Relaxed) {
            kernel::sleep(Duration::from_millis(100));
        }
    }),
    ("bursts of computing", |stop| {
        bursts(stop, compute);
    }),
    ("bursts of blocking", |stop| {
        bursts(stop, kernel::sleep);
    }),
    ("std's mutex, held over a sleep", |stop| {
        static SHARED: Mutex<()> = Mutex::new(());
        while !stop.load(Relaxed) {
            let guard = SHARED.lock();
            kernel::sleep(Duration::from_millis(5));
            drop(guard);
            thread::sleep(Duration::from_millis(1));
        }
    }),
    ("file reads", |stop| {
        while !stop.load(Relaxed) {
            for entry in fs::read_dir("runtime").into_iter().flatten().flatten() {
                black_box(fs::read(entry.path()).ok());
            }
            thread::yield_now();
        }
    }),
];

fn compute(time: Duration) {
    let start = Instant::now();
    let mut word = 1_u64;
    while start.elapsed() < time {
        for _ in 0..10_000 {
            word = black_box(word.wrapping_mul(6_364_136_223_846_793_005) + 1);
        }
    }
}

/// Five to fifty milliseconds of `work`, then a wait of one.
fn bursts(stop: &AtomicBool, work: fn(Duration)) {
    let mut word = 88_172_645_463_325_252_u64 + thread_number();
    while !stop.load(Relaxed) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        work(Duration::from_millis(5 + word % 46));
        thread::sleep(Duration::from_millis(1));
    }
}

fn thread_number() -> u64 {
    let local = 0_u8;
    (&raw const local).addr() as u64
}

/// One figure: rounds of `round` for as long as `time`.
fn measure(time: Duration, mut round: impl FnMut() -> Duration) -> String {
    let start = Instant::now();
    let mut times: Vec<Duration> = Vec::new();
    while start.elapsed() < time || times.len() < 20 {
        times.push(round());
    }
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
    format!("{:>9.1} {:>9.1}", at(50), at(99))
}

fn sleeper(time: Duration) -> String {
    const NAP: Duration = Duration::from_millis(1);
    measure(time, || {
        let start = Instant::now();
        thread::sleep(NAP);
        start.elapsed().saturating_sub(NAP)
    })
}

fn echo(time: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let server = spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..length]).expect("it listens");
        }
    });
    let mut client = TcpStream::connect(address).expect("a server");
    client.set_nodelay(true).expect("a socket");
    let mut buffer = [7; 64];
    let figure = measure(time, || {
        let start = Instant::now();
        client.write_all(&buffer).expect("a server");
        client.read_exact(&mut buffer).expect("a server");
        start.elapsed()
    });
    drop(client);
    server.join().expect("no panic");
    figure
}

fn pair(time: Duration) -> String {
    let (to_it, calls) = channel::bounded::<u64>(0);
    let (to_us, answers) = channel::bounded(0);
    let partner = spawn(move || calls.iter().try_for_each(|it| to_us.send(it)));
    let figure = measure(time, || {
        let start = Instant::now();
        to_it.send(1).expect("it listens");
        answers.recv().expect("it answers");
        start.elapsed()
    });
    drop(to_it);
    partner.join().expect("no panic").expect("we listened");
    figure
}

fn main() {
    let mut arguments = env::args().skip(1).filter_map(|it| it.parse().ok());
    let workers: usize = arguments.next().unwrap_or(2);
    let time = Duration::from_millis(arguments.next().unwrap_or(500) as u64);
    let hogs = arguments.next().unwrap_or(4 * workers);
    println!("{workers} workers, {hogs} beside; p50 and p99 in microseconds\n");
    println!(
        "{:<32}{:>22}{:>22}{:>22}",
        "beside", "1 ms sleeper, late", "echo, round", "pair, round"
    );
    for (name, work) in BESIDE {
        let runtime = Runtime::builder()
            .workers(workers)
            .build()
            .expect("a runtime");
        let (late, echo, pair) = runtime.run(move || {
            let stop = Arc::new(AtomicBool::new(false));
            let beside: Vec<_> = (0..hogs)
                .map(|_| {
                    let stop = Arc::clone(&stop);
                    spawn(move || work(&stop))
                })
                .collect();
            let figures = (sleeper(time), echo(time), pair(time));
            stop.store(true, Relaxed);
            for thread in beside {
                thread.join().expect("no panic");
            }
            figures
        });
        println!("{name:<32}{late:>22}{echo:>22}{pair:>22}");
    }
}
