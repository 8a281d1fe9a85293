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

#[inline(never)]
fn own(bound: usize) -> usize {
    RNG.with(|it| it.below(bound))
}
