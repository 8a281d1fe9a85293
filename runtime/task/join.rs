//! Who cares for the result of a green thread: one word, and who is told at its end.
//!
//! | word         | meaning                                                        |
//! |--------------|----------------------------------------------------------------|
//! | [`RUNNING`]  | not finished, and nobody waits                                  |
//! | an address   | not finished, and this waiter is in `join`                      |
//! | [`DETACHED`] | not finished, and the handle is gone: the thread drops its result |
//! | [`ENDING`]   | finished, or abandoned, and the waiter is being called          |
//! | [`DONE`]     | finished; the result belongs to the handle                      |
//! | [`ABANDONED`] | its runtime is gone and it was not finished: nobody will ask for a result |
//!
//! The thread that ends and the runtime that abandons it may come at the same time: who finds the other at
//! `ENDING` waits for the few instructions that it takes.
//!
//! # Edges
//!
//! - `[result]` the result and all the thread did, to whoever joins it.

#![expect(
    unsafe_code,
    reason = "the word holds the address of a waiter in another's frame"
)]

use crate::{
    base::primitives::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
        yield_thread,
    },
    wait::{
        Waiting,
        reason::Reason,
        ticket::{Verdict, Waiter},
    },
};
use std::ptr::{self, NonNull};

const RUNNING: usize = 0;
const DONE: usize = 1;
const DETACHED: usize = 2;
const ENDING: usize = 3;
const ABANDONED: usize = 4;

/// Who cares for a result.
#[derive(Debug)]
pub(super) struct Join {
    word: AtomicUsize,
}

impl Join {
    pub(super) fn new() -> Self {
        Self {
            word: AtomicUsize::new(RUNNING),
        }
    }

    /// The thread has returned, and its result is there. If this returns `false`, nobody will ask for the
    /// result: it is the caller's.
    #[must_use]
    pub(super) fn finish(&self) -> bool {
        loop {
            // Release [result]. Relaxed: of who has left something else there nothing is received but by
            // `call_joiner`; here and below.
            match self.word.compare_exchange(RUNNING, DONE, Release, Relaxed) {
                Ok(_) => return true,
                Err(DETACHED | ABANDONED) => return false,
                // Its runtime abandons it, and is about to say so.
                Err(ENDING) => yield_thread(),
                Err(joiner) if self.call_joiner(joiner, DONE) => return true,
                Err(_) => {}
            }
        }
    }

    /// The thread is left behind by its runtime: whoever joins it will not get a result.
    pub(super) fn abandon(&self) {
        loop {
            // Relaxed: who finds this gets nothing.
            match self
                .word
                .compare_exchange(RUNNING, ABANDONED, Relaxed, Relaxed)
            {
                Ok(_) | Err(DONE | DETACHED | ENDING | ABANDONED) => return,
                Err(joiner) if self.call_joiner(joiner, ABANDONED) => return,
                Err(_) => {}
            }
        }
    }

    /// Calls whoever waits, and leaves `outcome`. If this returns `false`, it has just left.
    fn call_joiner(&self, joiner: usize, outcome: usize) -> bool {
        // Acquire: the joiner's open ticket. ENDING keeps it in its frame until it was called.
        if self
            .word
            .compare_exchange(joiner, ENDING, Acquire, Relaxed)
            .is_err()
        {
            return false;
        }
        let call = NonNull::new(ptr::with_exposed_provenance_mut::<Waiter>(joiner))
            // SAFETY: it stays while its address, or ENDING, stands in the word.
            .and_then(|it| unsafe { Waiter::call(it, Verdict::Chosen(0)) });
        // Release [result], for one that somebody else has called; and this has done with its frame.
        self.word.store(outcome, Release);
        if let Some(call) = call {
            call.wake();
        }
        true
    }

    /// Waits until it is over, with a ticket that is open; `parks` is called before. The verdict is `Retry` if
    /// it was over already, and `Chosen(0)` if it ended; any other if somebody else has called.
    #[track_caller]
    pub(super) fn wait_with(&self, waiting: &Waiting, parks: impl FnOnce()) -> Verdict {
        let joiner = waiting.waiter().as_ptr().expose_provenance();
        // Release: the open ticket, to the thread that ends.
        if self
            .word
            .compare_exchange(RUNNING, joiner, Release, Relaxed)
            .is_err()
        {
            // Nobody knows of our ticket, but a home that shuts down.
            if waiting.withdraw() {
                return Verdict::Retry;
            }
        }
        parks();
        let verdict = waiting.park(Reason::Join, None);
        if verdict == Verdict::Chosen(0) {
            return verdict;
        }
        // Called off, or a deadlock. Relaxed: nobody else has touched the ticket if this succeeds.
        if self
            .word
            .compare_exchange(joiner, RUNNING, Relaxed, Relaxed)
            .is_err()
        {
            // It is between two instructions of its end, which looks at our ticket. Acquire: until it has done
            // with that.
            while self.word.load(Acquire) == ENDING {
                yield_thread();
            }
        }
        verdict
    }

    /// It has returned, or been abandoned.
    pub(super) fn is_over(&self) -> bool {
        // Acquire [result].
        matches!(self.word.load(Acquire), DONE | ABANDONED)
    }

    /// It has returned, and its result is there.
    pub(super) fn is_done(&self) -> bool {
        // Acquire [result].
        self.word.load(Acquire) == DONE
    }

    /// Its runtime has gone without it.
    pub(super) fn is_abandoned(&self) -> bool {
        // Relaxed: there is nothing to see.
        self.word.load(Relaxed) == ABANDONED
    }

    /// The handle is dropped before it was joined. If this returns `true`, the thread sees to its result;
    /// else it is over, or about to be.
    #[must_use]
    pub(super) fn detach(&self) -> bool {
        // Relaxed: who is over is asked for the result by other ways.
        self.word
            .compare_exchange(RUNNING, DETACHED, Relaxed, Relaxed)
            .is_ok()
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{AtomicUsize, Join, NonNull, Relaxed, Verdict, Waiter};
    use crate::wait::Waiting;
    use loom::{cell::UnsafeCell, sync::Arc, thread};

    struct Shared {
        join: Join,
        result: UnsafeCell<usize>,
        /// How many have taken the result.
        taken: AtomicUsize,
    }

    // SAFETY: what is checked here.
    unsafe impl Sync for Shared {}
    // SAFETY: as above.
    unsafe impl Send for Shared {}

    impl Shared {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                join: Join::new(),
                result: UnsafeCell::new(0),
                taken: AtomicUsize::new(0),
            })
        }

        fn take(&self) {
            // SAFETY: what is checked here.
            let found = self.result.with_mut(|it| unsafe { it.replace(2) });
            assert_eq!(found, 1, "there is no result");
            self.taken.fetch_add(1, Relaxed);
        }

        /// The green thread: it leaves its result, and takes it if nobody will.
        fn end(&self) {
            // SAFETY: what is checked here.
            self.result.with_mut(|it| unsafe { *it = 1 });
            if !self.join.finish() {
                self.take();
            }
        }

        /// The handle: it waits, and takes the result if there is one.
        fn join(&self) {
            while !self.join.is_over() {
                let waiting = Waiting::new();
                waiting.open();
                _ = self.join.wait_with(&waiting, || ());
            }
            if !self.join.is_abandoned() {
                self.take();
            }
        }

        /// The same, but its first wait may be ended by somebody else.
        fn join_though_called(&self) {
            struct Share(NonNull<Waiter>);
            // SAFETY: it is valid until this thread has joined the other.
            unsafe impl Send for Share {}

            let waiting = Waiting::new();
            waiting.open();
            let share = Share(waiting.waiter());
            let other = thread::spawn(move || {
                let Share(waiter) = { share };
                // SAFETY: as above.
                drop(unsafe { Waiter::call(waiter, Verdict::Chosen(1)) });
            });
            _ = self.join.wait_with(&waiting, || ());
            other.join().expect("no panic");
            drop(waiting);
            self.join();
        }

        /// Somebody asks first.
        fn ask_and_join(&self) {
            if self.join.is_done() {
                self.result.with(|_| ());
            }
            self.join();
        }
    }

    fn run(handle: fn(&Shared), abandoned: bool) {
        loom::model(move || {
            let shared = Shared::new();
            let end = thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.end()
            });
            let runtime = abandoned.then(|| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.join.abandon())
            });
            handle(&shared);
            end.join().expect("no panic");
            if let Some(runtime) = runtime {
                runtime.join().expect("no panic");
            }
            assert_eq!(shared.taken.load(Relaxed), 1, "once");
        });
    }

    #[test]
    fn a_result_is_taken_by_who_joins() {
        run(Shared::join, false);
    }

    #[test]
    fn a_result_is_taken_by_one_whose_wait_somebody_else_has_ended() {
        run(Shared::join_though_called, false);
    }

    #[test]
    fn who_asks_sees_what_was_done() {
        run(Shared::ask_and_join, false);
    }

    #[test]
    fn a_result_is_taken_once_though_the_runtime_goes() {
        run(Shared::join, true);
    }

    #[test]
    fn a_result_is_taken_once_though_the_handle_goes() {
        let drops = |shared: &Shared| {
            if !shared.join.detach() {
                shared.join();
            }
        };
        run(drops, false);
        run(drops, true);
    }
}
