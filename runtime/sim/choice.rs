//! Who runs next: by lot at every step, or by priorities that change at a few random steps.
//!
//! *By lot* every green thread that can run is as likely as another. That finds most bugs, but hardly
//! ever those where one thread must stay behind for long.
//!
//! *By priorities* is probabilistic concurrency testing (Burckhardt and others, ASPLOS 2010): each green
//! thread has a random priority, the highest that can run does, and at `depth - 1` random steps the one
//! that runs falls behind all others. A bug that needs `depth` steps in a certain order is found with a
//! chance of at least `1 / (threads * steps ^ (depth - 1))` in each run, however long the threads are.
//! One addition: who yields falls behind too, so that a loop which waits for another by yielding ends.

use crate::{base::rng::Rng, task::Task};
use std::{
    collections::{BTreeSet, BinaryHeap},
    ptr::NonNull,
};

/// The lowest priority that a green thread starts with.
const FIRST: u64 = 1 << 63;
/// The lowest after a change; below are those who yielded.
const CHANGED: u64 = 1 << 62;

/// How choices are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    Lot,
    /// With `depth - 1` changes in the first `steps` steps.
    Priorities {
        depth: usize,
        steps: u64,
    },
}

/// The choices of one run, all of which follow from its seed.
#[derive(Debug)]
pub(super) struct Choice {
    rng: Rng,
    priorities: Option<Priorities>,
    steps: u64,
}

#[derive(Debug)]
struct Priorities {
    /// The steps at which the running thread falls behind: the next one last.
    changes: Vec<u64>,
    /// What the next to yield falls to.
    low: u64,
}

impl Choice {
    pub(super) fn new(seed: u64, strategy: Strategy) -> Self {
        let rng = Rng::new(seed);
        let priorities = match strategy {
            Strategy::Lot => None,
            Strategy::Priorities { depth, steps } => {
                let mut changes: Vec<_> =
                    (1..depth).map(|_| 1 + rng.next() % steps.max(1)).collect();
                changes.sort_unstable_by(|one, two| two.cmp(one));
                Some(Priorities {
                    changes,
                    low: CHANGED,
                })
            }
        };
        Self {
            rng,
            priorities,
            steps: 0,
        }
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// A number below `bound`.
    pub(super) fn below(&self, bound: usize) -> usize {
        if bound < 2 { 0 } else { self.rng.below(bound) }
    }

    /// The priority of a new green thread.
    pub(super) fn priority(&self) -> u64 {
        match self.priorities {
            Some(_) => self.rng.next() | FIRST,
            None => 0,
        }
    }

    /// Whether priorities matter.
    pub(super) fn has_priorities(&self) -> bool {
        self.priorities.is_some()
    }

    /// Counts a step of the green thread with this priority. If this returns `true`, the priority has
    /// changed, and another may be to run.
    #[inline]
    pub(super) fn step(&mut self, priority: &mut u64) -> bool {
        self.steps += 1;
        if let Some(priorities) = &mut self.priorities
            && priorities
                .changes
                .last()
                .is_some_and(|it| *it <= self.steps)
        {
            priorities.changes.pop();
            *priority = CHANGED | (self.rng.next() >> 2);
            return true;
        }
        false
    }

    /// A green thread with this priority gives way to all others.
    #[inline]
    pub(super) fn fall_behind(&mut self, priority: &mut u64) {
        if let Some(priorities) = &mut self.priorities {
            priorities.low -= 1;
            *priority = priorities.low;
        }
    }

    /// Which of so many that can run, or of `due` alarms, in numbers from there on, comes next. By
    /// priorities the number of who can run does not matter: the highest does.
    /// There is at least one of either.
    #[inline]
    pub(super) fn next(&self, ready: usize, due: usize) -> usize {
        if self.priorities.is_none() || ready == 0 {
            return self.below(ready + due);
        }
        if due > 0 && self.below(2) == 0 {
            return ready + self.below(due);
        }
        0
    }

    /// Whether the running green thread, which need not wait, lets one of those run that can.
    pub(super) fn gives_way(&self, own: u64, due: usize, ready: &ReadyList) -> bool {
        match ready {
            ReadyList::Lot(others) => self.below(others.len() + due + 1) > 0,
            ReadyList::Ranked(others) => {
                others.peek().is_some_and(|it| it.priority > own) || due > 0 && self.below(2) == 0
            }
        }
    }
}

/// One that can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ready {
    pub(super) priority: u64,
    pub(super) id: u64,
    pub(super) task: NonNull<Task>,
}

/// All that can run, so kept that the next is found at once however many they are.
#[derive(Debug)]
pub(super) enum ReadyList {
    Lot(Vec<Ready>),
    Ranked(BinaryHeap<Ready>),
}

impl ReadyList {
    pub(super) fn new(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Lot => Self::Lot(Vec::new()),
            Strategy::Priorities { .. } => Self::Ranked(BinaryHeap::new()),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Lot(all) => all.len(),
            Self::Ranked(all) => all.len(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, ready: Ready) {
        match self {
            Self::Lot(all) => all.push(ready),
            Self::Ranked(all) => all.push(ready),
        }
    }

    /// Takes one out: by the [number](Choice::next) that was drawn, or the highest.
    #[inline]
    pub(super) fn take(&mut self, index: usize) -> Option<Ready> {
        match self {
            Self::Lot(all) => (index < all.len()).then(|| all.swap_remove(index)),
            Self::Ranked(all) if index < all.len() => all.pop(),
            Self::Ranked(_) => None,
        }
    }

    /// Their numbers.
    pub(super) fn ids(&self) -> BTreeSet<u64> {
        match self {
            Self::Lot(all) => all.iter().map(|it| it.id).collect(),
            Self::Ranked(all) => all.iter().map(|it| it.id).collect(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{CHANGED, Choice, FIRST, Ready, ReadyList, Strategy};
    use std::ptr::NonNull;

    /// Those with these priorities; nobody looks at the tasks.
    fn list(strategy: Strategy, priorities: &[u64]) -> ReadyList {
        let mut list = ReadyList::new(strategy);
        for (priority, id) in priorities.iter().zip(1..) {
            list.push(Ready {
                priority: *priority,
                id,
                task: NonNull::dangling(),
            });
        }
        list
    }

    #[test]
    fn the_highest_priority_runs_until_it_changes() {
        let strategy = Strategy::Priorities { depth: 2, steps: 1 };
        let mut choice = Choice::new(3, strategy);
        let mut own = choice.priority();
        assert!(own >= FIRST);
        let others = list(strategy, &[FIRST - 1, 5]);
        let mut all = list(strategy, &[5, own, 7]);
        assert_eq!(choice.next(3, 0), 0);
        assert_eq!(all.take(0).map(|it| it.id), Some(2));
        assert_eq!(all.take(1).map(|it| it.id), Some(3));
        assert_eq!((all.take(1), all.len()), (None, 1));
        assert!(!choice.gives_way(own, 0, &others));
        assert!(choice.step(&mut own));
        assert!((CHANGED..FIRST).contains(&own));
        assert!(choice.gives_way(own, 0, &others));
        let before = own;
        assert!(!choice.step(&mut own), "there was one change");
        assert_eq!(own, before);
        choice.fall_behind(&mut own);
        assert!(own < CHANGED);
    }

    #[test]
    fn a_lot_falls_on_each_alike() {
        let choice = Choice::new(1, Strategy::Lot);
        let mut seen = [0; 5];
        for _ in 0..10_000 {
            seen[choice.next(3, 2)] += 1;
        }
        assert!(
            seen.iter().all(|it| (1_800..2_200).contains(it)),
            "{seen:?}"
        );
    }
}
