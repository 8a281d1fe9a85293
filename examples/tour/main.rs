//! The tour: what green threads can do, at work and with figures, in a few seconds.
//!
//! Shows a hundred thousand green threads on a few kernel threads; a TCP server with thousands of
//! connections, all in this process, that answers while others compute and block; who gives way to whom;
//! and what switches, threads and messages cost on this machine, beside kernel threads'.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example tour
//! ```
//!
//! Times differ, but it ends by itself and prints `All answers were right.`; if something was wrong, it
//! says what, and fails.

mod crowd;
mod prices;
mod process;
mod server;

use std::{
    error::Error, process::ExitCode, sync::Arc, thread::available_parallelism, time::Instant,
};
use sward::{Runtime, sync::Barrier, yield_now};

/// What may go wrong in one of the stations, on whatever thread.
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let start = Instant::now();
    match stations() {
        Ok(()) => {
            println!(
                "\nAll answers were right. It took {:.1} s.",
                start.elapsed().as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tour: {error}");
            ExitCode::FAILURE
        }
    }
}

fn stations() -> Outcome {
    let processors = available_parallelism()?;
    println!("1. A crowd");
    sward::run(crowd::gather)?;
    println!("\n2. A server and its clients, on {processors} processors");
    sward::run(server::serve_and_ask)?;
    println!("\n3. Giving way, on one worker");
    give_way()?;
    println!("\n4. What it costs here");
    prices::show()
}

/// Two green threads on one worker: each runs on until it waits, or gives way.
fn give_way() -> Outcome {
    let runtime = Runtime::builder().workers(1).build()?;
    for (name, yields) in [("on and on:", false), ("with yield_now:", true)] {
        let order = runtime.run(move || {
            let (note, notes) = sward::channel::unbounded();
            let ready = Arc::new(Barrier::new(2));
            let threads = ['a', 'b'].map(|letter| {
                let (note, ready) = (note.clone(), Arc::clone(&ready));
                sward::spawn(move || {
                    ready.wait();
                    for _ in 0..8 {
                        note.send(letter).expect("somebody reads");
                        if yields {
                            yield_now();
                        }
                    }
                })
            });
            for thread in threads {
                thread.join().expect("it only sends letters");
            }
            drop(note);
            notes.iter().collect::<String>()
        });
        println!("   {name:16} {order}");
        let changes = order.as_bytes().windows(2).filter(|it| it[0] != it[1]);
        if changes.count() != if yields { 15 } else { 1 } {
            return Err(format!("{name} {order} is not the order that was expected").into());
        }
    }
    Ok(())
}
