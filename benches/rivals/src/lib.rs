//! What every system's program shares: its arguments, and how it says what it measured.
//!
//! A program is called as `PROGRAM WORKLOAD NUMBERS..`, with `WORKERS` in its environment, and prints a
//! line `FIGURE VALUE` for each figure. A workload that it has not got ends it with [`HAS_NONE`].

use std::{
    env, fs, process,
    time::{Duration, Instant},
};

/// The status of a program that cannot do what is asked, by design.
pub const HAS_NONE: i32 = 3;

/// What a channel may hold.
pub const UNBOUNDED: usize = usize::MAX;

/// What a program is to do.
#[derive(Debug, Clone)]
pub struct Order {
    /// The workload's name.
    pub workload: String,
    numbers: Vec<usize>,
}

impl Order {
    /// From the command line.
    ///
    /// # Panics
    ///
    /// When there is no workload on it, or something that is no number.
    pub fn from_command_line() -> Self {
        let mut arguments = env::args().skip(1);
        Self {
            workload: arguments.next().expect("a workload"),
            numbers: arguments
                .map(|it| match it.as_str() {
                    "unbounded" => UNBOUNDED,
                    it => it.parse().expect("a number"),
                })
                .collect(),
        }
    }

    /// The first so many numbers.
    ///
    /// # Panics
    ///
    /// When there are fewer.
    pub fn numbers<const N: usize>(&self) -> [usize; N] {
        self.numbers[..N].try_into().expect("as many as asked for")
    }
}

/// Ends the program: its system has no such thing.
pub fn has_none() -> ! {
    process::exit(HAS_NONE)
}

/// How many kernel threads a runtime may compute with.
///
/// # Panics
///
/// When `WORKERS` is no number.
pub fn workers() -> usize {
    env::var("WORKERS").map_or(2, |it| it.parse().expect("a number of workers"))
}

/// Says a figure.
pub fn report(figure: &str, value: f64) {
    println!("{figure} {value:.4}");
}

/// Says how many nanoseconds each of so many took.
pub fn report_each(figure: &str, start: Instant, times: usize) {
    report(figure, each(start.elapsed(), times));
}

/// Nanoseconds for each of so many.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
pub fn each(time: Duration, times: usize) -> f64 {
    time.as_secs_f64() * 1e9 / times as f64
}

/// Says how many milliseconds it took.
pub fn report_whole(start: Instant) {
    report("time", start.elapsed().as_secs_f64() * 1e3);
}

/// Says the median and the 99th percentile, in microseconds.
pub fn report_late(mut late: Vec<Duration>) {
    late.sort_unstable();
    let at = |share: usize| late[late.len() * share / 100].as_secs_f64() * 1e6;
    report("late-p50", at(50));
    report("late-p99", at(99));
}

/// Says how many microseconds each of so many computed, since `before`.
pub fn report_cpu(before: Duration, times: usize) {
    report("cpu", each(cpu().saturating_sub(before), times) / 1e3);
}

/// Says how many bytes each of so many took.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
pub fn report_memory(before: u64, times: usize) {
    report(
        "memory",
        memory().saturating_sub(before) as f64 / times as f64,
    );
}

/// Says how many thousands of requests there were in a second.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
pub fn report_rate(requests: usize, time: Duration) {
    report("rate", requests as f64 / time.as_secs_f64() / 1e3);
}

/// Bytes of memory in use, and of the page tables that map them.
///
/// # Panics
///
/// Where there is no `/proc`.
pub fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let kilobytes = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    status
        .lines()
        .filter(|it| it.starts_with("VmRSS:") || it.starts_with("VmPTE:"))
        .filter_map(kilobytes)
        .sum::<u64>()
        * 1024
}

/// The time for which the process has computed so far; in hundredths of seconds.
///
/// # Panics
///
/// Where there is no `/proc`.
pub fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, after_name) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|it| it.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(10 * ticks)
}

/// Durations from one millisecond to two seconds, the same ones each time.
pub fn naps(count: usize) -> impl Iterator<Item = Duration> {
    let mut word = 88_172_645_463_325_252_u64;
    (0..count).map(move |_| {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        Duration::from_millis(1 + word % 2_000)
    })
}

/// The `n`th prime, for the sieves to check themselves.
///
/// # Panics
///
/// For none.
pub fn prime(n: usize) -> usize {
    let mut found: Vec<usize> = Vec::with_capacity(n);
    (2..)
        .filter(|it| {
            let is_prime = found
                .iter()
                .take_while(|prime| *prime * *prime <= *it)
                .all(|prime| it % prime != 0);
            if is_prime {
                found.push(*it);
            }
            is_prime
        })
        .nth(n - 1)
        .expect("there is no end of primes")
}
