//! A server that knows primes, thousands of clients, and neighbours that compute and block.

use crate::{Outcome, process};
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io::{self, ErrorKind, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use sward::{
    blocking,
    net::{TcpListener, TcpStream},
    sync::{OnceLock, Semaphore, WaitGroup},
    thread::{self, JoinHandle},
};

const CONNECTIONS: u64 = 4_000;
/// Files that are open besides: the standard ones, the poller's.
const OTHER_FILES: u64 = 64;
/// How many knock at the same time; more than the backlog holds would be told to come again later.
const KNOCKING: usize = 64;
/// How long each part is observed.
const PART: Duration = Duration::from_millis(1_500);
/// The longest that a client thinks before it asks again.
const THOUGHT: Duration = Duration::from_secs(2);
/// Questions are numbers below this.
const NUMBERS: u64 = 1_000_000;

/// What the clients of one part have seen.
type Latencies = Vec<Duration>;

pub(crate) fn serve_and_ask() -> Outcome {
    let files = process::raise_files(2 * CONNECTIONS + OTHER_FILES)?;
    let connections = CONNECTIONS.min(files.now.saturating_sub(OTHER_FILES) / 2);
    println!(
        "   {connections} connections; this process might have {} files open, and now {}",
        files.before, files.now
    );
    let listener = Arc::new(TcpListener::bind(("127.0.0.1", 0))?);
    let address = listener.local_addr()?;
    let server = {
        let listener = Arc::clone(&listener);
        sward::spawn(move || accept_all(&listener))
    };

    let opening = Arc::new(OnceLock::new());
    let knocking = Arc::new(Semaphore::new(KNOCKING));
    let connected = WaitGroup::new();
    let clients: Vec<JoinHandle<io::Result<[Latencies; 2]>>> = (0..connections)
        .map(|_| {
            let (opening, knocking) = (Arc::clone(&opening), Arc::clone(&knocking));
            connected.add(1);
            let connected = connected.clone();
            sward::spawn(move || {
                let stream = {
                    let _permit = knocking.acquire(1);
                    // Its first answer shows that the server has let it in.
                    TcpStream::connect(address).and_then(|mut stream| {
                        stream.set_nodelay(true)?;
                        ask(&mut stream, 0).map(|_| stream)
                    })
                };
                connected.done();
                visit(stream?, *opening.wait())
            })
        })
        .collect();
    connected.wait();

    let start = Instant::now();
    _ = opening.set(start);
    thread::sleep_until(start + PART);
    let neighbours = Neighbours::move_in();
    let mut parts = [Latencies::new(), Latencies::new()];
    for client in clients {
        let seen = client.join().map_err(|_| "a client panicked")?;
        for (part, seen) in parts.iter_mut().zip(seen?) {
            part.extend(seen);
        }
    }
    let neighbours = neighbours.move_out()?;
    listener.close();
    server.join().map_err(|_| "the server panicked")??;

    let [quiet, beside] = parts;
    report("while all is quiet:", quiet)?;
    report(&neighbours, beside)
}

/// A green thread for each connection.
fn accept_all(listener: &TcpListener) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => drop(sward::spawn(move || answer(stream))),
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The server's part: a number comes, and the next prime goes back.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut number = [0; 8];
    loop {
        match stream.read_exact(&mut number) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let prime = next_prime(u64::from_be_bytes(number));
        stream.write_all(&prime.to_be_bytes())?;
    }
}

/// A client's part: thinks and asks, until both parts are over.
fn visit(mut stream: TcpStream, start: Instant) -> io::Result<[Latencies; 2]> {
    let mut seen = [Latencies::new(), Latencies::new()];
    let mut draw = random();
    loop {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let thought = THOUGHT.mul_f64(f64::from((draw >> 40) as u32) / f64::from(1 << 24));
        let next = Instant::now() + thought;
        // Nothing keeps a client that would come too late.
        thread::sleep_until(next.min(start + 2 * PART));
        let part = match start.elapsed() {
            it if it < PART => 0,
            it if it < 2 * PART => 1,
            _ => return Ok(seen),
        };
        seen[part].push(ask(&mut stream, (draw >> 24) % NUMBERS)?);
    }
}

/// Asks for the next prime, and checks the answer; how long that took.
fn ask(stream: &mut TcpStream, number: u64) -> io::Result<Duration> {
    let asked = Instant::now();
    stream.write_all(&number.to_be_bytes())?;
    let mut prime = [0; 8];
    stream.read_exact(&mut prime)?;
    let time = asked.elapsed();
    let prime = u64::from_be_bytes(prime);
    // There is one prime in the gap: its end.
    if !is_prime(prime) || (number + 1..prime).any(is_prime) {
        return Err(io::Error::other(format!(
            "{prime} is not the first prime after {number}"
        )));
    }
    Ok(time)
}

/// Green threads that are busy beside the server, without a thought for others.
struct Neighbours {
    leave: Arc<AtomicBool>,
    computed: Arc<AtomicU64>,
    slept: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Neighbours {
    const COMPUTING: usize = 4;
    const BLOCKING: usize = 8;

    fn move_in() -> Self {
        let mut it = Self {
            leave: Arc::default(),
            computed: Arc::default(),
            slept: Arc::default(),
            threads: Vec::new(),
        };
        for _ in 0..Self::COMPUTING {
            let (leave, computed) = (Arc::clone(&it.leave), Arc::clone(&it.computed));
            it.threads.push(sward::spawn(move || {
                let mut prime = NUMBERS;
                while !leave.load(Relaxed) {
                    prime = next_prime(prime);
                    computed.fetch_add(1, Relaxed);
                }
            }));
        }
        for number in 0..Self::BLOCKING {
            let (leave, slept) = (Arc::clone(&it.leave), Arc::clone(&it.slept));
            it.threads.push(sward::spawn(move || {
                // A system call that blocks the kernel thread: every other one says so before.
                let sleep = || std::thread::sleep(Duration::from_millis(20));
                while !leave.load(Relaxed) {
                    if number % 2 == 0 {
                        blocking(sleep);
                    } else {
                        sleep();
                    }
                    slept.fetch_add(1, Relaxed);
                }
            }));
        }
        it
    }

    /// Asks them to leave; what they did.
    fn move_out(self) -> Outcome<String> {
        self.leave.store(true, Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "a neighbour panicked")?;
        }
        let (computed, slept) = (self.computed.load(Relaxed), self.slept.load(Relaxed));
        if computed == 0 || slept == 0 {
            return Err("the neighbours did nothing".into());
        }
        Ok(format!(
            "beside {} green threads that compute ({computed} primes) and {} in blocking calls ({slept}):",
            Self::COMPUTING,
            Self::BLOCKING
        ))
    }
}

fn report(when: &str, mut latencies: Latencies) -> Outcome {
    latencies.sort_unstable();
    let of = |part: usize, whole: usize| latencies.get(latencies.len() * part / whole).copied();
    let (Some(half), Some(most), Some(worst)) = (of(1, 2), of(99, 100), latencies.last()) else {
        return Err(format!("{when} nobody was answered").into());
    };
    println!("   {when}");
    println!(
        "      {} answers; half within {half:.0?}, 99 of 100 within {most:.1?}, all within {worst:.1?}",
        latencies.len()
    );
    Ok(())
}

fn next_prime(number: u64) -> u64 {
    (number + 1..u64::MAX)
        .find(|it| is_prime(*it))
        .unwrap_or(u64::MAX)
}

fn is_prime(number: u64) -> bool {
    let small = [2, 3, 5].contains(&number);
    let odd = || (3..).step_by(2).take_while(|it| it * it <= number);
    small || number > 5 && number % 2 == 1 && odd().all(|it| !number.is_multiple_of(it))
}

/// A number that differs each time; what a client asks is its own affair.
fn random() -> u64 {
    RandomState::new().hash_one(Instant::now())
}
