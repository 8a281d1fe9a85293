//! The slab of stacks: chunks of slots by size class, promised first, handed out later.
//!
//! Whoever starts a task *reserves* a stack, which is a count, and may fail. When the task first
//! runs it *takes* one, which cannot fail, as the slab grew when the stack was promised. In between
//! the task costs no stack.
//!
//! | a slot is | which means                                                                    |
//! |-----------|--------------------------------------------------------------------------------|
//! | untouched | never used; from `Chunk::fresh` on                                             |
//! | ready     | may be taken; below `Chunk::ready`. Untouched ones have a guard if it needed a mapping |
//! | out       | in use, or in a processor's pool; counted by `Chunk::out`                      |
//! | warm      | idle: guard, a suspended fiber and its pages are in place                      |
//! | cold      | idle: the guard is in place, the pages have been given back                    |
//!
//! # Invariants
//!
//! - `promised <= ready`, over all chunks. Every slot that is out is covered by a promise, be it the
//!   task's or the pool's own; so whoever has a promise finds a slot.
//! - The lists have room for all slots, so that giving back never allocates.
//!
//! # Not done
//!
//! Stacks do not grow. Pages below a deep frame stay until the stack has rested for a trim period.

#![expect(unsafe_code, reason = "advises, protects and unmaps memory")]

use super::{
    guard::{self, Guards, TAKEN_AT_ONCE},
    range::Range,
};
use crate::base::{
    fatal::fatal,
    memory::{self, Trimmed},
    primitives::global::{Mutex, MutexGuard},
};
use std::{
    fmt, io,
    ops::Add,
    ptr::{self, NonNull},
    sync::PoisonError,
};

/// The stack of a task for which nobody asked for another.
pub(crate) const DEFAULT_BYTES: usize = 256 * 1024;
/// Smaller stacks are made this big.
pub(crate) const MIN_BYTES: usize = 16 * 1024;
/// Bigger stacks are refused.
pub(crate) const MAX_BYTES: usize = 1 << 40;

const CHUNK_BYTES: usize = 64 << 20;
/// Four classes to each doubling.
const CLASSES: usize = 4 * (MAX_BYTES / MIN_BYTES).ilog2() as usize + 1;
/// How many cold stacks lose their pages between two sections.
const TRIM_BATCH: usize = 64;
/// How many chunks, and how many stacks in others, one trim of what has rested gives back at most:
/// some milliseconds' work.
const TRIM_CHUNKS: usize = 64;
const TRIM_STACKS: usize = 4096;

/// Stacks of one size.
pub(crate) struct StackClass {
    bytes: usize,
    slab: Mutex<Slab>,
}

static ALL: [StackClass; CLASSES] = {
    let mut all = [const { StackClass::new() }; CLASSES];
    let mut index = 0;
    while index < CLASSES {
        all[index].bytes = (MIN_BYTES << (index / 4)) / 4 * (4 + index % 4);
        index += 1;
    }
    all
};

struct Slab {
    chunks: Vec<Chunk>,
    /// Chunks with untouched slots.
    growing: Vec<u32>,
    /// Places in `chunks` whose memory has been unmapped.
    vacant: Vec<u32>,
    warm: Vec<SlotId>,
    /// The shortest that `warm` has been since the last trim: as many at its front have rested.
    rested: usize,
    cold: Vec<SlotId>,
    promised: usize,
    /// Those of all chunks that are mapped.
    slots: usize,
    /// Slots that may be taken or are out, over all chunks.
    ready: usize,
}

struct Chunk {
    range: &'static Range,
    /// Zero when unmapped.
    base: usize,
    slots: u32,
    ready: u32,
    fresh: u32,
    out: u32,
    guards: Guards,
    /// Whether one of its slots came or went since the last trim.
    stirred: bool,
}

/// Which slot of its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotId {
    chunk: u32,
    index: u32,
}

impl SlotId {
    /// The slot's number in its chunk.
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

/// A slot and where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    /// The guard's first byte.
    pub(crate) start: NonNull<u8>,
    /// The bytes from there to the slot's end.
    pub(crate) bytes: usize,
}

/// Lets the kernel put a page where the first turn on each stack will want one: together that takes a
/// quarter less than a fault for each. Where it does not, the faults do.
fn populate(blank: impl Iterator<Item = Slot>) {
    let page = memory::page_bytes();
    let mut tops = [(NonNull::dangling(), page); TAKEN_AT_ONCE];
    let mut count = 0;
    for (top, slot) in tops.iter_mut().zip(blank) {
        // SAFETY: a slot is larger than a page.
        top.0 = unsafe { slot.end().sub(page) };
        count += 1;
    }
    // SAFETY: last pages of slots that nobody uses yet; they are only written to as if by zeros.
    unsafe { memory::advise_many(&tops[..count], libc::MADV_POPULATE_WRITE) };
}

impl Slot {
    /// The place of the slot's end.
    pub(crate) fn end(self) -> NonNull<u8> {
        // SAFETY: a slot lies within one mapping; its end is at most one past it.
        unsafe { self.start.add(self.bytes) }
    }
}

/// What [`StackClass::take`] found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Taken {
    /// A fiber is suspended on it.
    Warm(Slot),
    /// Guarded, with nothing on it.
    Blank(Slot),
}

/// How many stacks of a class there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) promised: usize,
    /// May be taken or are out.
    pub(crate) ready: usize,
    /// In use, or in a processor's pool.
    pub(crate) out: usize,
    /// Idle in the slab, pages in place.
    pub(crate) warm: usize,
    /// Idle in the slab, pages given back.
    pub(crate) cold: usize,
}

/// Which idle stacks [`trim`] gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trim {
    /// Those that nobody has used since the last time.
    Rested,
    /// Chunks of those, if there were more than it gives back at once.
    On,
    /// All.
    #[cfg_attr(not(test), expect(dead_code, reason = "asked by tests"))]
    All,
}

impl StackClass {
    const fn new() -> Self {
        Self {
            bytes: 0,
            slab: Mutex::new(Slab {
                chunks: Vec::new(),
                growing: Vec::new(),
                vacant: Vec::new(),
                warm: Vec::new(),
                rested: 0,
                cold: Vec::new(),
                promised: 0,
                slots: 0,
                ready: 0,
            }),
        }
    }

    /// The class whose stacks have at least `bytes`.
    ///
    /// Sizes are four to a doubling, in whole pages, from [`MIN_BYTES`]. Up to 2 KiB at the top
    /// belong to the runtime.
    ///
    /// # Errors
    ///
    /// `InvalidInput` above [`MAX_BYTES`].
    pub(crate) fn of(bytes: usize) -> io::Result<&'static Self> {
        ALL.get(ALL.partition_point(|it| it.bytes < bytes))
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "a stack of {bytes} bytes is more than the {MAX_BYTES} that one may have"
                    ),
                )
            })
    }

    /// What the class is called by: the bytes of its stacks, but for rounding up to pages.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes from one slot to the next: guard and stack, an odd number of pages, so that tops do
    /// not all fall into the same sets of the caches.
    pub(crate) fn stride(&self) -> usize {
        let page = memory::page_bytes();
        ((self.bytes.div_ceil(page) + 1) | 1) * page
    }

    /// How many idle stacks a processor may keep for itself.
    pub(crate) fn hoard(&self) -> usize {
        ((16 << 20) / self.stride()).clamp(1, 64)
    }

    /// Promises `count` stacks.
    ///
    /// # Errors
    ///
    /// When the kernel gives no more memory, or no more mappings for guards. Nothing is promised
    /// then.
    pub(crate) fn reserve(&'static self, count: usize) -> io::Result<()> {
        let mut slab = self.slab();
        let promised = slab
            .promised
            .checked_add(count)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        while slab.ready < promised {
            let missing = promised - slab.ready;
            slab.grow(self, missing)?;
        }
        slab.promised = promised;
        Ok(())
    }

    /// Takes back the promise of `count` stacks, none of which is out any more.
    pub(crate) fn release(&self, count: usize) {
        let mut slab = self.slab();
        debug_assert!(slab.promised >= count, "more released than reserved");
        slab.promised -= count;
    }

    /// Gives `each` up to `want` warm stacks, or else up to as many that are blank, at least one and at most
    /// [`TAKEN_AT_ONCE`]. Each needs a promise.
    pub(crate) fn take(&self, want: usize, mut each: impl FnMut(Taken)) {
        let mut slab = self.slab();
        let warm = slab.warm.len().min(want);
        if warm > 0 {
            for _ in 0..warm {
                let Some(id) = slab.warm.pop() else { break };
                each(Taken::Warm(slab.lend(self, id)));
            }
            slab.rested = slab.rested.min(slab.warm.len());
            return;
        }
        let mut blank = [None; TAKEN_AT_ONCE];
        for place in blank.iter_mut().take(want) {
            let Some((id, unguarded)) = slab.blank() else {
                break;
            };
            *place = Some((slab.lend(self, id), unguarded));
        }
        drop(slab);
        if blank[0].is_none() {
            fatal(format_args!(
                "a task has the promise of a stack of {} bytes, and there is none",
                self.bytes
            ))
        }
        let blank = blank.into_iter().flatten();
        let unguarded = blank.clone().filter(|it| it.1);
        guard::install_for_sure(unguarded.map(|it| it.0.start));
        populate(blank.clone().map(|it| it.0));
        blank.for_each(|it| each(Taken::Blank(it.0)));
    }

    /// Takes back what was taken blank, and still is.
    pub(crate) fn put_blank(&self, unused: impl Iterator<Item = SlotId>) {
        let mut slab = self.slab();
        for id in unused {
            slab.chunks[id.chunk as usize].out -= 1;
            slab.cold.push(id);
        }
    }

    /// Takes idle stacks back, each with a suspended fiber that holds nothing.
    pub(crate) fn put(&self, idle: impl Iterator<Item = SlotId>) {
        let mut slab = self.slab();
        for id in idle {
            let chunk = &mut slab.chunks[id.chunk as usize];
            chunk.out -= 1;
            chunk.stirred = true;
            slab.warm.push(id);
        }
    }

    /// How many stacks there are.
    pub(crate) fn counts(&self) -> Counts {
        let slab = self.slab();
        Counts {
            promised: slab.promised,
            ready: slab.ready,
            out: slab
                .chunks
                .iter()
                .filter(|it| it.base != 0)
                .map(|it| it.out as usize)
                .sum(),
            warm: slab.warm.len(),
            cold: slab.cold.len(),
        }
    }

    /// Waits for the slab. No section panics half-way: none runs code of others.
    fn slab(&self) -> MutexGuard<'_, Slab> {
        self.slab.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives idle stacks back to the kernel.
    fn trim(&self, which: Trim) -> Trimmed {
        let mut trimmed = Trimmed::default();
        loop {
            let chunks = self.slab().detach(which);
            // Unmapping takes long, and the lock is for others too.
            for (place, chunk) in &chunks {
                let length = self.stride() * chunk.slots;
                // SAFETY: `detach` took every slot of this chunk, all idle, off the lists.
                if unsafe { memory::unmap(chunk.start, length) }.is_ok() {
                    if chunk.guards == Guards::Protected {
                        guard::forget(chunk.ready);
                    }
                    self.slab().vacant.push(*place);
                    trimmed.bytes += length;
                } else {
                    // It would have cut a mapping in two, of which there are too many. The pages can
                    // go all the same.
                    // SAFETY: as above.
                    drop(unsafe { memory::advise(chunk.start, length, libc::MADV_DONTNEED) });
                    self.slab().attach(*place, chunk);
                }
            }
            match which {
                // What has rested is still marked as such.
                Trim::Rested | Trim::On if chunks.len() == TRIM_CHUNKS => {
                    // Those that the kernel refused to unmap would only come again.
                    trimmed.more = trimmed.bytes > 0;
                    return trimmed;
                }
                Trim::On => return trimmed,
                Trim::All if chunks.len() == TRIM_CHUNKS => {}
                Trim::Rested | Trim::All => break,
            }
        }
        self.cool(which);
        let mut slab = self.slab();
        slab.rested = slab.warm.len();
        for chunk in &mut slab.chunks {
            chunk.stirred = false;
        }
        slab.shrink(0);
        trimmed
    }

    /// Gives back the pages of idle stacks whose chunks must stay.
    fn cool(&self, which: Trim) {
        let mut slab = self.slab();
        let mut left = match which {
            Trim::Rested | Trim::On => slab.rested.min(TRIM_STACKS),
            Trim::All => slab.warm.len(),
        };
        while left > 0 {
            // What we hold back for a moment must not be missed by who has a promise.
            let count = left
                .min(TRIM_BATCH)
                .min(slab.ready - slab.promised)
                .min(slab.warm.len());
            if count == 0 {
                break;
            }
            slab.promised += count;
            let mut batch = [None; TRIM_BATCH];
            for (at, place) in batch[..count].iter_mut().enumerate() {
                let id = slab.warm[at];
                *place = Some(slab.lend(self, id));
            }
            slab.warm.drain(..count);
            slab.rested = slab.rested.saturating_sub(count);
            drop(slab);

            let guard = memory::page_bytes();
            let mut pages = [(NonNull::dangling(), 0); TRIM_BATCH];
            for (pages, slot) in pages.iter_mut().zip(batch.iter().flatten()) {
                // SAFETY: the guard is smaller than the slot.
                *pages = (unsafe { slot.start.add(guard) }, slot.bytes - guard);
            }
            let pages = &pages[..count];
            // SAFETY: the slots are off the lists, and the fibers on them hold nothing.
            let done = unsafe { memory::advise_many(pages, libc::MADV_DONTNEED) };
            for (bottom, bytes) in &pages[done..] {
                // A failure leaves the pages as they are, which costs memory, and nothing else.
                // SAFETY: as above.
                drop(unsafe { memory::advise(*bottom, *bytes, libc::MADV_DONTNEED) });
            }

            slab = self.slab();
            for slot in batch.iter().flatten() {
                slab.chunks[slot.id.chunk as usize].out -= 1;
                slab.cold.push(slot.id);
            }
            slab.promised -= count;
            left -= count;
        }
    }
}

impl fmt::Debug for StackClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackClass")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// A chunk that was taken off the lists.
struct Detached {
    start: NonNull<u8>,
    slots: usize,
    ready: usize,
    guards: Guards,
}

impl Slab {
    /// Where a slot is; it counts as out from now on.
    fn lend(&mut self, class: &StackClass, id: SlotId) -> Slot {
        let chunk = &mut self.chunks[id.chunk as usize];
        chunk.out += 1;
        chunk.stirred = true;
        let bytes = class.stride();
        let start = ptr::with_exposed_provenance_mut(chunk.base + bytes * id.index as usize);
        let Some(start) = NonNull::new(start) else {
            fatal(format_args!("a stack was taken from a chunk that is gone"))
        };
        Slot { id, start, bytes }
    }

    /// A slot that is cold, or ready and was never used; and whether it needs a guard.
    fn blank(&mut self) -> Option<(SlotId, bool)> {
        if let Some(id) = self.cold.pop() {
            return Some((id, false));
        }
        let chunks = &mut self.chunks;
        let at = self.growing.iter().rposition(|it| {
            let chunk = &chunks[*it as usize];
            chunk.fresh < chunk.ready
        })?;
        let place = self.growing[at];
        let chunk = &mut chunks[place as usize];
        let index = chunk.fresh;
        chunk.fresh += 1;
        if chunk.fresh == chunk.slots {
            self.growing.swap_remove(at);
        }
        let id = SlotId {
            chunk: place,
            index,
        };
        Some((id, chunk.guards == Guards::Advised))
    }

    /// Makes at least one more slot ready, best `missing`.
    fn grow(&mut self, class: &'static StackClass, missing: usize) -> io::Result<()> {
        let unguarded = self.growing.iter().rev().copied().find(|it| {
            let chunk = &self.chunks[*it as usize];
            chunk.ready < chunk.slots
        });
        let place = match unguarded {
            Some(place) => place,
            None => self.add_chunk(class, missing)?,
        };
        let chunk = &mut self.chunks[place as usize];
        let stride = class.stride();
        let before = chunk.ready;
        let mut outcome = Ok(());
        match chunk.guards {
            Guards::Advised => chunk.ready = chunk.slots,
            Guards::Protected => {
                for _ in 0..missing.min((chunk.slots - chunk.ready) as usize) {
                    outcome = guard::protect(chunk.base + stride * chunk.ready as usize);
                    if outcome.is_err() {
                        break;
                    }
                    chunk.ready += 1;
                }
            }
        }
        self.ready += (chunk.ready - before) as usize;
        outcome
    }

    /// Maps a chunk, with as many slots as there is memory for. Returns its place.
    fn add_chunk(&mut self, class: &'static StackClass, missing: usize) -> io::Result<u32> {
        let stride = class.stride();
        let mut slots = (CHUNK_BYTES / stride).max(1);
        let start = loop {
            match memory::map(stride * slots) {
                Ok(start) => break start,
                // Little is left: perhaps enough for what is wanted.
                Err(_) if slots > 1 => slots = (slots / 2).min(missing.max(slots / 8)).max(1),
                Err(error) => return Err(error),
            }
        };
        let mapped = Unmap {
            start,
            bytes: stride * slots,
        };
        // A huge page for the first byte touched would cost 2 MiB a stack. A kernel without huge
        // pages refuses, and is right.
        // SAFETY: advice about pages just mapped, that drops nothing.
        drop(unsafe { memory::advise(start, stride * slots, libc::MADV_NOHUGEPAGE) });
        let guards = match guard::install(start) {
            Ok(()) => Guards::Advised,
            Err(_) => Guards::Protected,
        };

        let total = self.slots + slots;
        let places = self.chunks.len() + 1;
        self.warm.try_reserve(total - self.warm.len())?;
        self.cold.try_reserve(total - self.cold.len())?;
        self.chunks.try_reserve(1)?;
        self.growing.try_reserve(places - self.growing.len())?;
        self.vacant.try_reserve(places - self.vacant.len())?;
        let count = u32::try_from(slots).map_err(io::Error::other)?;
        let place = match self.vacant.pop() {
            Some(place) => place,
            None => u32::try_from(self.chunks.len()).map_err(io::Error::other)?,
        };
        let range = match self.chunks.get(place as usize) {
            Some(chunk) => chunk.range,
            None => Range::publish(class),
        };
        let chunk = Chunk {
            range,
            base: start.as_ptr().expose_provenance(),
            slots: count,
            ready: 0,
            fresh: 0,
            out: 0,
            guards,
            stirred: true,
        };
        range.fill(chunk.base, slots);
        if place as usize == self.chunks.len() {
            self.chunks.push(chunk);
        } else {
            self.chunks[place as usize] = chunk;
        }
        self.growing.push(place);
        self.slots = total;
        mapped.keep();
        Ok(place)
    }

    /// Takes chunks off the lists, at most [`TRIM_CHUNKS`], of which nothing is out and that no
    /// promise needs.
    fn detach(&mut self, which: Trim) -> Vec<(u32, Detached)> {
        let mut detached = Vec::new();
        for (place, chunk) in (0..).zip(&mut self.chunks) {
            let needed = chunk.base == 0
                || chunk.out > 0
                || chunk.ready as usize > self.ready - self.promised
                || (matches!(which, Trim::Rested | Trim::On) && chunk.stirred);
            if needed || detached.len() == TRIM_CHUNKS {
                continue;
            }
            let start = ptr::with_exposed_provenance_mut(chunk.base);
            if let Some(start) = NonNull::new(start) {
                self.ready -= chunk.ready as usize;
                self.slots -= chunk.slots as usize;
                chunk.base = 0;
                chunk.range.empty();
                let chunk = Detached {
                    start,
                    slots: chunk.slots as usize,
                    ready: chunk.ready as usize,
                    guards: chunk.guards,
                };
                detached.push((place, chunk));
            }
        }
        if !detached.is_empty() {
            let chunks = &self.chunks;
            let stays = |id: &SlotId| chunks[id.chunk as usize].base != 0;
            self.rested = self.warm[..self.rested]
                .iter()
                .filter(|it| stays(it))
                .count();
            self.warm.retain(stays);
            self.cold.retain(stays);
            self.growing.retain(|it| chunks[*it as usize].base != 0);
            // Those may be attached again.
            self.shrink(detached.iter().map(|it| it.1.slots).sum());
        }
        detached
    }

    /// Gives back what the lists have too much of: they must have room for all slots, those that are not ready
    /// yet too, and for so many more.
    fn shrink(&mut self, more: usize) {
        let room = 2 * (self.slots + more);
        self.warm.shrink_to(room);
        self.cold.shrink_to(room);
    }

    /// Puts back a chunk that could not be unmapped, with nothing on its stacks.
    fn attach(&mut self, place: u32, detached: &Detached) {
        let chunk = &mut self.chunks[place as usize];
        chunk.base = detached.start.as_ptr().expose_provenance();
        chunk.fresh = 0;
        chunk.range.fill(chunk.base, detached.slots);
        self.ready += detached.ready;
        self.slots += detached.slots;
        // Others may have added a chunk without counting this one.
        self.warm.reserve(self.slots - self.warm.len());
        self.cold.reserve(self.slots - self.cold.len());
        self.growing.push(place);
    }
}

/// A fresh mapping that goes again unless it is kept.
struct Unmap {
    start: NonNull<u8>,
    bytes: usize,
}

impl Unmap {
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Unmap {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: nobody has seen the mapping yet. Nothing could be done about an error.
            drop(unsafe { memory::unmap(self.start, self.bytes) });
        }
    }
}

/// Gives idle stacks back to the kernel.
pub(crate) fn trim(which: Trim) -> Trimmed {
    let all = ALL.iter().map(|it| it.trim(which));
    all.fold(Trimmed::default(), Trimmed::add)
}
