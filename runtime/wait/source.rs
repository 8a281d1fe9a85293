//! One descriptor's readiness and those who wait for it: the only place where `WouldBlock` is a wait.
//!
//! Every call tries its system call first, but for reads that know better. If that would block, the source is registered with the
//! process's [poller](POLLER), once, for both directions, and the thread stands in the line of its
//! direction until the kernel tells of an edge.
//!
//! An edge that comes between the system call and the line is not lost: edges are counted, the count
//! is read *before* the system call, and who finds it changed under the lock tries again instead of
//! standing in the line. An edge calls the first of the line alone. Who was called and then got what it
//! came for calls the next, because there may be more; who finds that it would block again goes back to
//! the end, for what remains to come is another edge. So a thousand readers of one socket cost two
//! wake-ups for each datagram, and none is lost: whoever stands in the line has seen the descriptor
//! drained after the last edge, or somebody ahead of it is on its way to look.
//!
//! A newcomer may overtake those who wait, as its system call comes first.
//!
//! A timeout counts from the moment when the call would block. When it is changed, everybody in the
//! line is called, looks again, and counts from the change with the new one; a timeout that fires
//! while it is being changed is void.
//!
//! # Short reads
//!
//! A read of a TCP stream that got less than it asked for has emptied the stream. The next read would
//! be told so by a system call; instead, the count of edges from before the short read is kept as
//! *drained*, and while it is still the count, a read waits without the call. Why no data is missed:
//!
//! - What comes after the short read makes an edge, which is counted after it was read before the call:
//!   the counts differ. A mark that is stored late, over a newer one, names an older count, and is void.
//! - Only a count above zero is kept, as then the poller is known to watch.
//! - A read is also short at the end of the data, at an error, and at the mark of urgent data, with
//!   more behind it that made its edge long ago. The poller tells these apart (`special`): they come
//!   with an edge of their own, or were there when an earlier one was told. From then on no short read
//!   is believed: whoever sees the count sees that too, by the same edge.
//! - Calls that may not wait are done in any case, and a read is tried once before it times out: the
//!   poller may not have come round to tell what the kernel has long had.
//!
//! Not for Unix streams, whose reads stop where a descriptor is attached; nor for what returned nothing.
//! If the user sets `SO_RCVLOWAT`, a read may wait for that much, as it does in blocking mode.
//!
//! # Edges
//!
//! - `[edge]` from the one who counts an edge to the one who reads the count before its system call:
//!   a system call after the count finds what the kernel told before it.
//!
//! # What was not done
//!
//! - *Short reads under kernel TLS*, which a user might switch on behind our back and which ends reads
//!   at its records: not told apart.
//! - *Waking all readers for each edge*: quadratic for those who share a socket.

use super::{
    End, NO_SLOT, Place, TimedOut, deadline_after, home::simulation, line::Line, reason::Reason,
    wait_at,
};
use crate::{
    base::{
        lock::{Guard, Lock},
        primitives::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    driver::{
        Key,
        poller::{Global, Poller, Ready},
    },
};
use std::{
    fmt, io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    panic::Location,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// The process's poller. Whoever turns it hands its events to [`Source::on_ready`].
pub(crate) static POLLER: Global<Source> = Global::new();

static HOOK: OnceLock<fn()> = OnceLock::new();

/// Lets `hook` be called whenever a thread is about to wait for a descriptor, after it was counted as
/// the poller's waiter: it sees to it that somebody turns the poller. The first to set one wins.
pub(crate) fn when_awaited(hook: fn()) {
    // A second hook is void by contract.
    let _ = HOOK.set(hook);
}

/// A thread is about to wait for a descriptor.
pub(crate) fn awaited() {
    if let Some(hook) = HOOK.get() {
        hook();
    }
}

/// What a call on a descriptor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Data, or a connection to accept.
    Read,
    /// Room for data, or the end of connecting.
    Write,
}

/// A descriptor, as those who wait for it and the poller see it. It does not own the descriptor. Or a
/// simulated socket, whose network takes the poller's place.
pub(crate) struct Source {
    /// Later calls fail. Set once, under the lock.
    closed: AtomicBool,
    /// Calls fail where they would wait.
    nonblocking: AtomicBool,
    /// How many edges a read had seen that emptied the stream, or zero.
    drained: AtomicU64,
    /// There is, or was, more to come than data: a short read says nothing. Never unset.
    special: AtomicBool,
    read: Count,
    write: Count,
    state: Lock<State>,
}

/// What is read without the lock of a direction.
struct Count {
    /// Edges so far. Changed under the lock.
    edges: AtomicU64,
    /// How many are in the line, or were called and have not run since.
    waiting: AtomicUsize,
}

struct State {
    registered: Option<Registered>,
    read: Side,
    write: Side,
}

struct Registered {
    poller: &'static Poller<Source>,
    key: Key,
}

/// One direction.
struct Side {
    line: Line,
    timeout: Option<Duration>,
    /// How often the timeout was set.
    changes: u64,
}

/// For how long a call will wait: reckoned when it would block first, and when the timeout changes.
#[derive(Clone, Copy)]
struct Patience {
    deadline: Option<Instant>,
    changes: u64,
}

/// Who tells a source of its edges.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Teller<'a> {
    /// The poller, which is to watch this descriptor.
    Poller(BorrowedFd<'a>),
    /// The poller, which watches the descriptor already.
    Watching,
    /// A simulated network; there is no descriptor.
    Network,
}

/// What a call waits for.
#[derive(Debug, Clone, Copy)]
struct Wish {
    direction: Direction,
    /// After this long it looks again, whatever the kernel tells.
    pause: Option<Duration>,
    /// Where in the program it is.
    caller: &'static Location<'static>,
}

impl Source {
    pub(crate) fn new() -> Self {
        let count = || Count {
            edges: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        };
        let side = || Side {
            line: Line::new(),
            timeout: None,
            changes: 0,
        };
        Self {
            closed: AtomicBool::new(false),
            nonblocking: AtomicBool::new(false),
            drained: AtomicU64::new(0),
            special: AtomicBool::new(false),
            read: count(),
            write: count(),
            state: Lock::new(State {
                registered: None,
                read: side(),
                write: side(),
            }),
        }
    }

    /// The kernel has news of the descriptor. To be called with each event by whoever turns the
    /// poller; wakes, and waits for nobody.
    pub(crate) fn on_ready(source: &Arc<Self>, ready: Ready) {
        if ready.special {
            // Before the edge is counted, and published by it.
            source.special.store(true, Relaxed);
        }
        let mut state = source.state.lock();
        let reader = ready.readable.then(|| {
            // Release [edge]
            source.read.edges.fetch_add(1, Release);
            state.read.line.call_first()
        });
        let writer = ready.writable.then(|| {
            // Release [edge]
            source.write.edges.fetch_add(1, Release);
            state.write.line.call_first()
        });
        drop(state);
        // They wake, outside the lock.
        drop(reader);
        drop(writer);
    }

    /// A source of a simulated network, whose edges need not tell all that the poller's do.
    pub(crate) fn simulated() -> Self {
        let source = Self::new();
        source.special.store(true, Relaxed);
        source
    }

    /// Does `call`, a system call on what `teller` tells of, as often as it would block, and waits in between.
    ///
    /// # Errors
    ///
    /// What `call` gives, but for `WouldBlock`; `TimedOut` after the timeout of that direction;
    /// `NotConnected` once the source is closed; the system's if it does not let the descriptor be
    /// polled.
    #[inline]
    #[track_caller]
    pub(crate) fn until_ready<T>(
        self: &Arc<Self>,
        teller: Teller<'_>,
        direction: Direction,
        call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        self.until_ready_or_due(teller, direction, || None, call)
    }

    /// As [`until_ready`](Self::until_ready) for `call`, which reads up to `wanted` bytes of a stream,
    /// whose short reads mean that there is no more: without the call if that is known.
    #[inline]
    #[track_caller]
    pub(crate) fn until_read(
        self: &Arc<Self>,
        teller: Teller<'_>,
        wanted: usize,
        call: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let wish = Wish {
            direction: Direction::Read,
            pause: None,
            caller: Location::caller(),
        };
        self.repeat_read(wanted, call, |seen, patience| {
            self.wait(teller, wish, seen, patience)
        })
    }

    /// As [`until_ready`](Self::until_ready), for a descriptor that is [watched](Self::watch) already.
    #[track_caller]
    pub(crate) fn until_watched<T>(
        self: &Arc<Self>,
        direction: Direction,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let wish = Wish {
            direction,
            pause: None,
            caller: Location::caller(),
        };
        self.repeat(
            direction,
            |_| call(),
            |seen, patience| self.wait(Teller::Watching, wish, seen, patience),
        )
    }

    /// Lets the poller watch `descriptor` from now on. If this returns `false`, it is of a kind that
    /// nobody can wait for, as regular files are.
    ///
    /// # Errors
    ///
    /// The system's: `AlreadyExists` if another source watches it.
    #[must_use = "some cannot be watched"]
    pub(crate) fn watch(self: &Arc<Self>, descriptor: BorrowedFd<'_>) -> io::Result<bool> {
        let poller = POLLER.get()?;
        let mut state = self.state.lock();
        match self.register(&mut state, poller, descriptor) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// [`until_read`](Self::until_read), with whatever waits.
    #[inline]
    fn repeat_read(
        &self,
        wanted: usize,
        mut call: impl FnMut() -> io::Result<usize>,
        wait: impl FnMut(u64, &mut Option<Patience>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut tried = false;
        let result = self.repeat(
            Direction::Read,
            |seen| {
                if self.is_drained(seen) && !self.is_nonblocking() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                tried = true;
                let length = call()?;
                // Relaxed: published by the edge, if by one that we have seen.
                if 0 < length && length < wanted && !self.special.load(Relaxed) {
                    // Relaxed: what it says is true for whoever reads it.
                    self.drained.store(seen, Relaxed);
                }
                Ok(length)
            },
            wait,
        );
        match result {
            Err(error) if !tried && error.kind() == io::ErrorKind::TimedOut => {
                let last = call().map_err(|it| {
                    if it.kind() == io::ErrorKind::WouldBlock {
                        error
                    } else {
                        it
                    }
                });
                self.call_next(Direction::Read);
                self.check()?;
                last
            }
            result => result,
        }
    }

    /// Whether a read found the stream empty after that many edges, so that it is empty until the next.
    #[inline]
    fn is_drained(&self, seen: u64) -> bool {
        // Relaxed: it is void unless it names the count of now.
        seen > 0 && self.drained.load(Relaxed) == seen
    }

    /// As [`until_ready`](Self::until_ready), and looks again after each `pause` too, if the kernel
    /// does not tell of what is waited for.
    #[inline]
    #[track_caller]
    pub(crate) fn until_ready_or_due<T>(
        self: &Arc<Self>,
        teller: Teller<'_>,
        direction: Direction,
        mut pause: impl FnMut() -> Option<Duration>,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let caller = Location::caller();
        self.repeat(
            direction,
            |_| call(),
            |seen, patience| {
                let wish = Wish {
                    direction,
                    pause: pause(),
                    caller,
                };
                self.wait(teller, wish, seen, patience)
            },
        )
    }

    /// Does `call` until it would not block, and `wait` in between, both with the edges seen before.
    #[inline]
    #[track_caller]
    fn repeat<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut(u64) -> io::Result<T>,
        mut wait: impl FnMut(u64, &mut Option<Patience>) -> io::Result<()>,
    ) -> io::Result<T> {
        let mut patience = None;
        loop {
            self.check()?;
            // Acquire [edge]
            let seen = self.count(direction).edges.load(Acquire);
            match call(seen) {
                Ok(value) => {
                    if patience.is_some() {
                        self.call_next(direction);
                    }
                    return Ok(value);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(seen, &mut patience)?;
                }
                Err(error) => {
                    if patience.is_some() {
                        self.call_next(direction);
                    }
                    // What the descriptor says after it was closed under the call is no news of it.
                    self.check()?;
                    return Err(error);
                }
            }
        }
    }

    /// Waits for an edge after those `seen`, or for `pause`. May return for no reason.
    #[cold]
    fn wait(
        self: &Arc<Self>,
        teller: Teller<'_>,
        wish: Wish,
        seen: u64,
        patience: &mut Option<Patience>,
    ) -> io::Result<()> {
        if self.is_nonblocking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Teller::Network = teller {
            let _counted = Counted::new(self.count(wish.direction), None);
            let state = self.state.lock();
            self.check()?;
            return self.stand(state, wish, seen, patience);
        }
        if simulation().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a simulation cannot wait for a descriptor: no seed decides when it is ready",
            ));
        }
        let poller = POLLER.get()?;
        // Ends with the wait, however that ends. It begins before the line, for those who look at the
        // counts, and outside the lock, for the hook.
        let _counted = Counted::new(self.count(wish.direction), Some(poller));
        awaited();
        let mut state = self.state.lock();
        self.check()?;
        if let Teller::Poller(descriptor) = teller {
            self.register(&mut state, poller, descriptor)?;
        }
        self.stand(state, wish, seen, patience)
    }

    /// Stands in the line, if there was no edge after those `seen`.
    fn stand(
        &self,
        mut state: Guard<'_, State>,
        wish: Wish,
        seen: u64,
        patience: &mut Option<Patience>,
    ) -> io::Result<()> {
        let Wish {
            direction,
            pause,
            caller,
        } = wish;
        let side = state.side(direction);
        let known = patience.filter(|it| it.changes == side.changes);
        let Patience { deadline, changes } = *patience.insert(known.unwrap_or_else(|| Patience {
            deadline: side.timeout.and_then(deadline_after),
            changes: side.changes,
        }));
        let look = pause.and_then(deadline_after);
        let until = deadline.into_iter().chain(look).min();
        // Relaxed: it only changes under the lock, which is ours.
        if self.count(direction).edges.load(Relaxed) != seen {
            return Ok(());
        }
        let (line, reason): (fn(&mut State) -> &mut Line, _) = match direction {
            Direction::Read => (|it| &mut it.read.line, Reason::Readable),
            Direction::Write => (|it| &mut it.write.line, Reason::Writable),
        };
        let place = Place {
            end: End::Back,
            slot: NO_SLOT,
            reason,
            subject: 0,
            caller,
        };
        let waited = wait_at(&self.state, state, line, place, until);
        if waited == Err(TimedOut) && until == deadline {
            let mut state = self.state.lock();
            self.check()?;
            // If it was given more time, or less, while it woke, the next look reckons.
            if state.side(direction).changes == changes {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Lets the poller watch the descriptor, if it does not yet.
    fn register(
        self: &Arc<Self>,
        state: &mut State,
        poller: &'static Poller<Self>,
        descriptor: BorrowedFd<'_>,
    ) -> io::Result<()> {
        if state.registered.is_none() {
            // Where no runtime was ever made, nobody turns the poller yet.
            crate::scheduler::monitor::prepare_for_threads()?;
            let key = poller.register(descriptor.as_raw_fd(), Arc::clone(self))?;
            state.registered = Some(Registered { poller, key });
        }
        Ok(())
    }

    /// There may be more for those who still wait.
    #[inline]
    fn call_next(&self, direction: Direction) {
        // Relaxed: who stood behind us when we were called was counted before, and the wake-up has
        // passed that on. Who came later has seen the descriptor drained.
        if self.count(direction).waiting.load(Relaxed) > 0 {
            let next = self.state.lock().side(direction).line.call_first();
            drop(next);
        }
    }

    /// Fails if the source is closed.
    ///
    /// # Errors
    ///
    /// `NotConnected`, then.
    #[inline]
    pub(crate) fn check(&self) -> io::Result<()> {
        // Relaxed: nothing is received by it. Who must not miss it holds the lock.
        if self.closed.load(Relaxed) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(())
    }

    /// Ends every wait, and fails every later call, with `NotConnected`. If this returns `true` it is
    /// the first to do so, and the poller knows `descriptor` no more.
    pub(crate) fn close(&self, descriptor: RawFd) -> bool {
        let mut state = self.state.lock();
        if self.closed.load(Relaxed) {
            return false;
        }
        self.closed.store(true, Relaxed);
        let registered = state.registered.take();
        let readers = state.read.line.call_all();
        let writers = state.write.line.call_all();
        drop(state);
        readers.wake();
        writers.wake();
        deregister(registered.as_ref(), descriptor);
        true
    }

    /// Lets the poller forget the descriptor, which is about to be closed or given away.
    pub(crate) fn forget(&self, descriptor: RawFd) {
        let registered = self.state.lock().registered.take();
        deregister(registered.as_ref(), descriptor);
    }

    /// For how long calls of that direction wait.
    pub(crate) fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.state.lock().side(direction).timeout
    }

    /// From now on calls of that direction wait for `timeout` at most: those that wait already, from
    /// now on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no time at all, as in std.
    pub(crate) fn set_timeout(
        &self,
        direction: Direction,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        let mut state = self.state.lock();
        let side = state.side(direction);
        side.timeout = timeout;
        side.changes += 1;
        let calls = side.line.call_all();
        drop(state);
        calls.wake();
        Ok(())
    }

    /// Whether calls fail where they would wait.
    pub(crate) fn is_nonblocking(&self) -> bool {
        // Relaxed: here and below, a mode of its own.
        self.nonblocking.load(Relaxed)
    }

    /// Whether calls fail with `WouldBlock`, from now on, where they would wait. Those that wait
    /// already go on waiting.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Relaxed);
    }

    /// How many wait in that direction, or were called and have not run since.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn waiting(&self, direction: Direction) -> usize {
        self.count(direction).waiting.load(Relaxed)
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_registered(&self) -> bool {
        self.state.lock().registered.is_some()
    }

    fn count(&self, direction: Direction) -> &Count {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl State {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// Takes back a registration, with no lock held: the source may go with it.
fn deregister(registered: Option<&Registered>, descriptor: RawFd) {
    if let Some(Registered { poller, key }) = registered {
        // It fails if somebody else has closed the descriptor; the key is dead in any case.
        drop(poller.deregister(descriptor, *key));
    }
}

/// One who waits, in the numbers that others look at.
struct Counted<'a> {
    count: &'a Count,
    /// None in a model, and in a simulation.
    poller: Option<&'static Poller<Source>>,
}

impl<'a> Counted<'a> {
    fn new(count: &'a Count, poller: Option<&'static Poller<Source>>) -> Self {
        count.waiting.fetch_add(1, Relaxed);
        if let Some(poller) = poller {
            poller.add_waiter();
        }
        Self { count, poller }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.waiting.fetch_sub(1, Relaxed);
        if let Some(poller) = self.poller {
            poller.remove_waiter();
        }
    }
}

#[cfg(all(test, loom))]
mod model;
