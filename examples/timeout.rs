//! Asks slow services, with a time limit on each answer and one on the whole.
//!
//! Shows `channel::after` in a `select!`: made anew for each turn it limits one wait, made once before
//! the loop it limits all of them together.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example timeout
//! ```
//!
//! It prints, within a second:
//!
//! ```text
//! rose: in time
//! oak: too slow
//! fern: in time
//! moss: in time
//! that is enough: the time for all questions is over
//! ```

use std::time::Duration;
use sward::{
    channel::{Receiver, after, bounded},
    select, thread,
};

/// The services, and how long each takes to answer.
const SERVICES: [(&str, Duration); 5] = [
    ("rose", Duration::from_millis(5)),
    ("oak", Duration::from_mins(1)),
    ("fern", Duration::from_millis(1)),
    ("moss", Duration::from_millis(20)),
    ("ivy", Duration::from_mins(1)),
];

const EACH: Duration = Duration::from_millis(500);
const ALL: Duration = Duration::from_millis(900);

fn main() {
    sward::run(|| {
        let all = after(ALL);
        for (name, delay) in SERVICES {
            let answer = ask(name, delay);
            select! {
                recv(answer) -> answer => match answer {
                    Ok(answer) => println!("{answer}: in time"),
                    Err(_) => println!("{name}: no answer"),
                },
                recv(after(EACH)) -> _ => println!("{name}: too slow"),
                recv(all) -> _ => {
                    println!("that is enough: the time for all questions is over");
                    return;
                }
            }
        }
    });
}

/// A service at work. Its buffer lets it go when nobody wants the answer any more.
fn ask(name: &'static str, delay: Duration) -> Receiver<&'static str> {
    let (tx, rx) = bounded(1);
    sward::spawn(move || {
        thread::sleep(delay);
        tx.send(name)
    });
    rx
}
