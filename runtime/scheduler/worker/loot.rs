//! What a steal was worth.
//!
//! Green threads that mostly wait for one another gain nothing from a second worker: their stacks and the locks
//! of their channels move between the cores with each message, and those that were stolen are soon woken at
//! home again, so that the thief has nothing to do and steals anew. A thief that comes back like that leaves
//! the others alone for a while, ever longer. Whoever brings home turns that are worth their transport, or
//! green threads that end, steals again at once.
//!
//! A thief that pauses counts as searching, so the pause is the longest time that other work may wait for it.

use std::cell::Cell;

/// A turn that is shorter, on the average, costs less than to fetch its green thread from another core.
const CHATTY_NS: u64 = 500;
const SHORTEST_NS: u64 = 100_000;
const LONGEST_NS: u64 = 800_000;

/// Where a processor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) now_ns: u64,
    /// How many turns it has begun; this wraps.
    pub(super) turns: u32,
    /// How many green threads have ended on it.
    pub(super) finished: u64,
}

/// The last steal, as its worker remembers it.
#[derive(Debug, Default)]
pub(super) struct Loot {
    /// When something was stolen; `None` if nothing was, or it has been judged.
    stolen: Cell<Option<Stand>>,
    /// How long the last pause was; 0 if the last steal was worth it.
    pause: Cell<u64>,
}

impl Loot {
    /// The worker has tried to steal, with success if it says where it stands.
    pub(super) fn note(&self, stolen: Option<Stand>) {
        self.stolen.set(stolen);
    }

    /// The worker has nothing to do again: before when it should not steal, if that matters.
    pub(super) fn not_before(&self, stand: impl FnOnce() -> Stand) -> Option<u64> {
        let stolen = self.stolen.take()?;
        let stand = stand();
        let turns = stand.turns.wrapping_sub(stolen.turns);
        let spent = stand.now_ns.saturating_sub(stolen.now_ns);
        let chatty = spent < CHATTY_NS * u64::from(turns) && stand.finished == stolen.finished;
        if !chatty {
            self.pause.set(0);
            return None;
        }
        let pause = (2 * self.pause.get()).clamp(SHORTEST_NS, LONGEST_NS);
        self.pause.set(pause);
        Some(stand.now_ns + pause)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{LONGEST_NS, Loot, SHORTEST_NS, Stand};

    const STOLEN: Stand = Stand {
        now_ns: 1_000,
        turns: u32::MAX - 10,
        finished: 7,
    };

    /// How long the thief is to pause if its loot was so many turns, in so much time, and so many ended.
    fn pause(loot: &Loot, turns: u32, spent: u64, ended: u64) -> Option<u64> {
        loot.note(Some(STOLEN));
        let now_ns = STOLEN.now_ns + spent;
        let until = loot.not_before(|| Stand {
            now_ns,
            turns: STOLEN.turns.wrapping_add(turns),
            finished: STOLEN.finished + ended,
        });
        until.map(|it| it - now_ns)
    }

    #[test]
    fn many_short_turns_make_the_thief_pause_ever_longer() {
        let loot = Loot::default();
        let pauses: Vec<_> = (0..5).map(|_| pause(&loot, 200, 20_000, 0)).collect();
        let expected = [1, 2, 4, 8, 8].map(|it| Some(it * SHORTEST_NS));
        assert_eq!(pauses, expected);
        assert_eq!(pauses[4], Some(LONGEST_NS));
    }

    #[test]
    fn loot_that_was_worth_it_lets_steal_at_once() {
        let loot = Loot::default();
        assert!(pause(&loot, 200, 20_000, 0).is_some());
        assert_eq!(pause(&loot, 2, 20_000, 0), None, "turns of 10 us");
        assert_eq!(pause(&loot, 200, 20_000, 1), None, "one has ended");
        // And the pauses begin anew.
        assert_eq!(pause(&loot, 200, 20_000, 0), Some(SHORTEST_NS));
    }

    #[test]
    fn a_steal_is_judged_once() {
        let loot = Loot::default();
        assert!(pause(&loot, 200, 20_000, 0).is_some());
        assert_eq!(loot.not_before(|| unreachable!("nothing to judge")), None);
        loot.note(Some(STOLEN));
        loot.note(None);
        assert_eq!(loot.not_before(|| unreachable!("nothing to judge")), None);
    }
}
