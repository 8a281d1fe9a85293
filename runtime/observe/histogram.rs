//! Times in buckets that double: what a sampled switch adds to, and what metrics show.

use crate::base::primitives::{AtomicU64, Ordering::Relaxed};
use std::{array, time::Duration};

/// Bucket `n` holds what lasted less than 2^(n + [`SHIFT`]) nanoseconds, and the last all the rest.
const BUCKETS: usize = 28;
const SHIFT: u32 = 8;

/// The buckets of one processor, to which its owner adds.
#[derive(Debug)]
pub(crate) struct Buckets {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Buckets {
    pub(crate) fn new() -> Self {
        Self {
            counts: array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self, ns: u64) {
        self.counts[bucket(ns)].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }
}

fn bucket(ns: u64) -> usize {
    let least = 1 << (SHIFT - 1);
    let bits = (ns | least).ilog2() - (SHIFT - 1);
    (bits as usize).min(BUCKETS - 1)
}

/// How long something took, each time that it was looked at: counts in buckets that double.
///
/// # Examples
///
/// ```
/// let waited = sward::run(sward::metrics).run_delay;
/// assert!(waited.buckets().count() > 20);
/// assert!(waited.quantile(0.5) <= waited.quantile(1.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum_ns: u64,
}

impl Histogram {
    pub(super) const EMPTY: Self = Self {
        counts: [0; BUCKETS],
        sum_ns: 0,
    };

    pub(crate) fn add(&mut self, buckets: &Buckets) {
        for (count, more) in self.counts.iter_mut().zip(&buckets.counts) {
            *count += more.load(Relaxed);
        }
        self.sum_ns += buckets.sum_ns.load(Relaxed);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum_ns += other.sum_ns;
    }

    /// How many times it was looked at.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them took together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// Each bucket: below which time it lies, and how many there were that no earlier one has. The last has
    /// no bound: [`Duration::MAX`].
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        (SHIFT..).zip(self.counts).map(|(shift, count)| {
            let last = shift as usize == BUCKETS - 1 + SHIFT as usize;
            let bound = if last {
                Duration::MAX
            } else {
                Duration::from_nanos(1 << shift)
            };
            (bound, count)
        })
    }

    /// The bound below which this part of all samples lies, from 0 to 1: as fine as the buckets are. Zero if
    /// there are no samples.
    pub fn quantile(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a quantile of counts is an estimate; casts of floats saturate"
        )]
        let wanted = (self.samples() as f64 * part.clamp(0.0, 1.0)).ceil() as u64;
        let mut seen = 0;
        let found = self.buckets().find(|(_, count)| {
            seen += count;
            seen >= wanted && seen > 0
        });
        found.map_or(Duration::ZERO, |it| it.0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{BUCKETS, Buckets, Histogram};
    use std::time::Duration;

    fn filled(times: &[u64]) -> Histogram {
        let buckets = Buckets::new();
        for time in times {
            buckets.add(*time);
        }
        let mut histogram = Histogram::EMPTY;
        histogram.add(&buckets);
        histogram
    }

    #[test]
    fn each_time_is_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for ns in [0, 1, 255, 256, 257, 4095, 4096, 1 << 33, u64::MAX] {
            let histogram = filled(&[ns]);
            let mut before = Duration::ZERO;
            for (bound, count) in histogram.buckets() {
                let within = before <= Duration::from_nanos(ns) && Duration::from_nanos(ns) < bound;
                assert_eq!(count == 1, within, "{ns} below {bound:?}");
                before = bound;
            }
            assert_eq!(histogram.buckets().count(), BUCKETS);
        }
    }

    #[test]
    fn quantiles_are_bounds_of_the_buckets_that_hold_them() {
        let histogram = filled(&[100, 100, 100, 5_000]);
        assert_eq!(histogram.quantile(0.5), Duration::from_nanos(256));
        assert_eq!(histogram.quantile(1.0), Duration::from_nanos(8_192));
        assert_eq!(histogram.samples(), 4);
        assert_eq!(histogram.sum(), Duration::from_nanos(5_300));
        assert_eq!(Histogram::EMPTY.quantile(0.5), Duration::ZERO);
    }
}
