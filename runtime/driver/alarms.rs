//! Values kept until a time: cheap to set, cheaper to call off, and never early.
//!
//! Most alarms are time-outs that never fire. So setting and calling off must cost the same few
//! steps however many there are, and only what becomes due may cost more: a wheel of wheels.
//! Time is cut into ticks of 2^14 ns (16.4 us), numbers of 50 bits; a level has a slot for each
//! value of six of them, lowest bits first, so nine levels hold all times and none overflows.
//! An alarm stands at the level of the highest digit in which its tick differs from the wheel's:
//!
//! ```text
//!   tick   digits   8 7 6 5 4 3 2 1 0
//!   wheel           0 0 0 0 0 3 9 1 7
//!   alarm           0 0 0 0 0 3 9 5 2      level 1, slot 5
//! ```
//!
//! When the wheel comes to that slot, its alarms move to lower levels. Alarms of one slot are a
//! ring through their entries, in the order in which they were set; a bit per slot and per level
//! says which are empty.
//!
//! # Invariants
//!
//! - At level 0 an alarm's digit is the wheel's or greater, above it is greater, and all higher
//!   digits are the wheel's. So all of a level is due before any of the next, and where an alarm
//!   stands follows from its deadline and the wheel's tick: it need not be stored.
//! - An alarm set for a tick that has passed stands in the wheel's own.
//! - A slot's `earliest` is never later than any of its alarms. It is too early only after the one
//!   it stood for was called off, until the wheel comes by.
//!
//! # What was not done
//!
//! - *A heap*: exact by nature, but calling off costs a search or leaves dead entries.
//! - *Making `earliest` exact when an alarm is called off*: a walk of the whole slot, each time
//!   the oldest of many equal time-outs is called off. It costs a wake-up too many per slot instead.

use super::slab::{Key, NOWHERE, Slab};
use std::{cmp, mem};

/// Nanoseconds per tick, as a power of two.
const TICK: u32 = 14;
/// Bits per digit of a tick.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = (u64::BITS - TICK).div_ceil(DIGIT) as usize;
/// More room than this for sorting is given back.
pub(crate) const KEEP_DUE: usize = 4096;

/// Which alarm to call off. It dies with the alarm, and never names another.
pub(crate) type AlarmKey = Key;

#[derive(Debug)]
struct Alarm<T> {
    deadline: u64,
    /// The neighbours in the slot's ring.
    previous: u32,
    next: u32,
    value: T,
}

/// Which slot: the level, and the digit there.
#[derive(Clone, Copy, Debug)]
struct Place {
    level: usize,
    digit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The alarm that was set first.
    head: u32,
    /// No alarm in here is before this time.
    earliest: u64,
}

const EMPTY: Slot = Slot {
    head: NOWHERE,
    earliest: u64::MAX,
};

/// The alarms of one processor.
#[derive(Debug)]
pub(crate) struct Alarms<T> {
    slab: Slab<Alarm<T>>,
    slots: Box<[[Slot; SLOTS]; LEVELS]>,
    /// Per level, a bit for each slot that is not empty.
    filled: [u64; LEVELS],
    /// A bit for each level that is not empty.
    levels: u32,
    /// The wheel's tick: everything before it has fired.
    tick: u64,
    /// What is due in the slot at hand: deadline, order in the slot, place. Empty between calls.
    due: Vec<(u64, u32, u32)>,
}

impl<T> Alarms<T> {
    pub(crate) fn new() -> Self {
        Self {
            slab: Slab::new(),
            slots: Box::new([[EMPTY; SLOTS]; LEVELS]),
            filled: [0; LEVELS],
            levels: 0,
            tick: 0,
            due: Vec::new(),
        }
    }

    /// How many alarms are set.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Keeps `value` until `deadline`; if that has passed, until the next [`advance`](Self::advance).
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> AlarmKey {
        let key = self.slab.insert(Alarm {
            deadline,
            previous: NOWHERE,
            next: NOWHERE,
            value,
        });
        self.link(key.place(), deadline);
        key
    }

    /// Gives back what was kept, unless it has been given back already.
    pub(crate) fn cancel(&mut self, key: AlarmKey) -> Option<T> {
        let deadline = self.slab.get(key)?.deadline;
        self.unlink(key.place(), self.place(deadline));
        self.slab.remove(key).map(|it| it.value)
    }

    /// When to call [`advance`](Self::advance) next: the first deadline, or sometimes, after that
    /// alarm was called off, a time before the one that is first now.
    pub(crate) fn next(&self) -> Option<u64> {
        let place = self.first()?;
        Some(self.slots[place.level][place.digit].earliest)
    }

    /// Hands all whose deadline is `now` or before to `fire`, in the order of their deadlines, and
    /// equal ones in the order in which they were set. If `fire` panics, the others stay.
    pub(crate) fn advance(&mut self, now: u64, mut fire: impl FnMut(T)) {
        // The clock was later already if another thread's look at it came late.
        let now = now.max(self.tick << TICK);
        while let Some(place) = self.first() {
            let start = self.start(place);
            if start > now >> TICK {
                break;
            }
            self.tick = start;
            if place.level > 0 {
                self.lower(place);
            } else if !self.fire_slot(place, now, &mut fire) {
                break;
            }
        }
        self.tick = now >> TICK;
        if self.due.capacity() > KEEP_DUE {
            self.due = Vec::new();
        }
    }

    /// Fires what is due in a slot of level 0. If this returns `true`, that was all of it.
    #[must_use]
    fn fire_slot(&mut self, place: Place, now: u64, fire: &mut impl FnMut(T)) -> bool {
        let mut due = mem::take(&mut self.due);
        due.clear();
        let mut order = 0;
        let mut earliest = u64::MAX;
        let head = self.slot(place).head;
        let mut it = head;
        while let Some(alarm) = self.slab.at(it) {
            if alarm.deadline <= now {
                due.push((alarm.deadline, order, it));
                order += 1;
            } else {
                earliest = cmp::min(earliest, alarm.deadline);
            }
            it = alarm.next;
            if it == head {
                break;
            }
        }
        due.sort_unstable();
        for &(_, _, it) in &due {
            self.unlink(it, place);
            if let Some(alarm) = self.slab.vacate(it) {
                fire(alarm.value);
            }
        }
        due.clear();
        self.due = due;
        // Not before: if `fire` panics, what was earliest is needed.
        let slot = self.slot(place);
        slot.earliest = earliest;
        slot.head == NOWHERE
    }

    /// Moves the alarms of a slot that the wheel has come to down to where they belong now.
    fn lower(&mut self, place: Place) {
        let head = mem::replace(self.slot(place), EMPTY).head;
        self.mark_empty(place);
        let mut it = head;
        while let Some(alarm) = self.slab.at(it) {
            let (deadline, next) = (alarm.deadline, alarm.next);
            self.link(it, deadline);
            it = next;
            if it == head {
                break;
            }
        }
    }

    /// Puts the alarm at `it` last into its slot.
    fn link(&mut self, it: u32, deadline: u64) {
        let place = self.place(deadline);
        let slot = self.slot(place);
        slot.earliest = cmp::min(slot.earliest, deadline);
        let head = slot.head;
        let (previous, next) = if head == NOWHERE {
            slot.head = it;
            self.filled[place.level] |= 1 << place.digit;
            self.levels |= 1 << place.level;
            (it, it)
        } else {
            let last = self
                .slab
                .at_mut(head)
                .map_or(head, |first| mem::replace(&mut first.previous, it));
            self.set_next(last, it);
            (last, head)
        };
        if let Some(alarm) = self.slab.at_mut(it) {
            alarm.previous = previous;
            alarm.next = next;
        }
    }

    /// Takes the alarm at `it` out of its slot.
    fn unlink(&mut self, it: u32, place: Place) {
        let Some(&Alarm { previous, next, .. }) = self.slab.at(it) else {
            return;
        };
        if next == it {
            *self.slot(place) = EMPTY;
            self.mark_empty(place);
            return;
        }
        self.set_next(previous, next);
        if let Some(alarm) = self.slab.at_mut(next) {
            alarm.previous = previous;
        }
        let slot = self.slot(place);
        if slot.head == it {
            slot.head = next;
        }
    }

    fn set_next(&mut self, it: u32, next: u32) {
        if let Some(alarm) = self.slab.at_mut(it) {
            alarm.next = next;
        }
    }

    fn mark_empty(&mut self, place: Place) {
        self.filled[place.level] &= !(1 << place.digit);
        if self.filled[place.level] == 0 {
            self.levels &= !(1 << place.level);
        }
    }

    fn slot(&mut self, place: Place) -> &mut Slot {
        &mut self.slots[place.level][place.digit]
    }

    /// Where an alarm with this deadline stands while the wheel is where it is.
    fn place(&self, deadline: u64) -> Place {
        let tick = cmp::max(deadline >> TICK, self.tick);
        // The lowest digit decides nothing: with it set, the difference is never zero.
        let difference = (tick ^ self.tick) | 1;
        let level = difference.ilog2() / DIGIT;
        let digit = tick >> (level * DIGIT) & (SLOTS as u64 - 1);
        Place {
            level: level as usize,
            #[expect(clippy::cast_possible_truncation, reason = "below SLOTS")]
            digit: digit as usize,
        }
    }

    /// The slot that is due first.
    fn first(&self) -> Option<Place> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some(Place {
            level,
            digit: self.filled[level].trailing_zeros() as usize,
        })
    }

    /// The first tick of a slot.
    #[expect(clippy::cast_possible_truncation, reason = "below LEVELS")]
    fn start(&self, place: Place) -> u64 {
        let shift = place.level as u32 * DIGIT;
        let above = self.tick >> shift >> DIGIT << DIGIT;
        (above | place.digit as u64) << shift
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{AlarmKey, Alarms, KEEP_DUE, TICK};
    use crate::base::rng::Rng;
    use std::{
        collections::BTreeMap,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    /// The same, the plain way: what is due comes by deadline, then by when it was set.
    #[derive(Default)]
    struct Model {
        alarms: BTreeMap<(u64, u64), AlarmKey>,
        set: u64,
    }

    /// A deadline of the kind that finds mistakes: near, at an edge between levels, far, past.
    fn deadline(rng: &Rng, now: u64) -> u64 {
        let edge = 1_u64 << (TICK as usize + rng.below(50));
        match rng.below(8) {
            0 => u64::MAX - rng.next() % 3,
            1 => now.saturating_sub(rng.next() % (4 << TICK)),
            2 => (now | (edge - 1)).saturating_add(rng.next() % 3),
            3 => now.saturating_add(edge).saturating_sub(1),
            4 => now.saturating_add(rng.next() % edge),
            5 => now.saturating_add(rng.next() % (1 << TICK)),
            6 => now.saturating_add(1_000_000 * (rng.next() % 4)),
            _ => now.saturating_add(rng.next() % (100 << TICK)),
        }
    }

    fn check(seed: u64, steps: usize) {
        let rng = Rng::new(seed);
        let (mut alarms, mut model) = (Alarms::new(), Model::default());
        let mut dead = Vec::new();
        let mut now = 0;
        for _ in 0..steps {
            match rng.below(10) {
                0..=4 => {
                    let deadline = deadline(&rng, now);
                    let name = (deadline, model.set);
                    model.set += 1;
                    model.alarms.insert(name, alarms.insert(deadline, name));
                }
                5..=6 if !model.alarms.is_empty() => {
                    let nth = rng.below(model.alarms.len());
                    let name = model.alarms.keys().nth(nth).copied().expect("in range");
                    let key = model.alarms.remove(&name).expect("found");
                    assert_eq!(alarms.cancel(key), Some(name), "seed {seed}");
                    dead.push(key);
                }
                7 if !dead.is_empty() => {
                    let key = dead[rng.below(dead.len())];
                    assert_eq!(alarms.cancel(key), None, "seed {seed}");
                }
                8 => {
                    // To where the wheel says, or just before: it must never be late.
                    if let Some(next) = alarms.next() {
                        now = now.max(next.saturating_sub(rng.next() % 2));
                    }
                }
                _ => now = deadline(&rng, now).max(now),
            }
            now = now.min(u64::MAX - (1 << 40));
            let mut fired = Vec::new();
            alarms.advance(now, |it| fired.push(it));
            let later = model.alarms.split_off(&(now + 1, 0));
            let due: Vec<_> = model.alarms.keys().copied().collect();
            assert_eq!(fired, due, "seed {seed}");
            dead.extend(model.alarms.into_values());
            model.alarms = later;
            assert_eq!(alarms.len(), model.alarms.len(), "seed {seed}");
            match (alarms.next(), model.alarms.keys().next()) {
                (Some(next), Some((first, _))) => {
                    assert!(now < next && next <= *first, "seed {seed}");
                }
                (None, None) => {}
                (next, first) => panic!("seed {seed}: {next:?} for {first:?}"),
            }
        }
        let mut rest = Vec::new();
        alarms.advance(u64::MAX, |it| rest.push(it));
        let due: Vec<_> = model.alarms.into_keys().collect();
        assert_eq!(rest, due, "seed {seed}");
        assert_eq!((alarms.len(), alarms.next()), (0, None), "seed {seed}");
    }

    #[test]
    fn the_wheel_does_what_a_sorted_map_does() {
        for seed in 0..300 {
            check(seed, 400);
        }
    }

    #[test]
    fn the_first_deadline_is_exact_while_nothing_is_called_off() {
        let mut alarms = Alarms::new();
        let hour = 3_600_000_000_007;
        alarms.insert(hour, ());
        assert_eq!(alarms.next(), Some(hour));
        let mut fired = 0;
        alarms.advance(hour - 1, |()| fired += 1);
        assert_eq!((fired, alarms.next()), (0, Some(hour)));
        alarms.advance(hour, |()| fired += 1);
        assert_eq!((fired, alarms.next()), (1, None));
    }

    #[test]
    fn calling_off_costs_few_wake_ups() {
        let mut alarms = Alarms::new();
        let keys: Vec<_> = (0..10_000_u64)
            .map(|it| alarms.insert(5_000_000_000 + it * 100, it))
            .collect();
        for key in &keys[..9_999] {
            assert!(alarms.cancel(*key).is_some());
        }
        let (mut wakes, mut fired) = (0, None);
        while let Some(next) = alarms.next() {
            wakes += 1;
            alarms.advance(next, |it| fired = Some(it));
        }
        assert_eq!(fired, Some(9_999));
        assert!(wakes <= 3, "{wakes} wake-ups for one alarm");
    }

    #[test]
    fn a_million_alarms_called_off_leave_no_memory() {
        let mut alarms = Alarms::new();
        for it in 0..1_000_000_u64 {
            let key = alarms.insert(it * 1_000, it);
            assert_eq!(alarms.cancel(key), Some(it));
        }
        assert!(alarms.slab.capacity() <= 4, "one at a time");
        let keys: Vec<_> = (0..1_000_000).map(|it| alarms.insert(it, it)).collect();
        for key in keys {
            assert!(alarms.cancel(key).is_some());
        }
        assert_eq!(alarms.slab.capacity(), 0);
        for it in 0..100_000 {
            alarms.insert(7, it);
        }
        let mut fired = 0;
        alarms.advance(7, |it| {
            assert_eq!(it, fired);
            fired += 1;
        });
        assert_eq!((fired, alarms.slab.capacity()), (100_000, 0));
        assert!(alarms.due.capacity() <= KEEP_DUE);
    }

    #[test]
    fn a_panic_in_the_middle_loses_only_its_own() {
        let mut alarms = Alarms::new();
        for it in 0..10 {
            alarms.insert(5, it);
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            alarms.advance(5, |it| assert!(it < 3, "the fourth"));
        }));
        assert!(result.is_err());
        let mut rest = Vec::new();
        assert_eq!(alarms.next().map(|it| it <= 5), Some(true));
        alarms.advance(5, |it| rest.push(it));
        assert_eq!(rest, [4, 5, 6, 7, 8, 9]);
    }

    /// Not a test: `cargo test --release --lib alarms -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_setting_and_calling_off() {
        let mut alarms = Alarms::new();
        for it in 0..100_000_u64 {
            alarms.insert(1_000_000_000 + it * 10_000, it);
        }
        let start = std::time::Instant::now();
        let rounds = 10_000_000_u64;
        for it in 0..rounds {
            let key = alarms.insert(30_000_000_000 + it * 100, it);
            assert!(alarms.cancel(key).is_some());
        }
        let each = start.elapsed().as_nanos() / u128::from(rounds);
        panic!("{each} ns to set and call off");
    }
}
