//! Sockets that come and go under the same numbers, and sockets beside everything else there is.

use crate::{
    compute, micros, plans, storm,
    support::{Rng, runtime},
};
use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread as kernel,
    time::Duration,
};
use sward::{
    blocking, channel,
    net::{TcpListener, TcpStream, unix::UnixStream},
    select, thread,
    time::now,
};

/// What the readers of one connection came to.
#[derive(Debug, Default)]
struct Heard {
    words: usize,
    timed_out: usize,
}

/// Reads words that must all be `word`, until the end, until it is closed, or until time is up, as `times`
/// says how often that may be.
fn listen(mut near: &UnixStream, word: u64, mut times: usize) -> Heard {
    let mut heard = Heard::default();
    let mut buf = [0; 8];
    loop {
        match near.read(&mut buf) {
            Ok(0) => return heard,
            Ok(8) => {
                assert_eq!(u64::from_ne_bytes(buf), word, "another connection's");
                heard.words += 1;
            }
            Ok(count) => panic!("{count} bytes of a word"),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                heard.timed_out += 1;
                assert!(times > 0, "another connection's time is up");
                times -= 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotConnected);
                return heard;
            }
        }
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The far end goes: all that was written is read.
    Far,
    /// The near end is closed under its readers.
    Near,
    /// The near end is shut down under its readers.
    Down,
}

/// One connection, from beginning to end. Every word in it is `word`.
fn connection(rng: &mut Rng, word: u64, numbers: &Mutex<BTreeSet<i32>>) {
    let (near, mut far) = UnixStream::pair().expect("a pair");
    numbers
        .lock()
        .expect("no panic")
        .extend([near.as_raw_fd(), far.as_raw_fd()]);
    let near = Arc::new(near);
    // Alarms that are set for one are due when its number is another's. Those with an hour hear of none.
    let hasty = rng.below(3) == 0;
    let patience = if hasty {
        Duration::from_micros(1 + rng.below(400) as u64)
    } else {
        Duration::from_hours(1)
    };
    near.set_read_timeout(Some(patience)).expect("open");
    let readers: Vec<_> = (0..=rng.below(3))
        .map(|_| {
            let near = Arc::clone(&near);
            sward::spawn(move || listen(&near, word, if hasty { usize::MAX } else { 0 }))
        })
        .collect();
    let mut wrote = 0;
    for _ in 0..rng.below(5) {
        match rng.below(3) {
            0 => thread::yield_now(),
            1 => thread::sleep(micros(rng, 150)),
            _ => {}
        }
        far.write_all(&word.to_ne_bytes())
            .expect("its readers are there");
        wrote += 1;
    }
    let end = [End::Far, End::Near, End::Down][rng.below(3)];
    let mut far = Some(far);
    match end {
        End::Far => drop(far.take()),
        End::Near => near.close(),
        End::Down => near.shutdown(Shutdown::Both).expect("open"),
    }
    // The number is free when the last reader has gone, and that may be before the joins below.
    drop(near);
    let heard: usize = readers
        .into_iter()
        .map(|it| it.join().expect("no panic").words)
        .sum();
    if end == End::Far {
        assert_eq!(heard, wrote, "of the words that were written");
    } else {
        assert!(heard <= wrote, "{heard} of {wrote} words");
    }
    drop(far);
}

/// Many green threads open and close sockets, while others wait in sockets of the same numbers: no word
/// of one connection comes to another, no time-out either, and nobody is left waiting.
#[test]
fn numbers_are_used_again() {
    storm("numbers", |rng, _| {
        const OPENERS: u64 = 12;
        const TIMES: u64 = 25;
        let numbers = Arc::new(Mutex::new(BTreeSet::new()));
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| {
                let (seed, numbers) = (rng.next(), Arc::clone(&numbers));
                sward::spawn(move || {
                    let mut rng = Rng::new(seed);
                    for time in 0..TIMES {
                        connection(&mut rng, opener << 32 | time, &numbers);
                        // Now and then the number is a descriptor's that nobody here watches.
                        if rng.below(4) == 0 {
                            let (mut one, mut two) =
                                std::os::unix::net::UnixStream::pair().expect("a pair");
                            one.write_all(b"theirs").expect("room");
                            let mut buf = [0; 6];
                            two.read_exact(&mut buf).expect("it was written");
                            assert_eq!(&buf, b"theirs");
                        }
                    }
                })
            })
            .collect();
        for opener in openers {
            opener.join().expect("no panic");
        }
        let numbers = numbers.lock().expect("no panic").len();
        let opened = usize::try_from(2 * OPENERS * TIMES).expect("few");
        assert!(numbers < opened / 2, "{numbers} numbers for {opened}");
    });
}

/// Sets it when it goes, however that is.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Answers `clients` connections, a green thread each.
fn serve(listener: &TcpListener, clients: usize) {
    thread::scope(|scope| {
        for _ in 0..clients {
            let (mut stream, _) = listener.accept().expect("a client");
            scope.spawn(move || {
                let mut buf = [0; 8];
                while stream.read_exact(&mut buf).is_ok() {
                    stream.write_all(&buf).expect("it reads");
                }
            });
        }
    });
}

/// Hogs that never give way and some that come back, system calls that nobody announced, blocking calls,
/// sleeps, timers in a choice, channels and sockets: all at once, and each comes to its end while the hogs
/// go on.
#[test]
fn everything_at_once() {
    plans("everything", |rng, workers| {
        let workers = workers.min(2);
        let seed = rng.next();
        runtime(workers).run(move || everything(&mut Rng::new(seed), workers));
    });
}

fn everything(rng: &mut Rng, workers: usize) {
    const TURNS: u32 = 12;
    let over = Arc::new(AtomicBool::new(false));
    let end = Over(Arc::clone(&over));
    let hogs: Vec<_> = (0..4 * workers)
        .map(|number| {
            let (seed, over) = (rng.next(), Arc::clone(&over));
            sward::spawn(move || {
                let mut rng = Rng::new(seed);
                while !over.load(SeqCst) {
                    match number % 4 {
                        // These two never give way.
                        0 => compute(micros(&mut rng, 500)),
                        1 => kernel::sleep(micros(&mut rng, 3_000)),
                        2 => {
                            compute(micros(&mut rng, 5_000));
                            thread::yield_now();
                        }
                        _ => {
                            kernel::sleep(micros(&mut rng, 3_000));
                            thread::sleep(micros(&mut rng, 300));
                        }
                    }
                }
            })
        })
        .collect();
    let turns = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = sward::spawn(move || serve(&listener, 4));
    let mut others = Vec::new();
    for kind in 0..20_u64 {
        let (seed, turns) = (rng.next(), Arc::clone(&turns));
        others.push(sward::spawn(move || {
            let mut rng = Rng::new(seed);
            let mut client = (kind % 5 == 0).then(|| TcpStream::connect(address).expect("it listens"));
            let (tx, rx) = channel::bounded(0);
            for turn in 0..TURNS {
                let span = micros(&mut rng, 500);
                let start = now();
                if let Some(stream) = &mut client {
                    let word = kind << 32 | u64::from(turn);
                    stream.write_all(&word.to_ne_bytes()).expect("it answers");
                    let mut buf = [0; 8];
                    stream.read_exact(&mut buf).expect("it answers");
                    assert_eq!(u64::from_ne_bytes(buf), word);
                } else if kind % 5 == 1 {
                    assert_eq!(blocking(|| kernel::sleep(span)), ());
                    assert!(now() - start >= span);
                } else if kind % 5 == 2 {
                    thread::sleep(span);
                    assert!(now() - start >= span);
                } else if kind % 5 == 3 {
                    select! {
                        recv(channel::after(span)) -> it => assert!(it.expect("its time") - start >= span),
                        recv(rx) -> it => panic!("{it:?}"),
                    }
                } else {
                    let tx = tx.clone();
                    let sender = sward::spawn(move || tx.send(turn));
                    assert_eq!(rx.recv(), Ok(turn));
                    assert_eq!(sender.join().expect("no panic"), Ok(()));
                }
                turns.fetch_add(1, SeqCst);
            }
        }));
    }
    for other in others {
        other.join().expect("no panic");
    }
    server.join().expect("no panic");
    assert_eq!(turns.load(SeqCst), 20 * TURNS as usize);
    drop(end);
    for hog in hogs {
        hog.join().expect("no panic");
    }
}
