//! The page at the end of a stack that faults, so that an overflow harms nobody.
//!
//! `MADV_GUARD_INSTALL` (Linux 6.13) makes a page fault without cutting the mapping in two, so that a
//! million stacks fit into a handful of mappings. It is done when a slot is first taken and lasts as
//! long as the chunk. Each chunk tries it on its first slot. Where the kernel refuses, guards are made
//! by `mprotect` when the stack is promised, as that may fail: two mappings each, out of
//! `vm.max_map_count`.

#![expect(unsafe_code, reason = "advises and protects memory")]

use crate::base::{
    fatal::fatal,
    memory,
    primitives::global::{AtomicUsize, Ordering::Relaxed},
};
use std::{
    fs, io,
    ptr::{self, NonNull},
};

/// `MADV_GUARD_INSTALL`, which `libc` does not know yet.
const GUARD_INSTALL: i32 = 102;
/// Mappings left to the rest of the program when guards cost mappings.
const SPARE_MAPPINGS: usize = 4096;

/// How many stacks are taken from the slab at once at most.
pub(super) const TAKEN_AT_ONCE: usize = 32;

/// How a chunk's guards are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guards {
    /// By `madvise`, when a slot is first taken.
    Advised,
    /// By `mprotect`, when a slot becomes ready.
    Protected,
}

/// Mappings made by guards, over all classes.
static GUARD_MAPPINGS: AtomicUsize = AtomicUsize::new(0);

/// Not zero when a test wants to see what happens where the kernel does not know about guards.
#[cfg(test)]
pub(super) static OLD_KERNEL: AtomicUsize = AtomicUsize::new(0);

/// Makes the page at `start` fault, for good, without a mapping of its own.
pub(super) fn install(start: NonNull<u8>) -> io::Result<()> {
    #[cfg(test)]
    if OLD_KERNEL.load(Relaxed) != 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the first page of a slot that nobody has used yet, kept for this.
    unsafe { memory::advise(start, memory::page_bytes(), GUARD_INSTALL) }
}

/// [`install`] at each, for chunks where it has worked before; whatever else it takes.
pub(super) fn install_for_sure(starts: impl Iterator<Item = NonNull<u8>>) {
    let page = memory::page_bytes();
    let mut guards = [(NonNull::dangling(), page); TAKEN_AT_ONCE];
    let mut count = 0;
    for (guard, start) in guards.iter_mut().zip(starts) {
        guard.0 = start;
        count += 1;
    }
    // SAFETY: the first pages of slots that nobody has used yet, kept for this.
    let done = unsafe { memory::advise_many(&guards[..count], GUARD_INSTALL) };
    for (start, _) in &guards[done..count] {
        // It can fail when the kernel is out of memory for page tables, and then the stack could not be
        // used either; or when the program has locked its memory since, where protection still works.
        if let Err(error) = install(*start)
            && protect(start.as_ptr().expose_provenance()).is_err()
        {
            fatal(format_args!("no guard for a stack: {error}"));
        }
    }
}

/// Makes the page at `start` fault by a mapping of its own, counted against the kernel's limit.
pub(super) fn protect(start: usize) -> io::Result<()> {
    let used = GUARD_MAPPINGS.load(Relaxed);
    let limit = max_map_count();
    if used + 2 + SPARE_MAPPINGS > limit {
        return Err(too_many_mappings(limit));
    }
    let at = ptr::with_exposed_provenance_mut(start);
    // SAFETY: the first page of a slot that nobody has used yet, kept for this.
    if unsafe { libc::mprotect(at, memory::page_bytes(), libc::PROT_NONE) } != 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::ENOMEM) => too_many_mappings(limit),
            _ => error,
        });
    }
    GUARD_MAPPINGS.fetch_add(2, Relaxed);
    Ok(())
}

/// The number of mappings that the kernel allows a process.
fn max_map_count() -> usize {
    static LIMIT: AtomicUsize = AtomicUsize::new(0);
    // Read anew now and then only: it is asked for every stack.
    let known = LIMIT.load(Relaxed);
    if known != 0 && GUARD_MAPPINGS.load(Relaxed) + 2 + SPARE_MAPPINGS <= known {
        return known;
    }
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|it| it.trim().parse().ok())
        .unwrap_or(65_530);
    LIMIT.store(limit, Relaxed);
    limit
}

fn too_many_mappings(limit: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!(
            "no more stacks: before Linux 6.13 each needs two mappings for its guard, and \
             vm.max_map_count is {limit}; raise it by `sysctl vm.max_map_count=..`"
        ),
    )
}

/// As many guards made by [`protect`] have been unmapped.
pub(super) fn forget(count: usize) {
    GUARD_MAPPINGS.fetch_sub(2 * count, Relaxed);
}
