//! Signals as messages: who wants to know of them is sent their numbers.
//!
//! The handler does what a handler may: it marks the signal in a word and writes to an eventfd. A kernel
//! thread that was started with the first subscription sleeps on that, and sends the number to whoever
//! subscribed to it, without waiting: who has no room misses it.
//!
//! The handler is in place while there is a subscriber. That a subscriber is gone is found when the
//! next signal comes for it; if it was the last, what was in place before comes back, and the signal is
//! sent once more if that is the default: so Ctrl-C ends the program again.
//!
//! # Invariants
//!
//! - What is installed and what was before is changed under `TABLE` alone. The handler reads what was
//!   before without a lock; an action that was once announced to it is never freed.
//!
//! # Edges
//!
//! - `[previous]` from the one who announces the previous action to the handler: it sees the action.
//!
//! # What was not done
//!
//! - *signal-hook-registry* runs its handler on the stack that the signal meets, which may be a green
//!   thread's last few hundred bytes, and never brings the previous action back.
//! - *Counting*: a signal that comes again before it was sent on is one signal, as in the kernel.

#![expect(unsafe_code, reason = "handlers are the system's")]

use crate::{
    base::{
        naps::Nap,
        primitives::{
            AtomicPtr,
            Ordering::{Acquire, Relaxed, Release},
            array_of, const_fn,
            global::{AtomicUsize, Mutex},
            static_item,
        },
    },
    channel::{Receiver, Sender, TrySendError, bounded},
    scheduler::origin::{all_but_faults, start_helper},
};
use std::{
    fs::File,
    io::{self, Read},
    mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::{OnceLock, PoisonError, TryLockError},
};

pub use libc::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH,
};

/// How many signals are kept for a subscriber that does not receive them.
const CAPACITY: usize = 32;
/// The highest number of a signal; each has a bit in a word.
const LAST: i32 = 64;
/// What cannot be caught, or is the overflow handler's and others' who deal with faults.
const FORBIDDEN: [i32; 6] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
];

/// A set of signals, a bit each.
type Set = usize;

/// What came and was not sent on yet.
static PENDING: AtomicUsize = AtomicUsize::new(0);
/// The eventfd's number, before any handler is in place.
static WAKE: AtomicUsize = AtomicUsize::new(0);
static_item! {
    /// For each signal that is handled, the action of before, if it was a function.
    static PREVIOUS: PerSignal<libc::sigaction> = PerSignal::new();
}

/// An action for each signal, that a handler may look at any time.
struct PerSignal<T>([AtomicPtr<T>; LAST as usize]);

impl<T> PerSignal<T> {
    const_fn! {
        const fn new() -> Self {
            Self(array_of!(LAST as usize, AtomicPtr::new(ptr::null_mut())))
        }
    }

    /// Handlers of this signal see the action from now on. It is leaked: a program has few of them, and installs
    /// them seldom.
    fn announce(&self, signal: i32, action: Option<T>) {
        let action = action.map_or(ptr::null_mut(), |it| Box::leak(Box::new(it)));
        // Release [previous]
        self.0[place(signal)].store(action, Release);
    }

    /// What was announced last, if anything.
    fn get(&self, signal: i32) -> Option<&T> {
        // Acquire [previous]
        let action = self.0[place(signal)].load(Acquire);
        // SAFETY: null, or leaked.
        unsafe { action.as_ref() }
    }
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    subscribers: Vec::new(),
    installed: [None; LAST as usize],
});

struct Table {
    subscribers: Vec<(Set, Sender<i32>)>,
    /// For each signal that we handle, the action of before.
    installed: [Option<libc::sigaction>; LAST as usize],
}

/// Sends the numbers of these signals from now on, until the receiver is dropped.
///
/// The signals do not do any more what they do by default: the program goes on. Each subscriber is sent
/// each of its signals. Sending waits for nobody: 32 signals are kept that were not received, and what
/// comes then is lost for that subscriber. Like signals that come at almost the same time may be one.
///
/// When the last subscriber of a signal is gone, the signal does again what it did before.
///
/// As long as somebody waits for a signal, there is no [deadlock](crate::run): it may come from outside.
///
/// # Examples
///
/// ```no_run
/// use sward::{select, signal};
///
/// let signals = signal::notify([signal::SIGHUP, signal::SIGTERM])?;
/// for signal in &signals {
///     match signal {
///         signal::SIGHUP => println!("reading the configuration again"),
///         _ => break,
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` for numbers that are no signal's, and for those that cannot be caught or mean that the
/// program is broken: `SIGKILL`, `SIGSTOP`, `SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`. The system's, if it
/// refuses a thread or a handler. Nothing is changed then.
pub fn notify<I: IntoIterator<Item = i32>>(signals: I) -> io::Result<Receiver<i32>> {
    let mut set = 0;
    for signal in signals {
        if !(1..=LAST).contains(&signal) || FORBIDDEN.contains(&signal) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("signal {signal} cannot be subscribed to"),
            ));
        }
        set |= bit(signal);
    }
    start()?;
    let (sender, receiver) = bounded(CAPACITY);
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    table.subscribers.push((set, sender));
    if let Err(error) = table.install() {
        table.subscribers.pop();
        table.uninstall();
        return Err(error);
    }
    Ok(receiver)
}

/// Sends a message for each Ctrl-C from now on, until the receiver is dropped: `SIGINT`, which then does
/// not end the program.
///
/// # Examples
///
/// ```no_run
/// use sward::{channel, select, signal};
/// use std::time::Duration;
///
/// let interrupted = signal::ctrl_c()?;
/// let ticks = channel::tick(Duration::from_secs(1));
/// loop {
///     select! {
///         recv(interrupted) -> _ => break,
///         recv(ticks) -> _ => println!("working"),
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The system's, if it refuses a thread or the handler.
pub fn ctrl_c() -> io::Result<Receiver<i32>> {
    notify([SIGINT])
}

fn bit(signal: i32) -> Set {
    1 << (signal - 1)
}

/// Where a signal has its place in a table.
fn place(signal: i32) -> usize {
    usize::try_from(signal - 1).unwrap_or(usize::MAX)
}

/// All signals of a set.
fn members(set: Set) -> impl Iterator<Item = i32> {
    (1..=LAST).filter(move |it| set & bit(*it) != 0)
}

impl Table {
    /// What anybody subscribed to.
    fn wanted(&self) -> Set {
        self.subscribers.iter().fold(0, |set, it| set | it.0)
    }

    /// Puts the handler in place for all that is wanted.
    fn install(&mut self) -> io::Result<()> {
        for signal in members(self.wanted()) {
            let installed = &mut self.installed[place(signal)];
            if installed.is_none() {
                let before = action(signal)?;
                let is_function = ![libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction);
                PREVIOUS.announce(signal, is_function.then_some(before));
                let mut ours = empty();
                ours.sa_sigaction = handle as *const () as usize;
                // On the kernel thread's own stack for signals: a green one may be too small.
                ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
                ours.sa_mask = all_but_faults();
                // SAFETY: `handle` has the form that SA_SIGINFO asks for, and keeps to what a handler
                // may do.
                check(unsafe { libc::sigaction(signal, &raw const ours, ptr::null_mut()) })?;
                *installed = Some(before);
            }
        }
        Ok(())
    }

    /// Takes the handler away for what nobody wants any more, and says what that was which would do the
    /// default now.
    fn uninstall(&mut self) -> Set {
        let unwanted = !self.wanted();
        let mut default = 0;
        for signal in members(unwanted) {
            let Some(before) = self.installed[place(signal)].take() else {
                continue;
            };
            let is_ours =
                action(signal).is_ok_and(|it| it.sa_sigaction == handle as *const () as usize);
            if !is_ours {
                // Somebody came after us, and may call ours still.
                continue;
            }
            // SAFETY: the action is one that was in place before.
            let outcome = unsafe { libc::sigaction(signal, &raw const before, ptr::null_mut()) };
            if outcome == 0 && before.sa_sigaction == libc::SIG_DFL {
                default |= bit(signal);
            }
        }
        default
    }

    /// Sends the signals to their subscribers. Returns those of them that are to do the default, as there
    /// were none.
    fn deliver(&mut self, pending: Set) -> Set {
        let mut heard = 0;
        self.subscribers.retain(|(set, sender)| {
            for signal in members(set & pending) {
                match sender.try_send(signal) {
                    Ok(()) | Err(TrySendError::Full(_)) => heard |= bit(signal),
                    Err(TrySendError::Disconnected(_)) => return false,
                }
            }
            true
        });
        self.uninstall() & pending & !heard
    }
}

/// Whether a signal could wake somebody now: one waits for a message from here.
pub(crate) fn is_awaited() -> bool {
    let table = match TABLE.try_lock() {
        Ok(table) => table,
        Err(TryLockError::Poisoned(table)) => table.into_inner(),
        // It is being sent.
        Err(TryLockError::WouldBlock) => return true,
    };
    table.subscribers.iter().any(|it| it.1.is_awaited())
}

/// Starts the thread that sends, once. A failure is tried again.
fn start() -> io::Result<()> {
    static STARTED: OnceLock<()> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if STARTED.get().is_some() {
        return Ok(());
    }
    // SAFETY: takes numbers only.
    let number = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, and nobody else knows it.
    let event = File::from(unsafe { OwnedFd::from_raw_fd(number) });
    let known = usize::try_from(event.as_raw_fd()).unwrap_or(0);
    start_helper("sward-signals", move || deliver_all(event))?;
    // Relaxed: installing a handler is a system call, and no handler of ours is in place yet.
    WAKE.store(known, Relaxed);
    // Nobody else is here.
    let _ = STARTED.set(());
    Ok(())
}

/// Sends what comes, for as long as the process lives.
fn deliver_all(mut event: File) {
    let mut count = [0; 8];
    loop {
        // It sleeps as those do who wait for other threads: what a signal can bring about, those who look for
        // deadlocks learn of by `is_awaited`.
        let nap = Nap::begin();
        // It can only fail by an interruption; then it is looked in vain.
        drop(event.read(&mut count));
        drop(nap);
        // Relaxed: nothing else is told by it; the read has seen the write that came after it.
        let pending = PENDING.swap(0, Relaxed);
        if pending == 0 {
            continue;
        }
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let default = table.deliver(pending);
        drop(table);
        // SAFETY: only reads.
        let own = unsafe { libc::getpid() };
        for signal in members(default) {
            // SAFETY: takes numbers only.
            let outcome = unsafe { libc::kill(own, signal) };
            debug_assert_eq!(outcome, 0, "a process may send itself any signal");
        }
    }
}

/// What the kernel calls on a signal.
unsafe extern "C" fn handle(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the calling thread's own, always there.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // First, so that who is sent the message finds that it was called.
    if let Some(previous) = PREVIOUS.get(signal) {
        // SAFETY: as we were called.
        unsafe { pass_on(previous, signal, info, context) };
    }
    // Relaxed: see where it is taken.
    PENDING.fetch_or(bit(signal), Relaxed);
    let event = RawFd::try_from(WAKE.load(Relaxed)).unwrap_or(-1);
    let one = 1_u64.to_ne_bytes();
    // SAFETY: eight bytes that are there. It is the eventfd's number, which is never closed.
    let _ = unsafe { libc::write(event, one.as_ptr().cast(), one.len()) };
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Calls the function of an action.
///
/// # Safety
///
/// `action` has a function; the rest is what the kernel passed to a handler.
unsafe fn pass_on(
    action: &libc::sigaction,
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    type Long = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    type Short = unsafe extern "C" fn(libc::c_int);
    let function = action.sa_sigaction as *const ();
    if action.sa_flags & libc::SA_SIGINFO == 0 {
        // SAFETY: without that flag a handler has this form.
        let function = unsafe { mem::transmute::<*const (), Short>(function) };
        // SAFETY: the kernel would have called it so.
        unsafe { function(signal) };
    } else {
        // SAFETY: with that flag a handler has this form.
        let function = unsafe { mem::transmute::<*const (), Long>(function) };
        // SAFETY: the kernel would have called it so.
        unsafe { function(signal, info, context) };
    }
}

/// The action of now.
fn action(signal: i32) -> io::Result<libc::sigaction> {
    let mut action = empty();
    // SAFETY: `action` is a place for the answer; nothing is changed.
    check(unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) })?;
    Ok(action)
}

fn empty() -> libc::sigaction {
    // SAFETY: plain data, for which zeros mean: the default action, no flags, nothing masked.
    unsafe { mem::zeroed() }
}

fn check(outcome: libc::c_int) -> io::Result<()> {
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::{PerSignal, SIGHUP, SIGINT};
    use crate::base::primitives::Fixed;
    use loom::{sync::Arc, thread};

    /// A handler sees a whole action, the first or the second, or that there is none.
    #[test]
    fn a_handler_sees_what_was_announced() {
        loom::model(|| {
            let previous = Arc::new(PerSignal::new());
            let handler = thread::spawn({
                let previous = Arc::clone(&previous);
                move || previous.get(SIGINT).map(|it: &Fixed<i32>| *it.get())
            });
            previous.announce(SIGHUP, Some(Fixed::new(9)));
            previous.announce(SIGINT, Some(Fixed::new(1)));
            previous.announce(SIGINT, Some(Fixed::new(2)));
            let seen = handler.join().expect("no panic");
            assert!(matches!(seen, None | Some(1 | 2)));
        });
    }
}
