//! Whether a thread sleeps in the poller, until when, and who has to write to wake it.
//!
//! A wake-up is a write to an eventfd: a system call. It is needed only while somebody is in the
//! kernel, and once per sleep is enough. One word decides it.
//!
//! | word        | meaning                                                   |
//! |-------------|-----------------------------------------------------------|
//! | [`AWAKE`]   | nobody sleeps, nor is about to                            |
//! | [`WOKEN`]   | a wake-up came; the sleeper, or else the next one, takes it |
//! | else a time | somebody sleeps until then, or is about to                |
//!
//! ```text
//!           announce                    commit
//!   AWAKE ────────────► ANY_TIME ──────────────► a time
//!     ▲  ▲                 │ wake, write            │ wake, write
//!     │  └──── end ────────┼────────────────────────┤
//!     │                    ▼                        │
//!     └──── end ───────  WOKEN ◄────────────────────┘
//! ```
//!
//! # Invariant
//!
//! Whoever calls [`wake`](Sleep::wake) after the sleeper announced itself either changes the word
//! before [`commit`](Sleep::commit), which then refuses, or writes to an eventfd that is polled
//! from then on. A sleeper that looks for work *after* announcing itself therefore misses nothing.
//!
//! An alarm is made known under a lock, and the sleeper takes that lock after it announced itself
//! to read the first deadline. Either it sees the alarm, or it had the lock before and the word,
//! passed on with it, tells [`wake_for`](Sleep::wake_for) to wake it.
//!
//! # Edges
//!
//! - `[wake]` what a thread wrote before it woke, to the sleeper after it ended its sleep.

use crate::base::primitives::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

const AWAKE: u64 = 0;
const WOKEN: u64 = 1;
/// Asleep for ever, or until a time that is not known yet.
const ANY_TIME: u64 = u64::MAX;

/// The word. One thread at a time announces, commits and ends: the one that holds the poller.
#[derive(Debug)]
pub(super) struct Sleep {
    word: AtomicU64,
}

impl Sleep {
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU64::new(AWAKE),
        }
    }

    /// From here on every wake-up is for the caller. If this returns `true` then one had come
    /// before, which must be heeded: by looking for its cause, or by not going to sleep.
    #[must_use]
    pub(super) fn announce(&self) -> bool {
        // Acquire [wake].
        self.word.swap(ANY_TIME, Acquire) == WOKEN
    }

    /// Says until when the caller will sleep. If this returns `false` it must not: it was woken.
    #[must_use]
    pub(super) fn commit(&self, until: Option<u64>) -> bool {
        let until = until.map_or(ANY_TIME, |it| it.max(WOKEN + 1));
        // Relaxed: says nothing but the time. If it fails, `end` acquires [wake].
        let word = self
            .word
            .compare_exchange(ANY_TIME, until, Relaxed, Relaxed);
        word.is_ok()
    }

    /// The caller is awake again. If this returns `true` then a wake-up came, and must be heeded.
    #[must_use]
    pub(super) fn end(&self) -> bool {
        // Acquire [wake].
        self.word.swap(AWAKE, Acquire) == WOKEN
    }

    /// Leaves a wake-up. If this returns `true` the caller must write to the eventfd.
    #[must_use]
    pub(super) fn wake(&self) -> bool {
        // Release [wake]. Even if the word is `WOKEN` already: the sleeper must see this caller's
        // writes too, and a read-modify-write keeps the earlier wake-ups' edges.
        let word = self.word.swap(WOKEN, Release);
        word > WOKEN
    }

    /// As [`wake`](Self::wake), if somebody means to sleep for longer than `deadline`.
    #[must_use]
    pub(super) fn wake_for(&self, deadline: u64) -> bool {
        // Relaxed: the alarm's lock orders this after the sleeper's `announce`, if that matters.
        let mut word = self.word.load(Relaxed);
        while word > WOKEN && word > deadline {
            // Release [wake]. A sleep that ended meanwhile needs no wake-up for a later one.
            match self
                .word
                .compare_exchange_weak(word, WOKEN, Release, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Sleep;

    #[test]
    fn a_wake_before_the_sleep_forbids_it() {
        let sleep = Sleep::new();
        assert!(!sleep.wake());
        assert!(sleep.announce());
        assert!(!sleep.end());

        assert!(!sleep.announce());
        assert!(sleep.wake());
        assert!(!sleep.commit(None));
        assert!(sleep.end());
    }

    #[test]
    fn one_sleep_costs_one_write() {
        let sleep = Sleep::new();
        assert!(!sleep.announce());
        assert!(sleep.commit(Some(100)));
        assert!(sleep.wake());
        assert!(!sleep.wake());
        assert!(!sleep.wake_for(5));
        assert!(sleep.end());
    }

    #[test]
    fn an_alarm_wakes_only_who_would_miss_it() {
        let sleep = Sleep::new();
        assert!(!sleep.wake_for(0), "nobody sleeps");
        assert!(!sleep.announce());
        assert!(sleep.commit(Some(100)));
        assert!(!sleep.wake_for(100));
        assert!(sleep.wake_for(99));
        assert!(sleep.end());

        assert!(!sleep.announce());
        assert!(sleep.wake_for(u64::MAX - 1), "until when is not known yet");
        assert!(sleep.end());
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Sleep;
    use crate::base::primitives::{AtomicBool, AtomicU64, Mutex, Ordering::Relaxed};
    use loom::{sync::Arc, thread};

    struct World {
        sleep: Sleep,
        /// The eventfd: it only ever says that somebody wrote.
        written: AtomicBool,
        /// Work that is announced by a wake-up alone.
        work: AtomicU64,
        /// The first deadline.
        alarm: Mutex<Option<u64>>,
    }

    impl World {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                sleep: Sleep::new(),
                written: AtomicBool::new(false),
                work: AtomicU64::new(0),
                alarm: Mutex::new(None),
            })
        }

        /// In the kernel until somebody writes: hangs, and fails the model, if nobody does.
        fn wait(&self) {
            while !self.written.load(Relaxed) {
                thread::yield_now();
            }
        }

        fn give_work(&self) {
            self.work.fetch_add(1, Relaxed);
            if self.sleep.wake() {
                self.written.store(true, Relaxed);
            }
        }
    }

    /// Two threads give work and wake. Who sleeps until a wake-up sees what it was for, and what it
    /// does not see yet left a wake-up for the next sleep.
    #[test]
    fn no_wake_up_is_lost_and_each_shows_its_cause() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let world = World::new();
            let givers: Vec<_> = (0..2)
                .map(|_| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || world.give_work())
                })
                .collect();
            let mut woken = world.sleep.announce();
            if !woken && world.sleep.commit(None) {
                world.wait();
            }
            woken |= world.sleep.end();
            assert!(woken);
            let seen = world.work.load(Relaxed);
            assert!(seen > 0);
            for giver in givers {
                drop(giver.join());
            }
            assert!(seen == 2 || world.sleep.announce());
            // The second wake-up may be left for the next sleeper, who sees both.
            let _ = world.sleep.announce();
            assert_eq!(world.work.load(Relaxed), 2);
        });
    }

    /// A wake-up that nobody slept for shows its cause to the next sleeper.
    #[test]
    fn a_wake_up_left_behind_shows_its_cause() {
        loom::model(|| {
            let world = World::new();
            let giver = thread::spawn({
                let world = Arc::clone(&world);
                move || world.give_work()
            });
            if world.sleep.announce() {
                assert_eq!(world.work.load(Relaxed), 1);
            }
            drop(giver.join());
        });
    }

    /// Nobody sleeps past an alarm that was set meanwhile.
    #[test]
    fn an_earlier_alarm_is_seen_or_wakes() {
        loom::model(|| {
            let world = World::new();
            let setter = thread::spawn({
                let world = Arc::clone(&world);
                move || {
                    world.work.fetch_add(1, Relaxed);
                    *world.alarm.lock().expect("nobody panics") = Some(10);
                    if world.sleep.wake_for(10) {
                        world.written.store(true, Relaxed);
                    }
                }
            });
            let woken = world.sleep.announce();
            let first = *world.alarm.lock().expect("nobody panics");
            if first.is_none() && !woken && world.sleep.commit(first) {
                world.wait();
            }
            if world.sleep.end() {
                assert_eq!(world.work.load(Relaxed), 1);
            }
            drop(setter.join());
        });
    }
}
