//! Atomics, locks, fences and futexes: the system's, or loom's when a model runs.
//!
//! The only file with `cfg(loom)`, but for the models themselves.

#![expect(unsafe_code, reason = "futexes are system calls")]

#[cfg(not(loom))]
pub(crate) use self::system::{
    Fixed, Room, futex_wait, futex_wake, heavy_barrier, light_barrier, register_heavy_barrier,
    try_heavy_barrier, yield_thread,
};
#[cfg(not(loom))]
pub(crate) use super::mutex::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
        Ordering, fence,
    },
};

#[cfg(all(test, loom))]
pub(crate) use self::model::without_membarrier;
#[cfg(loom)]
pub(crate) use self::model::{
    Fixed, Room, futex_wait, futex_wake, heavy_barrier, light_barrier, register_heavy_barrier,
    try_heavy_barrier, yield_thread,
};
#[cfg(loom)]
pub(crate) use loom::{
    hint::spin_loop,
    sync::{
        Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
            AtomicUsize, Ordering, fence,
        },
    },
};

/// The system's own, in a model too: for statics and mapped memory, which no model can make anew.
///
/// A section under such a lock must contain nothing of a model.
pub(crate) mod global {
    pub(crate) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    };
}

/// How many pauses a thread makes before it sleeps for a short section: some 20 microseconds, the price of a
/// sleep. A model looks once.
#[cfg(not(loom))]
pub(crate) const PAUSES: u32 = 1000;
#[cfg(loom)]
pub(crate) const PAUSES: u32 = 1;

/// How long a waiter lets newcomers overtake it. In a model not at all: it has no clock.
#[cfg(not(loom))]
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1);
#[cfg(loom)]
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::ZERO;

/// A `const fn` of what is made of atomics and locks; a plain one in a model, as loom's are not const.
#[cfg(not(loom))]
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => {
        $(#[$meta])* $vis const fn $($rest)*
    };
}
#[cfg(loom)]
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => {
        $(#[$meta])* $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

/// An array of what is made of atomics, each made alike.
#[cfg(not(loom))]
macro_rules! array_of {
    ($count:expr, $value:expr) => {
        [const { $value }; $count]
    };
}
#[cfg(loom)]
macro_rules! array_of {
    ($count:expr, $value:expr) => {
        std::array::from_fn::<_, { $count }, _>(|_| $value)
    };
}
pub(crate) use array_of;

/// A static of what is made of atomics; a model makes it anew each time it runs.
#[cfg(not(loom))]
macro_rules! static_item {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$meta])* static $name: $type = $value;
    };
}
#[cfg(loom)]
macro_rules! static_item {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $value:expr;) => {
        loom::lazy_static! { $(#[$meta])* static ref $name: $type = $value; }
    };
}
pub(crate) use static_item;

#[cfg(not(loom))]
mod system {
    use super::AtomicU32;
    use std::{
        ptr,
        time::{Duration, Instant},
    };

    /// A value that is written before others find it and then only read; a model sees to that.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct Fixed<T>(T);

    impl<T> Fixed<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(value)
        }

        #[inline]
        pub(crate) fn get(&self) -> &T {
            &self.0
        }

        pub(crate) fn set(&mut self, value: T) {
            self.0 = value;
        }
    }

    /// The room of a value that others reach by its address; a model sees to it that each use of it comes before its
    /// end, which loom does not know of atomics.
    #[derive(Debug)]
    pub(crate) struct Room;

    impl Room {
        pub(crate) const fn new() -> Self {
            Self
        }

        /// The value is used.
        #[inline(always)]
        #[expect(clippy::unused_self, reason = "a model uses it")]
        pub(crate) fn enter(&self) {}
    }

    /// Sleeps while `word` is `expected`, until woken or `deadline`. May come back for no reason.
    pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, deadline: Option<Instant>) {
        let timeout = deadline.map(|it| timespec(it.saturating_duration_since(Instant::now())));
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: `word` outlives the call, and `timeout` is null or points to a local.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                expected,
                timeout,
            );
        }
    }

    /// The cheap side of a pair of barriers: orders for the compiler what [`heavy_barrier`] orders for
    /// the processor.
    #[inline]
    pub(crate) fn light_barrier() {
        std::sync::atomic::compiler_fence(super::Ordering::SeqCst);
    }

    /// The dear side: every thread of the process passes a full barrier between two of its
    /// instructions, if `membarrier`; else this thread alone does, and the others need their own.
    pub(crate) fn heavy_barrier(membarrier: bool) {
        if membarrier {
            let _registered = all_pass();
        }
        super::fence(super::Ordering::SeqCst);
    }

    /// The dear side, for who does not know whether it was registered. If this returns `false`, the kernel
    /// does not have it: then this thread alone has passed a barrier.
    #[must_use]
    pub(crate) fn try_heavy_barrier() -> bool {
        let passed = all_pass() || (register_heavy_barrier() && all_pass());
        super::fence(super::Ordering::SeqCst);
        passed
    }

    /// Lets every thread of the process pass a full barrier, if that was registered.
    fn all_pass() -> bool {
        // SAFETY: the command takes no pointers.
        unsafe { libc::syscall(libc::SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) == 0 }
    }

    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    /// Tells the kernel that [`heavy_barrier`] will be used; `false` if it does not have it.
    pub(crate) fn register_heavy_barrier() -> bool {
        // SAFETY: the command takes no pointers.
        unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 }
    }

    /// Gives the processor away, for a wait of a few instructions.
    pub(crate) fn yield_thread() {
        std::thread::yield_now();
    }

    /// Wakes up to `count` of those who sleep on `word`.
    pub(crate) fn futex_wake(word: &AtomicU32, count: i32) {
        // SAFETY: waking only uses the address of `word`.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                count,
            );
        }
    }

    /// A length of time for the kernel; one that it cannot count is for ever.
    fn timespec(time: Duration) -> libc::timespec {
        libc::timespec {
            tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(time.subsec_nanos().cast_signed()),
        }
    }
}

#[cfg(loom)]
mod model {
    use super::{AtomicU32, Ordering};
    use loom::thread::{self, Thread};
    use std::{
        cell::Cell,
        sync::{Mutex, PoisonError},
        time::Instant,
    };

    /// Who sleeps on which word, of all models that run now.
    static SLEEPERS: Mutex<Vec<(usize, Thread)>> = Mutex::new(Vec::new());

    fn sleepers<T>(f: impl FnOnce(&mut Vec<(usize, Thread)>) -> T) -> T {
        f(&mut SLEEPERS.lock().unwrap_or_else(PoisonError::into_inner))
    }

    thread_local! {
        /// The kernel has no `membarrier`, in the model that this kernel thread runs.
        static REFUSED: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs a model in which the kernel refuses `membarrier`: light barriers order nothing.
    #[cfg(test)]
    pub(crate) fn without_membarrier(model: impl FnOnce()) {
        struct Ends;
        impl Drop for Ends {
            fn drop(&mut self) {
                REFUSED.set(false);
            }
        }
        REFUSED.set(true);
        let _ends = Ends;
        model();
    }

    #[derive(Debug)]
    pub(crate) struct Fixed<T>(loom::cell::UnsafeCell<T>);

    // SAFETY: it is shared for reading alone, which the cell checks.
    unsafe impl<T: Sync> Sync for Fixed<T> {}

    impl<T> Fixed<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::cell::UnsafeCell::new(value))
        }

        pub(crate) fn get(&self) -> &T {
            // SAFETY: it is written to by `&mut` alone.
            self.0.with(|it| unsafe { &*it })
        }

        pub(crate) fn set(&mut self, value: T) {
            // SAFETY: it is the caller's alone.
            self.0.with_mut(|it| unsafe { *it = value });
        }
    }

    #[derive(Debug)]
    pub(crate) struct Room(loom::cell::UnsafeCell<()>);

    // SAFETY: the cell holds nothing.
    unsafe impl Sync for Room {}

    impl Room {
        pub(crate) fn new() -> Self {
            Self(loom::cell::UnsafeCell::new(()))
        }

        pub(crate) fn enter(&self) {
            self.0.with(|_| ());
        }
    }

    impl Drop for Room {
        fn drop(&mut self) {
            // A model that fails unwinds.
            if !std::thread::panicking() {
                self.0.with_mut(|_| ());
            }
        }
    }

    /// As strong as the heavy one: a model cannot make others pass a barrier.
    pub(crate) fn light_barrier() {
        if !REFUSED.get() {
            super::fence(Ordering::SeqCst);
        }
    }

    pub(crate) fn heavy_barrier(_membarrier: bool) {
        super::fence(Ordering::SeqCst);
    }

    pub(crate) fn register_heavy_barrier() -> bool {
        true
    }

    pub(crate) fn try_heavy_barrier() -> bool {
        super::fence(Ordering::SeqCst);
        true
    }

    pub(crate) fn yield_thread() {
        thread::yield_now();
    }

    fn address(word: &AtomicU32) -> usize {
        std::ptr::from_ref(word).addr()
    }

    /// Sleeps while `word` is `expected`, until woken; a model that sleeps for ever fails. It has no
    /// clock: a deadline has passed.
    pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, deadline: Option<Instant>) {
        if deadline.is_some() {
            return;
        }
        // The kernel compares under a lock of its own: it sees the latest value, as a swap does.
        let same = word.compare_exchange(expected, expected, Ordering::Relaxed, Ordering::Relaxed);
        if same.is_err() {
            return;
        }
        // No step of the model is between. Whoever comes before it wakes nobody: loom's `unpark` passes on what
        // was written before, which the kernel does not promise.
        let me = thread::current();
        sleepers(|all| all.push((address(word), me.clone())));
        thread::park();
        sleepers(|all| all.retain(|(at, it)| *at != address(word) || it.id() != me.id()));
    }

    /// Wakes all who sleep on `word`: they look again by themselves.
    pub(crate) fn futex_wake(word: &AtomicU32, _count: i32) {
        let woken = sleepers(|all| {
            let (woken, rest): (Vec<_>, _) =
                all.drain(..).partition(|(at, _)| *at == address(word));
            *all = rest;
            woken
        });
        for (_, sleeper) in woken {
            sleeper.unpark();
        }
    }
}
