//! Draws one of several arms that are ready, each as likely as another.
//!
//! The generator is the kernel thread's own, so that drawing takes a few nanoseconds and shares nothing.
//! It is read in [`number`] alone, which is never inlined and never switches stacks.

use crate::base::rng::Rng;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    static RNG: Rng = Rng::new(RandomState::new().hash_one(0));
}

/// A number below `bound`, any as likely as another.
#[inline(never)]
pub(super) fn number(bound: usize) -> usize {
    RNG.with(|it| it.below(bound))
}
