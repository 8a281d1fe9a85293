//! The tree of contexts: how a context ends, and with it all that were made from it.
//!
//! A child keeps its parent; a parent knows its children, and forgets those that are gone. Each has a
//! lock of its own. An end spreads level by level, without recursion, and holds one lock at a time, so
//! that it may meet another end, or new children, anywhere:
//!
//! 1. Each context that is reached ends, unless it has: under its lock its end is set, and then `done`
//!    is closed.
//! 2. Its children are reached next, *also if it had ended before*: somebody may be in the midst of
//!    ending them. A child gets the end of its parent.
//! 3. When all are ended, and only then, those that were reached forget their children. So whoever finds
//!    an ended context without children knows that everything below has ended, and whoever finds some
//!    ends them too, and waits for nobody.
//!
//! # Invariants
//!
//! - A child is entered under its parent's lock, if the parent has not ended; else it is born ended. So
//!   none escapes.
//! - The end is set before `done` closes, and neither is ever undone.
//! - Nothing of the user's runs under a lock: functions to call, values and causes to drop are taken out.
//!   Closing `done` wakes those who wait, and runs none of them.
//!
//! # Edges
//!
//! `end` and `done` are `OnceLock`s: what was done before the end is seen by those who see it.

use super::{
    ContextError,
    keeper::{self, Alarm, Place},
};
use crate::{
    base::lock::Lock,
    channel::{self, Receiver, Sender},
    wait,
};
use std::{
    any::Any,
    collections::BTreeMap,
    error::Error,
    mem,
    sync::{Arc, OnceLock, Weak},
    time::Instant,
};

/// Why a context ended.
pub(super) type Cause = dyn Error + Send + Sync;

/// What a context calls when it ends.
type Job = Box<dyn FnOnce() + Send>;

/// How a context ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) error: ContextError,
    /// `None` if the error says it all.
    cause: Option<Arc<Cause>>,
}

impl End {
    pub(super) fn canceled(cause: Box<Cause>) -> Self {
        Self {
            error: ContextError::Canceled,
            cause: Some(Arc::from(cause)),
        }
    }

    pub(super) fn deadline_exceeded() -> Self {
        Self {
            error: ContextError::DeadlineExceeded,
            cause: None,
        }
    }

    pub(super) fn cause(&self) -> &Cause {
        self.cause.as_deref().unwrap_or(&self.error)
    }
}

/// One context.
pub(super) struct Node {
    /// `None` for a root.
    parent: Option<Arc<Node>>,
    /// Its number among the parent's children, if it was ever one of them.
    number: OnceLock<u64>,
    pub(super) deadline: Option<Instant>,
    pub(super) value: Option<Box<dyn Any + Send + Sync>>,
    end: OnceLock<End>,
    /// Made when somebody asks, under the lock.
    done: OnceLock<Done>,
    state: Lock<State>,
}

struct Done {
    sender: Sender<()>,
    receiver: Receiver<()>,
}

#[derive(Default)]
struct State {
    /// By number, so in the order in which they were made.
    children: BTreeMap<u64, Weak<Node>>,
    jobs: BTreeMap<u64, Job>,
    /// Children and jobs that there ever were.
    numbers: u64,
    alarm: Option<Alarm>,
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Node {
    fn new(
        parent: Option<Arc<Self>>,
        deadline: Option<Instant>,
        value: Option<Box<dyn Any + Send + Sync>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            parent,
            number: OnceLock::new(),
            deadline,
            value,
            end: OnceLock::new(),
            done: OnceLock::new(),
            state: Lock::new(State::default()),
        })
    }

    pub(super) fn root() -> Arc<Self> {
        Self::new(None, None, None)
    }

    /// A child that ends with its parent, and at `deadline`, if that is sooner.
    pub(super) fn child(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        value: Option<Box<dyn Any + Send + Sync>>,
    ) -> Arc<Self> {
        let own = deadline.filter(|it| self.deadline.is_none_or(|parent| *it < parent));
        let child = Self::new(Some(Arc::clone(self)), own.or(self.deadline), value);
        wait::point();
        self.adopt(&child);
        if let Some(deadline) = own
            && child.end.get().is_none()
        {
            if deadline <= wait::now() {
                child.end(&End::deadline_exceeded());
            } else {
                child.watch_from(Place::here());
            }
        }
        child
    }

    /// Enters a new child, or gives it its end.
    fn adopt(&self, child: &Arc<Self>) {
        if self.end.get().is_none() {
            let mut state = self.state.lock();
            // Asked again: nobody ends it while the lock is held.
            if self.end.get().is_none() {
                let number = state.number();
                state.children.insert(number, Arc::downgrade(child));
                // Nobody has the child yet, or another number for it.
                child.number.get_or_init(|| number);
                return;
            }
        }
        if let Some(end) = self.end.get() {
            // Nobody has the child yet: it has no `done`, and nothing to call.
            drop(child.end.set(end.clone()));
        }
    }

    /// Has its deadline watched from `place`.
    pub(super) fn watch_from(self: &Arc<Self>, place: Place) {
        let Some(deadline) = self.deadline else {
            return;
        };
        let alarm = keeper::set(place, deadline, Arc::downgrade(self));
        let mut state = self.state.lock();
        let unused = if self.end.get().is_some() {
            Some(alarm)
        } else if place == Place::Kernel || state.alarm.is_none() {
            state.alarm.replace(alarm)
        } else {
            // The home went meanwhile, and this has been handed on to the kernel threads' keeper.
            Some(alarm)
        };
        drop(state);
        drop(unused);
    }

    /// How it ended, if it has.
    #[inline]
    pub(super) fn ended(&self) -> Option<&End> {
        self.end.get()
    }

    pub(super) fn done(&self) -> &Receiver<()> {
        if let Some(done) = self.done.get() {
            return &done.receiver;
        }
        let state = self.state.lock();
        let done = self.done.get_or_init(|| {
            let (sender, receiver) = channel::bounded(0);
            if self.end.get().is_some() {
                sender.close();
            }
            Done { sender, receiver }
        });
        drop(state);
        &done.receiver
    }

    /// Has `job` called when it ends, and returns its number; or gives it back: it has ended.
    pub(super) fn enlist(&self, job: Job) -> Result<u64, Job> {
        let mut state = self.state.lock();
        if self.end.get().is_some() {
            return Err(job);
        }
        let number = state.number();
        state.jobs.insert(number, job);
        Ok(number)
    }

    /// Takes a job back, unless it was called or taken back.
    pub(super) fn strike(&self, number: u64) -> Option<Job> {
        self.state.lock().jobs.remove(&number)
    }

    /// The nearest value of a kind, its own or of those that it was made from.
    pub(super) fn value<T: Any>(&self) -> Option<&T> {
        let mut node = Some(self);
        while let Some(it) = node {
            if let Some(value) = it.value.as_ref().and_then(|it| it.downcast_ref()) {
                return Some(value);
            }
            node = it.parent.as_deref();
        }
        None
    }

    /// Ends it and all below, and starts what they are to call. When this returns they have all ended,
    /// whoever ended them.
    pub(super) fn end(self: &Arc<Self>, end: &End) {
        let (mut reached, mut jobs) = (Vec::new(), Vec::new());
        self.end_alone(end, &mut reached, &mut jobs);
        let mut next = 0;
        while let Some(node) = reached.get(next).map(Arc::clone) {
            let inherited = node.parent.as_ref().and_then(|it| it.end.get());
            node.end_alone(inherited.unwrap_or(end), &mut reached, &mut jobs);
            next += 1;
        }
        if !reached.is_empty() {
            self.forget_children();
        }
        for node in reached {
            node.forget_children();
        }
        for job in jobs {
            drop(crate::spawn(job));
        }
    }

    /// Ends it, unless it has; adds its children to `reached`.
    fn end_alone(&self, end: &End, reached: &mut Vec<Arc<Self>>, jobs: &mut Vec<Job>) {
        let mut state = self.state.lock();
        let mut alarm = None;
        if self.end.set(end.clone()).is_ok() {
            if let Some(done) = self.done.get() {
                done.sender.close();
            }
            alarm = state.alarm.take();
            jobs.extend(mem::take(&mut state.jobs).into_values());
        }
        reached.extend(state.children.values().filter_map(Weak::upgrade));
        drop(state);
        drop(alarm);
    }

    fn forget_children(&self) {
        let children = mem::take(&mut self.state.lock().children);
        drop(children);
    }

    /// Takes it out of its parent's children, and returns the parent.
    fn leave_parent(&mut self) -> Option<Arc<Self>> {
        let parent = self.parent.take()?;
        if let Some(number) = self.number.get() {
            let entry = parent.state.lock().children.remove(number);
            drop(entry);
        }
        Some(parent)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A long chain that goes from its end must not recurse.
        let mut parent = self.leave_parent();
        while let Some(mut node) = parent.and_then(Arc::into_inner) {
            parent = node.leave_parent();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{End, Node};
    use crate::context::keeper::{self, Place};
    use std::{
        sync::{Arc, Weak},
        thread,
        time::{Duration, Instant},
    };

    fn far() -> Option<Instant> {
        Instant::now().checked_add(Duration::from_hours(1))
    }

    #[test]
    fn children_that_go_are_forgotten() {
        let root = Node::root();
        let stays = root.child(None, None);
        for _ in 0..100_000 {
            drop(root.child(None, None));
        }
        let leaves = root.child(None, None);
        assert_eq!(root.state.lock().children.len(), 2);
        drop(leaves);
        assert_eq!(root.state.lock().children.len(), 1);
        stays.end(&End::deadline_exceeded());
        drop(stays);
        assert_eq!(Arc::weak_count(&root), 0);
        assert_eq!(root.state.lock().children.len(), 0);
    }

    #[test]
    fn an_ended_parent_has_no_children_left() {
        let root = Node::root();
        let chain = root.child(None, None).child(None, None);
        root.end(&End::deadline_exceeded());
        let middle = chain.parent.as_ref().expect("its parent");
        for ended in [&root, middle, &chain] {
            assert!(ended.state.lock().children.is_empty());
        }
        assert!(root.child(far(), None).number.get().is_none());
    }

    /// On one thread of its own, so that nobody else sets deadlines there meanwhile.
    #[test]
    fn deadlines_that_are_called_off_are_not_kept() {
        let runtime = crate::Runtime::builder().workers(1).build();
        runtime.expect("a runtime").run(|| {
            let (root, place) = (Node::root(), Place::here());
            let mut kept = Vec::new();
            for number in 0..100_000 {
                let timed = root.child(far(), None);
                if number % 2 == 0 {
                    timed.end(&End::deadline_exceeded());
                } else if number % 1_001 == 0 {
                    kept.push(timed);
                }
            }
            assert_eq!(keeper::count(place), kept.len());
            // A child's, if its parent's is sooner, is not set at all.
            let child = kept[0].child(far(), None);
            assert_eq!(keeper::count(place), kept.len());
            let weak = Arc::downgrade(&child);
            drop(child);
            assert!(Weak::upgrade(&weak).is_none());
            root.end(&End::deadline_exceeded());
            assert_eq!(keeper::count(place), 0);
        });
    }

    /// The keeper goes when it wakes up and has nothing to keep, and the next one is as good.
    #[test]
    fn a_keeper_that_has_gone_is_followed_by_another() {
        let runtime = crate::Runtime::builder().workers(1).build();
        runtime.expect("a runtime").run(|| {
            for _ in 0..200 {
                let root = Node::root();
                let soon = Instant::now().checked_add(Duration::from_micros(50));
                let (one, two) = (root.child(soon, None), root.child(soon, None));
                assert!(one.done().recv().is_err() && two.done().recv().is_err());
                crate::yield_now();
            }
        });
    }

    #[test]
    fn kernel_threads_share_a_keeper() {
        let timeout = Duration::from_millis(2);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    let start = Instant::now();
                    let timed = Node::root().child(start.checked_add(timeout), None);
                    assert!(timed.done().recv().is_err() && start.elapsed() >= timeout);
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("its deadline came");
        }
    }
}
