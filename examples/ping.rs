//! Pings a UDP server that loses some packets and delays others, until a deadline.
//!
//! Shows a context with a deadline around calls that know nothing of contexts: `after_func` closes the
//! socket when the context ends, and the call that waits in it returns. Each ping has a context of its
//! own below the one for all, with a shorter time, and asks again when that is over.
//!
//! Run it, with the number of milliseconds that all may take, or for 2000:
//!
//! ```text
//! cargo run --release --example ping -- 500
//! ```
//!
//! The round trips go to stderr. The server loses every third packet, and does not know
//! numbers above ten; so it prints:
//!
//! ```text
//! 10 answers, then silence
//! context deadline exceeded
//! ```

use std::{
    env, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use sward::{context::Context, net::UdpSocket};

/// How long a ping waits before it asks again.
const PATIENCE: Duration = Duration::from_millis(30);

fn main() -> io::Result<()> {
    let millis = env::args().nth(1).and_then(|it| it.parse().ok());
    let limit = Duration::from_millis(millis.unwrap_or(2000));
    sward::run(move || {
        let server = UdpSocket::bind("127.0.0.1:0")?;
        let address = server.local_addr()?;
        sward::spawn(move || serve(&server));

        let context = Context::background().with_timeout(limit);
        let mut answers = 0;
        while context.err().is_none() {
            if let Some(time) = ping(&context, address, answers + 1)? {
                answers += 1;
                eprintln!("answer {answers} after {time:?}");
            }
        }
        println!("{answers} answers, then silence");
        if let Some(cause) = context.cause() {
            println!("{cause}");
        }
        Ok(())
    })
}

/// Asks until there is an answer; `None` if the context ended first.
fn ping(context: &Context, server: SocketAddr, number: u32) -> io::Result<Option<Duration>> {
    let start = Instant::now();
    while context.err().is_none() {
        let attempt = context.with_timeout(PATIENCE);
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        let closing = attempt.after_func({
            let socket = Arc::clone(&socket);
            move || socket.close()
        });
        socket.send_to(&number.to_be_bytes(), server)?;
        let mut answer = [0; 4];
        let received = socket.recv_from(&mut answer);
        closing.stop();
        match received {
            Ok((4, peer)) if peer == server && answer == number.to_be_bytes() => {
                return Ok(Some(start.elapsed()));
            }
            // A stranger's packet, or closed because the time is over.
            Ok(_) => {}
            Err(_) if attempt.err().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Sends back what comes, but every third packet, and only the first ten numbers.
fn serve(socket: &UdpSocket) -> io::Result<()> {
    let mut packet = [0; 4];
    for count in 1.. {
        let (_, peer) = socket.recv_from(&mut packet)?;
        if count % 3 > 0 && u32::from_be_bytes(packet) <= 10 {
            socket.send_to(&packet, peer)?;
        }
    }
    Ok(())
}
