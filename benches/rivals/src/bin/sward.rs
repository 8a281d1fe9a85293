//! The work on sward.

use rivals::{
    Order, UNBOUNDED, cpu, has_none, memory, naps, prime, report_cpu, report_each, report_late,
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
use sward::{
    Runtime,
    channel::{Receiver, Sender, bounded, select, unbounded},
    net::{TcpListener, TcpStream},
    spawn,
    sync::{Mutex, WaitGroup},
    thread::{self, JoinHandle},
    yield_now,
};

fn join_all<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let join = |it: JoinHandle<T>| it.join().expect("it does not panic");
    threads.into_iter().map(join).collect()
}

fn yields([tasks, turns]: [usize; 2]) {
    let start = Instant::now();
    let threads: Vec<_> = (0..tasks)
        .map(|_| {
            spawn(move || {
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
    all.add(tasks.cast_signed());
    let start = Instant::now();
    for _ in 0..tasks {
        let (all, ran) = (all.clone(), Arc::clone(&ran));
        spawn(move || {
            ran.fetch_add(1, Relaxed);
            all.done();
        });
    }
    all.wait();
    report_each("time", start, tasks);
    assert_eq!(ran.load(Relaxed), tasks);
}

fn joins([tasks]: [usize; 1]) {
    let start = Instant::now();
    for task in 0..tasks {
        assert_eq!(spawn(move || task).join().expect("it returns"), task);
    }
    report_each("time", start, tasks);
}

fn ping_pong([rounds]: [usize; 1]) {
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
    let received: usize = join_all(receivers).into_iter().sum();
    report_each("time", start, messages);
    assert_eq!(received, messages / senders * senders);
}

fn selects([rounds]: [usize; 1]) {
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

fn skynet(sender: &Sender<usize>, first: usize, size: usize) {
    if size == 1 {
        sender.send(first).expect("it listens");
        return;
    }
    let (to_us, sums) = bounded(0);
    for child in 0..10 {
        let to_us = to_us.clone();
        spawn(move || skynet(&to_us, first + child * (size / 10), size / 10));
    }
    sender.send(sums.iter().take(10).sum()).expect("it listens");
}

fn skynets([leaves]: [usize; 1]) {
    let start = Instant::now();
    let (sender, receiver) = bounded(0);
    spawn(move || skynet(&sender, 0, leaves));
    assert_eq!(receiver.recv(), Ok(leaves * (leaves - 1) / 2));
    report_whole(start);
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
    let before = cpu();
    let sleepers: Vec<_> = naps(tasks)
        .map(|nap| {
            spawn(move || {
                let start = Instant::now();
                thread::sleep(nap);
                start.elapsed().checked_sub(nap).expect("not too early")
            })
        })
        .collect();
    let late = join_all(sleepers);
    report_cpu(before, tasks);
    report_late(late);
}

fn sieve([primes]: [usize; 1]) {
    let start = Instant::now();
    let (sender, mut numbers) = bounded::<usize>(0);
    spawn(move || (2..).try_for_each(|it| sender.send(it)));
    let mut last = 0;
    for _ in 0..primes {
        last = numbers.recv().expect("there is no end of numbers");
        let (sender, next) = bounded(0);
        let source = std::mem::replace(&mut numbers, next);
        spawn(move || {
            for number in source {
                if number % last != 0 && sender.send(number).is_err() {
                    break;
                }
            }
        });
    }
    report_whole(start);
    assert_eq!(last, prime(primes));
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
            spawn(move || {
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
    thread::sleep(Duration::from_millis(300));
    let (before, start) = (answers.load(SeqCst), Instant::now());
    thread::sleep(Duration::from_millis(milliseconds as u64));
    report_rate(answers.load(SeqCst) - before, start.elapsed());
    stop.store(true, SeqCst);
    join_all(clients);
}

fn parked([tasks]: [usize; 1]) {
    let before = memory();
    let (arrived, gone) = (WaitGroup::new(), WaitGroup::new());
    arrived.add(tasks.cast_signed());
    gone.add(tasks.cast_signed());
    let (gate, closed) = bounded::<()>(0);
    let start = Instant::now();
    for _ in 0..tasks {
        let (arrived, gone, closed) = (arrived.clone(), gone.clone(), closed.clone());
        spawn(move || {
            arrived.done();
            assert!(closed.recv().is_err(), "nothing is sent");
            gone.done();
        });
    }
    arrived.wait();
    report_each("spawn", start, tasks);
    report_memory(before, tasks);
    let start = Instant::now();
    drop(gate);
    gone.wait();
    report_each("wake", start, tasks);
}

fn main() {
    let runtime = Runtime::builder()
        .workers(workers())
        .build()
        .expect("a runtime starts");
    let order = Order::from_command_line();
    runtime.run(move || match order.workload.as_str() {
        "yield" => yields(order.numbers()),
        "spawn" => spawns(order.numbers()),
        "join" => joins(order.numbers()),
        "ping-pong" => ping_pong(order.numbers()),
        "channel" => channels(order.numbers()),
        "select" => selects(order.numbers()),
        "skynet" => skynets(order.numbers()),
        "mutex" => mutexes(order.numbers()),
        "timers" => timers(order.numbers()),
        "sieve" => sieve(order.numbers()),
        "echo" => echo(order.numbers()),
        "memory" => parked(order.numbers()),
        _ => has_none(),
    });
    // What is left waits for ever, and need not be unwound.
    process::exit(0);
}
