//! Puts a kernel thread to sleep until another wakes it: one token, kept if it comes early.
//!
//! | word       | the thread is                                    |
//! |------------|--------------------------------------------------|
//! | [`EMPTY`]  | running, and has no token                        |
//! | [`TOKEN`]  | running or about to wake, and need not sleep      |
//! | [`ASLEEP`] | in the kernel, or on its way there                |
//! | [`NAPPING`] | the same, and counted among those whom only a thread can wake |
//!
//! # Edges
//!
//! - `[token]` what a thread wrote before it woke another, to the other after it woke.

use super::{
    naps,
    primitives::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
        futex_wait, futex_wake,
    },
};
use std::time::Instant;

const EMPTY: u32 = 0;
const TOKEN: u32 = 1;
const ASLEEP: u32 = u32::MAX;
const NAPPING: u32 = u32::MAX - 1;

/// One thread's place to sleep. Only that thread may [`park`](Self::park).
#[derive(Debug)]
pub(crate) struct Parker {
    word: AtomicU32,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(EMPTY),
        }
    }

    /// Sleeps until there is a token and takes it. If this returns `false`, `deadline` came first.
    pub(crate) fn park(&self, deadline: Option<Instant>) -> bool {
        // Acquire [token]. TOKEN becomes EMPTY, EMPTY becomes ASLEEP: one subtraction does both.
        if self.word.fetch_sub(1, Acquire) == TOKEN {
            return true;
        }
        loop {
            futex_wait(&self.word, ASLEEP, deadline);
            // Acquire [token].
            if self
                .word
                .compare_exchange(TOKEN, EMPTY, Acquire, Relaxed)
                .is_ok()
            {
                return true;
            }
            if deadline.is_some_and(|it| Instant::now() >= it) {
                // Acquire [token]: it may have come at the last moment.
                return self.word.swap(EMPTY, Acquire) == TOKEN;
            }
        }
    }

    /// As [`park`](Self::park) without a deadline, and says so to those who look for deadlocks. Whoever may
    /// leave the token must [`unpark_napper`](Self::unpark_napper), and does so once.
    pub(crate) fn nap(&self) {
        self.nap_counted(naps::lie_down);
    }

    #[inline]
    fn nap_counted(&self, lie_down: impl FnOnce()) {
        // Acquire [token], if it is there.
        if self
            .word
            .compare_exchange(EMPTY, NAPPING, Relaxed, Acquire)
            .is_ok()
        {
            lie_down();
            // Acquire [token].
            while self.word.load(Acquire) != TOKEN {
                futex_wait(&self.word, NAPPING, None);
            }
        }
        // Relaxed: this thread has seen the token, and nobody leaves a second one.
        self.word.store(EMPTY, Relaxed);
    }

    /// Sleeps until there is a token and takes it: [naps](Self::nap) if there is no deadline. If this returns
    /// `false`, `deadline` came first.
    pub(crate) fn nap_or_park(&self, deadline: Option<Instant>) -> bool {
        if deadline.is_none() {
            self.nap();
            return true;
        }
        self.park(deadline)
    }

    /// As [`unpark`](Self::unpark), for one who may [`nap`](Self::nap): nobody else does so at the same
    /// time.
    pub(crate) fn unpark_napper(&self) {
        self.unpark_counted(naps::get_up);
    }

    #[inline]
    fn unpark_counted(&self, get_up: impl FnOnce()) {
        let mut word = EMPTY;
        // Release [token]. A thread whose deadline passes now may lie down between two looks at it: the token
        // comes to a word that was seen, so that whoever is counted as a napper is seen to be one.
        while let Err(now) = self.word.compare_exchange(word, TOKEN, Release, Relaxed) {
            word = now;
            if word == NAPPING {
                break;
            }
        }
        if word == EMPTY {
            return;
        }
        if word == NAPPING {
            // Before it can go on: it naps until the token is there.
            get_up();
            // Release [token]. A swap, as the kernel looks at the word under a lock when a thread lies down:
            // whoever comes after this finds the token.
            self.word.swap(TOKEN, Release);
        }
        futex_wake(&self.word, 1);
    }

    /// Takes a token if there is one. Only by the thread that might [`park`](Self::park).
    pub(crate) fn take(&self) -> bool {
        // Acquire [token].
        self.word.swap(EMPTY, Acquire) == TOKEN
    }

    /// Leaves a token, and wakes the thread if it sleeps.
    pub(crate) fn unpark(&self) {
        // Release [token].
        if self.word.swap(TOKEN, Release) == ASLEEP {
            futex_wake(&self.word, 1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{EMPTY, NAPPING, Parker, Relaxed};
    use std::{
        thread,
        time::{Duration, Instant},
    };

    #[test]
    fn a_token_that_comes_early_is_kept() {
        let parker = Parker::new();
        parker.unpark();
        parker.unpark();
        assert!(parker.park(None));
        assert!(!parker.park(Some(Instant::now() + Duration::from_millis(1))));
    }

    #[test]
    fn who_naps_wakes_by_a_token_that_comes_early_or_late() {
        let parker = Parker::new();
        parker.unpark_napper();
        parker.nap();
        thread::scope(|scope| {
            let napper = scope.spawn(|| parker.nap());
            while parker.word.load(Relaxed) != NAPPING {
                thread::yield_now();
            }
            parker.unpark_napper();
            napper.join().expect("it was woken");
        });
        assert_eq!(parker.word.load(Relaxed), EMPTY);
    }

    #[test]
    fn a_thread_sleeps_until_it_is_woken() {
        let parker = Parker::new();
        thread::scope(|scope| {
            scope.spawn(|| parker.unpark());
            assert!(parker.park(None));
        });
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Parker;
    use crate::base::primitives::{AtomicBool, AtomicUsize, Ordering::Relaxed};
    use loom::{sync::Arc, thread};
    use std::time::Instant;

    /// Somebody writes and leaves a token by `unpark`; whoever gets it by `wait` sees what was written.
    fn shows_its_cause(unpark: fn(&Parker), wait: fn(&Parker) -> bool) {
        loom::model(move || {
            let shared = Arc::new((Parker::new(), AtomicBool::new(false)));
            let waker = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    shared.1.store(true, Relaxed);
                    unpark(&shared.0);
                }
            });
            if wait(&shared.0) {
                assert!(shared.1.load(Relaxed));
            }
            drop(waker.join());
        });
    }

    /// A token carries what was written before it, and is never lost.
    #[test]
    fn a_token_wakes_and_shows_its_cause() {
        shows_its_cause(Parker::unpark, |parker| {
            assert!(parker.park(None));
            true
        });
    }

    /// So does one that comes as its deadline passes.
    #[test]
    fn a_token_at_the_last_moment_shows_its_cause() {
        shows_its_cause(Parker::unpark, |parker| parker.park(Some(Instant::now())));
    }

    /// The same for one who naps.
    #[test]
    fn a_token_wakes_a_napper_and_shows_its_cause() {
        shows_its_cause(Parker::unpark_napper, |parker| {
            parker.nap();
            true
        });
    }

    /// One whose deadline comes first, and who then naps for the token that is on its way, is counted as long
    /// as it naps and no longer.
    #[test]
    fn who_lies_down_at_the_last_moment_is_counted_out_again() {
        loom::model(|| {
            let shared = Arc::new((Parker::new(), AtomicUsize::new(0)));
            let waker = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let (parker, count) = &*shared;
                    parker.unpark_counted(|| _ = count.fetch_sub(1, Relaxed));
                }
            });
            let (parker, count) = &*shared;
            if !parker.park(Some(Instant::now())) {
                parker.nap_counted(|| _ = count.fetch_add(1, Relaxed));
            }
            waker.join().expect("no panic");
            assert_eq!(count.load(Relaxed), 0);
        });
    }
}
