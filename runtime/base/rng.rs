//! A small seeded generator: for a victim's choice, a `select!`'s arm, a simulated order.

use std::cell::Cell;

/// Vigna's xorshift64*: a state of one word, never zero; not for secrets.
#[derive(Debug)]
pub(crate) struct Rng {
    state: Cell<u64>,
}

impl Rng {
    /// A generator whose numbers follow from `seed` alone.
    pub(crate) fn new(seed: u64) -> Self {
        // SplitMix64's finaliser spreads small seeds over the whole word.
        let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self {
            state: Cell::new((word ^ (word >> 31)) | 1),
        }
    }

    /// The next number, any of the 64-bit ones but zero.
    pub(crate) fn next(&self) -> u64 {
        let mut word = self.state.get();
        word ^= word >> 12;
        word ^= word << 25;
        word ^= word >> 27;
        self.state.set(word);
        word.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, every one as likely as another up to `bound / 2^32`.
    ///
    /// By multiplication instead of division (Lemire, 2019). `bound` must fit into 32 bits.
    pub(crate) fn below(&self, bound: usize) -> usize {
        debug_assert!(bound > 0 && u32::try_from(bound).is_ok());
        (((self.next() >> 32) * bound as u64) >> 32) as usize
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Rng;

    #[test]
    fn every_number_below_the_bound_is_as_likely() {
        let rng = Rng::new(7);
        let mut seen = [0_u32; 10];
        for _ in 0..100_000 {
            seen[rng.below(10)] += 1;
        }
        assert!(
            seen.iter().all(|it| (9_500..10_500).contains(it)),
            "{seen:?}"
        );
    }

    #[test]
    fn a_seed_decides_all() {
        let (one, two) = (Rng::new(3), Rng::new(3));
        assert!((0..100).all(|_| one.next() == two.next()));
    }
}
