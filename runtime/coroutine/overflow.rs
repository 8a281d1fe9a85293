//! The report of a stack that overflowed: whose it was, how big, and the setting to raise.
//!
//! A stack ends in a guard, and a fault there comes to our handler, on a stack of its own
//! ([`AlternateStack`]), as the other one is full. It asks the slab whether the address lies in a
//! guard of ours, and the program whether that stack was in use; if so it writes one line and aborts.
//! All other faults go to the handler that was there before, std's as a rule.
//!
//! Nothing here locks or allocates once the handler is installed.
//!
//! # Edges
//!
//! None: the fault is on the thread that runs the fiber.
//!
//! # Not done
//!
//! A frame of foreign code that skips the guard without touching it is not seen; rustc's frames touch
//! every page.

#![expect(unsafe_code, reason = "signal handlers and alternate stacks")]

use super::{
    fiber::task_on,
    range::{Guarded, guarded_by},
};
use crate::base::{fatal::LastWords, memory};
use std::{
    ffi::{c_int, c_void},
    fmt::{self, Write},
    io, mem,
    ptr::{self, NonNull},
    sync::OnceLock,
};

/// Writes who a task is: name, number, where it was spawned. In a signal handler: no lock, no
/// allocation.
pub(crate) type Describe = fn(task: *const (), to: &mut dyn Write) -> fmt::Result;

const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];
/// How far below its stack's end the stack pointer may be for a fault to count as an overflow: a frame
/// may be that big before it is first touched.
const FRAME_BYTES: usize = 1 << 20;

/// How many handlers may interrupt each other: no signal interrupts its own.
const ROOM_FOR_SIGNALS: usize = 64;
/// What they use themselves, in all.
const ROOM_FOR_HANDLERS: usize = 512 << 10;

static DESCRIBE: OnceLock<Describe> = OnceLock::new();
/// The handlers that were there before, by the order of [`SIGNALS`].
static PREVIOUS: [OnceLock<Action>; 2] = [OnceLock::new(), OnceLock::new()];

struct Action(libc::sigaction);

// SAFETY: plain data, never changed; the pointer in it is to a function of the C library.
unsafe impl Sync for Action {}
// SAFETY: as above.
unsafe impl Send for Action {}

/// Installs the handler, once for the process; later calls do nothing.
///
/// It only helps on threads with an [`AlternateStack`]: without one the kernel finds no room for the
/// handler on the full stack, and kills the process without a word.
///
/// # Errors
///
/// What `sigaction` says.
pub(crate) fn install(describe: Describe) -> io::Result<()> {
    if DESCRIBE.set(describe).is_err() {
        return Ok(());
    }
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
        let mut old = empty_action();
        // SAFETY: `old` is a place for the answer; nothing is changed.
        check(unsafe { libc::sigaction(signal, ptr::null(), &raw mut old) })?;
        // Before ours is in place, so that it finds the other.
        drop(previous.set(Action(old)));

        let mut ours = empty_action();
        ours.sa_sigaction = handle as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `handle` has the form that SA_SIGINFO asks for, and keeps to what a handler may do.
        check(unsafe { libc::sigaction(signal, &raw const ours, ptr::null_mut()) })?;
    }
    Ok(())
}

/// The stack on which this kernel thread handles faults; what was there before comes back on drop.
#[derive(Debug)]
pub(crate) struct AlternateStack {
    start: NonNull<u8>,
    bytes: usize,
    before: libc::stack_t,
}

impl AlternateStack {
    /// Gives the calling thread such a stack. Each thread that runs fibers needs one.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(crate) fn arm() -> io::Result<Self> {
        let guard = memory::page_bytes();
        let bytes = guard + frame_bytes().next_multiple_of(guard);
        let start = memory::map(bytes)?;
        // From here on the mapping goes again if something fails.
        let mut armed = Self {
            start,
            bytes,
            before: empty_stack(),
        };
        // SAFETY: the first page of what was just mapped.
        check(unsafe { libc::mprotect(start.as_ptr().cast(), guard, libc::PROT_NONE) })?;
        let stack = libc::stack_t {
            // SAFETY: within what was just mapped.
            ss_sp: unsafe { start.add(guard) }.as_ptr().cast(),
            ss_flags: 0,
            ss_size: bytes - guard,
        };
        let mut before = empty_stack();
        // SAFETY: the stack stays mapped until `drop` took it out of use on this thread, which it
        // never leaves, as `NonNull` is not `Send`.
        check(unsafe { libc::sigaltstack(&raw const stack, &raw mut before) })?;
        armed.before = before;
        Ok(armed)
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        // SAFETY: what was there before is still valid, as nobody frees it while it might come back;
        // or it says "none".
        if unsafe { libc::sigaltstack(&raw const self.before, ptr::null_mut()) } != 0 {
            // We are on it. It had better stay.
            return;
        }
        // SAFETY: out of use. Nothing could be done about an error.
        drop(unsafe { memory::unmap(self.start, self.bytes) });
    }
}

/// As any handler may run here that asks for it, and may be interrupted by another one: a frame of the
/// kernel's for each signal there is, which grows with the machine's vector registers, and room for what they
/// do. Only what is used costs memory.
fn frame_bytes() -> usize {
    // SAFETY: only reads.
    let kernel = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    let kernel = usize::try_from(kernel).unwrap_or(0);
    kernel.max(libc::MINSIGSTKSZ) * ROOM_FOR_SIGNALS + ROOM_FOR_HANDLERS
}

fn empty_stack() -> libc::stack_t {
    libc::stack_t {
        ss_sp: ptr::null_mut(),
        ss_flags: libc::SS_DISABLE,
        ss_size: 0,
    }
}

fn empty_action() -> libc::sigaction {
    // SAFETY: plain data, for which zeros mean: the default action, no flags, nothing masked.
    unsafe { mem::zeroed() }
}

fn check(outcome: c_int) -> io::Result<()> {
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the kernel calls on a fault.
unsafe extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes one, by SA_SIGINFO.
    let info_here = unsafe { &*info };
    // SAFETY: the union holds an address for the signals that we handle.
    let address = unsafe { info_here.si_addr() }.addr();
    // SAFETY: the kernel passes one, by SA_SIGINFO.
    let pointer = unsafe { stack_pointer(context) };
    if let Some(stack) = guarded_by(address)
        && (stack.start.saturating_sub(FRAME_BYTES)..stack.end).contains(&pointer)
    {
        report(&stack);
    }
    // SAFETY: as we were called.
    unsafe { pass_on(signal, info, context) };
}

/// Where the faulting code's stack had got to.
///
/// # Safety
///
/// `context` is what the kernel passed to a handler.
unsafe fn stack_pointer(context: *mut c_void) -> usize {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the caller's promise.
    let machine = unsafe { &(*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let pointer = machine.gregs[libc::REG_RSP as usize].cast_unsigned();
    #[cfg(target_arch = "aarch64")]
    let pointer = machine.sp;
    usize::try_from(pointer).unwrap_or(0)
}

/// Says whose stack overflowed, and aborts.
fn report(stack: &Guarded) -> ! {
    let mut words = LastWords::new();
    // `LastWords` takes everything; should the program's own part fail, then the rest says enough.
    let _ = words.write_str("\ngreen thread ");
    // SAFETY: the stack pointer is on that stack or just below it, so it is in use.
    let task = unsafe { task_on(stack) };
    let known = match DESCRIBE.get() {
        Some(describe) if !task.is_null() => describe(task, &mut words),
        _ => Err(fmt::Error),
    };
    if known.is_err() {
        let _ = words.write_str("<unknown>");
    }
    let _ = writeln!(
        words,
        " has overflowed its stack of {} KiB; raise it by thread::Builder::stack_size or \
         RuntimeBuilder::stack_size",
        stack.class.bytes() / 1024
    );
    words.flush();
    std::process::abort()
}

/// Leaves a fault to the handler that was there before ours.
///
/// # Safety
///
/// The arguments are what the kernel passed to ours.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let previous = match SIGNALS.iter().position(|it| *it == signal) {
        Some(at) => PREVIOUS[at].get(),
        None => None,
    };
    let Some(Action(previous)) = previous else {
        return;
    };
    if matches!(previous.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) {
        let default = empty_action();
        // Back to the fault, which happens again and ends the process as it would have without us.
        // SAFETY: the default action needs no handler.
        unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
    } else if previous.sa_flags & libc::SA_SIGINFO != 0 {
        type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
        // SAFETY: whoever installed it said by SA_SIGINFO that it has this form.
        let handler = unsafe { mem::transmute::<usize, Handler>(previous.sa_sigaction) };
        // SAFETY: the arguments are the kernel's.
        unsafe { handler(signal, info, context) };
    } else {
        type Handler = unsafe extern "C" fn(c_int);
        // SAFETY: whoever installed it said by the lack of SA_SIGINFO that it has this form.
        let handler = unsafe { mem::transmute::<usize, Handler>(previous.sa_sigaction) };
        // SAFETY: the argument is the kernel's.
        unsafe { handler(signal) };
    }
}
