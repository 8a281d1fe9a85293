//! What stands on nothing here: atomics, locks, a kernel thread's parker, random numbers, memory.

pub(crate) mod fatal;
#[cfg(all(test, not(loom)))]
pub(crate) mod in_child;
pub(crate) mod lock;
pub(crate) mod memory;
mod mutex;
pub(crate) mod naps;
pub(crate) mod parker;
pub(crate) mod peek;
pub(crate) mod primitives;
pub(crate) mod rng;
pub(crate) mod slab;
