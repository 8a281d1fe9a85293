//! Atomics, locks, fences and futexes: the system's, or loom's when a model runs; the only file with `cfg(loom)`.

#![expect(unsafe_code, reason = "futexes are system calls")]

#[cfg(not(loom))]
pub(crate) use self::system::{
    futex_wait, futex_wake, heavy_barrier, light_barrier, register_heavy_barrier, yield_thread,
};
#[cfg(not(loom))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
            Ordering, fence,
        },
    },
};

#[cfg(loom)]
pub(crate) use self::model::{
    futex_wait, futex_wake, heavy_barrier, light_barrier, register_heavy_barrier, yield_thread,
};
#[cfg(loom)]
pub(crate) use loom::{
    hint::spin_loop,
    sync::{
        Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
            Ordering, fence,
        },
    },
};

/// The system's own, in a model too: for statics and mapped memory, which no model can make anew.
///
/// A section under such a lock must contain nothing of a model.
pub(crate) mod global {
    pub(crate) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
    };
}

#[cfg(not(loom))]
mod system {
    use super::AtomicU32;
    use std::{
        ptr,
        time::{Duration, Instant},
    };

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
            // SAFETY: the command takes no pointers.
            unsafe { libc::syscall(libc::SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) };
        }
        super::fence(super::Ordering::SeqCst);
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
    use std::time::Instant;

    /// Gives way until `word` is no longer `expected`; a model has no clock.
    pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, _deadline: Option<Instant>) {
        while word.load(Ordering::Relaxed) == expected {
            loom::thread::yield_now();
        }
    }

    /// As strong as the heavy one: a model cannot make others pass a barrier.
    pub(crate) fn light_barrier() {
        super::fence(Ordering::SeqCst);
    }

    pub(crate) fn heavy_barrier(_membarrier: bool) {
        super::fence(Ordering::SeqCst);
    }

    pub(crate) fn register_heavy_barrier() -> bool {
        true
    }

    pub(crate) fn yield_thread() {
        loom::thread::yield_now();
    }

    /// Nothing: those who wait look again by themselves.
    pub(crate) fn futex_wake(_word: &AtomicU32, _count: i32) {}
}
