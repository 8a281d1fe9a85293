//! The lock of an [`RwLock`](super::RwLock): a word, and two lines when somebody waits.
//!
//! | part of the word | meaning                                            |
//! |------------------|----------------------------------------------------|
//! | [`WRITER`]       | somebody writes                                    |
//! | [`QUEUED`]       | somebody may stand in a line: look there on leaving |
//! | the rest         | how many read, in units of [`READER`]              |
//!
//! To read is one compare-exchange and one subtraction; to write, two compare-exchanges. A newcomer that
//! may not enter sets [`QUEUED`] in a compare-exchange that sees why it may not, and then stands in a
//! line, all under the lines' lock. Whoever leaves last and sees [`QUEUED`] waits for that lock and
//! hands the lock over ([`settle`](RawRwLock::settle)): the word already counts those it calls, so nobody
//! gets in between.
//!
//! # Order
//!
//! - A reader enters unless somebody writes or, in the kind that prefers writers, somebody waits. So a
//!   waiting writer holds up all readers that come after it.
//! - A writer that leaves lets in all readers that wait; if there are none, the next writer.
//! - The last reader that leaves lets in the first writer; if there is none, the readers.
//!
//! So writers and readers take turns, and neither starves. In the kind that prefers readers, readers do
//! not look at [`QUEUED`], and a writer waits until nobody reads at all.
//!
//! A waiter that is late or called off may have been the only reason why others wait; so it
//! [settles](RawRwLock::settle) when it has left its line.
//!
//! # Edges
//!
//! - `[section]` what a writer wrote to the next holders, and what readers saw to the next writer.
//!
//! Who writes is noted for those who look, see [`holder`](crate::wait::holder); of readers there is the count.

use crate::{
    base::{
        lock::Lock,
        primitives::{
            AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
            const_fn,
        },
    },
    wait::{
        End, NO_SLOT, Place, TimedOut,
        holder::Holder,
        line::{Called, Calls, Line},
        reason::Reason,
        wait_at,
    },
};
use std::{panic::Location, ptr, time::Instant};

const WRITER: usize = 1;
const QUEUED: usize = 1 << 1;
pub(crate) const READER: usize = 1 << 2;

#[derive(Debug)]
struct Lines {
    readers: Line,
    writers: Line,
}

impl Lines {
    /// [`QUEUED`] if somebody stands here.
    fn flag(&self) -> usize {
        if self.readers.is_empty() && self.writers.is_empty() {
            0
        } else {
            QUEUED
        }
    }
}

/// Who was let in, to be woken after the lines' lock is let go.
#[derive(Debug)]
enum LetIn {
    Nobody,
    Writer(Called),
    Readers(Calls),
}

impl LetIn {
    fn wake(self) {
        match self {
            Self::Nobody => {}
            Self::Writer(called) => called.call.wake(),
            Self::Readers(calls) => calls.wake(),
        }
    }
}

/// `repr(C)`: `observe::subject` looks at the word and at who writes.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawRwLock {
    word: AtomicUsize,
    writer: Holder,
    prefers_readers: bool,
    lines: Lock<Lines>,
}

/// Settles when dropped, unless its wait ended well: then the lock is held.
struct Leaving<'a> {
    lock: Option<&'a RawRwLock>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(lock) = self.lock {
            lock.settle();
        }
    }
}

impl RawRwLock {
    const_fn! {
        pub(super) const fn new(prefers_readers: bool) -> Self {
            Self {
                word: AtomicUsize::new(0),
                writer: Holder::new(),
                prefers_readers,
                lines: Lock::new(Lines {
                    readers: Line::new(),
                    writers: Line::new(),
                }),
            }
        }
    }

    /// A reader may enter.
    #[inline]
    fn may_read(&self, word: usize) -> bool {
        word & WRITER == 0 && (word & QUEUED == 0 || self.prefers_readers)
    }

    #[inline]
    pub(super) fn try_read(&self) -> bool {
        let mut word = self.word.load(Relaxed);
        while self.may_read(word) {
            // Acquire [section].
            match self
                .word
                .compare_exchange_weak(word, word + READER, Acquire, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    #[inline]
    pub(super) fn try_write(&self) -> bool {
        // Acquire [section].
        let entered = self
            .word
            .compare_exchange(0, WRITER, Acquire, Relaxed)
            .is_ok();
        if entered {
            self.writer.set();
        }
        entered
    }

    /// # Errors
    ///
    /// [`TimedOut`] if `deadline`, which is asked for if the lock is not free at once, came first.
    #[inline]
    #[track_caller]
    pub(super) fn read(&self, deadline: impl FnOnce() -> Option<Instant>) -> Result<(), TimedOut> {
        if self.try_read() {
            return Ok(());
        }
        self.read_slowly(deadline())
    }

    /// # Errors
    ///
    /// As [`read`](Self::read).
    #[inline]
    #[track_caller]
    pub(super) fn write(&self, deadline: impl FnOnce() -> Option<Instant>) -> Result<(), TimedOut> {
        if self.try_write() {
            return Ok(());
        }
        self.write_slowly(deadline())
    }

    /// Takes what `may_enter` allows by adding `units`, or marks that somebody waits. If this returns
    /// `true`, it was taken. Under the lines' lock.
    fn enter_or_queue(&self, units: usize, may_enter: impl Fn(usize) -> bool) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            let enters = may_enter(word);
            let next = if enters { word + units } else { word | QUEUED };
            // Acquire [section], if it enters.
            match self
                .word
                .compare_exchange_weak(word, next, Acquire, Relaxed)
            {
                Ok(_) => return enters,
                Err(now) => word = now,
            }
        }
    }

    /// Where the caller stands.
    #[track_caller]
    fn place(&self, reason: Reason) -> Place {
        Place {
            end: End::Back,
            slot: NO_SLOT,
            reason,
            subject: ptr::from_ref(self).addr(),
            caller: Location::caller(),
        }
    }

    #[cold]
    #[track_caller]
    fn read_slowly(&self, deadline: Option<Instant>) -> Result<(), TimedOut> {
        let lines = self.lines.lock();
        if self.enter_or_queue(READER, |word| self.may_read(word)) {
            return Ok(());
        }
        let mut leaving = Leaving { lock: Some(self) };
        wait_at(
            &self.lines,
            lines,
            |it| &mut it.readers,
            self.place(Reason::Read),
            deadline,
        )?;
        leaving.lock = None;
        Ok(())
    }

    #[cold]
    #[track_caller]
    fn write_slowly(&self, deadline: Option<Instant>) -> Result<(), TimedOut> {
        let lines = self.lines.lock();
        if self.enter_or_queue(WRITER, |word| word == 0) {
            self.writer.set();
            return Ok(());
        }
        let mut leaving = Leaving { lock: Some(self) };
        wait_at(
            &self.lines,
            lines,
            |it| &mut it.writers,
            self.place(Reason::Write),
            deadline,
        )?;
        leaving.lock = None;
        self.writer.set();
        Ok(())
    }

    #[inline]
    pub(super) fn unlock_read(&self) {
        // Release [section].
        let before = self.word.fetch_sub(READER, Release);
        debug_assert!(before >= READER, "a reader leaves once");
        if before == READER | QUEUED {
            self.settle();
        }
    }

    #[inline]
    pub(super) fn unlock_write(&self) {
        self.writer.clear();
        // Release [section].
        if self
            .word
            .compare_exchange(WRITER, 0, Release, Relaxed)
            .is_err()
        {
            self.hand_over();
        }
    }

    /// The writer leaves, and somebody may wait.
    #[cold]
    fn hand_over(&self) {
        let mut lines = self.lines.lock();
        let let_in = self.let_readers_in(&mut lines).unwrap_or_else(|| {
            self.let_writer_in(&mut lines).unwrap_or_else(|| {
                self.word.store(0, Release); // Release [section].
                LetIn::Nobody
            })
        });
        drop(lines);
        let_in.wake();
    }

    /// The writer becomes a reader, and lets other readers in.
    pub(super) fn downgrade(&self) {
        self.writer.clear();
        // Release [section].
        if self
            .word
            .compare_exchange(WRITER, READER, Release, Relaxed)
            .is_ok()
        {
            return;
        }
        let mut lines = self.lines.lock();
        let count = lines.readers.len();
        let calls = lines.readers.call_all();
        let called = count - lines.readers.len();
        // Nobody else changes the word while somebody writes and the lock of the lines is ours. Release
        // [section].
        self.word
            .store(((called + 1) * READER) | lines.flag(), Release);
        drop(lines);
        calls.wake();
    }

    /// Hands the lock from a writer, the caller, to all readers that wait; `None` if there are none.
    fn let_readers_in(&self, lines: &mut Lines) -> Option<LetIn> {
        let count = lines.readers.len();
        let calls = lines.readers.call_all();
        let called = count - lines.readers.len();
        if called == 0 {
            return None;
        }
        // Nobody else changes the word while somebody writes and the lock of the lines is ours. Release
        // [section].
        self.word.store((called * READER) | lines.flag(), Release);
        Some(LetIn::Readers(calls))
    }

    /// Hands the lock from a writer, the caller, to the next; `None` if there is none.
    fn let_writer_in(&self, lines: &mut Lines) -> Option<LetIn> {
        let called = lines.writers.call_first()?;
        // As above. Release [section].
        self.word.store(WRITER | lines.flag(), Release);
        Some(LetIn::Writer(called))
    }

    /// Lets in whoever may enter, if nobody else will: after the last reader left, and after somebody
    /// left a line.
    #[cold]
    fn settle(&self) {
        let mut lines = self.lines.lock();
        let let_in = loop {
            let word = self.word.load(Acquire); // Acquire [section], to pass it on.
            if word & WRITER != 0 || word & QUEUED == 0 {
                // The writer will see to it; or nobody waits.
                break LetIn::Nobody;
            }
            if word >= READER {
                if !lines.writers.is_empty() {
                    // The last reader will see to it.
                    break LetIn::Nobody;
                }
                // Readers that stood behind a writer who has gone: they join those who read.
                let count = lines.readers.len();
                let calls = lines.readers.call_all();
                let called = count - lines.readers.len();
                // Should those others have left by now, the last of them waits for the lines' lock, and
                // then finds that it was not the last.
                self.word.fetch_add(called * READER, Relaxed);
                if lines.flag() == 0 {
                    self.word.fetch_and(!QUEUED, Relaxed);
                }
                break LetIn::Readers(calls);
            }
            // Nobody holds it: it is taken first, and then handed over. Acquire [section], to pass it on.
            if self
                .word
                .compare_exchange(QUEUED, WRITER | QUEUED, AcqRel, Relaxed)
                .is_err()
            {
                continue;
            }
            break match self.let_writer_in(&mut lines) {
                Some(writer) => writer,
                None => self.let_readers_in(&mut lines).unwrap_or_else(|| {
                    self.word.store(0, Release); // Release [section].
                    LetIn::Nobody
                }),
            };
        };
        drop(lines);
        let_in.wake();
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::RawRwLock;
    use crate::base::primitives::Ordering::Relaxed;
    use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};
    use std::time::Instant;

    struct Shared {
        raw: RawRwLock,
        value: UnsafeCell<u32>,
    }

    impl Shared {
        fn write(&self) {
            if self.raw.write(|| None).is_ok() {
                self.value.with_mut(|_| ());
                self.raw.unlock_write();
            }
        }

        fn read(&self) {
            if self.raw.read(|| None).is_ok() {
                self.value.with(|_| ());
                self.raw.unlock_read();
            }
        }
    }

    fn explore(threads: [fn(&Shared); 2], main: fn(&Shared)) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let shared = Arc::new(Shared {
                raw: RawRwLock::new(false),
                value: UnsafeCell::new(0),
            });
            let threads = threads.map(|it| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || it(&shared))
            });
            main(&shared);
            for thread in threads {
                thread.join().expect("a section");
            }
            assert_eq!(shared.raw.word.load(Relaxed), 0);
        });
    }

    /// Writers exclude everybody, and nobody sleeps for ever.
    #[test]
    fn writers_exclude_writers_and_readers() {
        explore([Shared::write, Shared::read], Shared::write);
    }

    #[test]
    fn readers_exclude_the_writer() {
        explore([Shared::read, Shared::write], Shared::read);
    }

    /// A writer that gives up lets in those who stood behind it.
    #[test]
    fn a_late_writer_holds_up_nobody() {
        fn late(shared: &Shared) {
            if shared.raw.write(|| Some(Instant::now())).is_ok() {
                shared.value.with_mut(|_| ());
                shared.raw.unlock_write();
            }
        }
        explore([late, Shared::read], Shared::read);
    }

    /// What was written is seen by the reader that its writer becomes, and by those it lets in.
    #[test]
    fn a_writer_becomes_a_reader() {
        fn downgrade(shared: &Shared) {
            if shared.raw.write(|| None).is_ok() {
                shared.value.with_mut(|_| ());
                shared.raw.downgrade();
                shared.value.with(|_| ());
                shared.raw.unlock_read();
            }
        }
        explore([downgrade, Shared::read], Shared::write);
    }
}
