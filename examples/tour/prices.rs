//! What switches, threads and messages cost, for green threads and for kernel threads, here and now.

use crate::Outcome;
use std::time::{Duration, Instant};
use sward::{Runtime, channel, sync::Barrier, yield_now};

/// Both worlds have the same steps, and fewer where they are dear.
const GREEN_STEPS: u32 = 200_000;
const KERNEL_STEPS: u32 = 2_000;

pub(crate) fn show() -> Outcome {
    let runtime = Runtime::builder().workers(1).build()?;
    let two = Runtime::builder().workers(2).build()?;
    println!("   {:34}{:>12}{:>16}", "", "green", "kernel thread");
    price(
        "a switch, two in turn",
        runtime.run(|| green_turns(2, GREEN_STEPS)),
        kernel_turns(KERNEL_STEPS),
    );
    price(
        "a switch, 1000 in turn",
        runtime.run(|| green_turns(1_000, GREEN_STEPS)),
        None,
    );
    price(
        "to start a thread and to join it",
        two.run(|| green_threads(GREEN_STEPS)),
        kernel_threads(KERNEL_STEPS),
    );
    price(
        "a message, handed over",
        two.run(|| messages(Some(0), GREEN_STEPS, World::Green)),
        messages(Some(0), KERNEL_STEPS, World::Kernel),
    );
    price(
        "a message, through a buffer of 128",
        two.run(|| messages(Some(128), GREEN_STEPS, World::Green)),
        messages(Some(128), KERNEL_STEPS * 10, World::Kernel),
    );
    Ok(())
}

/// A line of the table; `None` where nothing was measured.
fn price(what: &str, green: Option<Duration>, kernel: Option<Duration>) {
    let show = |it: Option<Duration>| match it {
        Some(it) if it < Duration::from_micros(10) => format!("{} ns", it.as_nanos()),
        Some(it) => format!("{} us", it.as_micros()),
        None => "-".to_owned(),
    };
    println!("   {what:34}{:>12}{:>16}", show(green), show(kernel));
}

/// So many green threads that give way in turn: the time of one turn.
fn green_turns(threads: u32, turns: u32) -> Option<Duration> {
    let each = turns / threads;
    sward::scope(|scope| {
        let start = Instant::now();
        for _ in 0..threads {
            scope.spawn(|| (0..each).for_each(|_| yield_now()));
        }
        start
    })
    .elapsed()
    .checked_div(each * threads)
}

/// Two kernel threads that meet at a barrier: each meeting makes both wait once.
fn kernel_turns(turns: u32) -> Option<Duration> {
    let barrier = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..turns).for_each(|_| {
                barrier.wait();
            });
        });
        let start = Instant::now();
        for _ in 0..turns {
            barrier.wait();
        }
        start
    })
    .elapsed()
    .checked_div(turns)
}

fn green_threads(threads: u32) -> Option<Duration> {
    let start = Instant::now();
    for number in 0..threads {
        let thread = sward::spawn(move || number);
        assert_eq!(thread.join().ok(), Some(number), "it returns its number");
    }
    start.elapsed().checked_div(threads)
}

fn kernel_threads(threads: u32) -> Option<Duration> {
    let start = Instant::now();
    for number in 0..threads {
        let thread = std::thread::spawn(move || number);
        assert_eq!(thread.join().ok(), Some(number), "it returns its number");
    }
    start.elapsed().checked_div(threads)
}

#[derive(Debug, Clone, Copy)]
enum World {
    Green,
    Kernel,
}

/// From one thread to another, through the same kind of channel in both worlds.
fn messages(capacity: Option<usize>, count: u32, world: World) -> Option<Duration> {
    let (sender, receiver) = capacity.map_or_else(channel::unbounded, channel::bounded);
    let ready = Barrier::new(2);
    let send = || {
        ready.wait();
        (0..count).for_each(|it| sender.send(u64::from(it)).expect("somebody receives"));
    };
    let receive = || {
        ready.wait();
        let start = Instant::now();
        let sum: u64 = receiver.iter().take(count as usize).sum();
        assert_eq!(sum, u64::from(count) * u64::from(count - 1) / 2, "all came");
        start.elapsed()
    };
    let time = match world {
        World::Green => sward::scope(|scope| {
            scope.spawn(send);
            receive()
        }),
        World::Kernel => std::thread::scope(|scope| {
            scope.spawn(send);
            receive()
        }),
    };
    time.checked_div(count)
}
