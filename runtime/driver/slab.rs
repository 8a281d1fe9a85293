//! Values in numbered places, each under a key that no later value answers to.
//!
//! A key is a place and the number of the insertion. Insertions are counted for the whole slab,
//! not for each place, so that the places can be given back to the system when the slab is empty
//! and the keys of before stay dead. The count wraps after 2^32 insertions: a key kept for so long
//! names a stranger with a chance of one in 2^32.
//!
//! # What was not done
//!
//! - *Shrinking around values that stay.* Values would have to move, and keys with them.

/// No place: the end of a list of places.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Below this many places nothing is given back: not worth the system's time.
const KEEP: usize = 4096;

/// A value's name. The lower half is its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

impl Key {
    fn new(place: u32, insertion: u32) -> Self {
        Self(u64::from(insertion) << 32 | u64::from(place))
    }

    /// The key as a number; [`from_bits`](Self::from_bits) is the way back.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(super) fn place(self) -> u32 {
        self.0 as u32
    }

    fn insertion(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[derive(Debug)]
struct Entry<T> {
    /// The number of the insertion that filled it last.
    insertion: u32,
    /// The next free place, if this one is free.
    next_free: u32,
    value: Option<T>,
}

/// Values by key.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    /// The first free place.
    free: u32,
    len: usize,
    /// How many insertions there were, modulo 2^32.
    insertions: u32,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NOWHERE,
            len: 0,
            insertions: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many values there is memory for.
    #[cfg(all(test, not(loom)))]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// # Panics
    ///
    /// If there are 2^32 - 1 values already.
    pub(super) fn insert(&mut self, value: T) -> Key {
        let insertion = self.insertions;
        self.insertions = insertion.wrapping_add(1);
        self.len += 1;
        if self.free == NOWHERE {
            let place = u32::try_from(self.entries.len())
                .ok()
                .filter(|it| *it != NOWHERE)
                .expect("a slab holds less than 2^32 - 1 values");
            self.entries.push(Entry {
                insertion,
                next_free: NOWHERE,
                value: Some(value),
            });
            return Key::new(place, insertion);
        }
        let place = self.free;
        let entry = &mut self.entries[place as usize];
        self.free = entry.next_free;
        entry.insertion = insertion;
        entry.value = Some(value);
        Key::new(place, insertion)
    }

    /// The value under `key`, if it is still there.
    pub(super) fn get(&self, key: Key) -> Option<&T> {
        self.entries
            .get(key.place() as usize)
            .filter(|it| it.insertion == key.insertion())?
            .value
            .as_ref()
    }

    /// Takes out the value under `key`, if it is still there.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.vacate(key.place())
    }

    /// The value at `place`, if there is one.
    pub(super) fn at(&self, place: u32) -> Option<&T> {
        self.entries.get(place as usize)?.value.as_ref()
    }

    /// The value at `place`, if there is one.
    pub(super) fn at_mut(&mut self, place: u32) -> Option<&mut T> {
        self.entries.get_mut(place as usize)?.value.as_mut()
    }

    /// Takes out the value at `place`, if there is one.
    pub(super) fn vacate(&mut self, place: u32) -> Option<T> {
        let entry = self.entries.get_mut(place as usize)?;
        let value = entry.value.take()?;
        entry.next_free = self.free;
        self.free = place;
        self.len -= 1;
        if self.len == 0 && self.entries.len() > KEEP {
            self.entries = Vec::new();
            self.free = NOWHERE;
        }
        Some(value)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{KEEP, Key, Slab};

    #[test]
    fn a_key_never_names_a_successor() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(second.place(), first.place());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(Key::from_bits(second.to_bits())), Some(&'b'));
    }

    #[test]
    fn a_crowd_leaves_no_memory_behind_and_its_keys_stay_dead() {
        let mut slab = Slab::new();
        let crowd: Vec<_> = (0..2 * KEEP).map(|it| slab.insert(it)).collect();
        for (value, key) in crowd.iter().enumerate() {
            assert_eq!(slab.remove(*key), Some(value));
        }
        assert_eq!((slab.len(), slab.capacity()), (0, 0));
        let fresh = slab.insert(7);
        assert!(crowd.iter().all(|it| slab.get(*it).is_none()));
        assert_eq!(slab.get(fresh), Some(&7));
    }
}
