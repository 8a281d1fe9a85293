//! Stacks, the fibers that run on them, and the report when one overflows.
//!
//! ```text
//! slot, an odd number of pages; 252 of 260 KiB make a chunk of 64 MiB
//!
//! start                                                            end
//! +-------+------------------------------------+----------+------+--------+
//! | guard |      <- the stack grows down       | switch's | Head | colour |
//! +-------+------------------------------------+----------+------+--------+
//!         bottom                               base - 16  base
//! ```
//!
//! A stack that is not in use keeps its fiber, suspended at the place where it asks for more work:
//! the next task begins by a plain switch. Such a fiber holds nothing, so its memory may go.

pub(crate) mod fiber;
mod guard;
pub(crate) mod overflow;
mod range;
pub(crate) mod stack;

#[cfg(all(test, not(loom)))]
mod tests;
