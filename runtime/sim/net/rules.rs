//! What the lines between hosts are like: how long they take, which are cut, what they lose.

use crate::{base::rng::Rng, driver::clock::span_ns};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::{Range, RangeInclusive},
    time::Duration,
};

/// How long what is sent is under way: always as long, or a time that the seed draws from a range.
///
/// A [`Duration`] and ranges of them become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    shortest: u64,
    longest: u64,
}

impl Latency {
    fn between(shortest: Duration, longest: Duration) -> Self {
        assert!(shortest <= longest, "a range without a time in it");
        Self {
            shortest: span_ns(shortest),
            longest: span_ns(longest),
        }
    }

    fn draw(self, rng: &Rng) -> u64 {
        match self.longest - self.shortest {
            0 => self.shortest,
            // What is too much by one part in 2^64 is of no matter.
            width => self.shortest + rng.next() % width.saturating_add(1),
        }
    }
}

impl From<Duration> for Latency {
    fn from(latency: Duration) -> Self {
        Self::between(latency, latency)
    }
}

impl From<RangeInclusive<Duration>> for Latency {
    /// # Panics
    ///
    /// If the range is empty.
    fn from(range: RangeInclusive<Duration>) -> Self {
        Self::between(*range.start(), *range.end())
    }
}

impl From<Range<Duration>> for Latency {
    /// # Panics
    ///
    /// If the range is empty.
    fn from(range: Range<Duration>) -> Self {
        let last = range.end.saturating_sub(Duration::from_nanos(1));
        assert!(!range.is_empty(), "a range without a time in it");
        Self::between(range.start, last)
    }
}

/// A chance, in parts of 2^31.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Chance(u64);

const WHOLE: u32 = 1 << 31;

impl Chance {
    /// # Panics
    ///
    /// If it is no share of a whole.
    #[track_caller]
    pub(super) fn new(share: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&share),
            "{share} is no share of a whole"
        );
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 2^31"
        )]
        Self((share * f64::from(WHOLE)) as u64)
    }

    /// Whether it comes about. Draws nothing if it cannot.
    pub(super) fn falls(self, rng: &Rng) -> bool {
        self.0 > 0 && rng.next() >> 33 < self.0
    }
}

/// Two hosts, the lower first.
type Line = (IpAddr, IpAddr);

fn line(one: IpAddr, other: IpAddr) -> Line {
    (one.min(other), one.max(other))
}

/// How all lines are. At first nothing takes time, is cut, or is lost.
#[derive(Debug)]
pub(super) struct Rules {
    everywhere: Latency,
    on_lines: BTreeMap<Line, Latency>,
    cut: BTreeSet<Line>,
    /// Cut off from all others.
    alone: BTreeSet<IpAddr>,
    pub(super) loss: Chance,
    pub(super) duplication: Chance,
    pub(super) reordering: Chance,
}

impl Rules {
    pub(super) fn new() -> Self {
        Self {
            everywhere: Duration::ZERO.into(),
            on_lines: BTreeMap::new(),
            cut: BTreeSet::new(),
            alone: BTreeSet::new(),
            loss: Chance::default(),
            duplication: Chance::default(),
            reordering: Chance::default(),
        }
    }

    pub(super) fn set_latency(&mut self, latency: Latency) {
        self.everywhere = latency;
        self.on_lines.clear();
    }

    pub(super) fn set_latency_between(&mut self, one: IpAddr, other: IpAddr, latency: Latency) {
        self.on_lines.insert(line(one, other), latency);
    }

    /// For how long the next thing will be under way there.
    pub(super) fn latency(&self, one: IpAddr, other: IpAddr, rng: &Rng) -> u64 {
        let own = self.on_lines.get(&line(one, other));
        own.unwrap_or(&self.everywhere).draw(rng)
    }

    pub(super) fn cut(&mut self, one: IpAddr, other: IpAddr) {
        self.cut.insert(line(one, other));
    }

    pub(super) fn isolate(&mut self, host: IpAddr) {
        self.alone.insert(host);
    }

    pub(super) fn heal(&mut self, one: IpAddr, other: IpAddr) {
        self.cut.remove(&line(one, other));
    }

    pub(super) fn heal_all(&mut self) {
        self.cut.clear();
        self.alone.clear();
    }

    pub(super) fn is_cut(&self, one: IpAddr, other: IpAddr) -> bool {
        self.cut.contains(&line(one, other))
            || one != other && (self.alone.contains(&one) || self.alone.contains(&other))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Chance, Latency, Rules};
    use crate::base::rng::Rng;
    use std::{net::IpAddr, time::Duration};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_latency_is_drawn_from_its_range_with_both_ends() {
        let rng = Rng::new(1);
        let draws = |it: Latency| {
            let all: Vec<_> = (0..200).map(|_| it.draw(&rng)).collect();
            (all.iter().min().copied(), all.iter().max().copied())
        };
        assert_eq!(draws(MS.into()), (Some(1_000_000), Some(1_000_000)));
        let nanos = Duration::from_nanos;
        assert_eq!(draws((nanos(5)..=nanos(7)).into()), (Some(5), Some(7)));
        assert_eq!(draws((nanos(5)..nanos(7)).into()), (Some(5), Some(6)));
        let all = draws((Duration::ZERO..=Duration::MAX).into());
        assert!(all.1 > all.0);
    }

    #[test]
    fn chances_are_shares() {
        let rng = Rng::new(1);
        let count = |share| {
            let chance = Chance::new(share);
            (0..10_000).filter(|_| chance.falls(&rng)).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 10_000));
        assert!((2_300..2_700).contains(&count(0.25)));
    }

    #[test]
    fn lines_have_no_direction_and_a_host_alone_still_reaches_itself() {
        let host = |number| IpAddr::from([10, 0, 0, number]);
        let mut rules = Rules::new();
        rules.cut(host(2), host(1));
        assert!(rules.is_cut(host(1), host(2)) && !rules.is_cut(host(1), host(3)));
        rules.heal(host(1), host(2));
        assert!(!rules.is_cut(host(2), host(1)));
        rules.isolate(host(3));
        assert!(rules.is_cut(host(1), host(3)) && !rules.is_cut(host(3), host(3)));
        rules.heal_all();
        assert!(!rules.is_cut(host(1), host(3)));
        let rng = Rng::new(1);
        rules.set_latency_between(host(2), host(1), MS.into());
        assert_eq!(rules.latency(host(1), host(2), &rng), 1_000_000);
        assert_eq!(rules.latency(host(1), host(3), &rng), 0);
    }
}
