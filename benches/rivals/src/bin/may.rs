//! The work on may, whose channels are unbounded, all of them, and which has no choice among several.

use may::{
    coroutine::{JoinHandle, sleep, yield_now},
    go,
    net::{TcpListener, TcpStream},
    sync::{Blocker, Mutex, WaitGroup, mpmc, mpsc},
};
use rivals::{
    Order, UNBOUNDED, cpu, has_none, memory, naps, report_cpu, report_each, report_late,
    report_memory, report_rate, report_whole, workers,
};
use std::{
    io::{Read, Write},
    process,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

/// In words: its default, and what it takes for a million of them to have a chance.
const STACK_WORDS: usize = 0x1000;

fn join_all<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let join = |it: JoinHandle<T>| it.join().expect("it does not panic");
    threads.into_iter().map(join).collect()
}

fn yields([tasks, turns]: [usize; 2]) {
    let start = Instant::now();
    let threads: Vec<_> = (0..tasks)
        .map(|_| {
            go!(move || {
                for _ in 0..turns / tasks {
                    yield_now();
                }
            })
        })
        .collect();
    join_all(threads);
    report_each("time", start, turns);
}

fn spawns([tasks]: [usize; 1]) {
    let (all, ran) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
    let start = Instant::now();
    for _ in 0..tasks {
        let (all, ran) = (all.clone(), Arc::clone(&ran));
        go!(move || {
            ran.fetch_add(1, Relaxed);
            drop(all);
        });
    }
    all.wait();
    report_each("time", start, tasks);
    assert_eq!(ran.load(Relaxed), tasks);
}

fn joins([tasks]: [usize; 1]) {
    let start = Instant::now();
    for task in 0..tasks {
        assert_eq!(go!(move || task).join().expect("it returns"), task);
    }
    report_each("time", start, tasks);
}

/// Through unbounded channels: it has no others.
fn ping_pong([rounds]: [usize; 1]) {
    let (to_it, calls) = mpsc::channel();
    let (to_us, answers) = mpsc::channel();
    go!(move || {
        for it in &calls {
            let it: usize = it;
            to_us.send(it).expect("we listen");
        }
    });
    let start = Instant::now();
    for round in 0..rounds {
        to_it.send(round).expect("it listens");
        assert_eq!(answers.recv(), Ok(round));
    }
    report_each("time", start, rounds);
}

fn channels([senders, receivers, capacity, messages]: [usize; 4]) {
    if capacity != UNBOUNDED {
        has_none();
    }
    let (sender, receiver) = mpmc::channel::<usize>();
    let start = Instant::now();
    for _ in 0..senders {
        let sender = sender.clone();
        go!(move || {
            for message in 0..messages / senders {
                sender.send(message).expect("somebody receives");
            }
        });
    }
    drop(sender);
    let receivers: Vec<_> = (0..receivers)
        .map(|_| {
            let receiver = receiver.clone();
            go!(move || {
                let mut received = 0;
                while receiver.recv().is_ok() {
                    received += 1;
                }
                received
            })
        })
        .collect();
    let received: usize = join_all(receivers).into_iter().sum();
    report_each("time", start, messages);
    assert_eq!(received, messages / senders * senders);
}

fn skynet(sender: &mpsc::Sender<usize>, first: usize, size: usize) {
    if size == 1 {
        sender.send(first).expect("it listens");
        return;
    }
    let (to_us, sums) = mpsc::channel();
    for child in 0..10 {
        let to_us = to_us.clone();
        go!(move || skynet(&to_us, first + child * (size / 10), size / 10));
    }
    sender.send(sums.iter().take(10).sum()).expect("it listens");
}

fn skynets([leaves]: [usize; 1]) {
    let start = Instant::now();
    let (sender, receiver) = mpsc::channel();
    go!(move || skynet(&sender, 0, leaves));
    assert_eq!(receiver.recv(), Ok(leaves * (leaves - 1) / 2));
    report_whole(start);
}

fn mutexes([tasks, locks]: [usize; 2]) {
    let count = Arc::new(Mutex::new(0));
    let start = Instant::now();
    let threads: Vec<_> = (0..tasks)
        .map(|_| {
            let count = Arc::clone(&count);
            go!(move || {
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
    let before = cpu();
    let sleepers: Vec<_> = naps(tasks)
        .map(|nap| {
            go!(move || {
                let start = Instant::now();
                sleep(nap);
                start.elapsed().saturating_sub(nap)
            })
        })
        .collect();
    let late = join_all(sleepers);
    report_cpu(before, tasks);
    report_late(late);
}

/// Stages with unbounded channels between them would run ahead without end: it has no sieve.
fn sieve() -> ! {
    has_none()
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
    go!(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a client");
            go!(move || serve(stream));
        }
    });
    let (answers, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let (answers, stop) = (Arc::clone(&answers), Arc::clone(&stop));
            go!(move || {
                let mut stream = TcpStream::connect(address).expect("a server");
                let mut buffer = [7; 64];
                while !stop.load(Relaxed) {
                    stream.write_all(&buffer).expect("a server");
                    stream.read_exact(&mut buffer).expect("an answer");
                    answers.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    sleep(Duration::from_millis(300));
    let (before, start) = (answers.load(SeqCst), Instant::now());
    sleep(Duration::from_millis(milliseconds as u64));
    report_rate(answers.load(SeqCst) - before, start.elapsed());
    stop.store(true, SeqCst);
    join_all(clients);
}

fn parked([tasks]: [usize; 1]) {
    let before = memory();
    let arrived = Arc::new(AtomicUsize::new(0));
    let here = Blocker::current();
    let start = Instant::now();
    let threads: Vec<_> = (0..tasks)
        .map(|_| {
            let (arrived, here) = (Arc::clone(&arrived), Arc::clone(&here));
            go!(move || {
                if arrived.fetch_add(1, SeqCst) + 1 == tasks {
                    here.unpark();
                }
                may::coroutine::park();
            })
        })
        .collect();
    here.park(None).expect("the last unparks");
    report_each("spawn", start, tasks);
    report_memory(before, tasks);
    let start = Instant::now();
    for thread in &threads {
        thread.coroutine().unpark();
    }
    join_all(threads);
    report_each("wake", start, tasks);
}

fn main() {
    may::config()
        .set_workers(workers())
        .set_stack_size(STACK_WORDS);
    let order = Order::from_command_line();
    let main = go!(move || match order.workload.as_str() {
        "yield" => yields(order.numbers()),
        "spawn" => spawns(order.numbers()),
        "join" => joins(order.numbers()),
        "ping-pong" => ping_pong(order.numbers()),
        "channel" => channels(order.numbers()),
        "skynet" => skynets(order.numbers()),
        "mutex" => mutexes(order.numbers()),
        "timers" => timers(order.numbers()),
        "sieve" => sieve(),
        "echo" => echo(order.numbers()),
        "memory" => parked(order.numbers()),
        _ => has_none(),
    });
    if main.join().is_err() {
        process::exit(1);
    }
    process::exit(0);
}
