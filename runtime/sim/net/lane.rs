//! What is under way to one socket, in order.

use std::collections::VecDeque;

/// Nothing overtakes here: what would arrive earlier than what was sent before it arrives with that.
#[derive(Debug)]
pub(super) struct Lane<T> {
    /// With the times of arrival, the next one first.
    flying: VecDeque<(u64, T)>,
}

impl<T> Lane<T> {
    pub(super) fn new() -> Self {
        Self {
            flying: VecDeque::new(),
        }
    }

    /// Puts something under way, to arrive at that time if nothing before it comes later: when it will.
    pub(super) fn push(&mut self, at: u64, what: T) -> u64 {
        let at = self.flying.back().map_or(at, |it| it.0.max(at));
        self.flying.push_back((at, what));
        at
    }

    /// What arrives next.
    pub(super) fn front(&self) -> Option<&T> {
        self.flying.front().map(|it| &it.1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.flying.len()
    }

    pub(super) fn clear(&mut self) {
        self.flying.clear();
    }

    /// The next thing is there by now.
    pub(super) fn has_arrived(&self, now: u64) -> bool {
        self.flying.front().is_some_and(|it| it.0 <= now)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.flying.pop_front().map(|it| it.1)
    }

    /// What should have arrived by `now` and stood still sets out again, for another latency each: when
    /// all that is under way arrives.
    pub(super) fn set_out_again(&mut self, now: u64, latency: impl Fn() -> u64) -> Vec<u64> {
        let mut last = 0;
        let again = |(at, _): &mut (u64, T)| {
            if *at <= now {
                *at = now.saturating_add(latency());
            }
            *at = last.max(*at);
            last = *at;
            last
        };
        self.flying.iter_mut().map(again).collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Lane;

    #[test]
    fn nothing_overtakes_whenever_it_sets_out() {
        let mut lane = Lane::new();
        assert_eq!(
            [lane.push(5, 'a'), lane.push(3, 'b'), lane.push(9, 'c')],
            [5, 5, 9]
        );
        assert!(!lane.has_arrived(4) && lane.has_arrived(5));
        assert_eq!((lane.front(), lane.len()), (Some(&'a'), 3));
        // Those of 5 stood still until 6, and take 10 more: the last one has to wait for them.
        assert_eq!(lane.set_out_again(6, || 10), [16, 16, 16]);
        assert_eq!(lane.pop(), Some('a'));
        lane.clear();
        assert!(lane.is_empty() && lane.pop().is_none());
    }
}
