//! How a process ends when it must: each in a child, which leaves its last words.

#![expect(unsafe_code, reason = "a fault is made on purpose")]

#[path = "../support/mod.rs"]
mod support;

use std::{
    hint::black_box,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering::SeqCst},
    },
    time::Duration,
};
use support::{in_child, runtime};
use sward::thread::{self, Builder};

/// Recursion that only a guard ends.
fn deep(level: usize) -> usize {
    let frame = black_box([1_u8; 256]);
    if level == usize::MAX {
        return 0;
    }
    deep(level + 1) + usize::from(frame[level % 256])
}

#[test]
fn an_overflow_says_whose_it_is() {
    let said = in_child::dies("child_overflows", libc::SIGABRT);
    let report = said.lines().find(|it| it.contains("overflowed"));
    let report = report.unwrap_or_else(|| panic!("no report in {said}"));
    assert!(report.starts_with("green thread 'mole'"), "{report}");
    assert!(report.contains("128 KiB"), "{report}");
    assert!(report.contains(file!()), "{report}");
    assert!(report.contains("(id "), "{report}");
    assert!(report.contains("stack_size"), "{report}");
    // The neighbours were well until then.
    assert!(!said.contains("neighbour is hurt"), "{said}");
}

#[test]
#[ignore = "run by another test"]
fn child_overflows() {
    runtime(2).run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let neighbours: Vec<_> = (0..50)
            .map(|number| {
                let stop = Arc::clone(&stop);
                Builder::new()
                    .stack_size(128 << 10)
                    .spawn(move || {
                        let canary = black_box([number; 4_096]);
                        while !stop.load(SeqCst) {
                            thread::yield_now();
                            if canary.iter().any(|it| *it != number) {
                                eprintln!("a neighbour is hurt");
                            }
                        }
                    })
                    .expect("memory")
            })
            .collect();
        thread::sleep(Duration::from_millis(2));
        let mole = Builder::new().name("mole".to_owned()).stack_size(128 << 10);
        let mole = mole.spawn(|| deep(0)).expect("memory");
        drop(mole.join());
        stop.store(true, SeqCst);
        drop(neighbours);
    });
}

#[test]
fn an_overflow_without_a_name_is_reported_too() {
    let said = in_child::dies("child_overflows_after_a_blocking_call", libc::SIGABRT);
    assert!(
        said.contains("'<unnamed>'") && said.contains("overflowed"),
        "{said}"
    );
}

/// On a stack that has moved from worker to worker.
#[test]
#[ignore = "run by another test"]
fn child_overflows_after_a_blocking_call() {
    let it = runtime(2);
    let overflowing = it.spawn(|| {
        for _ in 0..10 {
            sward::blocking(|| std::thread::sleep(Duration::from_micros(100)));
            thread::yield_now();
        }
        deep(0)
    });
    drop(overflowing.join());
}

#[test]
fn deep_recursion_in_a_blocking_call_is_well() {
    in_child::succeeds("child_recurses_in_a_blocking_call");
}

#[test]
#[ignore = "run by another test"]
fn child_recurses_in_a_blocking_call() {
    fn down(level: usize) -> usize {
        let frame = black_box([1_u8; 1024]);
        if level == 0 {
            return 0;
        }
        down(level - 1) + usize::from(frame[level % 1024])
    }
    // Three megabytes; a green thread has a quarter of one.
    assert_eq!(runtime(1).run(|| sward::blocking(|| down(2_000))), 2_000);
}

/// Panics as it is dropped, come what may.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("a destructor"));
    }
}

#[test]
fn a_panic_in_a_destructor_while_unwinding_aborts() {
    let said = in_child::dies("child_panics_twice", libc::SIGABRT);
    assert!(said.contains("panic"), "{said}");
}

#[test]
#[ignore = "run by another test"]
fn child_panics_twice() {
    let it = runtime(1);
    let twice = it.spawn(|| {
        let _bomb = Bomb;
        panic!("the first panic");
    });
    drop(twice.join());
}

/// Handlers that interrupt each other have room on the kernel thread's one stack for signals: on a worker's,
/// and on that of a thread with a kernel thread of its own.
#[test]
fn handlers_of_all_signals_may_interrupt_each_other() {
    in_child::succeeds("child_is_interrupted_by_all_signals");
}

#[test]
#[ignore = "run by another test"]
fn child_is_interrupted_by_all_signals() {
    static DEEPEST: AtomicI32 = AtomicI32::new(0);
    /// Sends the next signal to its own kernel thread, which runs its handler before this goes on.
    extern "C" fn handle(signal: i32) {
        let frame = black_box([1_u8; 4096]);
        if signal < libc::SIGRTMAX() {
            // SAFETY: a handler may do this.
            unsafe { libc::raise(signal + 1) };
        } else {
            DEEPEST.store(signal, SeqCst);
        }
        black_box(frame);
    }
    for signal in libc::SIGRTMIN()..=libc::SIGRTMAX() {
        // SAFETY: zeros are an action without flags or mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        // SAFETY: the handler does only what a handler may.
        let outcome = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
        assert_eq!(outcome, 0);
    }
    let interrupted = || {
        // SAFETY: there is a handler for it.
        unsafe { libc::raise(libc::SIGRTMIN()) };
        assert_eq!(DEEPEST.swap(0, SeqCst), libc::SIGRTMAX());
    };
    let it = runtime(1);
    it.run(interrupted);
    it.run(move || sward::blocking(interrupted));
    let pinned = it.run(move || Builder::new().spawn_pinned(interrupted).expect("memory"));
    pinned.join().expect("no panic");
    sward::sim::explore(0..1, interrupted);
}

#[test]
fn an_abort_in_a_green_thread_is_the_processs() {
    drop(in_child::dies("child_aborts", libc::SIGABRT));
}

#[test]
#[ignore = "run by another test"]
fn child_aborts() {
    runtime(1).run(|| std::process::abort());
}

#[test]
fn a_fault_that_is_no_overflow_is_not_reported_as_one() {
    let said = in_child::dies("child_faults", libc::SIGSEGV);
    assert!(!said.contains("overflowed"), "{said}");
}

#[test]
#[ignore = "run by another test"]
fn child_faults() {
    runtime(1).run(|| {
        let nowhere = black_box(std::ptr::without_provenance::<u8>(8));
        // SAFETY: none: the fault is what this is about.
        black_box(unsafe { nowhere.read_volatile() });
    });
}

#[test]
fn a_process_may_exit_while_green_threads_run() {
    in_child::succeeds("child_leaves_threads_behind");
}

#[test]
#[ignore = "run by another test"]
fn child_leaves_threads_behind() {
    for number in 0..100 {
        drop(sward::spawn(move || match number % 3 {
            0 => thread::park(),
            1 => sward::blocking(|| std::thread::sleep(Duration::from_hours(1))),
            _ => loop {
                thread::yield_now();
            },
        }));
    }
    sward::run(|| thread::sleep(Duration::from_millis(5)));
}
