//! Memory from the kernel by whole pages: mapped, unmapped, its pages dropped.
//!
//! All of it is private, zeroed, and costs nothing until it is touched.

#![expect(unsafe_code, reason = "mappings are system calls")]

use super::primitives::global::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::{
    io,
    ops::Add,
    ptr::{self, NonNull},
};

/// The bytes of a page of this machine.
pub(crate) fn page_bytes() -> usize {
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: whoever finds nothing asks the kernel and gets the same answer.
    match PAGE.load(Relaxed) {
        0 => {
            // SAFETY: `sysconf` only reads.
            let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let bytes = usize::try_from(answer).unwrap_or(4096).max(4096);
            PAGE.store(bytes, Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

/// What a trim has given back to the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trimmed {
    /// Of addresses.
    pub(crate) bytes: usize,
    /// It stopped before it was through, so that others get their turn: the next one goes on.
    pub(crate) more: bool,
}

impl Add for Trimmed {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            more: self.more || other.more,
        }
    }
}

/// The bytes of a line of the caches, as far as hints go.
pub(crate) const CACHE_LINE: usize = 64;

/// A hint to the caches that the line at `address` will be wanted soon. Any address will do.
#[inline]
pub(crate) fn prefetch(address: usize) {
    let at = ptr::without_provenance::<i8>(address);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect that a program could see, and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at);
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, readonly, preserves_flags));
    }
}

/// Maps `bytes`, whole pages, readable and writable, without a claim on swap space.
///
/// # Errors
///
/// What `mmap` says: most often that there is no address space left.
pub(crate) fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: an anonymous mapping at an address that the kernel chooses touches no memory of ours.
    let at = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mmap returned the null page"))
}

/// Maps `bytes` at a multiple of `bytes`, a power of two of pages.
///
/// # Errors
///
/// As [`map`].
pub(crate) fn map_aligned(bytes: usize) -> io::Result<NonNull<u8>> {
    debug_assert!(bytes.is_power_of_two() && bytes >= page_bytes());
    // A neighbour of the last one is often aligned already.
    let at = map(bytes)?;
    if at.addr().get().is_multiple_of(bytes) {
        return Ok(at);
    }
    // SAFETY: just mapped, and nobody else knows it.
    unsafe { unmap(at, bytes) }?;

    let wide = map(2 * bytes)?;
    let before = wide.addr().get().next_multiple_of(bytes) - wide.addr().get();
    // SAFETY: `before < bytes`, so it stays within the `2 * bytes` just mapped.
    let at = unsafe { wide.add(before) };
    // SAFETY: as above, `before + bytes <= 2 * bytes`.
    let end = unsafe { at.add(bytes) };
    // Should a cut fail, then some address space stays mapped and untouched: no harm.
    if before > 0 {
        // SAFETY: the front of what was just mapped, which nobody knows.
        drop(unsafe { unmap(wide, before) });
    }
    // SAFETY: the rest of what was just mapped, which nobody knows; not empty as `before < bytes`.
    drop(unsafe { unmap(end, bytes - before) });
    Ok(at)
}

/// Gives whole pages back to the kernel.
///
/// # Errors
///
/// When cutting a mapping in two would make more mappings than `vm.max_map_count`. It is whole then.
///
/// # Safety
///
/// The pages were mapped by this module, and nobody uses or will use them.
pub(crate) unsafe fn unmap(at: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    match unsafe { libc::munmap(at.as_ptr().cast(), bytes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Tells the kernel something about whole pages, by `madvise`.
///
/// # Errors
///
/// What `madvise` says: `EINVAL` when this kernel does not know the advice.
///
/// # Safety
///
/// The pages were mapped by this module. Advice that drops them or makes them fault needs that
/// nobody uses them.
pub(crate) unsafe fn advise(at: NonNull<u8>, bytes: usize, advice: i32) -> io::Result<()> {
    loop {
        // SAFETY: the caller's promise.
        if unsafe { libc::madvise(at.as_ptr().cast(), bytes, advice) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// How many ranges one call of the kernel takes.
const MANY: usize = 64;
/// What stands for this process where one is named by a descriptor (Linux 6.14).
const OURSELVES: libc::c_int = -10_001;

/// As [`advise`], for many ranges in as few calls of the kernel as it allows: it then interrupts the other
/// processors once for all of them. Returns for how many, from the first on, that was done; the rest is for
/// [`advise`].
///
/// # Safety
///
/// As for [`advise`], for each.
pub(crate) unsafe fn advise_many(ranges: &[(NonNull<u8>, usize)], advice: i32) -> usize {
    /// A bit for each advice; few are given, and theirs differ.
    static REFUSED: AtomicU32 = AtomicU32::new(0);
    let this = 1_u32.rotate_left(advice.cast_unsigned());
    let mut done = 0;
    // Relaxed: whoever does not know asks, and is refused too.
    if ranges.len() < 2 || REFUSED.load(Relaxed) & this != 0 {
        return done;
    }
    for some in ranges.chunks(MANY) {
        let mut vectors = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        }; MANY];
        for (vector, (at, bytes)) in vectors.iter_mut().zip(some) {
            vector.iov_base = at.as_ptr().cast();
            vector.iov_len = *bytes;
        }
        // SAFETY: the vectors are there for the call; for what it does, the caller's promise.
        let advised = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                OURSELVES,
                vectors.as_ptr(),
                some.len(),
                advice,
                0,
            )
        };
        let Ok(mut advised) = usize::try_from(advised) else {
            REFUSED.fetch_or(this, Relaxed);
            return done;
        };
        for (_, bytes) in some {
            if advised < *bytes {
                return done;
            }
            advised -= bytes;
            done += 1;
        }
    }
    done
}
