//! The blocks that tasks live in: fixed size, one slab for the process, also the register of tasks.
//!
//! ```text
//! chunk, 256 KiB at a multiple of 256 KiB
//! +--------+--------+--------+--   --+---------+
//! | number | block 1| block 2|  ...  |block 1023|      which are free: bits in `Slab`
//! +--------+--------+--------+--   --+---------+
//! ```
//!
//! A [`BlockCache`], one per processor, moves blocks to and from the slab by batches, so that most
//! calls take no lock. The slab hands out the lowest free block of a chunk, so what a chunk has
//! handed out is its front, and the rest has never been touched.
//!
//! # Invariants
//!
//! - Nothing here ever writes to a block: it is zero when fresh, and afterwards as its last user left
//!   it. [`for_each_block`] visits blocks while others allocate and free them; a word of them that
//!   counts references, zero while the block is free, tells which ones live.
//! - A chunk is unmapped only while nobody iterates.
//!
//! # Not done
//!
//! A lock per chunk, or none: with batches of 32 the lock is taken once in 32 calls at worst.

#![expect(unsafe_code, reason = "hands out raw memory")]

use super::{
    memory::{self, Trimmed},
    primitives::global::{Mutex, MutexGuard},
};
use std::{fmt, io, ptr::NonNull, sync::PoisonError};

/// The size of a block; it is aligned to 64.
pub(crate) const BLOCK_BYTES: usize = 256;
/// How much one call of [`trim`] gives back at most, about.
const TRIM_BYTES: usize = 4 << 20;
/// How many blocks move between a cache and the slab at a time.
const BATCH: usize = 32;
const CHUNK_BYTES: usize = 256 * 1024;
const BLOCKS: usize = CHUNK_BYTES / BLOCK_BYTES;
const WORDS: usize = BLOCKS / 64;
/// Block 0 holds the chunk's number.
const USABLE: usize = BLOCKS - 1;

static SLAB: Mutex<Slab> = Mutex::new(Slab {
    chunks: Vec::new(),
    open: Vec::new(),
    vacant: Vec::new(),
    iterations: 0,
});

/// Waits for the slab. No section panics half-way: none runs code of others.
fn slab() -> MutexGuard<'static, Slab> {
    SLAB.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Slab {
    /// By number. The numbers of chunks that were unmapped are in `vacant`.
    chunks: Vec<Chunk>,
    /// Those with a free block. The last one gives. Has room for all, so that freeing cannot fail.
    open: Vec<usize>,
    vacant: Vec<usize>,
    /// How many walk over the blocks at this moment.
    iterations: usize,
}

struct Chunk {
    /// `None` once unmapped.
    base: Option<NonNull<u8>>,
    /// A bit for every block, set while it is free.
    free: [u64; WORDS],
    free_count: usize,
    /// One more than the highest block ever handed out.
    touched: usize,
    /// Whether it stands in `Slab::open`.
    is_open: bool,
}

// SAFETY: the pointers are to chunks, which belong to no thread.
unsafe impl Send for Slab {}

impl Slab {
    /// Puts up to `count` blocks into `out`, which has room: at least one.
    fn take(&mut self, out: &mut Vec<NonNull<u8>>, count: usize) -> io::Result<()> {
        let first = out.len();
        while out.len() - first < count {
            let Some(&number) = self.open.last() else {
                if out.len() > first {
                    break;
                }
                self.grow()?;
                continue;
            };
            let chunk = &mut self.chunks[number];
            if let Some(block) = chunk.take() {
                out.push(block);
            } else {
                chunk.is_open = false;
                self.open.pop();
            }
        }
        // A cache pops from the end: the lowest address first.
        out[first..].reverse();
        Ok(())
    }

    /// Takes a block back.
    fn put(&mut self, block: NonNull<u8>) {
        let offset = block.addr().get() % CHUNK_BYTES;
        // SAFETY: the block lies in a chunk, which begins at a multiple of its size.
        let base = unsafe { block.sub(offset) };
        // SAFETY: `grow` wrote the number there before it handed out any block of this chunk, and
        // the chunk is mapped while one of its blocks is out.
        let number = unsafe { base.cast::<usize>().read() };
        let chunk = &mut self.chunks[number];
        chunk.put(offset / BLOCK_BYTES);
        if !chunk.is_open {
            chunk.is_open = true;
            self.open.push(number);
        }
    }

    /// Adds a chunk.
    fn grow(&mut self) -> io::Result<()> {
        self.chunks.try_reserve(1)?;
        // Room for every number, now, so that giving back never allocates.
        let room = self.chunks.len() + 1;
        self.open.try_reserve(room - self.open.len())?;
        self.vacant.try_reserve(room - self.vacant.len())?;
        let base = memory::map_aligned(CHUNK_BYTES)?;
        let number = self.vacant.pop().unwrap_or(self.chunks.len());
        // SAFETY: just mapped, aligned to far more than a word.
        unsafe { base.cast::<usize>().write(number) };
        let mut free = [u64::MAX; WORDS];
        free[0] &= !1;
        let chunk = Chunk {
            base: Some(base),
            free,
            free_count: USABLE,
            touched: 1,
            is_open: true,
        };
        if number == self.chunks.len() {
            self.chunks.push(chunk);
        } else {
            self.chunks[number] = chunk;
        }
        self.open.push(number);
        Ok(())
    }
}

impl Chunk {
    fn take(&mut self) -> Option<NonNull<u8>> {
        let base = self.base?;
        let word = self.free.iter().position(|it| *it != 0)?;
        let bit = self.free[word].trailing_zeros() as usize;
        self.free[word] &= self.free[word] - 1;
        self.free_count -= 1;
        let index = word * 64 + bit;
        self.touched = self.touched.max(index + 1);
        // SAFETY: `index < BLOCKS`, so the block lies within the chunk.
        Some(unsafe { base.add(index * BLOCK_BYTES) })
    }

    fn put(&mut self, index: usize) {
        let (word, bit) = (index / 64, 1 << (index % 64));
        debug_assert!(index != 0 && self.free[word] & bit == 0, "freed twice");
        self.free[word] |= bit;
        self.free_count += 1;
    }
}

/// A processor's own stock of blocks, last in, first out.
pub(crate) struct BlockCache {
    /// Between 0 and `2 * BATCH`.
    blocks: Vec<NonNull<u8>>,
}

// SAFETY: the blocks in it are free and belong to no thread. It is not `Sync`, and changes only
// by `&mut`.
unsafe impl Send for BlockCache {}

impl BlockCache {
    /// An empty cache, which gets its first blocks when they are asked for.
    pub(crate) fn new() -> Self {
        Self {
            blocks: Vec::with_capacity(2 * BATCH),
        }
    }

    /// A block, for the caller alone until it is freed.
    ///
    /// # Errors
    ///
    /// When there is no memory. Nothing has changed then.
    #[inline]
    pub(crate) fn allocate(&mut self) -> io::Result<NonNull<u8>> {
        match self.blocks.pop() {
            Some(block) => Ok(block),
            None => self.refill(),
        }
    }

    /// Gives a block back.
    ///
    /// # Safety
    ///
    /// It came from [`allocate`](Self::allocate), of any cache, or from [`allocate_global`], and
    /// nobody uses it any more, but to look whether it lives.
    #[inline]
    pub(crate) unsafe fn free(&mut self, block: NonNull<u8>) {
        if self.blocks.len() == 2 * BATCH {
            self.spill(BATCH);
        }
        self.blocks.push(block);
    }

    #[cold]
    fn refill(&mut self) -> io::Result<NonNull<u8>> {
        slab().take(&mut self.blocks, BATCH)?;
        self.blocks
            .pop()
            .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// Gives the `count` blocks back that have been here for the longest.
    #[cold]
    fn spill(&mut self, count: usize) {
        let mut slab = slab();
        for block in self.blocks.drain(..count) {
            slab.put(block);
        }
    }
}

impl Drop for BlockCache {
    fn drop(&mut self) {
        self.spill(self.blocks.len());
    }
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCache")
            .field("blocks", &self.blocks.len())
            .finish()
    }
}

/// As [`BlockCache::allocate`], for a thread that has no cache.
///
/// # Errors
///
/// When there is no memory. Nothing has changed then.
pub(crate) fn allocate_global() -> io::Result<NonNull<u8>> {
    let mut one = Vec::with_capacity(1);
    slab().take(&mut one, 1)?;
    one.pop().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// As [`BlockCache::free`], for a thread that has no cache.
///
/// # Safety
///
/// As there.
pub(crate) unsafe fn free_global(block: NonNull<u8>) {
    slab().put(block);
}

/// Visits every block that was ever handed out, free or not, while others allocate and free.
///
/// The memory of each stays mapped until this returns. Blocks that are handed out for the first time
/// meanwhile may be left out.
pub(crate) fn for_each_block(mut visit: impl FnMut(NonNull<u8>)) {
    /// Ends the iteration, also when `visit` panics.
    struct Iteration;

    impl Drop for Iteration {
        fn drop(&mut self) {
            slab().iterations -= 1;
        }
    }

    slab().iterations += 1;
    let _iteration = Iteration;
    for number in 0.. {
        // No chunk goes while we iterate, so a number keeps its meaning, and new ones come last or in
        // places that were vacant.
        let (base, touched) = match slab().chunks.get(number) {
            Some(chunk) => (chunk.base, chunk.touched),
            None => break,
        };
        let Some(base) = base else { continue };
        for index in 1..touched {
            // SAFETY: `index < touched <= BLOCKS`: within the chunk.
            visit(unsafe { base.add(index * BLOCK_BYTES) });
        }
    }
}

/// Unmaps the chunks that are wholly free; none while others iterate.
pub(crate) fn trim() -> Trimmed {
    let mut slab = slab();
    let mut trimmed = Trimmed::default();
    if slab.iterations > 0 {
        return trimmed;
    }
    for number in 0..slab.chunks.len() {
        if trimmed.bytes >= TRIM_BYTES {
            // The lock is for others too.
            trimmed.more = true;
            break;
        }
        let chunk = &mut slab.chunks[number];
        let Some(base) = chunk.base else { continue };
        // SAFETY: every block of it is free, nobody iterates, and nobody can begin or allocate while
        // we hold the slab.
        if chunk.free_count < USABLE || unsafe { memory::unmap(base, CHUNK_BYTES) }.is_err() {
            continue;
        }
        chunk.base = None;
        chunk.is_open = false;
        slab.vacant.push(number);
        trimmed.bytes += CHUNK_BYTES;
    }
    let Slab { chunks, open, .. } = &mut *slab;
    open.retain(|number| chunks[*number].is_open);
    trimmed
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{
        BLOCK_BYTES, BlockCache, USABLE, allocate_global, for_each_block, free_global, trim,
    };
    use crate::base::{
        in_child,
        primitives::global::{AtomicUsize, Ordering::Relaxed},
        rng::Rng,
    };
    use std::{collections::HashSet, ptr::NonNull, sync::Barrier, thread};

    /// The word by which these tests tell whether a block lives, and whose it is.
    fn word(block: NonNull<u8>) -> &'static AtomicUsize {
        // SAFETY: aligned, within the block, used by these tests as an atomic only; it stays mapped
        // while the block is out or an iteration goes on, which is when the tests look.
        unsafe { block.cast().as_ref() }
    }

    #[test]
    fn blocks_are_zeroed_aligned_and_apart() {
        in_child::succeeds("base::slab::tests::child_takes_many_blocks");
    }

    #[test]
    #[ignore = "run by another test"]
    fn child_takes_many_blocks() {
        let mut cache = BlockCache::new();
        let mut blocks: Vec<_> = (0..3 * USABLE)
            .map(|_| cache.allocate().expect("memory"))
            .collect();
        blocks.push(allocate_global().expect("memory"));
        for block in &blocks {
            assert_eq!(word(*block).swap(1, Relaxed), 0);
            assert_eq!(block.addr().get() % 64, 0);
        }
        let mut addresses: Vec<_> = blocks.iter().map(|it| it.addr().get()).collect();
        addresses.sort_unstable();
        assert!(addresses.windows(2).all(|it| it[1] - it[0] >= BLOCK_BYTES));

        let mut visited = HashSet::new();
        for_each_block(|it| assert!(visited.insert(it)));
        assert!(blocks.iter().all(|it| visited.contains(it)));
        for block in blocks {
            word(block).store(0, Relaxed);
            // SAFETY: allocated above.
            unsafe { cache.free(block) };
        }
    }

    #[test]
    fn the_block_freed_last_comes_first() {
        let mut cache = BlockCache::new();
        let (one, two) = (
            cache.allocate().expect("memory"),
            cache.allocate().expect("memory"),
        );
        // SAFETY: just allocated.
        unsafe { cache.free(one) };
        // SAFETY: just allocated.
        unsafe { cache.free(two) };
        assert_eq!(cache.allocate().expect("memory"), two);
        assert_eq!(cache.allocate().expect("memory"), one);
        // SAFETY: just allocated.
        unsafe { free_global(one) };
        // SAFETY: just allocated.
        unsafe { free_global(two) };
    }

    #[test]
    fn nothing_goes_while_somebody_iterates() {
        let block = allocate_global().expect("memory");
        for_each_block(|_| assert_eq!(trim().bytes, 0));
        // SAFETY: just allocated.
        unsafe { free_global(block) };
    }

    #[test]
    fn blocks_move_between_threads_while_others_look() {
        in_child::succeeds("base::slab::tests::child_moves_blocks");
    }

    /// Threads allocate, pass blocks on, free and trim, while one counts those that live. A block that
    /// two had at once, or that lost its mark, fails.
    #[test]
    #[ignore = "run by another test"]
    fn child_moves_blocks() {
        const THREADS: usize = 4;
        for seed in 1..=5 {
            let start = Barrier::new(THREADS + 1);
            let left = AtomicUsize::new(THREADS);
            thread::scope(|scope| {
                for number in 1..=THREADS {
                    let (start, left) = (&start, &left);
                    scope.spawn(move || {
                        let rng = Rng::new(seed * 100 + number as u64);
                        let mut cache = BlockCache::new();
                        let mut mine = Vec::new();
                        start.wait();
                        for _ in 0..20_000 {
                            if mine.len() < 500 && rng.below(2) == 0 {
                                let block = cache.allocate().expect("memory");
                                assert_eq!(word(block).swap(number, Relaxed), 0, "seed {seed}");
                                mine.push(block);
                            } else if !mine.is_empty() {
                                let block: NonNull<u8> = mine.swap_remove(rng.below(mine.len()));
                                assert_eq!(word(block).swap(0, Relaxed), number, "seed {seed}");
                                if rng.below(8) == 0 {
                                    // SAFETY: ours.
                                    unsafe { free_global(block) };
                                } else {
                                    // SAFETY: ours.
                                    unsafe { cache.free(block) };
                                }
                            }
                            if rng.below(2000) == 0 {
                                trim();
                            }
                        }
                        for block in mine {
                            assert_eq!(word(block).swap(0, Relaxed), number, "seed {seed}");
                            // SAFETY: ours.
                            unsafe { cache.free(block) };
                        }
                        left.fetch_sub(1, Relaxed);
                    });
                }
                start.wait();
                while left.load(Relaxed) > 0 {
                    for_each_block(|it| assert!(word(it).load(Relaxed) <= THREADS, "seed {seed}"));
                }
            });
        }
    }
}
