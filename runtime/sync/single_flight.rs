//! [`SingleFlight`]: those who want the same thing at the same time share one making of it.
//!
//! The map of what is being made is guarded by a green [`Mutex`], not by an internal lock, because keys
//! bring code of their own: `Hash` and `Eq`. It is held for looking up only. Who waits stands in a line of
//! the flight. A flight is out of the map before its outcome is there, so nobody joins one that has ended.
//! Whoever makes the value may be called off when it waits for the map afterwards; then others make it.

use super::{Mutex, MutexGuard, PoisonError};
use crate::{
    base::lock::Lock,
    wait::{NO_SLOT, line::Line, reason::Reason, wait_in_line},
};
use std::{
    any::Any,
    collections::HashMap,
    fmt,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind},
    sync::Arc,
};

/// Lets those who want the same thing at the same time share one making of it: Go's `singleflight`.
///
/// It is not a cache: once a value was made and handed out, the next caller makes it again.
///
/// # Examples
///
/// ```
/// use sward::sync::SingleFlight;
///
/// let pages = SingleFlight::new();
/// let (page, shared) = pages.run("/index", || "hello".to_owned());
/// assert_eq!((page.as_str(), shared), ("hello", false));
/// ```
pub struct SingleFlight<K, V> {
    flights: Mutex<Flights<K, V>>,
}

type Flights<K, V> = HashMap<Arc<K>, Arc<Flight<V>>>;

struct Flight<V> {
    /// Changed with the map locked.
    passengers: Mutex<usize>,
    outcome: Mutex<Outcome<V>>,
    ended: Lock<Ended>,
}

struct Ended {
    yes: bool,
    line: Line,
}

enum Outcome<V> {
    /// Not there yet; or whoever made it was called off, and others must try themselves.
    Nothing,
    Value(V),
    /// The making panicked; what it said.
    Panic(String),
}

impl<V> Flight<V> {
    fn new() -> Self {
        Self {
            passengers: Mutex::new(0),
            outcome: Mutex::new(Outcome::Nothing),
            ended: Lock::new(Ended {
                yes: false,
                line: Line::new(),
            }),
        }
    }

    #[track_caller]
    fn wait(&self) {
        let ended = self.ended.lock();
        if !ended.yes {
            // Without a deadline it cannot be late.
            _ = wait_in_line(
                &self.ended,
                ended,
                |it| &mut it.line,
                NO_SLOT,
                Reason::SingleFlight,
                None,
            );
        }
    }

    fn end(&self, outcome: Outcome<V>) {
        *locked(&self.outcome) = outcome;
        let mut ended = self.ended.lock();
        ended.yes = true;
        let calls = ended.line.call_all();
        drop(ended);
        calls.wake();
    }
}

/// A panic of a key's or value's own code leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic said, for those who did not see it.
fn said(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|it| (*it).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the shared run of a SingleFlight panicked".to_owned())
}

impl<K: Hash + Eq, V: Clone> SingleFlight<K, V> {
    /// Makes one in which nothing is being made.
    #[must_use]
    pub fn new() -> Self {
        Self {
            flights: Mutex::new(HashMap::new()),
        }
    }

    /// Returns what `f` makes for `key`, and whether it was shared: if somebody is making it just now, waits
    /// for that and returns a clone of it, and `f` is not called. A caller whose maker is ended by the
    /// shutdown of its runtime goes on by itself.
    ///
    /// # Panics
    ///
    /// If `f` panics: in all who share it, in its caller with the payload, in others with its message.
    #[track_caller]
    pub fn run<F: FnOnce() -> V>(&self, key: K, f: F) -> (V, bool) {
        let key = Arc::new(key);
        loop {
            let mut flights = locked(&self.flights);
            let Some(flight) = flights.get(&key).map(Arc::clone) else {
                let flight = Arc::new(Flight::new());
                flights.insert(Arc::clone(&key), Arc::clone(&flight));
                drop(flights);
                return self.make(&key, &flight, f);
            };
            *locked(&flight.passengers) += 1;
            drop(flights);
            flight.wait();
            match &*locked(&flight.outcome) {
                Outcome::Nothing => {}
                Outcome::Value(value) => return (value.clone(), true),
                Outcome::Panic(said) => {
                    let said = said.clone();
                    panic_any(said);
                }
            }
        }
    }

    fn make(&self, key: &Arc<K>, flight: &Arc<Flight<V>>, f: impl FnOnce() -> V) -> (V, bool) {
        let mut landing = Landing {
            flights: &self.flights,
            key,
            flight,
            is_listed: true,
            has_ended: false,
        };
        let made = catch_unwind(AssertUnwindSafe(f));
        landing.leave_list();
        let shared = *locked(&flight.passengers) > 0;
        // A clone may panic as well.
        let made = made.and_then(|value| {
            catch_unwind(AssertUnwindSafe(|| {
                (shared.then(|| value.clone()), (value, shared))
            }))
        });
        match made {
            Ok((for_others, for_me)) => {
                if let Some(value) = for_others {
                    flight.end(Outcome::Value(value));
                }
                landing.has_ended = true;
                for_me
            }
            Err(payload) => {
                flight.end(if payload.is::<crate::Shutdown>() {
                    Outcome::Nothing
                } else {
                    Outcome::Panic(said(&*payload))
                });
                landing.has_ended = true;
                resume_unwind(payload)
            }
        }
    }
}

/// Sees to it that a flight ends: what is done after the making may wait for a lock, and be called off.
struct Landing<'a, K: Hash + Eq, V> {
    flights: &'a Mutex<Flights<K, V>>,
    key: &'a Arc<K>,
    flight: &'a Flight<V>,
    /// Others may find it.
    is_listed: bool,
    has_ended: bool,
}

impl<K: Hash + Eq, V> Landing<'_, K, V> {
    /// Nobody finds it from now on.
    fn leave_list(&mut self) {
        let gone = locked(self.flights).remove(self.key);
        self.is_listed = false;
        drop(gone);
    }
}

impl<K: Hash + Eq, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // It unwinds: no wait is called off now.
        if self.is_listed {
            self.leave_list();
        }
        self.flight.end(Outcome::Nothing);
    }
}

impl<K: Hash + Eq, V: Clone> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{SingleFlight, locked};
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        thread,
    };

    impl SingleFlight<u8, usize> {
        /// Waits until so many share the flight that is under way.
        fn until_shared_by(&self, passengers: usize) {
            loop {
                let flight = locked(&self.flights).get(&1).cloned();
                if flight.is_some_and(|it| *locked(&it.passengers) == passengers) {
                    return;
                }
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_thousand_share_one_run() {
        let (flights, runs) = (SingleFlight::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..1_000 {
                scope.spawn(|| {
                    let result = flights.run(1, || {
                        flights.until_shared_by(999);
                        runs.fetch_add(1, SeqCst)
                    });
                    assert_eq!(result, (0, true));
                });
            }
        });
        assert_eq!(runs.load(SeqCst), 1);
        assert_eq!(flights.run(1, || 7), (7, false));
    }

    /// The others of one whose runtime shuts down make it themselves.
    #[test]
    fn a_run_that_is_called_off_fails_nobody_else() {
        let flights = SingleFlight::new();
        thread::scope(|scope| {
            let others: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        while locked(&flights.flights).is_empty() {
                            thread::yield_now();
                        }
                        flights.run(1, || 5).0
                    })
                })
                .collect();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                flights.run(1, || {
                    flights.until_shared_by(4);
                    crate::wait::unwind()
                })
            }));
            assert!(ended.expect_err("called off").is::<crate::Shutdown>());
            for other in others {
                assert_eq!(other.join().ok(), Some(5));
            }
        });
    }
}
