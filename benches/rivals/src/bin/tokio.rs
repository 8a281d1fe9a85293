//! The work on tokio, with async-channel where many receive, which tokio's own channels do not allow.

use rivals::{
    Order, UNBOUNDED, cpu, has_none, memory, naps, report_cpu, report_each, report_late,
    report_memory, report_rate, report_whole, workers,
};
use std::{
    future::Future,
    pin::Pin,
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
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::{Mutex, mpsc, watch},
    task::{JoinHandle, spawn, yield_now},
    time::sleep,
};

async fn join_all<T>(tasks: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("it does not panic"));
    }
    results
}

async fn yields([tasks, turns]: [usize; 2]) {
    let start = Instant::now();
    let all: Vec<_> = (0..tasks)
        .map(|_| {
            spawn(async move {
                for _ in 0..turns / tasks {
                    yield_now().await;
                }
            })
        })
        .collect();
    join_all(all).await;
    report_each("time", start, turns);
}

async fn spawns([tasks]: [usize; 1]) {
    let ran = Arc::new(AtomicUsize::new(0));
    // A wait group: it closes when the last has dropped its end.
    let (all, mut gone) = mpsc::channel::<()>(1);
    let start = Instant::now();
    for _ in 0..tasks {
        let (all, ran) = (all.clone(), Arc::clone(&ran));
        spawn(async move {
            ran.fetch_add(1, Relaxed);
            drop(all);
        });
    }
    drop(all);
    assert_eq!(gone.recv().await, None);
    report_each("time", start, tasks);
    assert_eq!(ran.load(Relaxed), tasks);
}

async fn joins([tasks]: [usize; 1]) {
    let start = Instant::now();
    for task in 0..tasks {
        assert_eq!(spawn(async move { task }).await.expect("it returns"), task);
    }
    report_each("time", start, tasks);
}

/// With buffers of one: it has none without.
async fn ping_pong([rounds]: [usize; 1]) {
    let (to_it, mut calls) = mpsc::channel::<usize>(1);
    let (to_us, mut answers) = mpsc::channel(1);
    spawn(async move {
        while let Some(it) = calls.recv().await {
            to_us.send(it).await.expect("we listen");
        }
    });
    let start = Instant::now();
    for round in 0..rounds {
        to_it.send(round).await.expect("it listens");
        assert_eq!(answers.recv().await, Some(round));
    }
    report_each("time", start, rounds);
}

async fn one_receiver(senders: usize, capacity: usize, messages: usize) -> usize {
    let (sender, mut receiver) = mpsc::channel::<usize>(capacity);
    for _ in 0..senders {
        let sender = sender.clone();
        spawn(async move {
            for message in 0..messages {
                sender.send(message).await.expect("somebody receives");
            }
        });
    }
    drop(sender);
    let receiver = spawn(async move {
        let mut received = 0;
        while receiver.recv().await.is_some() {
            received += 1;
        }
        received
    });
    receiver.await.expect("it does not panic")
}

async fn one_receiver_unbounded(senders: usize, messages: usize) -> usize {
    let (sender, mut receiver) = mpsc::unbounded_channel::<usize>();
    for _ in 0..senders {
        let sender = sender.clone();
        spawn(async move {
            for message in 0..messages {
                sender.send(message).expect("somebody receives");
            }
        });
    }
    drop(sender);
    let receiver = spawn(async move {
        let mut received = 0;
        while receiver.recv().await.is_some() {
            received += 1;
        }
        received
    });
    receiver.await.expect("it does not panic")
}

async fn many_receivers(
    senders: usize,
    receivers: usize,
    capacity: usize,
    messages: usize,
) -> usize {
    let (sender, receiver) = match capacity {
        UNBOUNDED => async_channel::unbounded::<usize>(),
        it => async_channel::bounded(it),
    };
    for _ in 0..senders {
        let sender = sender.clone();
        spawn(async move {
            for message in 0..messages {
                sender.send(message).await.expect("somebody receives");
            }
        });
    }
    drop(sender);
    let receivers: Vec<_> = (0..receivers)
        .map(|_| {
            let receiver = receiver.clone();
            spawn(async move {
                let mut received = 0;
                while receiver.recv().await.is_ok() {
                    received += 1;
                }
                received
            })
        })
        .collect();
    join_all(receivers).await.into_iter().sum()
}

async fn channels([senders, receivers, capacity, messages]: [usize; 4]) {
    let each = messages / senders;
    let start = Instant::now();
    let received = match (capacity, receivers) {
        (0, _) => has_none(),
        (UNBOUNDED, 1) => one_receiver_unbounded(senders, each).await,
        (capacity, 1) => one_receiver(senders, capacity, each).await,
        (capacity, many) => many_receivers(senders, many, capacity, each).await,
    };
    report_each("time", start, messages);
    assert_eq!(received, each * senders);
}

async fn selects([rounds]: [usize; 1]) {
    let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| {
        let (sender, receiver) = mpsc::channel::<usize>(1);
        spawn(async move { while sender.send(1).await.is_ok() {} });
        receiver
    });
    let start = Instant::now();
    let mut sum = 0;
    for _ in 0..rounds {
        sum += tokio::select! {
            Some(it) = a.recv() => it,
            Some(it) = b.recv() => it,
            Some(it) = c.recv() => it,
            Some(it) = d.recv() => it,
        };
    }
    report_each("time", start, rounds);
    assert_eq!(sum, rounds);
}

fn skynet(
    sender: mpsc::Sender<usize>,
    first: usize,
    size: usize,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if size == 1 {
            sender.send(first).await.expect("it listens");
            return;
        }
        let (to_us, mut sums) = mpsc::channel(10);
        for child in 0..10 {
            spawn(skynet(
                to_us.clone(),
                first + child * (size / 10),
                size / 10,
            ));
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += sums.recv().await.expect("it sends");
        }
        sender.send(sum).await.expect("it listens");
    })
}

async fn skynets([leaves]: [usize; 1]) {
    let start = Instant::now();
    let (sender, mut receiver) = mpsc::channel(1);
    spawn(skynet(sender, 0, leaves));
    assert_eq!(receiver.recv().await, Some(leaves * (leaves - 1) / 2));
    report_whole(start);
}

async fn mutexes([tasks, locks]: [usize; 2]) {
    let count = Arc::new(Mutex::new(0));
    let start = Instant::now();
    let all: Vec<_> = (0..tasks)
        .map(|_| {
            let count = Arc::clone(&count);
            spawn(async move {
                for _ in 0..locks / tasks {
                    *count.lock().await += 1;
                }
            })
        })
        .collect();
    join_all(all).await;
    report_each("time", start, locks);
    assert_eq!(*count.lock().await, locks / tasks * tasks);
}

async fn timers([tasks]: [usize; 1]) {
    let before = cpu();
    let sleepers: Vec<_> = naps(tasks)
        .map(|nap| {
            spawn(async move {
                let start = Instant::now();
                sleep(nap).await;
                start.elapsed().saturating_sub(nap)
            })
        })
        .collect();
    let late = join_all(sleepers).await;
    report_cpu(before, tasks);
    report_late(late);
}

/// Stages with buffers of one.
async fn sieve([primes]: [usize; 1]) {
    let start = Instant::now();
    let (sender, mut numbers) = mpsc::channel::<usize>(1);
    spawn(async move {
        for number in 2.. {
            if sender.send(number).await.is_err() {
                break;
            }
        }
    });
    let mut last = 0;
    for _ in 0..primes {
        last = numbers.recv().await.expect("there is no end of numbers");
        let (sender, next) = mpsc::channel(1);
        let mut source = std::mem::replace(&mut numbers, next);
        spawn(async move {
            while let Some(number) = source.recv().await {
                if number % last != 0 && sender.send(number).await.is_err() {
                    break;
                }
            }
        });
    }
    report_whole(start);
    assert_eq!(last, rivals::prime(primes));
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}

async fn echo([connections, milliseconds]: [usize; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(serve(stream));
        }
    });
    let (answers, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let (answers, stop) = (Arc::clone(&answers), Arc::clone(&stop));
            spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("a server");
                let mut buffer = [7; 64];
                while !stop.load(Relaxed) {
                    stream.write_all(&buffer).await.expect("a server");
                    stream.read_exact(&mut buffer).await.expect("an answer");
                    answers.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    sleep(Duration::from_millis(300)).await;
    let (before, start) = (answers.load(SeqCst), Instant::now());
    sleep(Duration::from_millis(milliseconds as u64)).await;
    report_rate(answers.load(SeqCst) - before, start.elapsed());
    stop.store(true, SeqCst);
    join_all(clients).await;
}

async fn parked([tasks]: [usize; 1]) {
    let before = memory();
    let arrived = Arc::new(AtomicUsize::new(0));
    let (all_here, mut here) = mpsc::channel::<()>(1);
    let (gate, closed) = watch::channel(false);
    let mut all = Vec::with_capacity(tasks);
    let start = Instant::now();
    for _ in 0..tasks {
        let (arrived, all_here, mut closed) =
            (Arc::clone(&arrived), all_here.clone(), closed.clone());
        all.push(spawn(async move {
            if arrived.fetch_add(1, SeqCst) + 1 == tasks {
                all_here.send(()).await.expect("it waits");
            }
            drop(all_here);
            closed.changed().await.expect("it is not dropped");
        }));
    }
    here.recv().await.expect("the last sends");
    report_each("spawn", start, tasks);
    report_memory(before, tasks);
    let start = Instant::now();
    gate.send(true).expect("they wait");
    join_all(all).await;
    report_each("wake", start, tasks);
}

async fn work(order: Order) {
    match order.workload.as_str() {
        "yield" => yields(order.numbers()).await,
        "spawn" => spawns(order.numbers()).await,
        "join" => joins(order.numbers()).await,
        "ping-pong" => ping_pong(order.numbers()).await,
        "channel" => channels(order.numbers()).await,
        "select" => selects(order.numbers()).await,
        "skynet" => skynets(order.numbers()).await,
        "mutex" => mutexes(order.numbers()).await,
        "timers" => timers(order.numbers()).await,
        "sieve" => sieve(order.numbers()).await,
        "echo" => echo(order.numbers()).await,
        "memory" => parked(order.numbers()).await,
        _ => has_none(),
    }
}

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .expect("a runtime starts");
    // In a task of its own: what `block_on` runs is on no worker.
    let main = runtime.spawn(work(Order::from_command_line()));
    runtime.block_on(main).expect("it does not panic");
    process::exit(0);
}
