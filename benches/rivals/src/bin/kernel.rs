//! The work on kernel threads: std's, with crossbeam-channel's channels and std's locks.
//!
//! A switch costs a hundred times as much here, and a thread more than that, so there are fewer of them:
//! figures are for each, all the same. What takes more threads at once than a process may have, it has not
//! got; nor the sieve, which would take half a minute.

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use rivals::{
    Order, UNBOUNDED, cpu, has_none, memory, naps, report_cpu, report_each, report_late,
    report_memory, report_rate, workers,
};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, Builder, JoinHandle},
    time::{Duration, Instant},
};

/// So many times fewer turns and messages.
const FEWER: usize = 20;

/// So many threads at once, at most.
const MOST: usize = 10_000;

const STACK_BYTES: usize = 256 << 10;

fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let thread = Builder::new().stack_size(STACK_BYTES).spawn(f);
    thread.expect("the kernel has one more thread")
}

fn join_all<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let join = |it: JoinHandle<T>| it.join().expect("it does not panic");
    threads.into_iter().map(join).collect()
}

fn yields([tasks, turns]: [usize; 2]) {
    let turns = turns / FEWER;
    let start = Instant::now();
    let threads: Vec<_> = (0..tasks)
        .map(|_| {
            spawn(move || {
                for _ in 0..turns / tasks {
                    thread::yield_now();
                }
            })
        })
        .collect();
    join_all(threads);
    report_each("time", start, turns);
}

fn spawns([tasks]: [usize; 1]) {
    let tasks = tasks.min(MOST);
    let start = Instant::now();
    let threads: Vec<_> = (0..tasks).map(|it| spawn(move || it)).collect();
    let sum: usize = join_all(threads).into_iter().sum();
    report_each("time", start, tasks);
    assert_eq!(sum, tasks * (tasks - 1) / 2);
}

fn joins([tasks]: [usize; 1]) {
    let tasks = tasks.min(MOST);
    let start = Instant::now();
    for task in 0..tasks {
        assert_eq!(spawn(move || task).join().expect("it returns"), task);
    }
    report_each("time", start, tasks);
}

fn ping_pong([rounds]: [usize; 1]) {
    let rounds = rounds / FEWER;
    let (to_it, calls) = bounded(0);
    let (to_us, answers) = bounded(0);
    spawn(move || calls.iter().try_for_each(|it: usize| to_us.send(it)));
    let start = Instant::now();
    for round in 0..rounds {
        to_it.send(round).expect("it listens");
        assert_eq!(answers.recv(), Ok(round));
    }
    report_each("time", start, rounds);
}

fn channel(capacity: usize) -> (Sender<usize>, Receiver<usize>) {
    match capacity {
        UNBOUNDED => unbounded(),
        it => bounded(it),
    }
}

fn channels([senders, receivers, capacity, messages]: [usize; 4]) {
    let messages = messages / FEWER;
    let (sender, receiver) = channel(capacity);
    let start = Instant::now();
    for _ in 0..senders {
        let sender = sender.clone();
        spawn(move || {
            for message in 0..messages / senders {
                sender.send(message).expect("somebody receives");
            }
        });
    }
    drop(sender);
    let receivers: Vec<_> = (0..receivers)
        .map(|_| {
            let receiver = receiver.clone();
            spawn(move || receiver.iter().count())
        })
        .collect();
    drop(receiver);
    let received: usize = join_all(receivers).into_iter().sum();
    report_each("time", start, messages);
    assert_eq!(received, messages / senders * senders);
}

fn selects([rounds]: [usize; 1]) {
    let rounds = rounds / FEWER;
    let [a, b, c, d] = [(); 4].map(|()| {
        let (sender, receiver) = bounded(0);
        spawn(move || while sender.send(1).is_ok() {});
        receiver
    });
    let start = Instant::now();
    let mut sum = 0;
    for _ in 0..rounds {
        sum += select! {
            recv(a) -> it => it.expect("it sends"),
            recv(b) -> it => it.expect("it sends"),
            recv(c) -> it => it.expect("it sends"),
            recv(d) -> it => it.expect("it sends"),
        };
    }
    report_each("time", start, rounds);
    assert_eq!(sum, rounds);
}

fn mutexes([tasks, locks]: [usize; 2]) {
    let count = Arc::new(Mutex::new(0));
    let start = Instant::now();
    let threads: Vec<_> = (0..tasks)
        .map(|_| {
            let count = Arc::clone(&count);
            spawn(move || {
                for _ in 0..locks / tasks {
                    *count.lock().expect("no panic") += 1;
                }
            })
        })
        .collect();
    join_all(threads);
    report_each("time", start, locks);
    assert_eq!(*count.lock().expect("no panic"), locks / tasks * tasks);
}

fn timers([tasks]: [usize; 1]) {
    if tasks > MOST {
        has_none();
    }
    let before = cpu();
    let sleepers: Vec<_> = naps(tasks)
        .map(|nap| {
            spawn(move || {
                let start = Instant::now();
                thread::sleep(nap);
                start.elapsed().saturating_sub(nap)
            })
        })
        .collect();
    let late = join_all(sleepers);
    report_cpu(before, tasks);
    report_late(late);
}

fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}

fn echo([connections, milliseconds]: [usize; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a client");
            spawn(move || serve(stream));
        }
    });
    let (answers, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let (answers, stop) = (Arc::clone(&answers), Arc::clone(&stop));
            // One after the other: std's line of those who are to be accepted is short.
            let mut stream = TcpStream::connect(address).expect("a server");
            spawn(move || {
                let mut buffer = [7; 64];
                while !stop.load(Relaxed) {
                    stream.write_all(&buffer).expect("a server");
                    stream.read_exact(&mut buffer).expect("an answer");
                    answers.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    let (before, start) = (answers.load(SeqCst), Instant::now());
    thread::sleep(Duration::from_millis(milliseconds as u64));
    report_rate(answers.load(SeqCst) - before, start.elapsed());
    stop.store(true, SeqCst);
    join_all(clients);
}

fn parked([tasks]: [usize; 1]) {
    if tasks > MOST {
        has_none();
    }
    let before = memory();
    let arrived = Arc::new(Barrier::new(tasks + 1));
    let (open, closed) = bounded::<()>(0);
    let start = Instant::now();
    let threads: Vec<_> = (0..tasks)
        .map(|_| {
            let (arrived, closed) = (Arc::clone(&arrived), closed.clone());
            spawn(move || {
                arrived.wait();
                assert!(closed.recv().is_err(), "nothing is sent");
            })
        })
        .collect();
    arrived.wait();
    report_each("spawn", start, tasks);
    report_memory(before, tasks);
    let start = Instant::now();
    drop(open);
    join_all(threads);
    report_each("wake", start, tasks);
}

fn main() {
    let order = Order::from_command_line();
    assert!(workers() > 0, "the kernel has as many as it has");
    match order.workload.as_str() {
        "yield" => yields(order.numbers()),
        "spawn" => spawns(order.numbers()),
        "join" => joins(order.numbers()),
        "ping-pong" => ping_pong(order.numbers()),
        "channel" => channels(order.numbers()),
        "select" => selects(order.numbers()),
        "mutex" => mutexes(order.numbers()),
        "timers" => timers(order.numbers()),
        "echo" => echo(order.numbers()),
        "memory" => parked(order.numbers()),
        _ => has_none(),
    }
    process::exit(0);
}
