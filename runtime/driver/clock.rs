//! The process's clock: nanoseconds since it was first looked at.
//!
//! `Instant` is the system's monotonic clock, and so is what the poller's timer counts by. The
//! coarse clock is the same one as of the last kernel tick: behind by up to a few milliseconds,
//! never ahead, and five times as cheap.

#![expect(unsafe_code, reason = "std has no coarse clock")]

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Where the numbers start.
#[derive(Debug)]
struct Base {
    instant: Instant,
    /// What the monotonic clock said just after `instant`, so that coarse times are never ahead.
    monotonic_ns: u64,
}

static BASE: OnceLock<Base> = OnceLock::new();

/// The time now.
pub(crate) fn now_ns() -> u64 {
    to_ns(Instant::now())
}

/// The time as of the last kernel tick.
pub(crate) fn coarse_ns() -> u64 {
    let base = base();
    read(libc::CLOCK_MONOTONIC_COARSE).saturating_sub(base.monotonic_ns)
}

/// The time by a beginning of its own: the cheapest that is fine enough to measure with.
#[inline]
pub(crate) fn raw_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// What [`tick`] returns: written by those who look at the clock anyway.
static TICK: AtomicU32 = AtomicU32::new(0);

/// The time as of the last look of the monitor or of a worker that woke, in milliseconds: coarse, and as
/// cheap as a load.
#[inline]
pub(crate) fn tick() -> u32 {
    // Relaxed: a time for dumps.
    TICK.load(Relaxed)
}

/// Sets [`tick`] to the time as of the last kernel tick.
pub(crate) fn set_tick() {
    TICK.store(ms(coarse_ns()), Relaxed);
}

/// How long ago [`tick`] returned this; right within seven weeks.
pub(crate) fn since_tick(tick: u32) -> Duration {
    let span = ms(coarse_ns()).wrapping_sub(tick);
    Duration::from_millis(u64::from(span.cast_signed().max(0).cast_unsigned()))
}

#[expect(clippy::cast_possible_truncation, reason = "it wraps")]
const fn ms(ns: u64) -> u32 {
    (ns / 1_000_000) as u32
}

/// The number of `instant`; 0 if it is before all numbers, `u64::MAX` if it is after them.
pub(crate) fn to_ns(instant: Instant) -> u64 {
    span_ns(instant.saturating_duration_since(base().instant))
}

/// The instant that has the number `ns`.
pub(crate) fn from_ns(ns: u64) -> Instant {
    base().instant + Duration::from_nanos(ns)
}

/// The length of `span`; `u64::MAX` if it cannot be counted.
pub(crate) fn span_ns(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(span.subsec_nanos()))
}

fn base() -> &'static Base {
    BASE.get_or_init(|| Base {
        instant: Instant::now(),
        monotonic_ns: read(libc::CLOCK_MONOTONIC),
    })
}

#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a local that the call may write to. It cannot fail: both clocks that are
    // asked for exist since Linux 2.6.32; if it did, the time would be 0, which is in the past.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec
        .cast_unsigned()
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec.cast_unsigned())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{coarse_ns, from_ns, now_ns, span_ns, to_ns};
    use std::time::{Duration, Instant};

    #[test]
    fn numbers_and_instants_are_the_same_times() {
        let now = now_ns();
        assert_eq!(to_ns(from_ns(now)), now);
        assert_eq!(to_ns(from_ns(u64::MAX)), u64::MAX);
        let early = Instant::now()
            .checked_sub(Duration::from_mins(1))
            .expect("this machine runs for a minute already");
        assert!(to_ns(early) <= now);
    }

    #[test]
    fn a_span_too_long_to_count_is_the_longest() {
        assert_eq!(span_ns(Duration::MAX), u64::MAX);
        assert_eq!(span_ns(Duration::new(3, 7)), 3_000_000_007);
    }

    #[test]
    fn the_coarse_clock_is_never_ahead() {
        for _ in 0..100_000 {
            let coarse = coarse_ns();
            assert!(coarse <= now_ns());
        }
    }

    #[test]
    fn the_coarse_clock_follows() {
        let start = now_ns();
        // Ends because the clock goes on; the bound is on what it may be behind.
        while coarse_ns() <= start {
            assert!(
                now_ns() < start + 1_000_000_000,
                "a second behind the clock"
            );
        }
    }
}
