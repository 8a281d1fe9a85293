//! How long a dump takes, and for how long others are kept from their turns by it.
//!
//! ```text
//! cargo bench --bench dump               # two workers, 100,000 green threads that wait
//! cargo bench --bench dump -- 1 20000    # one worker, 20,000
//! ```
//!
//! On each worker a green thread gives way all the time and notes the longest time between two of its
//! turns, once while nothing else goes on, once beside a kernel thread that computes, which takes as much of
//! the machine as a dump does, and once beside dumps, one after the other. A dump stops nobody if the last two
//! are alike.

use std::{
    env,
    hint::black_box,
    mem::ManuallyDrop,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread as kernel,
    time::{Duration, Instant},
};
use sward::{Runtime, channel, spawn, thread};

/// For how long each figure is measured.
const TIME: Duration = Duration::from_secs(2);

/// Who waits, for what: in each kind a fourth of them.
fn waiters(count: usize) {
    let (tx, rx) = channel::bounded::<u8>(0);
    let (other_tx, other) = channel::unbounded::<u8>();
    let mutex = Arc::new(sward::sync::Mutex::new(()));
    let held = mutex.lock();
    for number in 0..count {
        let (rx, other, mutex) = (rx.clone(), other.clone(), Arc::clone(&mutex));
        drop(spawn(move || match number % 4 {
            0 => drop(rx.recv()),
            1 => channel::select! {
                recv(rx) -> _ => {}
                recv(other) -> _ => {}
            },
            2 => drop(mutex.lock()),
            _ => thread::park(),
        }));
    }
    // So all of them wait for ever.
    let _for_ever = ManuallyDrop::new((tx, other_tx, held));
}

/// The gaps between turns of a green thread for each worker while `beside` runs on a kernel thread of its own:
/// the median and the 99.9th percentile of the longest in each millisecond, and the longest of all.
fn gaps(runtime: &Runtime, workers: usize, mut beside: impl FnMut() + Send) -> [Duration; 3] {
    let stop = Arc::new(AtomicBool::new(false));
    let turners: Vec<_> = (0..workers)
        .map(|_| {
            let stop = Arc::clone(&stop);
            runtime.spawn(move || {
                let (mut longest, mut all) = (Duration::ZERO, Vec::new());
                let mut last = Instant::now();
                let mut since = last;
                while !stop.load(Relaxed) {
                    sward::yield_now();
                    let now = Instant::now();
                    longest = longest.max(now - last);
                    last = now;
                    if now - since >= Duration::from_millis(1) {
                        all.push(longest);
                        (longest, since) = (Duration::ZERO, now);
                    }
                }
                all
            })
        })
        .collect();
    let start = Instant::now();
    kernel::scope(|scope| {
        scope.spawn(|| {
            while start.elapsed() < TIME {
                beside();
            }
            stop.store(true, Relaxed);
        });
    });
    let mut all: Vec<Duration> = turners
        .into_iter()
        .flat_map(|it| it.join().expect("no panic"))
        .collect();
    all.sort_unstable();
    [500, 999, 1000].map(|it| all[(all.len() * it / 1000).min(all.len() - 1)])
}

fn main() {
    let mut arguments = env::args().skip(1).filter_map(|it| it.parse().ok());
    let workers: usize = arguments.next().unwrap_or(2);
    let count: usize = arguments.next().unwrap_or(100_000);
    for keeps in [false, true] {
        let builder = Runtime::builder().workers(workers).stack_size(32 << 10);
        let builder = if keeps {
            builder.keep_backtraces()
        } else {
            builder
        };
        let runtime = builder.build().expect("a runtime");
        let count = if keeps { count / 50 } else { count };
        runtime.run(move || waiters(count));
        while runtime.metrics().parked < count as u64 {
            kernel::sleep(Duration::from_millis(10));
        }
        println!("\n{workers} workers, {count} green threads that wait, backtraces kept: {keeps}");
        println!(
            "{:<28}{:>12}{:>12}{:>12}",
            "beside", "p50, us", "p99.9, us", "max, us"
        );
        let show = |what: &str, gaps: [Duration; 3]| {
            let [p50, p999, max] = gaps.map(|it| it.as_secs_f64() * 1e6);
            println!("{what:<28}{p50:>12.1}{p999:>12.1}{max:>12.1}");
        };
        let nap = || kernel::sleep(Duration::from_millis(5));
        show("nothing", gaps(&runtime, workers, nap));
        let mut word = 1_u64;
        let compute = || {
            for _ in 0..1_000_000 {
                word = black_box(word.wrapping_mul(6_364_136_223_846_793_005) + 1);
            }
        };
        show("a thread that computes", gaps(&runtime, workers, compute));
        let mut dumps = Vec::new();
        let dump = || {
            let start = Instant::now();
            assert!(runtime.dump().green_threads().len() >= count);
            dumps.push(start.elapsed());
        };
        show("dumps", gaps(&runtime, workers, dump));
        dumps.sort_unstable();
        let median = dumps[dumps.len() / 2];
        println!("a dump takes {:.1} ms", median.as_secs_f64() * 1e3);
        let _for_ever = ManuallyDrop::new(runtime);
    }
    std::process::exit(0);
}
