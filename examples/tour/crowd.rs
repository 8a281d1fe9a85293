//! A hundred thousand green threads that wait at once, then each does a job.

use crate::{Outcome, process};
use std::time::Instant;
use sward::{channel, sync::WaitGroup};

const THREADS: u64 = 100_000;

pub(crate) fn gather() -> Outcome {
    let before_kib = process::memory_kib()?;
    let start = Instant::now();
    let (job_to, jobs) = channel::unbounded::<u64>();
    let (result_to, results) = channel::unbounded();
    let here = WaitGroup::new();
    here.add(isize::try_from(THREADS)?);
    for _ in 0..THREADS {
        let (jobs, result_to, here) = (jobs.clone(), result_to.clone(), here.clone());
        sward::spawn(move || {
            here.done();
            // Parked here, with all the others, until there is a job.
            if let Ok(number) = jobs.recv() {
                // Nobody reads the result if another has failed.
                _ = result_to.send(number * number);
            }
        });
    }
    here.wait();
    let time = start.elapsed();
    let bytes = process::memory_kib()?.saturating_sub(before_kib) * 1024 / THREADS;
    println!(
        "   {THREADS} green threads on {} kernel threads, all waiting at once",
        process::kernel_threads()?
    );
    println!(
        "   each took {} ns to start and to park, and keeps {bytes} bytes",
        time.as_nanos() / u128::from(THREADS)
    );

    let start = Instant::now();
    for number in 0..THREADS {
        job_to.send(number)?;
    }
    drop(result_to);
    let sum: u64 = results.iter().sum();
    let expected = (THREADS - 1) * THREADS * (2 * THREADS - 1) / 6;
    if sum != expected {
        return Err(format!("the squares add up to {sum}, not to {expected}").into());
    }
    println!(
        "   each squared a number, in {} ms altogether: {sum}",
        start.elapsed().as_millis()
    );
    Ok(())
}
