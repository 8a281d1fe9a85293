//! Who is called off at the moment at which it is chosen: no permit, signal or value is lost with it.
//!
//! A runtime full of those who wait is shut down, while a kernel thread gives them what they wait for; what
//! they took and what is left must be what was given. `SWARD_RACES=1000000` calls off a million of each.

use crate::support::{races, runtime, watched};
use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};
use sward::{
    Runtime, channel,
    context::{Context, ContextError},
    net::{
        TcpListener, TcpStream,
        unix::{UnixListener, UnixStream},
    },
    sync::{
        Barrier, Condvar, Group, Mutex, Once, RwLock, Semaphore, SingleFlight, WaitGroup, mpsc,
    },
};

/// How many wait in each runtime.
const CROWD: usize = 300;
/// More than any shutdown takes.
const LONG: Duration = Duration::from_mins(2);

/// Whose waiters are called off.
struct Doomed {
    runtime: Runtime,
    about: Arc<AtomicUsize>,
    /// How many of them got what they waited for.
    got: Arc<AtomicUsize>,
}

impl Doomed {
    fn new(round: usize) -> Self {
        Self {
            runtime: runtime(1 + round % 2),
            about: Arc::default(),
            got: Arc::default(),
        }
    }

    /// A green thread that waits, and counts if its wait ends well.
    fn waits(&self, wait: impl FnOnce() + Send + 'static) {
        let (about, got) = (Arc::clone(&self.about), Arc::clone(&self.got));
        drop(self.runtime.spawn(move || {
            about.fetch_add(1, SeqCst);
            wait();
            got.fetch_add(1, SeqCst);
        }));
    }

    /// Once all are about to wait, `give` runs and they are called off, both at once. Returns how many
    /// got what they waited for.
    fn race(self, give: impl FnOnce() + Send) -> usize {
        self.race_with_count(CROWD, give)
    }

    fn race_with_count(self, count: usize, give: impl FnOnce() + Send) -> usize {
        while self.about.load(SeqCst) < count {
            thread::yield_now();
        }
        thread::scope(|scope| {
            scope.spawn(give);
            self.runtime.shutdown_timeout(LONG);
        });
        self.got.load(SeqCst)
    }
}

/// Runs it for as many runtimes as it takes.
fn rounds(what: &'static str, run: fn(usize)) {
    for round in 0..races().div_ceil(CROWD as u64) {
        let round = usize::try_from(round).expect("few");
        watched(&format!("{what}, round {round}"), LONG, move || run(round));
    }
}

#[test]
fn mutex() {
    rounds("mutex", |round| {
        let (doomed, mutex) = (Doomed::new(round), Arc::new(Mutex::new(0)));
        let guard = mutex.lock().expect("not poisoned");
        for _ in 0..CROWD {
            let mutex = Arc::clone(&mutex);
            doomed.waits(move || *mutex.lock().expect("not poisoned") += 1);
        }
        // A kernel thread stands among them, and must be let in.
        let other = thread::spawn({
            let mutex = Arc::clone(&mutex);
            move || *mutex.lock().expect("not poisoned") += 1
        });
        while doomed.about.load(SeqCst) < CROWD {
            thread::yield_now();
        }
        // A guard stays on its thread; so the giver is this one.
        let Doomed { runtime, got, .. } = doomed;
        let shutdown = thread::spawn(move || runtime.shutdown_timeout(LONG));
        drop(guard);
        shutdown.join().expect("no panic");
        other.join().expect("no panic");
        assert_eq!(
            *mutex.try_lock().expect("free"),
            got.load(SeqCst) + 1,
            "round {round}"
        );
    });
}

#[test]
fn rwlock() {
    rounds("rwlock", |round| {
        let (doomed, lock) = (Doomed::new(round), Arc::new(RwLock::new(0)));
        let guard = lock.write().expect("not poisoned");
        let writers = Arc::new(AtomicUsize::new(0));
        for number in 0..CROWD {
            let (lock, writers) = (Arc::clone(&lock), Arc::clone(&writers));
            doomed.waits(move || {
                if number % 3 == 0 {
                    *lock.write().expect("not poisoned") += 1;
                    writers.fetch_add(1, SeqCst);
                } else {
                    drop(lock.read());
                }
            });
        }
        let others = [false, true].map(|writes| {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                if writes {
                    *lock.write().expect("not poisoned") += 1;
                } else {
                    drop(lock.read());
                }
            })
        });
        while doomed.about.load(SeqCst) < CROWD {
            thread::yield_now();
        }
        let Doomed { runtime, .. } = doomed;
        let shutdown = thread::spawn(move || runtime.shutdown_timeout(LONG));
        drop(guard);
        shutdown.join().expect("no panic");
        for other in others {
            other.join().expect("no panic");
        }
        let written = *lock.try_write().expect("free");
        assert_eq!(written, writers.load(SeqCst) + 1, "round {round}");
    });
}

#[test]
fn condvar() {
    rounds("condvar", |round| {
        let doomed = Doomed::new(round);
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let take = |shared: &(Mutex<usize>, Condvar)| {
            let guard = shared.0.lock().expect("not poisoned");
            *shared
                .1
                .wait_while(guard, |it| *it == 0)
                .expect("not poisoned") -= 1;
        };
        for _ in 0..CROWD {
            let shared = Arc::clone(&shared);
            doomed.waits(move || take(&shared));
        }
        // What these are owed is there in the end, and they must be told.
        let survivors = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || (0..10).for_each(|_| take(&shared)))
        });
        let given = CROWD + 20;
        let got = doomed.race(|| {
            for number in 0..given {
                *shared.0.lock().expect("not poisoned") += 1;
                // Of all now and then: for those who are on their way from one line to the other.
                if number % 50 == 49 {
                    shared.1.notify_all();
                } else {
                    shared.1.notify_one();
                }
            }
        });
        for survivor in survivors {
            survivor.join().expect("no panic");
        }
        assert_eq!(
            *shared.0.try_lock().expect("free"),
            given - got - 20,
            "round {round}"
        );
    });
}

#[test]
fn semaphore() {
    rounds("semaphore", |round| {
        let (doomed, semaphore) = (Doomed::new(round), Arc::new(Semaphore::new(0)));
        for number in 0..CROWD {
            let semaphore = Arc::clone(&semaphore);
            doomed.waits(move || {
                // Some take two at once, in two requests or one: they count as one all the same.
                if number % 2 == 0 {
                    semaphore.acquire(2).forget();
                } else {
                    drop(semaphore.acquire(3));
                    semaphore.acquire(2).forget();
                }
            });
        }
        let given = 2 * CROWD + 3;
        let got = doomed.race(|| (0..given).for_each(|_| semaphore.add(1)));
        let left = given - 2 * got;
        assert!(semaphore.try_acquire(left + 1).is_none(), "round {round}");
        assert!(semaphore.try_acquire(left).is_some(), "round {round}");
    });
}

#[test]
fn wait_group() {
    rounds("wait group", |round| {
        let (doomed, group) = (Doomed::new(round), WaitGroup::new());
        group.add(1);
        for _ in 0..CROWD {
            let group = group.clone();
            doomed.waits(move || group.wait());
        }
        let survivor = thread::spawn({
            let group = group.clone();
            move || group.wait()
        });
        doomed.race(|| group.done());
        survivor.join().expect("it was told");
        // It is as new.
        group.add(1);
        assert!(!group.wait_timeout(Duration::ZERO));
        group.done();
        group.wait();
    });
}

#[test]
fn barrier() {
    rounds("barrier", |round| {
        let (doomed, barrier) = (Doomed::new(round), Arc::new(Barrier::new(CROWD + 1)));
        let led = Arc::new(AtomicUsize::new(0));
        for _ in 0..CROWD {
            let (barrier, led) = (Arc::clone(&barrier), Arc::clone(&led));
            doomed.waits(move || {
                led.fetch_add(usize::from(barrier.wait().is_leader()), SeqCst);
            });
        }
        // The last comes as the others are called off: they all meet, or it waits for as many others.
        let last = Arc::new(AtomicUsize::new(0));
        let come = {
            let (barrier, last) = (Arc::clone(&barrier), Arc::clone(&last));
            move || {
                let leads = barrier.wait().is_leader();
                last.fetch_add(1 + usize::from(leads), SeqCst);
            }
        };
        while doomed.about.load(SeqCst) < CROWD {
            thread::yield_now();
        }
        let last_one = thread::spawn(come);
        let got = doomed.race(|| {});
        let met = got > 0;
        if met {
            last_one.join().expect("no panic");
            assert_eq!(
                led.load(SeqCst) + last.load(SeqCst),
                2,
                "one leads in round {round}"
            );
        } else {
            // All have gone: it waits for a crowd of new ones, which a green one is.
            let others = runtime(1);
            for _ in 0..CROWD {
                let (barrier, led) = (Arc::clone(&barrier), Arc::clone(&led));
                drop(others.spawn(move || {
                    led.fetch_add(usize::from(barrier.wait().is_leader()), SeqCst);
                }));
            }
            last_one.join().expect("no panic");
        }
    });
}

#[test]
fn once() {
    rounds("once", |round| {
        let doomed = Doomed::new(round);
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let (open, gate) = channel::bounded::<()>(0);
        for _ in 0..CROWD {
            let (shared, gate) = (Arc::clone(&shared), gate.clone());
            doomed.waits(move || {
                shared.0.call_once(|| {
                    // The first is in here when it is called off, or lets go.
                    _ = gate.recv();
                    shared.1.fetch_add(1, SeqCst);
                });
            });
        }
        let got = doomed.race(|| drop(open));
        // Whether anybody has run it or not: now it runs, or has run, once.
        shared.0.call_once(|| {
            assert_eq!(got, 0, "round {round}");
            shared.1.fetch_add(1, SeqCst);
        });
        assert_eq!(shared.1.load(SeqCst), 1, "round {round}");
    });
}

/// Receivers are called off while messages come to them, by hand or through a buffer.
#[test]
fn receive() {
    rounds("receive", |round| {
        let doomed = Doomed::new(round);
        let (tx, rx) = match round % 3 {
            0 => channel::bounded(0),
            1 => channel::bounded(7),
            _ => channel::unbounded(),
        };
        for _ in 0..CROWD {
            let rx = rx.clone();
            doomed.waits(move || _ = rx.recv().expect("open"));
        }
        let mut sent = 0;
        let got = doomed.race(|| sent = (0..CROWD).filter(|it| tx.try_send(*it).is_ok()).count());
        assert_eq!(sent, got + rx.try_iter().count(), "round {round}");
    });
}

/// Senders are called off while their messages are taken.
#[test]
fn send() {
    rounds("send", |round| {
        let doomed = Doomed::new(round);
        let (tx, rx) = channel::bounded(round % 2);
        for number in 0..CROWD {
            let tx = tx.clone();
            doomed.waits(move || tx.send(number).expect("open"));
        }
        let mut received = 0;
        let got = doomed.race(|| received = (0..CROWD).filter(|_| rx.try_recv().is_ok()).count());
        assert_eq!(got, received + rx.try_iter().count(), "round {round}");
    });
}

/// Those who choose among two channels are called off while messages come in both.
#[test]
fn select() {
    rounds("select", |round| {
        let doomed = Doomed::new(round);
        let (one, from_one) = channel::bounded(0);
        let (two, from_two) = channel::bounded(1);
        for _ in 0..CROWD {
            let (from_one, from_two) = (from_one.clone(), from_two.clone());
            doomed.waits(move || {
                sward::select! {
                    recv(from_one) -> it => _ = it.expect("open"),
                    recv(from_two) -> it => _ = it.expect("open"),
                }
            });
        }
        let mut sent = 0;
        let got = doomed.race(|| {
            for number in 0..CROWD {
                sent += usize::from(one.try_send(number).is_ok());
                sent += usize::from(two.try_send(number).is_ok());
            }
        });
        let left = from_one.try_iter().count() + from_two.try_iter().count();
        assert_eq!(sent, got + left, "round {round}");
    });
}

#[test]
fn park() {
    rounds("park", |round| {
        let doomed = Doomed::new(round);
        let threads = Arc::new(std::sync::Mutex::new(Vec::new()));
        let woken = Arc::new(AtomicUsize::new(0));
        for _ in 0..CROWD {
            let (threads, woken) = (Arc::clone(&threads), Arc::clone(&woken));
            doomed.waits(move || {
                threads
                    .lock()
                    .expect("no panic")
                    .push(sward::thread::current());
                sward::thread::park();
                woken.fetch_add(1, SeqCst);
            });
        }
        while threads.lock().expect("no panic").len() < CROWD {
            thread::yield_now();
        }
        let threads = std::mem::take(&mut *threads.lock().expect("no panic"));
        let got = doomed.race(|| threads.iter().for_each(sward::thread::Thread::unpark));
        assert_eq!(got, woken.load(SeqCst), "round {round}");
    });
}

/// Who joins is called off as what it joins ends: each result is dropped once.
#[test]
fn join() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    rounds("join", |round| {
        let (doomed, others) = (Doomed::new(round), runtime(1));
        let (open, gate) = channel::bounded::<()>(0);
        let (drops, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..CROWD {
            let (gate, drops, begun) = (gate.clone(), Arc::clone(&drops), Arc::clone(&begun));
            let handle = others.spawn(move || {
                begun.fetch_add(1, SeqCst);
                _ = gate.recv();
                Counted(drops)
            });
            doomed.waits(move || drop(handle.join().expect("no panic")));
        }
        while begun.load(SeqCst) < CROWD {
            thread::yield_now();
        }
        doomed.race(|| drop(open));
        // All have begun and nothing holds them up: they have ended when this returns.
        others.shutdown_timeout(LONG);
        assert_eq!(drops.load(SeqCst), CROWD, "round {round}");
    });
}

/// Readers of one socket are called off while bytes come, and others are not.
#[test]
fn socket() {
    rounds("socket", |round| {
        let doomed = Doomed::new(round);
        // A stream of TCP has room for all of them, each in a message of its own.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("bound"));
        let near = Arc::new(near.expect("a listener"));
        let (far, _) = listener.accept().expect("a client");
        for _ in 0..CROWD {
            let near = Arc::clone(&near);
            doomed.waits(move || assert_eq!((&*near).read(&mut [0]).expect("open"), 1));
        }
        let survivors = [(); 2].map(|()| {
            let near = Arc::clone(&near);
            thread::spawn(move || {
                for _ in 0..10 {
                    (&*near).read_exact(&mut [0]).expect("data");
                }
            })
        });
        let given = CROWD + 20;
        let got = doomed.race(|| {
            for _ in 0..given {
                (&far).write_all(b"!").expect("room");
            }
        });
        for survivor in survivors {
            survivor.join().expect("what it is owed is there");
        }
        drop(far);
        let mut rest = Vec::new();
        (&*near).read_to_end(&mut rest).expect("an end");
        assert_eq!(rest.len(), given - got - 20, "round {round}");
    });
}

/// Who accepts is called off as clients come: each client is let in by another, or was.
#[test]
fn accept() {
    const CLIENTS: usize = 50;
    rounds("accept", |round| {
        let doomed = Doomed::new(round);
        let path =
            std::env::temp_dir().join(format!("sward-accept-{}-{round}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let listener = Arc::new(UnixListener::bind(&path).expect("a path"));
        for _ in 0..CROWD {
            let listener = Arc::clone(&listener);
            doomed.waits(move || drop(listener.accept().expect("open")));
        }
        let got = doomed.race(|| {
            for _ in 0..CLIENTS {
                drop(UnixStream::connect(&path).expect("it listens"));
            }
        });
        std::fs::remove_file(&path).expect("it was there");
        listener.set_nonblocking(true).expect("open");
        let rest = listener.incoming().take_while(Result::is_ok).count();
        assert_eq!(got + rest, CLIENTS, "round {round}");
    });
}

/// Who waits for a context's end is called off as it comes, and so is what is to run then.
#[test]
fn context() {
    rounds("context", |round| {
        let doomed = Doomed::new(round);
        let root = Context::background().with_cancel();
        let ran = Arc::new(AtomicUsize::new(0));
        for number in 0..CROWD {
            let (context, ran) = (root.with_cancel(), Arc::clone(&ran));
            doomed.waits(move || {
                if number % 2 == 0 {
                    drop(context.after_func(move || _ = ran.fetch_add(1, SeqCst)));
                }
                assert!(context.done().recv().is_err());
                assert_eq!(context.err(), Some(ContextError::Canceled));
            });
        }
        let survivor = thread::spawn({
            let context = root.with_cancel();
            move || context.done().recv().is_err() && context.err().is_some()
        });
        doomed.race(|| root.cancel("over"));
        assert!(survivor.join().expect("no panic"), "round {round}");
        assert!(ran.load(SeqCst) <= CROWD / 2, "round {round}");
    });
}

#[test]
fn mpsc_queue() {
    rounds("mpsc", |round| {
        let doomed = Doomed::new(round);
        let taken = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..CROWD)
            .map(|_| {
                let (tx, rx) = mpsc::sync_channel(round % 2);
                let taken = Arc::clone(&taken);
                doomed.waits(move || {
                    rx.recv().expect("its sender is there");
                    taken.fetch_add(1, SeqCst);
                });
                tx
            })
            .collect();
        // With no room, what was sent was taken. With room it may lie there, and goes with the receiver.
        let mut sent = 0;
        let got =
            doomed.race(|| sent = senders.iter().filter(|it| it.try_send(()).is_ok()).count());
        assert_eq!(got, taken.load(SeqCst), "round {round}");
        assert!(got == sent || round % 2 == 1 && got < sent, "round {round}");
        assert!(
            senders.iter().all(|it| it.send(()).is_err()),
            "all receivers are gone"
        );
    });
}

/// The one who makes it, and those who wait for that, are called off: who is left gets it all the same.
#[test]
fn single_flight() {
    rounds("single flight", |round| {
        let (doomed, flights) = (Doomed::new(round), Arc::new(SingleFlight::new()));
        let (open, gate) = channel::bounded::<()>(0);
        let make = move || {
            _ = gate.recv();
            7
        };
        for _ in 0..CROWD {
            let (flights, make) = (Arc::clone(&flights), make.clone());
            doomed.waits(move || assert_eq!(flights.run("key", make).0, 7));
        }
        let survivors = [(); 2].map(|()| {
            let (flights, make) = (Arc::clone(&flights), make.clone());
            thread::spawn(move || flights.run("key", make).0)
        });
        doomed.race(|| drop(open));
        for survivor in survivors {
            assert_eq!(survivor.join().expect("no panic"), 7, "round {round}");
        }
    });
}

/// Whoever waits for a group is told, by the failure of one that was called off.
#[test]
fn group() {
    rounds("group", |round| {
        let doomed = Doomed::new(round);
        let (group, done) = (Group::<&str>::new(), Arc::new(AtomicUsize::new(0)));
        let (open, gate) = channel::bounded::<()>(0);
        let about = Arc::clone(&doomed.about);
        let (members, ended) = (group.clone(), Arc::clone(&done));
        doomed.runtime.run(move || {
            for _ in 0..CROWD {
                let (gate, about, ended) = (gate.clone(), Arc::clone(&about), Arc::clone(&ended));
                members.go(move || {
                    about.fetch_add(1, SeqCst);
                    _ = gate.recv();
                    ended.fetch_add(1, SeqCst);
                    Ok(())
                });
            }
        });
        let survivor = thread::spawn(move || group.wait());
        doomed.race(|| drop(open));
        match survivor.join() {
            Ok(result) => {
                assert_eq!(result, Ok(()));
                assert_eq!(done.load(SeqCst), CROWD, "round {round}");
            }
            Err(payload) => assert!(payload.is::<sward::Shutdown>(), "round {round}"),
        }
    });
}
