//! Which workers look for work, which sleep, and who wakes them.
//!
//! Waking a kernel thread costs its waker a system call of 12 to 17 microseconds. So a push to a
//! worker's own queue wakes nobody: that worker is awake and will come to it. Others are woken
//!
//! - by a push from outside, if nobody searches;
//! - by a worker that has had more than enough to do for 67 turns;
//! - by the last searcher that finds work, if there is more;
//! - by the monitor, if a worker does not come to what it has.
//!
//! # Invariant
//!
//! If a task is in the injector then some worker is running or searching, or has been woken and not yet
//! started to. A worker asleep beside an injected task is the one bug this file exists to prevent.
//!
//! # The race
//!
//! | injecting, then [`Idle::wake_one`]     | falling asleep, [`Idle::sleep`]             |
//! |----------------------------------------|---------------------------------------------|
//! | S1  put the task into the injector     | W1  join the sleepers                       |
//! | S2  fence                              | W2  fence                                   |
//! | S3  read how many search and sleep     | W3  look for work a last time               |
//!
//! Each side writes first and reads after. Sequentially consistent fences have one order: if S2 comes
//! first then W3 sees the task, and if W2 comes first then S3 sees the sleeper.

use crate::base::{
    lock::Lock,
    naps,
    primitives::{
        AtomicUsize,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

/// One sleeper in the counts; the searchers are below.
const ASLEEP: usize = 1 << 16;
/// One searcher in the counts.
const SEARCHING: usize = 1;

/// The sleepers, each a `T` that tells how to wake it, and how many search.
#[derive(Debug)]
pub(crate) struct Idle<T> {
    /// How many sleep, and how many search: the sleepers' count changes under the lock only.
    counts: AtomicUsize,
    sleepers: Lock<Vec<T>>,
}

impl<T: Copy + PartialEq> Idle<T> {
    pub(crate) fn new() -> Self {
        Self {
            counts: AtomicUsize::new(0),
            sleepers: Lock::new(Vec::new()),
        }
    }

    /// Makes room for so many sleepers.
    pub(crate) fn make_room(&self, workers: usize) {
        let mut sleepers = self.sleepers.lock();
        let more = workers.saturating_sub(sleepers.len());
        sleepers.reserve(more);
    }

    pub(crate) fn asleep(&self) -> usize {
        self.counts.load(Relaxed) / ASLEEP
    }

    /// As [`asleep`](Self::asleep), exactly: by the lock under which they lie down.
    pub(crate) fn count_asleep(&self) -> usize {
        self.sleepers.lock().len()
    }

    pub(crate) fn searching(&self) -> usize {
        self.counts.load(Relaxed) % ASLEEP
    }

    /// Somebody sleeps or searches: a hint.
    pub(crate) fn any_idle(&self) -> bool {
        self.counts.load(Relaxed) > 0
    }

    /// If this returns `true`, the caller searches, and must [stop](Self::stop_searching). At most half
    /// of the workers do.
    #[must_use]
    pub(crate) fn start_searching(&self, workers: usize) -> bool {
        if 2 * self.searching() >= workers.max(2) {
            return false;
        }
        self.counts.fetch_add(SEARCHING, Relaxed);
        true
    }

    /// If this returns `true`, the caller was the last who searched: if it has found work and there is
    /// more, it must wake another.
    #[must_use]
    pub(crate) fn stop_searching(&self) -> bool {
        let last = self.counts.fetch_sub(SEARCHING, Relaxed) % ASLEEP == SEARCHING;
        // As W2, for one that does not lie down but looks whether there is more: whoever saw it search has
        // woken nobody.
        fence(SeqCst);
        last
    }

    /// A worker that does not search lies down. If this returns `true` it may sleep, until it is woken
    /// or wakes for a reason of its own, and must [get up](Self::get_up) then. `any_work` must look
    /// wherever others put work.
    #[must_use]
    pub(crate) fn sleep(&self, worker: T, any_work: impl FnOnce() -> bool) -> bool {
        let mut sleepers = self.sleepers.lock();
        sleepers.push(worker); // W1
        naps::worker_lies_down();
        self.counts.fetch_add(ASLEEP, Relaxed);
        drop(sleepers);

        fence(SeqCst); // W2
        // W3
        !any_work()
    }

    /// A worker that lay down is up. If this returns `true`, somebody else has woken it: it counts as
    /// searching.
    #[must_use]
    pub(crate) fn get_up(&self, worker: T) -> bool {
        let mut sleepers = self.sleepers.lock();
        match sleepers.iter().rposition(|it| *it == worker) {
            Some(place) => {
                sleepers.remove(place);
                self.counts.fetch_sub(ASLEEP, Relaxed);
                false
            }
            None => true,
        }
    }

    /// Chooses a sleeper to be woken by the caller, if nobody searches. To be called after work was put
    /// where sleepers look. It counts as searching from now on.
    #[must_use]
    pub(crate) fn wake_one(&self, prefer: impl Fn(T) -> bool) -> Option<T> {
        fence(SeqCst); // S2
        // S3
        let counts = self.counts.load(Relaxed);
        if !counts.is_multiple_of(ASLEEP) || counts < ASLEEP {
            return None;
        }
        self.choose(prefer)
    }

    /// Chooses a sleeper to be woken by the caller, whoever searches.
    #[must_use]
    pub(crate) fn choose(&self, prefer: impl Fn(T) -> bool) -> Option<T> {
        let mut sleepers = self.sleepers.lock();
        let place = sleepers
            .iter()
            .rposition(|it| prefer(*it))
            .or_else(|| sleepers.len().checked_sub(1))?;
        let worker = sleepers.remove(place);
        // Relaxed: those who count have fences, or want a hint.
        self.counts.fetch_sub(ASLEEP - SEARCHING, Relaxed);
        Some(worker)
    }

    /// Visits the sleepers.
    pub(crate) fn any(&self, mut test: impl FnMut(T) -> bool) -> bool {
        self.sleepers.lock().iter().any(|it| test(*it))
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::Idle;
    use crate::base::{
        parker::Parker,
        primitives::{AtomicUsize, Ordering::Relaxed},
    };
    use loom::{sync::Arc, thread};

    /// However a push from outside and falling asleep interleave, the task is run.
    #[test]
    fn no_worker_sleeps_beside_injected_work() {
        loom::model(|| {
            let shared = Arc::new((Idle::new(), Parker::new(), AtomicUsize::new(0)));
            let pusher = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let (idle, parker, queue) = &*shared;
                    queue.fetch_add(1, Relaxed); // S1
                    if idle.wake_one(|_| true).is_some() {
                        parker.unpark();
                    }
                }
            });
            let (idle, parker, queue) = &*shared;
            while queue.load(Relaxed) == 0 {
                if idle.sleep(0_u8, || queue.load(Relaxed) > 0) {
                    parker.park(None);
                }
                if idle.get_up(0) {
                    _ = idle.stop_searching();
                }
            }
            drop(pusher.join());
        });
    }

    /// Whoever pushes while somebody searches wakes nobody: then the searcher, though it has found other
    /// work, wakes the next.
    #[test]
    fn the_last_searcher_sees_what_was_pushed_meanwhile() {
        loom::model(|| {
            let shared = Arc::new((Idle::new(), AtomicUsize::new(0)));
            assert!(shared.0.sleep(0_u8, || false));
            assert!(shared.0.start_searching(4));
            let pusher = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let (idle, queue) = &*shared;
                    queue.fetch_add(1, Relaxed); // S1
                    idle.wake_one(|_| true).is_some()
                }
            });
            let (idle, queue) = &*shared;
            let wakes = idle.stop_searching()
                && queue.load(Relaxed) > 0
                && idle.wake_one(|_| true).is_some();
            let woken = pusher.join().expect("no panic");
            assert!(wakes || woken, "the sleeper sleeps on");
        });
    }

    /// Two pushes wake two sleepers at most, and none twice.
    #[test]
    fn a_sleeper_is_woken_by_one() {
        loom::model(|| {
            let idle = Arc::new(Idle::new());
            assert!(idle.sleep(7_u8, || false));
            let wakers = [(); 2].map(|()| {
                let idle = Arc::clone(&idle);
                thread::spawn(move || usize::from(idle.wake_one(|_| true).is_some()))
            });
            let woken: usize = wakers.map(|it| it.join().expect("a waker")).iter().sum();
            assert_eq!(woken, 1);
            assert_eq!((idle.asleep(), idle.searching()), (0, 1));
            assert!(idle.get_up(7));
        });
    }
}
