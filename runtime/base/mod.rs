//! What stands on nothing here: atomics, locks, a kernel thread's parker, random numbers.

pub(crate) mod lock;
pub(crate) mod parker;
pub(crate) mod primitives;
pub(crate) mod rng;
