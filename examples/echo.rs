//! A TCP server that sends back what it receives, one green thread per connection.
//!
//! Shows that a server in the oldest style, a loop around `accept` and a thread with a blocking loop
//! for each client, is all that it takes: green threads are cheap enough.
//!
//! Run it with a port, or with 0 for any that is free:
//!
//! ```text
//! cargo run --release --example echo -- 7000
//! ```
//!
//! It prints `listening on 127.0.0.1:7000`, then a line on stderr for each connection that breaks. Talk
//! to it with `nc 127.0.0.1 7000`; end it with Ctrl-C.

use std::{
    env,
    io::{self, ErrorKind, Read, Write},
    process::ExitCode,
    time::Duration,
};

use sward::{
    net::{TcpListener, TcpStream},
    thread,
};

/// How long `accept` pauses when the process is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// The most that is read at once; on the heap, since a green thread's stack is small.
const BUFFER_BYTES: usize = 8 << 10;

fn main() -> ExitCode {
    let port = env::args_os().nth(1);
    let Some(port) = port.and_then(|it| it.to_str()?.parse().ok()) else {
        eprintln!("usage: echo PORT (0 for any)");
        return ExitCode::from(2);
    };
    match sward::run(move || listen(port)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Binds the port, says where, and serves until the listener breaks.
fn listen(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on {}", listener.local_addr()?);
    accept_all(&listener)
}

/// A thread for each client; what goes wrong with one of them, or for a while, does not end the server.
fn accept_all(listener: &TcpListener) -> io::Result<()> {
    let mut reported = false;
    loop {
        let accepted = listener.accept().and_then(|(stream, peer)| {
            thread::Builder::new().spawn(move || {
                if let Err(error) = echo(stream) {
                    eprintln!("{peer}: {error}");
                }
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

/// Sends back all that comes, until the client has sent all it had.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => stream.write_all(&buffer[..bytes])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
