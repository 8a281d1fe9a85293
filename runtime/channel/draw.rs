//! Draws one of several arms that are ready, each as likely as another.
//!
//! The generator is the kernel thread's own, so that drawing takes a few nanoseconds and shares nothing.
//! It is read in [`own`] alone, which is never inlined and never switches stacks. A simulation draws
//! itself.

use crate::{base::rng::Rng, wait::home};
use std::hash::{BuildHasher, RandomState};

thread_local! {
    static RNG: Rng = Rng::new(RandomState::new().hash_one(0));
}

/// A number below `bound`, any as likely as another.
#[inline]
pub(super) fn number(bound: usize) -> usize {
    home::draw(bound).unwrap_or_else(|| own(bound))
}

/// Those that are ready, by their indices, which rise: one of them is drawn, each as likely as another.
#[derive(Debug, Default)]
pub(super) struct Lot {
    /// Those below 64.
    first: u64,
    /// How many those are.
    few: usize,
    /// How many the others are.
    more: usize,
    /// One of the others, if it is the one so far.
    drawn: Option<usize>,
}

impl Lot {
    #[inline]
    pub(super) fn add(&mut self, index: usize) {
        if index < 64 {
            self.first |= 1 << index;
            self.few += 1;
        } else {
            self.add_another(index);
        }
    }

    #[cold]
    fn add_another(&mut self, index: usize) {
        self.more += 1;
        if number(self.few + self.more) == 0 {
            self.drawn = Some(index);
        }
    }

    #[inline]
    pub(super) fn draw(self) -> Option<usize> {
        if self.drawn.is_some() || self.first == 0 {
            return self.drawn;
        }
        let mut first = self.first;
        if self.few > 1 {
            for _ in 0..number(self.few) {
                first &= first - 1;
            }
        }
        Some(first.trailing_zeros() as usize)
    }
}

#[inline(never)]
fn own(bound: usize) -> usize {
    RNG.with(|it| it.below(bound))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Lot;

    /// Whether they lie below 64, beyond, or on both sides.
    #[test]
    fn each_is_as_likely_as_another() {
        const DRAWS: usize = 100_000;
        for ready in [&[3, 7, 63][..], &[64, 65, 900], &[0, 5, 64, 70], &[9]] {
            let mut drawn = vec![0_usize; ready.len()];
            for _ in 0..DRAWS {
                let mut lot = Lot::default();
                for index in ready {
                    lot.add(*index);
                }
                let one = lot.draw().expect("some are ready");
                drawn[ready.iter().position(|it| *it == one).expect("a ready one")] += 1;
            }
            let share = DRAWS / ready.len();
            // Twenty times the deviation that is usual.
            let off = drawn.iter().map(|it| it.abs_diff(share)).max();
            assert!(off < Some(DRAWS / 20), "{ready:?}: {drawn:?}");
        }
        assert_eq!(Lot::default().draw(), None);
    }
}
