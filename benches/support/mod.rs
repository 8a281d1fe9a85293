//! What the benches share: how they measure, and what they show at the end.

pub(crate) mod chart;
pub(crate) mod machine;
pub(crate) mod table;

use criterion::Criterion;
use std::time::{Duration, Instant};
use sward::Runtime;
use table::Table;

/// A runtime with so many workers.
pub(crate) fn runtime(workers: usize) -> Runtime {
    Runtime::builder()
        .workers(workers)
        .build()
        .expect("a runtime starts")
}

/// Criterion, which measures, and a table of medians, which is shown when all is done.
pub(crate) struct Bench {
    criterion: Criterion,
    table: Table,
}

impl Bench {
    /// So many samples, for so long together.
    pub(crate) fn new(title: &'static str, samples: usize, time: Duration) -> Self {
        let criterion = Criterion::default()
            .sample_size(samples)
            .warm_up_time(time / 4)
            .measurement_time(time)
            .configure_from_args();
        Self {
            criterion,
            table: Table::new(title, "ns"),
        }
    }

    /// Measures one figure. `f` gets a number of rounds, does at least as many, and returns how many it
    /// did and how long they took.
    pub(crate) fn measure(
        &mut self,
        row: &str,
        column: &str,
        mut f: impl FnMut(u64) -> (u64, Duration),
    ) {
        let mut samples = Vec::new();
        let mut group = self.criterion.benchmark_group(row);
        group.bench_function(column, |b| {
            b.iter_custom(|rounds| {
                let (done, time) = f(rounds);
                samples.push((done, nanoseconds(time, done)));
                scale(time, rounds, done)
            });
        });
        group.finish();
        // Those of the warm-up are short, and tell more of how a measurement begins and ends.
        let most = samples.iter().map(|it| it.0).max().unwrap_or(0);
        samples.retain(|it| it.0 >= most / 2);
        samples.sort_unstable_by(|one, other| one.1.total_cmp(&other.1));
        // Nothing, where the figure was not asked for.
        if let Some((_, median)) = samples.get(samples.len() / 2) {
            self.table.set(row, column, *median);
        }
    }

    /// Shows all figures.
    pub(crate) fn finish(self, name: &str) {
        self.criterion.final_summary();
        self.table.show(name);
    }
}

/// How long it takes.
pub(crate) fn timed(f: impl FnOnce()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

/// Nanoseconds for each of so many.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
pub(crate) fn nanoseconds(time: Duration, done: u64) -> f64 {
    time.as_secs_f64() * 1e9 / done as f64
}

/// The time of `wanted` rounds, from that of those which were done.
#[expect(clippy::cast_precision_loss, reason = "counts are far from 2^52")]
fn scale(time: Duration, wanted: u64, done: u64) -> Duration {
    time.mul_f64(wanted as f64 / done as f64)
}
