//! The life of a green thread: its record, its result, and those who hold on to it.
//!
//! ```text
//!   spawn            first turn              last turn
//! ────────► fresh ─────────────► started ─────────────► finished ────► freed
//!           closure in its       a stack is bound;       result in      when nobody
//!           block, no stack      parks and is queued     its block      refers to it
//! ```

mod join;
pub(crate) mod record;
mod shares;
mod standing;
mod token;

pub(crate) use record::{Options, Stage, Task, TaskRef};
pub(crate) use standing::SUBJECTS;
