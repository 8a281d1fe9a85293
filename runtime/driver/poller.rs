//! One thread sleeps for all: it learns which descriptors are ready, and wakes at a given time.
//!
//! A descriptor is registered once, for both directions and by edges: the kernel tells each change
//! once, and the source's own state remembers it. Whoever holds the poller turns it, one thread at
//! a time; others neither wait for it nor need to.
//!
//! A registration is known to the kernel by its key in a slab. Events of a descriptor that was
//! deregistered while they were on their way find no one under the key, even when the number of
//! the descriptor, or the place in the slab, has a new owner.
//!
//! mio rounds time-outs up to milliseconds, so a sleep that has a deadline is ended by a [`Timer`].
//!
//! # Invariants
//!
//! - Under `sources` nothing is called and nothing is dropped: a source's drop may deregister.
//! - The sleep word is ended before the first event is handed out, so that what is woken by them
//!   does not write to the eventfd for a thread that is awake.
//!
//! # What was not done
//!
//! - *A pointer as the kernel's token*: no lock to find the source, but then somebody has to find
//!   out when the last event that names it has been seen.
//! - *`epoll_pwait2`* instead of the timerfd: would save a system call, but mio does not have it.

use super::{
    clock,
    slab::{Key, NOWHERE, Slab},
    sleep::Sleep,
    timer::Timer,
};
use crate::base::{
    lock::{Guard, Lock},
    primitives::{AtomicUsize, Ordering::Relaxed},
};
use mio::{Events, Interest, Poll, Registry, Token, Waker, unix::SourceFd};
use std::{
    fmt, io, mem,
    os::fd::RawFd,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// How many events are taken from the kernel at once.
const EVENTS: usize = 1024;
/// How often a turn asks again because its buffer was full, so that it ends.
const ROUNDS: usize = 16;
/// No key is like these: both name no place.
const WAKE: Token = Token(NOWHERE as usize);
const TIMER: Token = Token(NOWHERE as usize | 1 << 32);

/// What a source can do now, or will be told the error of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// There is something beside data to read: the end, an error, or a mark of urgent data.
    pub(crate) special: bool,
}

/// For how long a turn waits if nothing is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// Not at all.
    Now,
    /// Until the time, for ever if there is none, or until woken. Never shorter without a cause.
    Until(Option<u64>),
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turned {
    /// How many events were handed out.
    pub(crate) events: usize,
    /// Whether a wake-up came; its cause must be looked for.
    pub(crate) woken: bool,
}

/// The process's poller, made when it is needed first.
pub(crate) struct Global<S> {
    poller: OnceLock<Poller<S>>,
    /// Held while it is made. The system's own: a static is no part of any model.
    making: Mutex<()>,
}

impl<S> Global<S> {
    pub(crate) const fn new() -> Self {
        Self {
            poller: OnceLock::new(),
            making: Mutex::new(()),
        }
    }

    /// The poller if anybody has needed it so far.
    pub(crate) fn made(&self) -> Option<&Poller<S>> {
        self.poller.get()
    }

    /// The poller. If the system refuses one, the next call asks again.
    pub(crate) fn get(&self) -> io::Result<&Poller<S>> {
        if let Some(poller) = self.poller.get() {
            return Ok(poller);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(poller) = self.poller.get() {
            return Ok(poller);
        }
        let poller = Poller::new()?;
        Ok(self.poller.get_or_init(|| poller))
    }
}

impl<S> fmt::Debug for Global<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Global").field(&self.poller).finish()
    }
}

/// Descriptors and what they stand for, of type `S`.
pub(crate) struct Poller<S> {
    registry: Registry,
    waker: Waker,
    sleep: Sleep,
    sources: Lock<Slab<Arc<S>>>,
    /// How many wait for a source: whether looking is worth its while.
    waiters: AtomicUsize,
    turner: Lock<Turner<S>>,
}

/// What only the thread that turns the poller needs.
struct Turner<S> {
    poll: Poll,
    events: Events,
    timer: Timer,
    /// Events and their sources. Empty between turns.
    batch: Vec<(Arc<S>, Ready)>,
}

impl<S> Poller<S> {
    pub(crate) fn new() -> io::Result<Self> {
        Self::with_events(EVENTS)
    }

    fn with_events(events: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKE)?;
        let timer = Timer::new()?;
        registry.register(
            &mut SourceFd(&timer.descriptor()),
            TIMER,
            Interest::READABLE,
        )?;
        Ok(Self {
            registry,
            waker,
            sleep: Sleep::new(),
            sources: Lock::new(Slab::new()),
            waiters: AtomicUsize::new(0),
            turner: Lock::new(Turner {
                poll,
                events: Events::with_capacity(events),
                timer,
                batch: Vec::new(),
            }),
        })
    }

    /// From now on events of `descriptor` are handed out with `source`: the first says what it is
    /// ready for already. Both are kept until deregistered.
    pub(crate) fn register(&self, descriptor: RawFd, source: Arc<S>) -> io::Result<Key> {
        let key = self.sources.lock().insert(source);
        let result = self.registry.register(
            &mut SourceFd(&descriptor),
            token(key),
            Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY,
        );
        if let Err(error) = result {
            let source = self.sources.lock().remove(key);
            drop(source);
            return Err(error);
        }
        Ok(key)
    }

    /// No event is looked up for `key` any more; one that was before may be handed out still, with
    /// the old source. To be called before the descriptor is closed.
    pub(crate) fn deregister(&self, descriptor: RawFd, key: Key) -> io::Result<()> {
        let source = self.sources.lock().remove(key);
        let result = self.registry.deregister(&mut SourceFd(&descriptor));
        drop(source);
        result
    }

    /// How many sources are registered.
    #[cfg_attr(not(test), expect(dead_code, reason = "asked by tests"))]
    pub(crate) fn registered(&self) -> usize {
        self.sources.lock().len()
    }

    /// One more waits for a source.
    pub(crate) fn add_waiter(&self) {
        self.waiters.fetch_add(1, Relaxed);
    }

    /// One less waits for a source.
    pub(crate) fn remove_waiter(&self) {
        self.waiters.fetch_sub(1, Relaxed);
    }

    /// How many wait for a source.
    pub(crate) fn waiters(&self) -> usize {
        self.waiters.load(Relaxed)
    }

    /// Ends the sleep under way, or keeps the next one from beginning. Costs a system call at most
    /// once per sleep.
    pub(crate) fn wake(&self) {
        if self.sleep.wake() {
            self.write();
        }
    }

    /// Ends the sleep under way if it would last longer than `deadline`. The alarm has been made
    /// known under a lock which the sleeper takes between [`Hold::announce`] and its sleep.
    #[cfg_attr(not(test), expect(dead_code, reason = "asked by tests"))]
    pub(crate) fn wake_for(&self, deadline: u64) {
        if self.sleep.wake_for(deadline) {
            self.write();
        }
    }

    fn write(&self) {
        let written = self.waker.wake();
        // An eventfd that is our own takes a number at any time.
        debug_assert!(written.is_ok(), "cannot wake the poller: {written:?}");
    }

    /// The right to turn the poller, unless another thread has it.
    pub(crate) fn try_hold(&self) -> Option<Hold<'_, S>> {
        Some(Hold {
            poller: self,
            turner: self.turner.try_lock()?,
            announced: false,
            woken: false,
        })
    }

    /// Turns the poller, unless another thread does. See [`Hold::turn`].
    pub(crate) fn try_turn(
        &self,
        turn: Turn,
        on_event: impl FnMut(&Arc<S>, Ready),
    ) -> Option<io::Result<Turned>> {
        Some(self.try_hold()?.turn(turn, on_event))
    }
}

impl<S> fmt::Debug for Poller<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("sleep", &self.sleep)
            .field("waiters", &self.waiters)
            .finish_non_exhaustive()
    }
}

/// The right to turn a poller; one thread at a time has it.
pub(crate) struct Hold<'a, S> {
    poller: &'a Poller<S>,
    turner: Guard<'a, Turner<S>>,
    /// Whether the sleep word says that we sleep.
    announced: bool,
    /// Whether a wake-up came that has not been told.
    woken: bool,
}

impl<S> Hold<'_, S> {
    /// From here on wake-ups are for this thread. What it then looks for and does not find, it may
    /// sleep for: nothing is missed. A wake-up of before keeps it from sleeping too.
    pub(crate) fn announce(&mut self) {
        if !self.announced {
            self.announced = true;
            self.woken |= self.poller.sleep.announce();
        }
    }

    /// Hands out what the kernel has to tell, waiting for it as long as `turn` says.
    ///
    /// # Errors
    ///
    /// The system's, if it refuses to wait: somebody else closed our descriptors. No event was
    /// handed out then.
    pub(crate) fn turn(
        mut self,
        turn: Turn,
        mut on_event: impl FnMut(&Arc<S>, Ready),
    ) -> io::Result<Turned> {
        let mut full = match turn {
            Turn::Now => self.look(Some(Duration::ZERO))?.full,
            Turn::Until(deadline) => self.sleep(deadline)?,
        };
        self.withdraw();
        let mut events = 0;
        for round in 1.. {
            let mut batch = mem::take(&mut self.turner.batch);
            events += batch.len();
            for (source, ready) in batch.drain(..) {
                on_event(&source, ready);
            }
            self.turner.batch = batch;
            if !full || round == ROUNDS {
                break;
            }
            // What was handed out so far counts, whatever happens now.
            full = self
                .look(Some(Duration::ZERO))
                .is_ok_and(|looked| looked.full);
        }
        Ok(Turned {
            events,
            woken: self.woken,
        })
    }

    /// Waits until there is an event in the batch, the deadline or a wake-up. If this returns
    /// `true` then the kernel may have more.
    fn sleep(&mut self, deadline: Option<u64>) -> io::Result<bool> {
        self.announce();
        let mut committed = false;
        loop {
            let now = deadline.map_or(0, |_| clock::now_ns());
            let due = deadline.is_some_and(|it| it <= now);
            if !due && !self.woken {
                if let Some(deadline) = deadline {
                    self.turner.timer.set(deadline, now)?;
                }
                committed = committed || self.poller.sleep.commit(deadline);
            }
            let wait = committed && !due;
            let looked = self.look((!wait).then_some(Duration::ZERO))?;
            if !wait || looked.wake || !self.turner.batch.is_empty() {
                return Ok(looked.full);
            }
        }
    }

    /// Asks the kernel, and finds the sources of its events.
    fn look(&mut self, timeout: Option<Duration>) -> io::Result<Looked> {
        let turner = &mut *self.turner;
        while let Err(error) = turner.poll.poll(&mut turner.events, timeout) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(self.resolve())
    }

    /// Puts the events at hand and their sources into the batch.
    fn resolve(&mut self) -> Looked {
        let turner = &mut *self.turner;
        let mut looked = Looked::default();
        let mut count = 0;
        let mut events = turner.events.iter().inspect(|_| count += 1).peekable();
        if events.peek().is_some() {
            let sources = self.poller.sources.lock();
            for event in events {
                match event.token() {
                    WAKE => looked.wake = true,
                    TIMER => turner.timer.seen(),
                    Token(bits) => {
                        if let Some(source) = sources.get(Key::from_bits(bits as u64)) {
                            turner.batch.push((Arc::clone(source), ready(event)));
                        }
                    }
                }
            }
        }
        looked.full = count >= turner.events.capacity();
        looked
    }

    /// This thread is awake, and wake-ups are no longer for it.
    fn withdraw(&mut self) {
        if self.announced {
            self.announced = false;
            self.woken |= self.poller.sleep.end();
        }
    }
}

impl<S> Drop for Hold<'_, S> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl<S> fmt::Debug for Hold<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("announced", &self.announced)
            .field("woken", &self.woken)
            .finish_non_exhaustive()
    }
}

/// What one look into the kernel came to, beside the batch.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    /// Somebody wrote to the eventfd.
    wake: bool,
    /// There was no room for more.
    full: bool,
}

/// The key as the kernel keeps it.
fn token(key: Key) -> Token {
    const { assert!(usize::BITS == 64, "a token must hold a key") };
    #[expect(clippy::cast_possible_truncation, reason = "64 bits, as asserted")]
    Token(key.to_bits() as usize)
}

/// An error, or a peer gone for good, makes both directions ready: the next call is told.
fn ready(event: &mio::event::Event) -> Ready {
    let error = event.is_error();
    let special = event.is_priority() || event.is_read_closed() || error;
    Ready {
        readable: event.is_readable() || special,
        writable: event.is_writable() || event.is_write_closed() || error,
        special,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Global, Key, Poller, Ready, Turn, Turned};
    use crate::driver::clock::now_ns;
    use std::{
        env,
        fs::File,
        io::{Read, Write},
        iter,
        os::{
            fd::{AsRawFd, OwnedFd},
            unix::net::UnixStream,
        },
        process::Command,
        sync::{Arc, Barrier},
        thread,
    };

    const BOTH: Ready = Ready {
        readable: true,
        writable: true,
        special: false,
    };

    /// Two ends of a stream, the first of which is registered as `name`.
    fn pair(poller: &Poller<usize>, name: usize) -> (UnixStream, UnixStream, Key) {
        let (near, far) = UnixStream::pair().expect("descriptors");
        near.set_nonblocking(true).expect("ours");
        let key = poller.register(near.as_raw_fd(), Arc::new(name));
        (near, far, key.expect("room in epoll"))
    }

    /// One turn, and what it handed out.
    fn turn(poller: &Poller<usize>, turn: Turn) -> (Turned, Vec<(usize, Ready)>) {
        let mut seen = Vec::new();
        let turned = poller
            .try_turn(turn, |source, ready| seen.push((**source, ready)))
            .expect("nobody else turns it")
            .expect("epoll works");
        assert_eq!(turned.events, seen.len());
        (turned, seen)
    }

    #[test]
    fn each_change_is_told_once() {
        let poller = Poller::new().expect("descriptors");
        let (mut near, mut far, key) = pair(&poller, 7);
        let writable = Ready {
            readable: false,
            writable: true,
            special: false,
        };
        let end = Ready {
            special: true,
            ..BOTH
        };
        assert_eq!(turn(&poller, Turn::Until(None)).1, [(7, writable)]);
        assert_eq!(turn(&poller, Turn::Now).1, []);
        far.write_all(b"x").expect("room");
        assert_eq!(turn(&poller, Turn::Until(None)).1, [(7, BOTH)]);
        assert_eq!(turn(&poller, Turn::Now).1, []);
        assert_eq!(near.read(&mut [0; 8]).expect("there"), 1);
        drop(far);
        assert_eq!(turn(&poller, Turn::Until(None)).1, [(7, end)]);
        poller.deregister(near.as_raw_fd(), key).expect("ours");
        assert_eq!(poller.registered(), 0);
    }

    #[test]
    fn more_events_than_fit_come_in_one_turn() {
        let poller = Poller::with_events(16).expect("descriptors");
        let pairs: Vec<_> = (0..100).map(|it| pair(&poller, it)).collect();
        let (turned, mut seen) = turn(&poller, Turn::Until(None));
        assert_eq!(turned.events, 100);
        seen.sort_unstable_by_key(|it| it.0);
        assert!(seen.iter().map(|it| it.0).eq(0..100));
        for (near, _, key) in &pairs {
            poller.deregister(near.as_raw_fd(), *key).expect("ours");
        }
    }

    #[test]
    fn a_turn_ends_even_if_the_kernel_always_has_more() {
        let poller = Poller::with_events(1).expect("descriptors");
        let (near, mut far, key) = pair(&poller, 1);
        let mut events = 0;
        poller
            .try_turn(Turn::Now, |_, _| {
                events += 1;
                far.write_all(b"x").expect("room");
            })
            .expect("nobody else turns it")
            .expect("epoll works");
        assert_eq!(events, super::ROUNDS);
        assert_eq!(turn(&poller, Turn::Until(None)).1, [(1, BOTH)], "the last");
        assert_eq!(turn(&poller, Turn::Now).1, []);
        poller.deregister(near.as_raw_fd(), key).expect("ours");
    }

    #[test]
    fn a_stale_event_never_reaches_a_successor() {
        let poller = Poller::new().expect("descriptors");
        let (near, far, old) = pair(&poller, 1);
        let number = near.as_raw_fd();
        let mut hold = poller.try_hold().expect("free");
        let inner = &mut *hold.turner;
        inner
            .poll
            .poll(&mut inner.events, None)
            .expect("an event at once");
        assert!(!inner.events.is_empty());
        poller.deregister(number, old).expect("ours");
        drop((near, far));
        // The lowest free number is taken again, unless another test is quicker; the place in the
        // slab is, in any case.
        let (near, _far, new) = pair(&poller, 2);
        assert_eq!(old.place(), new.place());
        assert_ne!(old, new);
        let _ = hold.resolve();
        assert!(hold.turner.batch.is_empty());
        drop(hold);
        assert_eq!(turn(&poller, Turn::Until(None)).1.len(), 1);
        poller.deregister(near.as_raw_fd(), new).expect("ours");
    }

    #[test]
    fn a_source_may_deregister_as_it_is_dropped() {
        struct Source(Arc<Poller<Source>>, OwnedFd);
        impl Drop for Source {
            fn drop(&mut self) {
                // Fails, as it is deregistered already; it must not hang.
                let again = self.0.deregister(self.1.as_raw_fd(), Key::from_bits(0));
                assert!(again.is_err());
            }
        }
        let poller = Arc::new(Poller::new().expect("descriptors"));
        let (near, _far) = UnixStream::pair().expect("descriptors");
        let number = near.as_raw_fd();
        let source = Arc::new(Source(Arc::clone(&poller), near.into()));
        let key = poller.register(number, source).expect("room");
        poller.deregister(number, key).expect("ours");
        assert_eq!(poller.registered(), 0);
    }

    #[test]
    fn what_epoll_cannot_watch_is_refused_and_forgotten() {
        let poller = Poller::new().expect("descriptors");
        let file = File::open("/proc/self/exe").expect("ourselves");
        assert!(poller.register(file.as_raw_fd(), Arc::new(1)).is_err());
        assert_eq!(poller.registered(), 0);
    }

    #[test]
    fn a_wake_up_before_the_sleep_ends_it_at_once() {
        let poller = Poller::<usize>::new().expect("descriptors");
        poller.wake();
        poller.wake();
        let woken = Turned {
            events: 0,
            woken: true,
        };
        assert_eq!(turn(&poller, Turn::Until(None)).0, woken);

        let mut hold = poller.try_hold().expect("free");
        hold.announce();
        poller.wake();
        let turned = hold.turn(Turn::Until(None), |_, _| {});
        assert_eq!(turned.expect("epoll works"), woken);
        assert_eq!(turn(&poller, Turn::Now).0, Turned::default());
    }

    #[test]
    fn a_hold_given_back_leaves_no_sleeper_behind() {
        let poller = Poller::<usize>::new().expect("descriptors");
        let mut hold = poller.try_hold().expect("free");
        assert!(poller.try_hold().is_none());
        hold.announce();
        drop(hold);
        assert!(!poller.sleep.wake_for(0), "nobody to write to");
    }

    #[test]
    fn a_sleeper_is_woken_every_time() {
        let poller = Poller::<usize>::new().expect("descriptors");
        poller.add_waiter();
        assert_eq!(poller.waiters(), 1);
        poller.remove_waiter();
        assert_eq!(poller.waiters(), 0);
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..2_000 {
                    barrier.wait();
                    if round % 3 == 0 {
                        thread::yield_now();
                    }
                    poller.wake();
                }
            });
            for _ in 0..2_000 {
                barrier.wait();
                while !turn(&poller, Turn::Until(None)).0.woken {}
            }
        });
    }

    #[test]
    fn a_sleep_is_never_short_and_ends() {
        let poller = Poller::<usize>::new().expect("descriptors");
        let mut late = Vec::new();
        for it in 0..200 {
            // Some after a timer that is far too early, or far too late.
            let stray = [0, 1_500_000, 60_000_000_000][it % 3];
            if stray > 0 {
                let now = now_ns();
                let mut hold = poller.try_hold().expect("free");
                hold.turner.timer.set(now + stray, now).expect("ours");
            }
            let deadline = now_ns() + 300_000 + it as u64 * 10_000;
            let turned = turn(&poller, Turn::Until(Some(deadline))).0;
            let now = now_ns();
            assert!(now >= deadline, "{} ns early", deadline - now);
            assert_eq!(turned, Turned::default());
            late.push(now - deadline);
        }
        late.sort_unstable();
        // Beyond a tick of the kernel the timer cannot have done it. Half of them, as others run.
        assert!(late[100] < 20_000_000, "median {} ns late", late[100]);
    }

    #[test]
    fn a_deadline_that_has_passed_only_looks() {
        let poller = Poller::new().expect("descriptors");
        assert_eq!(turn(&poller, Turn::Until(Some(0))).0, Turned::default());
        let (near, _far, key) = pair(&poller, 3);
        assert_eq!(turn(&poller, Turn::Until(Some(0))).1.len(), 1);
        poller.deregister(near.as_raw_fd(), key).expect("ours");
    }

    #[test]
    fn an_earlier_alarm_ends_a_longer_sleep() {
        let poller = Poller::<usize>::new().expect("descriptors");
        let mut hold = poller.try_hold().expect("free");
        hold.announce();
        thread::scope(|scope| {
            let later = now_ns() + 3_600_000_000_000;
            scope.spawn(|| {
                poller.wake_for(now_ns());
            });
            let turned = hold.turn(Turn::Until(Some(later)), |_, _| {});
            assert!(turned.expect("epoll works").woken);
        });
    }

    #[test]
    fn without_descriptors_it_says_so_and_can_be_tried_again() {
        let program = env::current_exe().expect("ourselves");
        let child = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(program)
            .args(["--exact", "--ignored", "--test-threads=1"])
            .arg("driver::poller::tests::in_a_process_with_few_descriptors")
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }

    #[test]
    #[ignore = "run by the test above, in a process of its own"]
    fn in_a_process_with_few_descriptors() {
        static GLOBAL: Global<usize> = Global::new();
        let mut files: Vec<_> = iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let mut refused = 0;
        // It needs four or five, and whichever is missing, none stays behind.
        while let Err(error) = GLOBAL.get() {
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            assert!(GLOBAL.made().is_none());
            refused += 1;
            assert!(files.pop().is_some());
        }
        assert!((3..=5).contains(&refused), "refused {refused} times");
        assert!(GLOBAL.made().is_some());
    }

    /// Not a test: `cargo test --release --lib poller -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_turns_and_wake_ups() {
        let poller = Poller::<usize>::new().expect("descriptors");
        let rounds = 1_000_000;
        let start = now_ns();
        for _ in 0..rounds {
            turn(&poller, Turn::Now);
        }
        let look = (now_ns() - start) / rounds;
        let start = now_ns();
        for _ in 0..rounds {
            poller.wake();
        }
        let wake = (now_ns() - start) / rounds;
        turn(&poller, Turn::Now);
        let mut late: Vec<_> = (0..2_000)
            .map(|_| {
                let deadline = now_ns() + 100_000;
                while now_ns() < deadline {
                    turn(&poller, Turn::Until(Some(deadline)));
                }
                now_ns() - deadline
            })
            .collect();
        late.sort_unstable();
        let (half, most) = (late[1_000], late[1_980]);
        panic!("look {look} ns, wake nobody {wake} ns, late p50 {half} p99 {most} ns");
    }
}
