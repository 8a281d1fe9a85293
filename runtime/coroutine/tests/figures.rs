//! What stacks and switches cost here: measurements, run by hand.

use super::{finish, mappings, pause, start, status};
use crate::{
    base::fatal::LastWords,
    coroutine::{
        fiber::{Fiber, FiberPool},
        stack::{DEFAULT_BYTES, StackClass, Trim, trim},
    },
};
use std::{
    fmt::Write,
    hint, ptr,
    time::{Duration, Instant},
};

/// Figures, not claims: `cargo test --release --lib million_costs -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn million_costs() {
    const COUNT: usize = 1_000_000;
    let class = StackClass::of(DEFAULT_BYTES).expect("a class");
    let mut pool = FiberPool::new(class, pause).expect("memory");
    let mut fibers = Vec::with_capacity(COUNT);
    let mut words = LastWords::new();
    let (before, maps, begin) = (
        status("VmRSS") + status("VmPTE"),
        mappings(),
        Instant::now(),
    );
    for _ in 0..COUNT {
        pool.reserve(class).expect("memory");
        fibers.push(start(class, &mut pool).0);
    }
    let spent = begin.elapsed();
    let bytes = (status("VmRSS") + status("VmPTE") - before) / COUNT;
    let maps = mappings() - maps;
    let _ = writeln!(
        words,
        "a million: {spent:?}, {bytes} bytes each, {maps} mappings more"
    );
    let begin = Instant::now();
    for fiber in fibers {
        finish(fiber, &mut pool);
        pool.release(class);
    }
    let _ = writeln!(words, "ended: {:?}", begin.elapsed());
    let begin = Instant::now();
    trim(Trim::Rested);
    let _ = writeln!(words, "first trim: {:?}", begin.elapsed());
    let mut calls = 0;
    let mut worst = Duration::ZERO;
    loop {
        let begin = Instant::now();
        let gone = trim(Trim::Rested).bytes;
        worst = worst.max(begin.elapsed());
        if gone == 0 {
            break;
        }
        calls += 1;
    }
    let left = (status("VmRSS") + status("VmPTE")).saturating_sub(before);
    let _ = writeln!(words, "{calls} trims, {worst:?} at most, {left} bytes left");
}

/// Figures, not claims: `cargo test --release --lib switch_costs -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn switch_costs() {
    unsafe fn spin(input: *mut ()) {
        // SAFETY: the input is the fiber.
        let fiber = unsafe { *input.cast::<Fiber>() };
        loop {
            // SAFETY: we run on it.
            unsafe { fiber.suspend(1) };
        }
    }
    unsafe fn nothing(_: *mut ()) {}

    let class = StackClass::of(DEFAULT_BYTES).expect("a class");
    let mut figures = String::new();
    let mut pool = FiberPool::new(class, spin).expect("memory");
    for count in [1, 16, 1000, 10_000] {
        class.reserve(count).expect("memory");
        let fibers: Vec<_> = (0..count).map(|_| start(class, &mut pool).0).collect();
        let rounds = 20_000_000 / count;
        let begin = Instant::now();
        for _ in 0..rounds {
            for fiber in &fibers {
                // SAFETY: bound, nobody else resumes it.
                hint::black_box(unsafe { fiber.resume(ptr::null_mut()) });
            }
        }
        let each = begin.elapsed().as_secs_f64() * 1e9 / (rounds * count) as f64;
        let _ = writeln!(
            figures,
            "{count} fibers: {each:.2} ns per resume and suspend"
        );
    }

    let mut pool = FiberPool::new(class, nothing).expect("memory");
    class.reserve(1).expect("memory");
    let begin = Instant::now();
    for _ in 0..10_000_000 {
        // SAFETY: promised above.
        let fiber = unsafe { Fiber::bind(class, &mut pool) };
        // SAFETY: bound.
        unsafe { fiber.resume(ptr::null_mut()) };
        // SAFETY: finished.
        unsafe { pool.put(fiber) };
    }
    let each = begin.elapsed().as_secs_f64() * 1e9 / 1e7;
    let _ = writeln!(figures, "bind, run, put: {each:.2} ns");

    let begin = Instant::now();
    let mut pool = FiberPool::new(class, pause).expect("memory");
    for _ in 0..100_000 {
        class.reserve(1).expect("memory");
        start(class, &mut pool);
    }
    let each = begin.elapsed().as_secs_f64() * 1e9 / 1e5;
    let _ = writeln!(
        figures,
        "reserve, bind, start on a fresh stack: {each:.0} ns"
    );

    let mut out = LastWords::new();
    let _ = out.write_str(&figures);
}
