//! A chat room for `telnet` or `nc`: every line that somebody writes goes to all the others.
//!
//! Shows one green thread that owns the room, so that nothing is locked, and two for each guest: one reads
//! lines and sends them to the room, one writes what the room says. Each guest has a channel with a buffer;
//! who does not read for so long that it is full is shown the door, and nobody waits for anybody.
//!
//! Run it with a port, or with 0 for any that is free:
//!
//! ```text
//! cargo run --release --example chat -- 7000
//! ```
//!
//! It prints `listening on 127.0.0.1:7000`; join with `nc 127.0.0.1 7000`, from several terminals. The
//! first line is your name. End the server with Ctrl-C. Without a port, the program plays three guests
//! itself, and prints what the first of them saw:
//!
//! ```text
//! Ada, you are the first here
//! * Ben has come
//! Ben: hello
//! * Cleo has come
//! Cleo: good evening
//! * Ben has gone
//! ```

use std::{
    collections::BTreeMap,
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr},
    process::ExitCode,
    sync::Arc,
};
use sward::{
    channel::{self, Receiver, Sender},
    net::{TcpListener, TcpStream},
};

/// How many lines a guest may be behind.
const BEHIND: usize = 64;
/// How long a line may be.
const LINE_BYTES: u64 = 1 << 10;

enum Event {
    Came {
        guest: u64,
        name: String,
        lines_to: Sender<String>,
    },
    Said {
        guest: u64,
        line: String,
    },
    Went {
        guest: u64,
    },
}

fn main() -> ExitCode {
    let argument = env::args().nth(1);
    let is_demo = argument.is_none();
    let Ok(port) = argument.map_or(Ok(0), |it| it.parse::<u16>()) else {
        eprintln!("usage: chat [PORT] (0 for any)");
        return ExitCode::from(2);
    };
    let result = sward::run(move || {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let address = listener.local_addr()?;
        if is_demo {
            sward::spawn(move || serve(&listener));
            return demo(address);
        }
        println!("listening on {address}");
        serve(&listener)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Lets guests in until the listener breaks.
fn serve(listener: &TcpListener) -> io::Result<()> {
    let (to_room, events) = channel::bounded(0);
    sward::spawn(move || keep_room(&events));
    for guest in 0.. {
        let (stream, _) = listener.accept()?;
        let (stream, to_room) = (Arc::new(stream), to_room.clone());
        sward::spawn(move || attend(guest, &stream, &to_room));
    }
    Ok(())
}

/// Who is here, and what they are to hear. The only one who knows.
fn keep_room(events: &Receiver<Event>) {
    let mut guests = BTreeMap::<u64, (String, Sender<String>)>::new();
    for event in events {
        let (about, line) = match event {
            Event::Came {
                guest,
                name,
                lines_to,
            } => {
                let others: Vec<_> = guests.values().map(|it| it.0.as_str()).collect();
                let here = match others.as_slice() {
                    [] => "you are the first here".to_owned(),
                    others => format!("here are {}", others.join(", ")),
                };
                drop(lines_to.try_send(format!("{name}, {here}")));
                let line = format!("* {name} has come");
                guests.insert(guest, (name, lines_to));
                (guest, line)
            }
            Event::Said { guest, line } => match guests.get(&guest) {
                Some((name, _)) => (guest, format!("{name}: {line}")),
                None => continue,
            },
            Event::Went { guest } => match guests.remove(&guest) {
                Some((name, _)) => (guest, format!("* {name} has gone")),
                None => continue,
            },
        };
        // Who is too far behind goes: its channel ends, then its connection, and that is an event.
        for (guest, (_, lines_to)) in &guests {
            if *guest != about && lines_to.try_send(line.clone()).is_err() {
                lines_to.close();
            }
        }
    }
}

/// A guest: reads here, and has another green thread write.
fn attend(guest: u64, stream: &Arc<TcpStream>, to_room: &Sender<Event>) {
    let mut reader = BufReader::new(&**stream);
    let Some(name) = read_line(&mut reader).filter(|it| !it.is_empty()) else {
        return;
    };
    let (lines_to, lines) = channel::bounded(BEHIND);
    let writer = Arc::clone(stream);
    sward::spawn(move || {
        for line in lines {
            if writeln!(&*writer, "{line}").is_err() {
                break;
            }
        }
        // Also ends the reading.
        writer.shutdown(Shutdown::Both)
    });
    let mut event = Event::Came {
        guest,
        name,
        lines_to,
    };
    while to_room.send(event).is_ok() {
        let Some(line) = read_line(&mut reader) else {
            break;
        };
        event = Event::Said { guest, line };
    }
    drop(to_room.send(Event::Went { guest }));
}

/// A line without its end; `None` at the end, or if it is too long or no text.
fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.take(LINE_BYTES).read_line(&mut line).ok()?;
    line.ends_with('\n').then(|| line.trim_end().to_owned())
}

/// Three guests, each of whom waits for what it needs to see.
fn demo(address: SocketAddr) -> io::Result<()> {
    let enter = |name: &str| {
        let stream = TcpStream::connect(address)?;
        writeln!(&stream, "{name}")?;
        Ok::<_, io::Error>(BufReader::new(stream))
    };
    let see = |guest: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        guest.read_line(&mut line).map(|_| line)
    };
    let mut ada = enter("Ada")?;
    print!("{}", see(&mut ada)?);
    let ben = enter("Ben")?;
    print!("{}", see(&mut ada)?);
    writeln!(ben.get_ref(), "hello")?;
    print!("{}", see(&mut ada)?);
    let cleo = enter("Cleo")?;
    print!("{}", see(&mut ada)?);
    writeln!(cleo.get_ref(), "good evening")?;
    print!("{}", see(&mut ada)?);
    drop(ben);
    print!("{}", see(&mut ada)?);
    Ok(())
}
