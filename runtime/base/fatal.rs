//! Last words: text straight to the standard error descriptor, then the end of the process.
//!
//! Neither allocates nor locks, so that a signal handler may use it.

#![expect(unsafe_code, reason = "writes to a descriptor without std's locks")]

use std::fmt::{self, Write};

/// Text on its way to descriptor 2, held back until it is a line's worth, so that it comes out whole.
pub(crate) struct LastWords {
    held: [u8; 1024],
    length: usize,
}

impl LastWords {
    pub(crate) fn new() -> Self {
        Self {
            held: [0; 1024],
            length: 0,
        }
    }

    /// Writes out what is held.
    pub(crate) fn flush(&mut self) {
        let mut rest = &self.held[..self.length];
        while !rest.is_empty() {
            // SAFETY: `rest` is that many readable bytes.
            let wrote = unsafe { libc::write(2, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(wrote) {
                Ok(bytes @ 1..) => rest = &rest[bytes.min(rest.len())..],
                // Interrupted, full or closed: who is about to die does not insist.
                Ok(0) | Err(_) => break,
            }
        }
        self.length = 0;
    }
}

impl Write for LastWords {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for chunk in text.as_bytes().chunks(self.held.len()) {
            if self.held.len() - self.length < chunk.len() {
                self.flush();
            }
            self.held[self.length..self.length + chunk.len()].copy_from_slice(chunk);
            self.length += chunk.len();
        }
        Ok(())
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastWords").finish_non_exhaustive()
    }
}

/// Says in one line what is broken, and aborts.
#[cold]
pub(crate) fn fatal(what: fmt::Arguments<'_>) -> ! {
    let mut words = LastWords::new();
    // It cannot fail: `LastWords` takes everything.
    let _ = words.write_fmt(format_args!("sward: {what}; aborting\n"));
    words.flush();
    std::process::abort()
}
