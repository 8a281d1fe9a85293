//! A source that never ends by itself, told to quit; it cleans up and says when it has.
//!
//! Shows a quit channel, and the answer to it. Closing a channel that carries no messages reaches any
//! number of receivers, whenever they look. The reader learns that all have cleaned up when the other
//! channel is closed: its last sender has gone.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example quit
//! ```
//!
//! It prints the same each time:
//!
//! ```text
//! 8 9 64 81 512 729 4096 6561 32768 59049
//! quit
//! the source of powers of 8 has put its tools away
//! the source of powers of 9 has put its tools away
//! ```

use sward::{
    channel::{self, Receiver, Sender},
    select,
};

fn main() {
    sward::run(|| {
        let (quit_to, quit) = channel::bounded(0);
        let (report_to, reports) = channel::unbounded();
        let sources = [8, 9].map(|base| powers(base, quit.clone(), report_to.clone()));
        drop(report_to);

        let powers = (0..10).filter_map(|turn: usize| sources[turn % 2].recv().ok());
        let powers: Vec<_> = powers.map(|it: u64| it.to_string()).collect();
        println!("{}", powers.join(" "));

        println!("quit");
        quit_to.close();
        let mut reports: Vec<_> = reports.iter().collect();
        reports.sort();
        for report in reports {
            println!("{report}");
        }
    });
}

/// Powers of `base`, as many as are wanted.
fn powers(base: u64, quit: Receiver<()>, report_to: Sender<String>) -> Receiver<u64> {
    let (tx, rx) = channel::bounded(0);
    sward::spawn(move || {
        let mut power = base;
        loop {
            select! {
                send(tx, power) -> sent => match sent {
                    Ok(()) => power = power.wrapping_mul(base),
                    Err(_) => break,
                },
                recv(quit) -> _ => break,
            }
        }
        report_to.send(format!(
            "the source of powers of {base} has put its tools away"
        ))
    });
    rx
}
