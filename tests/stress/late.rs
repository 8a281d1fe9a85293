//! Who gives up at the moment at which it is chosen: no permit, signal or value is lost with it.
//!
//! One waits with a time limit of about as long as what it waits for takes, and again, and again; others
//! wait without, and would hang if the impatient one took along what was theirs. `SWARD_RACES=1000000` has
//! a million waits of each kind; it is the sum over plain kernel threads and runtimes of 1, 2 and 16 workers.

use crate::support::{Home, races, runtime, watched};
use std::{
    io::{ErrorKind, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use sward::{
    channel,
    context::Context,
    net::{Shutdown, unix::UnixStream},
    sync::{Condvar, Mutex, RwLock, Semaphore, WaitGroup, mpsc},
    thread,
};

/// Runs the race on every home, with a share of the turns.
fn race(what: &'static str, run: fn(Home, u64)) {
    let turns = races().div_ceil(4);
    let limit =
        Duration::from_mins(2) + Duration::from_micros(100) * u32::try_from(turns).expect("few");
    for home in [
        Home::Threads,
        Home::Green(1),
        Home::Green(2),
        Home::Green(16),
    ] {
        watched(&format!("{what}, {home:?}"), limit, move || match home {
            Home::Green(workers) => runtime(workers).run(move || run(home, turns)),
            Home::Threads | Home::Simulated => run(home, turns),
        });
    }
}

/// Every length from nothing to a little more than a hand-over takes.
fn patience(turn: u64) -> Duration {
    Duration::from_nanos(turn * 41 % 4_000)
}

#[test]
fn mutex() {
    race("mutex", |home, turns| {
        let mutex = Arc::new(Mutex::new(0));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let mutex = Arc::clone(&mutex);
                home.spawn(move || {
                    let mut locked = 0_u64;
                    for turn in 0..turns / 4 {
                        let guard = if number == 0 {
                            mutex.lock().ok()
                        } else {
                            mutex.lock_timeout(patience(turn + number)).ok()
                        };
                        if let Some(mut guard) = guard {
                            *guard += 1;
                            locked += 1;
                            if turn % 16 == 0 {
                                // Held over a switch, so that others do wait.
                                home.yield_now();
                            }
                        }
                    }
                    locked
                })
            })
            .collect();
        let locked: u64 = threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert_eq!(*mutex.try_lock().expect("free"), locked);
        assert!(locked >= turns / 4);
    });
}

#[test]
fn rwlock() {
    race("rwlock", |home, turns| {
        let lock = Arc::new(RwLock::new(0_u64));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let lock = Arc::clone(&lock);
                home.spawn(move || {
                    let mut written = 0_u64;
                    for turn in 0..turns / 4 {
                        let time = patience(turn + number);
                        let writer = match (turn + number) % 5 {
                            0 => lock.write().ok(),
                            1 | 2 => lock.write_timeout(time).ok(),
                            3 => {
                                drop(lock.read_timeout(time));
                                None
                            }
                            _ => {
                                let reader = lock.read().expect("not poisoned");
                                if turn % 16 == 0 {
                                    home.yield_now();
                                }
                                drop(reader);
                                None
                            }
                        };
                        if let Some(mut writer) = writer {
                            *writer += 1;
                            written += 1;
                            if turn % 16 == 0 {
                                home.yield_now();
                            }
                        }
                    }
                    written
                })
            })
            .collect();
        let written: u64 = threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .sum();
        assert_eq!(*lock.try_write().expect("free"), written);
    });
}

#[test]
fn condvar_one() {
    race("condvar, one", |home, turns| notified(home, turns, false));
}

#[test]
fn condvar_all() {
    race("condvar, all", |home, turns| notified(home, turns, true));
}

fn notified(home: Home, turns: u64, all: bool) {
    // What may be taken; each is announced by a notification, of one waiter or of all.
    let shared = Arc::new((Mutex::new(0_u64), Condvar::new()));
    let turns = turns / 2;
    let impatient = home.spawn({
        let shared = Arc::clone(&shared);
        move || {
            let mut taken = 0;
            for turn in 0..turns {
                let guard = shared.0.lock().expect("not poisoned");
                let (mut guard, result) = shared
                    .1
                    .wait_timeout_while(guard, patience(turn), |it| *it == 0)
                    .expect("not poisoned");
                assert_eq!(result.timed_out(), *guard == 0);
                if *guard > 0 {
                    *guard -= 1;
                    taken += 1;
                }
            }
            taken
        }
    });
    let patient: Vec<_> = (0..2)
        .map(|_| {
            let shared = Arc::clone(&shared);
            home.spawn(move || {
                for _ in 0..turns / 2 {
                    let guard = shared.0.lock().expect("not poisoned");
                    *shared
                        .1
                        .wait_while(guard, |it| *it == 0)
                        .expect("not poisoned") -= 1;
                }
            })
        })
        .collect();
    for turn in 0..2 * turns {
        *shared.0.lock().expect("not poisoned") += 1;
        if all {
            shared.1.notify_all();
        } else {
            shared.1.notify_one();
        }
        if turn % 8 == 0 {
            home.yield_now();
        }
    }
    for thread in patient {
        thread.join().expect("no panic");
    }
    let taken = impatient.join().expect("no panic");
    assert_eq!(
        *shared.0.lock().expect("not poisoned"),
        2 * turns - taken - turns / 2 * 2
    );
}

#[test]
fn semaphore() {
    race("semaphore", |home, turns| {
        let semaphore = Arc::new(Semaphore::new(2));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let semaphore = Arc::clone(&semaphore);
                home.spawn(move || {
                    for turn in 0..turns / 4 {
                        let count = 1 + usize::from((turn + number) % 2 == 0);
                        let permits = if turn % 3 == 0 {
                            Some(semaphore.acquire(count))
                        } else {
                            semaphore.acquire_timeout(count, patience(turn + number))
                        };
                        if turn % 8 == 0 {
                            home.yield_now();
                        }
                        drop(permits);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert!(semaphore.try_acquire(2).is_some());
        assert!(semaphore.try_acquire(3).is_none());
    });
}

#[test]
fn wait_group() {
    race("wait group", |home, turns| {
        let (group, turn) = (WaitGroup::new(), Arc::new(AtomicU64::new(0)));
        group.add(1);
        let worker = home.spawn({
            let (group, turn) = (group.clone(), Arc::clone(&turn));
            move || {
                for number in 0..turns {
                    // Until the waiter is about to wait for this turn.
                    while turn.load(SeqCst) <= number {
                        home.yield_now();
                    }
                    group.done();
                }
            }
        });
        for number in 0..turns {
            turn.store(number + 1, SeqCst);
            if !group.wait_timeout(patience(number)) {
                group.wait();
            }
            assert!(group.wait_timeout(Duration::ZERO), "nothing is left");
            group.add(1);
        }
        worker.join().expect("no panic");
    });
}

/// Both sides give up, on channels of each kind; what was sent and what was received are the same.
#[test]
fn channel() {
    race("channel", |home, turns| {
        for capacity in [Some(0), Some(1), None] {
            let (tx, rx) = match capacity {
                Some(capacity) => channel::bounded(capacity),
                None => channel::unbounded(),
            };
            let turns = turns / 6;
            let sender = home.spawn(move || {
                (0..turns)
                    .filter(|turn| {
                        if turn % 4 == 0 {
                            home.yield_now();
                        }
                        tx.send_timeout(*turn, patience(turn * 7)).is_ok()
                    })
                    .sum::<u64>()
            });
            let mut received = 0;
            for turn in 0..turns {
                received += rx.recv_timeout(patience(turn)).unwrap_or(0);
            }
            received += rx.iter().sum::<u64>();
            assert_eq!(sender.join().expect("no panic"), received);
        }
    });
}

#[test]
fn select() {
    race("select", |home, turns| {
        let (one, from_one) = channel::bounded(0);
        let (two, from_two) = channel::bounded(1);
        let turns = turns / 3;
        let senders = [one, two].map(|tx| {
            home.spawn(move || {
                let mut sent = 0;
                for turn in 0..turns {
                    sward::select! {
                        send(tx, turn) -> it => sent += it.map_or(0, |()| turn),
                        default(patience(turn * 7)) => {}
                    }
                }
                sent
            })
        });
        let mut received = 0;
        for turn in 0..turns {
            sward::select! {
                recv(from_one) -> it => received += it.unwrap_or(0),
                recv(from_two) -> it => received += it.unwrap_or(0),
                default(patience(turn)) => {}
            }
        }
        let rest = [from_one, from_two].map(|rx| home.spawn(move || rx.iter().sum::<u64>()));
        let sent: u64 = senders.map(|it| it.join().expect("no panic")).iter().sum();
        received += rest
            .map(|it| it.join().expect("no panic"))
            .iter()
            .sum::<u64>();
        assert_eq!(sent, received);
    });
}

/// A token that comes as the time is over is there for the next wait.
#[test]
fn park() {
    race("park", |home, turns| {
        let turn = Arc::new(AtomicU64::new(0));
        let me = thread::current();
        let waker = home.spawn({
            let turn = Arc::clone(&turn);
            move || {
                for number in 1..=turns {
                    while turn.load(SeqCst) != 2 * number - 1 {
                        home.yield_now();
                    }
                    turn.store(2 * number, SeqCst);
                    me.unpark();
                }
            }
        });
        for number in 1..=turns {
            turn.store(2 * number - 1, SeqCst);
            thread::park_timeout(patience(number));
            while turn.load(SeqCst) != 2 * number {
                thread::park();
            }
        }
        waker.join().expect("no panic");
    });
}

/// A context ends by its deadline and by hand at the same time: once, for one reason that all below it and
/// all who wait see, and what is to run then runs once or was stopped.
#[test]
fn context() {
    race("context", |home, turns| {
        let (to_waiter, contexts) = channel::bounded::<Context>(0);
        let waiter = home.spawn(move || {
            for context in &contexts {
                assert!(context.done().recv().is_err());
                let error = context.err();
                assert!(error.is_some());
                let child = context.with_cancel();
                assert_eq!((child.err(), context.err()), (error, error));
            }
        });
        let (ran, all_ran) = (Arc::new(AtomicU64::new(0)), WaitGroup::new());
        let mut stopped = 0;
        let turns = turns / 4;
        for turn in 0..turns {
            let context = Context::background().with_timeout(patience(turn));
            let (count, done) = (Arc::clone(&ran), all_ran.clone());
            all_ran.add(1);
            let after = context.after_func(move || {
                count.fetch_add(1, SeqCst);
                done.done();
            });
            to_waiter.send(context.with_cancel()).expect("it waits");
            match turn % 3 {
                0 => context.cancel("by hand"),
                1 => home.yield_now(),
                _ => {}
            }
            if turn % 2 == 0 && after.stop() {
                stopped += 1;
                all_ran.done();
            }
        }
        drop(to_waiter);
        waiter.join().expect("no panic");
        all_ran.wait();
        assert_eq!(ran.load(SeqCst) + stopped, turns);
    });
}

/// One reader of many gives up as a word comes: the others get each word that it does not.
#[test]
fn socket() {
    race("socket", |home, turns| {
        let (near, far) = UnixStream::pair().expect("a pair");
        let (near, impatient) = (Arc::new(near), Arc::new(far));
        // An end has one timeout for all who read it; so the impatient one has it shortened, and the others
        // go on when their time is up.
        let read = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (end, read) = (Arc::clone(&impatient), Arc::clone(&read));
                home.spawn(move || {
                    loop {
                        match (&*end).read(&mut [0]) {
                            Ok(0) => break,
                            Ok(_) => _ = read.fetch_add(1, SeqCst),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                        }
                    }
                })
            })
            .collect();
        let turns = turns / 4;
        for turn in 0..turns {
            let patience = patience(turn).max(Duration::from_nanos(1));
            impatient.set_read_timeout(Some(patience)).expect("open");
            (&*near).write_all(b"!").expect("room");
            if turn % 2 == 0 {
                // What was written as some gave up is read by those who do not.
                impatient.set_read_timeout(None).expect("open");
                while read.load(SeqCst) <= turn {
                    home.yield_now();
                }
            }
        }
        impatient.set_read_timeout(None).expect("open");
        near.shutdown(Shutdown::Write).expect("connected");
        for reader in readers {
            reader.join().expect("no panic");
        }
        assert_eq!(read.load(SeqCst), turns);
    });
}

#[test]
fn mpsc_queue() {
    race("mpsc", |home, turns| {
        for bound in [0, 2] {
            let turns = turns / 2;
            let (tx, rx) = mpsc::sync_channel(bound);
            let sender = home.spawn(move || {
                let mut sent = 0;
                for turn in 0..turns {
                    if turn % 3 == 0 {
                        sent += tx.try_send(turn).map_or(0, |()| turn);
                    } else if tx.send(turn).is_ok() {
                        sent += turn;
                    }
                }
                sent
            });
            let mut received = 0;
            loop {
                match rx.recv_timeout(patience(received)) {
                    Ok(value) => received += value,
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
            }
            assert_eq!(sender.join().expect("no panic"), received);
        }
    });
}
