//! `park` and `unpark` of a green thread: one token, and the ticket of whoever waits for it.
//!
//! | who waits, [`Token::wait`]             | who leaves one, [`Token::leave`]        |
//! |----------------------------------------|-----------------------------------------|
//! | the ticket is open, for `unpark` too   | the token is there                      |
//! | U1  fence                              | U2  fence                               |
//! | looks for the token                    | looks whether the ticket is open        |
//!
//! Each side writes first and looks after: with both fences one of the two sees the other.
//!
//! A token may be taken before the one who left it has come to look at the ticket, and by then that may be
//! the next wait's. So who is called looks for its token, and waits on if there is none.
//!
//! What was written before `unpark` is seen by who returns from `park`, by the [parker](Parker)'s `[token]`.

#![expect(unsafe_code, reason = "a waiter is reached by a pointer")]

use crate::{
    base::parker::Parker,
    wait::{
        Waiting,
        reason::Reason,
        ticket::{Verdict, Waiter},
    },
};
use std::{ptr::NonNull, time::Instant};

/// A green thread's token.
#[derive(Debug)]
pub(super) struct Token(Parker);

impl Token {
    pub(super) fn new() -> Self {
        Self(Parker::new())
    }

    /// Takes it, if it is there. For the thread whose token it is.
    pub(super) fn take(&self) -> bool {
        self.0.take()
    }

    /// Where the kernel thread sleeps until it is there, if the green one cannot leave it.
    pub(super) fn parker(&self) -> &Parker {
        &self.0
    }

    /// Waits until it is there and takes it: `Chosen(0)`. Or says why it waits no more.
    #[track_caller]
    pub(super) fn wait(&self, waiting: &Waiting, deadline: Option<Instant>) -> Verdict {
        loop {
            waiting.open_for_unpark(); // U1
            let early = self.take();
            if early && waiting.withdraw() {
                return Verdict::Chosen(0);
            }
            let verdict = waiting.park(Reason::Park, deadline);
            // Tokens do not add up: one that came since the first was taken is the same.
            let taken = self.take() || early;
            match verdict {
                Verdict::CalledOff => return verdict,
                _ if taken => return Verdict::Chosen(0),
                Verdict::TimedOut => return verdict,
                Verdict::Retry | Verdict::Chosen(_) => {}
            }
        }
    }

    /// Leaves it for the thread with this waiter.
    ///
    /// # Safety
    ///
    /// The waiter is valid, by the caller's own share in it.
    pub(super) unsafe fn leave(&self, waiter: NonNull<Waiter>) {
        self.0.unpark();
        // SAFETY: by the caller. U2
        if let Some(call) = unsafe { Waiter::unpark(waiter) } {
            call.wake();
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{Token, Waiter, Waiting};
    use loom::{
        cell::UnsafeCell,
        sync::{
            Arc,
            atomic::{
                AtomicBool,
                Ordering::{Acquire, Release},
            },
        },
        thread,
    };
    use std::ptr::NonNull;

    /// Whoever has it has a share in the waiter.
    #[derive(Clone, Copy)]
    struct Share(NonNull<Waiter>);

    // SAFETY: the waiter lives in the frame of a model's first thread, which joins all others.
    unsafe impl Send for Share {}

    struct Shared {
        token: Token,
        /// What was written before each `unpark`.
        causes: [UnsafeCell<()>; 2],
    }

    impl Shared {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                token: Token::new(),
                causes: [UnsafeCell::new(()), UnsafeCell::new(())],
            })
        }

        fn park(&self, waiting: &Waiting) {
            if !self.token.take() {
                self.token.wait(waiting, None);
            }
        }

        fn unpark(&self, waiter: Share, cause: usize) {
            self.causes[cause].with_mut(|_| ());
            // SAFETY: see `Share`.
            unsafe { self.token.leave(waiter.0) };
        }
    }

    /// A token is found or the wait is called, and what was written before is seen.
    #[test]
    fn unpark_ends_a_park_and_shows_its_cause() {
        loom::model(|| {
            let shared = Shared::new();
            let waiting = Waiting::new();
            let waiter = Share(waiting.waiter());
            let unparker = thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.unpark(waiter, 0)
            });
            shared.park(&waiting);
            shared.causes[0].with(|_| ());
            unparker.join().expect("no panic");
        });
    }

    /// One whose token was taken long ago comes to look at the ticket of the next `park`.
    #[test]
    fn nobody_returns_from_park_without_a_token() {
        loom::model(|| {
            let shared = Shared::new();
            let first = Arc::new(AtomicBool::new(false));
            let waiting = Waiting::new();
            let waiter = Share(waiting.waiter());
            let late = thread::spawn({
                let shared = Arc::clone(&shared);
                move || shared.unpark(waiter, 0)
            });
            let second = thread::spawn({
                let (shared, first) = (Arc::clone(&shared), Arc::clone(&first));
                move || {
                    while !first.load(Acquire) {
                        thread::yield_now();
                    }
                    shared.unpark(waiter, 1);
                }
            });
            shared.park(&waiting);
            shared.causes[0].with(|_| ());
            first.store(true, Release);
            shared.park(&waiting);
            shared.causes[1].with(|_| ());
            late.join().expect("no panic");
            second.join().expect("no panic");
        });
    }
}
