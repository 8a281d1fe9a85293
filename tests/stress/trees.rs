//! Green threads that spawn green threads, join, yield, borrow, panic and are left alone.

use crate::{
    compute, micros, storm,
    support::{Handle, Home, Rng},
};
use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread as kernel,
};
use sward::thread;

/// A tree of threads, some of them kernel threads: each returns how many it and its own are.
fn grow(seed: u64, depth: usize, made: &Arc<AtomicUsize>) -> usize {
    let mut rng = Rng::new(seed);
    made.fetch_add(1, SeqCst);
    let children: Vec<_> = (0..if depth == 0 { 0 } else { rng.below(5) })
        .map(|_| {
            let (seed, made) = (rng.next(), Arc::clone(made));
            let home = match rng.below(16) {
                0 => Home::Threads,
                _ => Home::Green(0),
            };
            let child = home.spawn(move || grow(seed, depth - 1, &made));
            if rng.below(3) == 0 {
                thread::yield_now();
            }
            child
        })
        .collect();
    match rng.below(8) {
        0 => compute(micros(&mut rng, 100)),
        1 => thread::sleep(micros(&mut rng, 200)),
        2 => sward::blocking(|| kernel::sleep(micros(&mut rng, 100))),
        _ => thread::yield_now(),
    }
    1 + children
        .into_iter()
        .map(|it| it.join().expect("no panic"))
        .sum::<usize>()
}

#[test]
fn trees_of_joins() {
    storm("trees of joins", |rng, _| {
        let made = Arc::new(AtomicUsize::new(0));
        for _ in 0..6 {
            let before = made.load(SeqCst);
            let counted = grow(rng.next(), 5, &made);
            assert_eq!(counted, made.load(SeqCst) - before);
        }
    });
}

/// Half of the handles are dropped; a third of the threads panic; all must have run at the end.
#[test]
fn detached_and_panicking_threads_all_end() {
    storm("detached", |rng, _| {
        let ended = Arc::new(AtomicUsize::new(0));
        let mut handles: Vec<(usize, Handle<usize>)> = Vec::new();
        let count = 1_000;
        for number in 0..count {
            let ended = Arc::clone(&ended);
            let (fails, waits) = (rng.below(3) == 0, rng.below(4));
            let handle = Home::Green(0).spawn(move || {
                for _ in 0..waits {
                    thread::yield_now();
                }
                ended.fetch_add(1, SeqCst);
                if fails {
                    resume_unwind(Box::new(number));
                }
                number
            });
            if rng.below(2) == 0 {
                handles.push((number, handle));
            }
        }
        for (number, handle) in handles {
            let result = handle
                .join()
                .unwrap_or_else(|it| *it.downcast::<usize>().expect("its number"));
            assert_eq!(result, number);
        }
        while ended.load(SeqCst) < count {
            thread::yield_now();
        }
    });
}

/// Scopes within scopes, whose children write where they were told to.
#[test]
fn nested_scopes_borrow() {
    fn fill(cells: &mut [u64], seed: u64) {
        let mut rng = Rng::new(seed);
        if cells.len() <= 4 {
            if rng.below(4) == 0 {
                thread::sleep(micros(&mut rng, 100));
            }
            for it in cells {
                *it += 1;
            }
            return;
        }
        let (left, right) = cells.split_at_mut(1 + rng.below(cells.len() - 1));
        let (one, two) = (rng.next(), rng.next());
        thread::scope(|scope| {
            let first = scope.spawn(move || fill(left, one));
            if rng.below(2) == 0 {
                first.join().expect("no panic");
            }
            scope.spawn(move || fill(right, two));
        });
    }
    storm("scopes", |rng, _| {
        let mut cells = vec![0; 1_000];
        fill(&mut cells, rng.next());
        assert!(cells.iter().all(|it| *it == 1));
    });
}

/// Many who do nothing but give way come to their ends together, and are counted.
#[test]
fn yields_migrate() {
    storm("yields", |rng, workers| {
        let threads: Vec<_> = (0..64)
            .map(|_| {
                let turns = 50 + rng.below(400);
                let pause = rng.below(40);
                sward::spawn(move || {
                    let me = thread::current().id();
                    for turn in 0..turns {
                        if turn % 40 == pause && workers > 1 {
                            compute(std::time::Duration::from_micros(20));
                        }
                        thread::yield_now();
                        assert_eq!(thread::current().id(), me);
                    }
                    turns
                })
            })
            .collect();
        for thread in threads {
            assert!(thread.join().expect("no panic") >= 50);
        }
    });
}
