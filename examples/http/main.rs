//! An HTTP/1.1 server: one green thread per connection, blocking calls, nothing else.
//!
//! Shows a whole protocol written straight down (`connection.rs` reads like its RFC), with what a
//! server needs against careless and hostile clients: bounded heads and bodies, a deadline for each,
//! strict framing.
//!
//! Run it with a port, or with 0 for any that is free:
//!
//! ```text
//! cargo run --release --example http -- 8000
//! curl -i http://127.0.0.1:8000/
//! curl -i --data-binary @Cargo.toml http://127.0.0.1:8000/echo
//! wrk -c 100 -t 2 http://127.0.0.1:8000/
//! ```
//!
//! It prints `listening on 127.0.0.1:8000`. `GET /` is answered by `Hello, World!`, `POST /echo` by the
//! request's body. End it with Ctrl-C.

mod connection;
mod date;
mod head;
#[cfg(test)]
mod tests;

use std::{
    env,
    io::{self, ErrorKind},
    net::Shutdown,
    process::ExitCode,
    time::{Duration, Instant},
};

use sward::{
    net::{TcpListener, TcpStream},
    thread,
};

use connection::{Limits, Transport};

/// How long `accept` pauses when the process is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let port = env::args_os().nth(1);
    let Some(port) = port.and_then(|it| it.to_str()?.parse().ok()) else {
        eprintln!("usage: http PORT (0 for any)");
        return ExitCode::from(2);
    };
    match sward::run(move || listen(port)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Binds the port, says where, and serves until the listener breaks.
fn listen(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on {}", listener.local_addr()?);
    accept_all(&listener, Limits::default())
}

/// A thread for each client; what goes wrong with one of them, or for a while, does not end the server.
fn accept_all(listener: &TcpListener, limits: Limits) -> io::Result<()> {
    let mut reported = false;
    loop {
        let accepted = listener.accept().and_then(|(stream, _)| {
            thread::Builder::new().spawn(move || {
                // A client that resets or goes silent is everyday life, not worth a line.
                drop(serve(stream, limits));
            })
        });
        match accepted.map_err(|error| (error.kind(), error)) {
            // Served, or gone before its turn.
            Ok(_) | Err((ErrorKind::ConnectionAborted | ErrorKind::Interrupted, _)) => {}
            // The listener itself is no more.
            Err((ErrorKind::InvalidInput | ErrorKind::NotConnected, error)) => return Err(error),
            // Out of descriptors, memory or threads: clients wait in the backlog until some are free.
            // Said once, since at the limit it would be said for ever.
            Err((_, error)) => {
                if !reported {
                    eprintln!("cannot take more connections for now: {error}");
                    reported = true;
                }
                thread::sleep(PAUSE);
            }
        }
    }
}

/// One client, until it or we close.
fn serve(mut stream: TcpStream, limits: Limits) -> io::Result<()> {
    // Answers go out in whole batches, so there is nothing to gain by holding them back.
    stream.set_nodelay(true)?;
    connection::serve(&mut stream, limits)
}

impl Transport for TcpStream {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        Self::set_read_timeout(self, Some(timeout))
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        Self::set_write_timeout(self, Some(timeout))
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}
