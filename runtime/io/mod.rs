//! Input and output that let other green threads run: std's traits, and what makes descriptors green.
//!
//! The traits, adapters and errors are `std::io`'s own, so what is generic over them works with
//! everything of this crate. What waits is here:
//!
//! - [`Async`] makes any descriptor block green: pipes, terminals, devices, event and timer
//!   descriptors, sockets of other kinds. Regular files, which cannot be waited for, block away from
//!   the worker.
//! - [`stdin`], [`stdout`] and [`stderr`] are the process's own. The system's non-blocking mode is never
//!   set on descriptors 0, 1 and 2: they are shared with other processes, who do not expect it.
//! - [`copy`] has its buffer on the heap, as a green thread's stack is small.
//!
//! Sockets are in [`net`](crate::net), files in [`fs`](crate::fs).

mod pollable;
mod standard;

pub use pollable::Async;
pub use standard::{
    Lines, Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout,
};
pub use std::io::{
    BufRead, BufReader, BufWriter, Bytes, Chain, Cursor, Empty, Error, ErrorKind, IntoInnerError,
    IoSlice, IoSliceMut, IsTerminal, LineWriter, Read, Repeat, Result, Seek, SeekFrom, Sink, Split,
    Take, Write, empty, prelude, read_to_string, repeat, sink,
};

/// How much [`copy`] reads at once.
const COPY_BYTES: usize = 32 << 10;

/// Copies all that `reader` has to `writer`, and returns how many bytes that was: `std::io::copy` with
/// its buffer on the heap.
///
/// Waits as reading and writing do.
///
/// # Examples
///
/// ```
/// use sward::io;
///
/// let mut copied = Vec::new();
/// assert_eq!(io::copy(&mut &b"all of it"[..], &mut copied)?, 9);
/// assert_eq!(copied, b"all of it");
/// # Ok::<(), io::Error>(())
/// ```
///
/// # Errors
///
/// The reader's or the writer's; what was written until then stays written. An interrupted call is
/// repeated.
pub fn copy<R: ?Sized + Read, W: ?Sized + Write>(reader: &mut R, writer: &mut W) -> Result<u64> {
    let mut buf = vec![0; COPY_BYTES];
    let mut copied = 0;
    loop {
        match reader.read(&mut buf) {
            Ok(0) => return Ok(copied),
            Ok(length) => {
                writer.write_all(&buf[..length])?;
                copied += length as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
