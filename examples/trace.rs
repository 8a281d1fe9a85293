//! Writes what a busy server does into a file for <https://ui.perfetto.dev>, and into a page.
//!
//! Shows `trace::start` and `trace::stop`: each turn of a green thread is a slice on its worker's track. The
//! server has connections, a pool behind a channel, a lock that all want, and blocking calls; its clients
//! are in this program too. The page is one file that needs no network: workers as rows, zoom, and sums.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example trace -- trace.json trace.html
//! ```

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use sward::{
    channel::{Receiver, Sender, bounded},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    thread,
};

const CLIENTS: u64 = 12;
const REQUESTS: u64 = 40;
const POOL: usize = 3;

/// The page, but for the trace.
const PAGE: &str = include_str!("trace/timeline.html");

/// A number to compute with, and where its answer goes.
type Job = (u64, Sender<u64>);

/// What the server's threads share.
struct Server {
    pool: Sender<Job>,
    served: Mutex<u64>,
}

impl Server {
    /// Answers one line after the other until the client goes.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let lines = BufReader::new(stream.try_clone()?).lines();
        for line in lines {
            let line = line?;
            let number = line.parse().unwrap_or(0);
            let answer = match number % 8 {
                // As a file, or a call into a library, would be read.
                0 => sward::blocking(|| {
                    std::thread::sleep(Duration::from_micros(300));
                    0
                }),
                1..4 => spin(number),
                _ => self.ask_pool(number),
            };
            *self.served.lock().expect("no thread panics") += 1;
            // In one piece: else the second waits for the first to be acknowledged.
            stream.write_all(format!("{answer}\n").as_bytes())?;
        }
        Ok(())
    }

    fn ask_pool(&self, number: u64) -> u64 {
        let (answer, wait) = bounded(1);
        self.pool.send((number, answer)).expect("the pool listens");
        wait.recv().expect("the pool answers")
    }
}

/// Something to compute.
fn spin(number: u64) -> u64 {
    (0..number % 64 * 200).fold(number, |sum, it| sum.wrapping_mul(31) ^ it)
}

fn work(jobs: &Receiver<Job>) {
    for (number, answer) in jobs {
        // Who asked may be gone.
        _ = answer.send(spin(number));
    }
}

fn client(address: std::net::SocketAddr, seed: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let mut answers = BufReader::new(stream.try_clone()?).lines();
    for round in 0..REQUESTS {
        let number = seed * 7919 + round * 104_729;
        stream.write_all(format!("{number}\n").as_bytes())?;
        answers.next().transpose()?;
        if round % 10 == 0 {
            thread::sleep(Duration::from_micros(500));
        }
    }
    Ok(())
}

/// The server and its clients, from first to last. Returns how many requests were served.
fn rush() -> io::Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (pool, jobs) = bounded(4);
    let server = Arc::new(Server {
        pool,
        served: Mutex::new(0),
    });
    for _ in 0..POOL {
        let jobs = jobs.clone();
        sward::spawn(move || work(&jobs));
    }
    let accepting = sward::spawn({
        let server = Arc::clone(&server);
        move || {
            let streams = (0..CLIENTS).map(|_| listener.accept().map(|it| it.0));
            let serve = |stream: TcpStream| {
                let server = Arc::clone(&server);
                sward::spawn(move || server.serve(stream))
            };
            let serving: io::Result<Vec<_>> = streams.map(|it| it.map(serve)).collect();
            serving?.into_iter().try_for_each(joined)
        }
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|it| sward::spawn(move || client(address, it)))
        .collect();
    clients.into_iter().try_for_each(joined)?;
    joined(accepting)?;
    let served = *server.served.lock().expect("no thread panicked");
    Ok(served)
}

fn joined(thread: thread::JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}

/// Writes the page with this trace in it.
fn write_page(trace: &Path, page: &Path) -> io::Result<()> {
    // Nothing in it may end the script in which it stands.
    let trace = fs::read_to_string(trace)?.replace("</", "<\\/");
    fs::write(page, PAGE.replacen("@TRACE@", &trace, 1))
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let mut path = |name| {
        let given = arguments.next().map(PathBuf::from);
        given.unwrap_or_else(|| env::temp_dir().join(name))
    };
    let (trace, page) = (path("sward-trace.json"), path("sward-trace.html"));
    sward::trace::start(&trace)?;
    let served = sward::run(rush)?;
    sward::trace::stop()?;
    write_page(&trace, &page)?;
    println!("served {served} requests");
    println!("look at {} with a browser,", page.display());
    println!("or at {} on https://ui.perfetto.dev", trace.display());
    Ok(())
}
