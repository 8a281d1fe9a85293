//! Channels that time sends into.

use crate::support::{Rng, on_every_home, runtime, watched};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use sward::channel::{Ticker, Timer, TryRecvError, after, at, never, select, tick};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_hours(1);

#[test]
fn one_of_many_receivers_gets_the_message() {
    on_every_home(|home| {
        let rx = after(SHORT);
        let receivers: Vec<_> = (0..8)
            .map(|_| {
                let rx = rx.clone();
                home.spawn(move || rx.recv_timeout(Duration::from_millis(40)).is_ok())
            })
            .collect();
        let got = receivers
            .into_iter()
            .filter(|_| true)
            .map(|it| it.join().expect("a receiver"))
            .filter(|it| *it)
            .count();
        assert_eq!(got, 1);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_moment_that_has_passed_is_there_at_once() {
    let when = Instant::now().checked_sub(SHORT).unwrap();
    let rx = at(when);
    assert_eq!((rx.len(), rx.capacity(), rx.is_full()), (1, Some(1), true));
    assert_eq!(rx.try_recv(), Ok(when));
    assert!(rx.is_empty());
    assert!(after(Duration::MAX).same_channel(&never()));
    assert!(tick(Duration::MAX).same_channel(&never()));
    for _ in 0..10_000 {
        assert!(after(Duration::ZERO).recv().is_ok());
    }
}

#[test]
fn a_tick_keeps_its_phase_and_drops_what_nobody_took() {
    on_every_home(|_| {
        let period = Duration::from_millis(5);
        let rx = tick(period);
        let first = rx.recv().expect("a tick");
        // Three and a half periods pass unread.
        _ = never::<()>().recv_timeout(period * 7 / 2);
        let late = sward::time::now();
        let missed = rx.try_recv().expect("the oldest that was missed");
        let next = rx.recv().expect("a tick");
        for at in [missed, next] {
            assert_eq!((at - first).as_nanos() % period.as_nanos(), 0);
        }
        assert!(first < missed && missed <= late.checked_sub(period * 2).unwrap());
        assert!(next > late);
    });
}

/// Go's table: what `stop` and `reset` say in every state.
#[test]
fn stop_and_reset_say_whether_something_was_to_come() {
    on_every_home(|_| {
        type Case = (fn() -> Timer, bool);
        let cases: [Case; 4] = [
            (|| Timer::new(LONG), true),
            (|| Timer::new(Duration::ZERO), true),
            (
                || {
                    let read = Timer::new(Duration::ZERO);
                    read.receiver().recv().expect("due");
                    read
                },
                false,
            ),
            (
                || {
                    let stopped = Timer::new(LONG);
                    stopped.stop();
                    stopped
                },
                false,
            ),
        ];
        for (make, armed) in cases {
            let timer = make();
            assert_eq!(timer.stop(), armed);
            assert!(!timer.stop());
            assert_eq!(timer.receiver().try_recv(), Err(TryRecvError::Empty));
            let timer = make();
            assert_eq!(timer.reset(LONG), armed);
            assert_eq!(timer.receiver().try_recv(), Err(TryRecvError::Empty));
            assert!(timer.reset(Duration::ZERO));
            assert_eq!(
                (timer.receiver().len(), timer.receiver().capacity()),
                (0, Some(0))
            );
            assert!(timer.receiver().try_recv().is_ok());
        }
    });
}

/// Whoever waits learns of a new setting at once.
#[test]
fn a_new_setting_reaches_those_who_wait() {
    on_every_home(|home| {
        let timer = Arc::new(Timer::new(LONG));
        let plain = home.spawn({
            let rx = timer.receiver().clone();
            move || rx.recv().is_ok()
        });
        for _ in 0..20 {
            home.yield_now();
        }
        timer.reset(SHORT);
        assert!(plain.join().expect("the receiver"));

        timer.reset(LONG);
        let chooser = home.spawn({
            let rx = timer.receiver().clone();
            move || select! { recv(rx) -> at => at.is_ok(), recv(never::<()>()) -> _ => false }
        });
        for _ in 0..20 {
            home.yield_now();
        }
        timer.reset(SHORT);
        assert!(chooser.join().expect("the chooser"));
    });
}

/// `stop` says `true` exactly if nobody gets the message, however they race.
#[test]
fn what_was_stopped_was_not_received() {
    on_every_home(|home| {
        let received = Arc::new(AtomicUsize::new(0));
        let mut stopped = 0;
        for round in 0..200_u64 {
            let timer = Timer::new(Duration::from_micros(round % 50));
            let receiver = home.spawn({
                let (rx, received) = (timer.receiver().clone(), Arc::clone(&received));
                move || {
                    if rx.recv_timeout(Duration::from_micros(60)).is_ok() {
                        received.fetch_add(1, SeqCst);
                    }
                }
            });
            home.yield_now();
            if timer.stop() {
                stopped += 1;
            }
            receiver.join().expect("the receiver");
        }
        assert_eq!(stopped + received.load(SeqCst), 200);
    });
}

/// Go's `TestResetResult` and `TestStopResult`: nothing of an old setting comes after a new one, however those
/// who set and those who receive race.
#[test]
fn nothing_of_an_old_setting_comes_after_a_new_one() {
    /// What is known of the setting: odd while it changes; and before when no message may come.
    struct Known {
        setting: AtomicU64,
        not_before: sward::sync::Mutex<Option<Instant>>,
    }
    on_every_home(|home| {
        let (timer, over) = (Arc::new(Timer::new(LONG)), Arc::new(AtomicBool::new(false)));
        let known = Arc::new(Known {
            setting: AtomicU64::new(0),
            not_before: sward::sync::Mutex::new(None),
        });
        let receivers: Vec<_> = (0..4)
            .map(|number| {
                let (timer, known, over) =
                    (Arc::clone(&timer), Arc::clone(&known), Arc::clone(&over));
                home.spawn(move || {
                    let mut received = 0_u32;
                    while !over.load(SeqCst) {
                        let setting = known.setting.load(SeqCst);
                        let not_before = *known.not_before.lock().expect("not poisoned");
                        let got = match number % 2 {
                            0 => timer.receiver().try_recv().ok(),
                            _ => timer
                                .receiver()
                                .recv_timeout(Duration::from_micros(20))
                                .ok(),
                        };
                        if let Some(at) = got {
                            received += 1;
                            // Nobody set it meanwhile.
                            if setting % 2 == 0 && known.setting.load(SeqCst) == setting {
                                let not_before = not_before.expect("it was stopped");
                                assert!(at >= not_before, "{:?} too early", not_before - at);
                            }
                        }
                        home.yield_now();
                    }
                    received
                })
            })
            .collect();
        let mut rng = Rng::new(1);
        let mut settings = 0;
        for _ in 0..2_000 {
            known.setting.fetch_add(1, SeqCst);
            let time = (rng.below(3) > 0).then(|| Duration::from_micros(rng.below(30) as u64));
            *known.not_before.lock().expect("not poisoned") =
                time.map(|it| sward::time::now() + it);
            if let Some(time) = time {
                timer.reset(time);
                settings += 1;
            } else {
                timer.stop();
            }
            known.setting.fetch_add(1, SeqCst);
            if rng.below(2) == 0 {
                home.yield_now();
            }
        }
        over.store(true, SeqCst);
        let received: u32 = receivers
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert!(received <= settings);
    });
}

/// A timer that is set to an earlier time is in time although the worker on whose clock it stands has no time:
/// it sleeps, is in a call that nobody announced, in one that was, or computes. Who keeps it so goes on until
/// the timer has come.
#[test]
fn an_earlier_setting_is_seen_while_the_worker_is_elsewhere() {
    for keep in [
        |_: &AtomicBool| {},
        |came: &AtomicBool| {
            while !came.load(SeqCst) {
                std::thread::sleep(Duration::from_micros(200));
            }
        },
        |came: &AtomicBool| {
            sward::blocking(|| {
                while !came.load(SeqCst) {
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        },
        |came: &AtomicBool| {
            while !came.load(SeqCst) {
                std::hint::spin_loop();
            }
        },
    ] {
        watched("a timer", Duration::from_mins(1), move || {
            let it = runtime(1);
            let timer = Arc::new(Timer::new(LONG));
            let (came, about) = (
                Arc::new(AtomicBool::new(false)),
                Arc::new(AtomicUsize::new(0)),
            );
            let waiter = it.spawn({
                let (timer, came, about) =
                    (Arc::clone(&timer), Arc::clone(&came), Arc::clone(&about));
                move || {
                    about.fetch_add(1, SeqCst);
                    timer.receiver().recv().expect("its time");
                    came.store(true, SeqCst);
                }
            });
            let keeper = it.spawn({
                let (came, about) = (Arc::clone(&came), Arc::clone(&about));
                move || {
                    about.fetch_add(1, SeqCst);
                    keep(&came);
                }
            });
            while about.load(SeqCst) < 2 {
                std::thread::yield_now();
            }
            timer.reset(Duration::from_micros(100));
            waiter.join().expect("no panic");
            keeper.join().expect("no panic");
        });
    }
}

#[test]
fn a_ticker_can_be_stopped_and_set_anew() {
    on_every_home(|_| {
        let ticker = Ticker::new(SHORT);
        assert!(ticker.receiver().recv().is_ok());
        assert!(ticker.stop() && !ticker.stop());
        assert!(ticker.receiver().recv_timeout(SHORT * 3).is_err());
        assert!(!ticker.reset(SHORT));
        let reset = Instant::now();
        assert!(ticker.receiver().recv().expect("a tick") > reset);
        assert!(std::panic::catch_unwind(|| Ticker::new(Duration::ZERO)).is_err());
        let set = std::panic::AssertUnwindSafe(|| ticker.reset(Duration::ZERO));
        assert!(std::panic::catch_unwind(set).is_err());
    });
}

#[test]
fn no_time_at_all_is_there_every_time() {
    on_every_home(|_| {
        for round in 0..2000_u32 {
            let timer = Timer::new(Duration::ZERO);
            assert!(timer.receiver().recv().is_ok(), "{round}");
            assert!(after(Duration::ZERO).recv().is_ok(), "{round}");
        }
    });
}

/// Periods and times that no clock can count to are far away, and do not come round.
#[test]
fn what_is_too_far_away_never_comes() {
    on_every_home(|_| {
        for far in [
            Duration::MAX,
            Duration::from_secs(u64::MAX / 3),
            LONG * 1000,
        ] {
            let (ticker, timer) = (Ticker::new(far), Timer::new(far));
            let (short, ticks) = (after(SHORT), tick(far));
            select! {
                recv(ticker.receiver()) -> it => panic!("{far:?}: {it:?}"),
                recv(timer.receiver()) -> it => panic!("{far:?}: {it:?}"),
                recv(ticks) -> it => panic!("{far:?}: {it:?}"),
                recv(short) -> it => assert!(it.is_ok()),
            }
            assert!(ticker.reset(SHORT) || far > LONG * 1000, "it was to come");
            assert!(ticker.receiver().recv().is_ok());
        }
    });
}
