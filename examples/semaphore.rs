//! A printing office: jobs of different sizes share a store of paper.
//!
//! Shows a weighted semaphore. A job takes all the sheets that it needs in one step, so two jobs never hold
//! half of what they need each and wait for the other. Who asks first is served first: a large job is not
//! overtaken for ever by small ones. The paper comes back when a job's permits are dropped, whatever ends
//! the job. Who does not want to wait can try, or wait for a while only.
//!
//! Run it:
//!
//! ```text
//! cargo run --release --example semaphore
//! ```
//!
//! It prints the same each time:
//!
//! ```text
//! no paper at once for the poster
//! no paper in time for the poster
//! 40 jobs printed 1260 sheets, never more than 64 at a time
//! all paper is back: 64 sheets
//! ```

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use sward::{sync::Semaphore, thread};

const PAPER: usize = 64;
const JOBS: usize = 40;

fn main() {
    sward::run(|| {
        let paper = Semaphore::new(PAPER);
        let book = paper.acquire(60);
        if paper.try_acquire(5).is_none() {
            println!("no paper at once for the poster");
        }
        if paper.acquire_timeout(5, Duration::from_millis(2)).is_none() {
            println!("no paper in time for the poster");
        }
        drop(book);

        let (in_use, most, printed) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        sward::scope(|scope| {
            for job in 0..JOBS {
                let (paper, in_use, most, printed) = (&paper, &in_use, &most, &printed);
                scope.spawn(move || {
                    let sheets = 12 + job;
                    let _permits = paper.acquire(sheets);
                    most.fetch_max(in_use.fetch_add(sheets, Relaxed) + sheets, Relaxed);
                    thread::sleep(Duration::from_micros(20 * sheets as u64));
                    printed.fetch_add(sheets, Relaxed);
                    in_use.fetch_sub(sheets, Relaxed);
                });
            }
        });
        let within = if most.into_inner() <= PAPER {
            "never"
        } else {
            "sometimes"
        };
        println!(
            "{JOBS} jobs printed {} sheets, {within} more than {PAPER} at a time",
            printed.into_inner()
        );
        if paper.try_acquire(PAPER).is_some() {
            println!("all paper is back: {PAPER} sheets");
        }
    });
}
