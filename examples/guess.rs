//! Guesses a forgotten PIN by brute force, and looks up after each guess whether it was found.
//!
//! Shows the `default` case: a green thread that computes polls a channel without ever waiting for it.
//! Each has a part of the numbers. The first to find the right one says so and closes the channel, which
//! all others see at their next look.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example guess
//! ```
//!
//! It prints the PIN, which is always the same; who found it, and after how many guesses, goes to stderr:
//!
//! ```text
//! the lock opens with 739391
//! ```

use sward::{channel, select, sync::WaitGroup};

const GUESSERS: u32 = 8;
const PINS: u32 = 1_000_000;

/// What the lock keeps of its PIN.
const SECRET: u64 = 0xd968_b937_a6e4_62f5;

fn main() {
    let pin = sward::run(|| {
        let (found, finds) = channel::bounded(1);
        let (quit_to, quit) = channel::bounded::<()>(0);
        let all = WaitGroup::new();
        for guesser in 0..GUESSERS {
            let (found, quit_to, quit) = (found.clone(), quit_to.clone(), quit.clone());
            all.go(move || {
                let mut guesses = 0_u32;
                for pin in (guesser..PINS).step_by(GUESSERS as usize) {
                    select! {
                        recv(quit) -> _ => break,
                        default => {}
                    }
                    guesses += 1;
                    if scramble(pin) == SECRET {
                        quit_to.close();
                        // There is room for one, and only one can fit.
                        if found.send(pin).is_ok() {
                            eprintln!("found by guesser {guesser}");
                        }
                        break;
                    }
                }
                eprintln!("guesser {guesser} made {guesses} guesses");
            });
        }
        drop(found);
        all.wait();
        finds.recv()
    });
    match pin {
        Ok(pin) => println!("the lock opens with {pin:06}"),
        Err(_) => println!("the lock is broken"),
    }
}

/// The lock's function, which nobody knows how to reverse; slow on purpose.
fn scramble(pin: u32) -> u64 {
    (0..50).fold(u64::from(pin), |hash, round| {
        (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ round
    })
}
