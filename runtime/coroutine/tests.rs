//! Stacks, fibers and the overflow report together; what kills a process or counts its pages has one.

#![expect(unsafe_code, reason = "fibers are raw")]

mod figures;

use super::{
    fiber::{FINISHED, Fiber, FiberPool},
    guard::OLD_KERNEL,
    overflow::{AlternateStack, install},
    range::guarded_by,
    stack::{DEFAULT_BYTES, MAX_BYTES, MIN_BYTES, StackClass, Trim, trim},
};
use crate::base::{in_child, memory, primitives::global::Ordering::Relaxed, rng::Rng};
use std::{
    ffi::c_int,
    fmt::{self, Write},
    fs, hint, io, iter, ptr, thread,
};

/// Suspends once, then ends. The input is the fiber itself.
unsafe fn pause(input: *mut ()) {
    // SAFETY: the tests below pass a pointer to the fiber.
    let fiber = unsafe { *input.cast::<Fiber>() };
    // SAFETY: we run on it.
    unsafe { fiber.suspend(1) };
}

/// Goes deeper until the stack ends, counting into the input.
unsafe fn sink(_: *mut ()) {
    #[expect(unconditional_recursion, reason = "it is meant to hit the guard")]
    fn deeper(level: u64) -> u64 {
        let frame = [level; 32];
        hint::black_box(deeper(level + 1)) + hint::black_box(frame)[0]
    }
    hint::black_box(deeper(0));
}

/// Writes to an address that is nobody's guard.
unsafe fn crash(_: *mut ()) {
    // SAFETY: none: this is the fault that is looked at.
    unsafe { ptr::without_provenance_mut::<u8>(hint::black_box(16)).write_volatile(1) };
}

unsafe fn escape(_: *mut ()) {
    panic!("out of the fiber");
}

fn describe(task: *const (), to: &mut dyn Write) -> fmt::Result {
    // SAFETY: these tests set a task that points to a static text.
    let name = unsafe { *task.cast::<&str>() };
    write!(to, "'{name}' (id 7)")
}

static NAME: &str = "deep";

/// Starts a fiber whose entry ends or suspends.
fn start(class: &'static StackClass, pool: &mut FiberPool) -> (Fiber, usize) {
    // SAFETY: the tests reserve before they call this.
    let mut fiber = unsafe { Fiber::bind(class, pool) };
    // SAFETY: bound.
    unsafe { fiber.set_task((&raw const NAME).cast()) };
    // SAFETY: bound, and `pause` expects this.
    let value = unsafe { fiber.resume((&raw mut fiber).cast()) };
    (fiber, value)
}

/// Lets a fiber that paused run to its end, and gives it back.
fn finish(fiber: Fiber, pool: &mut FiberPool) {
    // SAFETY: bound and suspended; `pause` ignores the input.
    assert_eq!(unsafe { fiber.resume(ptr::null_mut()) }, FINISHED);
    // SAFETY: finished.
    unsafe { pool.put(fiber) };
}

fn class(bytes: usize) -> &'static StackClass {
    StackClass::of(bytes).expect("a class")
}

fn run_guarded(bytes: usize, entry: unsafe fn(*mut ())) {
    install(describe).expect("a handler");
    let _alternate = AlternateStack::arm().expect("a stack");
    let class = class(bytes);
    let mut pool = FiberPool::new(class, entry).expect("memory");
    class.reserve(1).expect("memory");
    start(class, &mut pool);
}

/// A figure in KiB from `/proc/self/status`, in bytes.
fn status(key: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find(|it| it.starts_with(key)).expect("a line");
    let figure = line.split_whitespace().nth(1).expect("a figure");
    figure.parse::<usize>().expect("a number") * 1024
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps")
        .expect("maps")
        .lines()
        .count()
}

#[test]
fn sizes_are_rounded_up_to_few_classes_of_odd_strides() {
    assert_eq!(class(0).bytes(), MIN_BYTES);
    assert_eq!(class(1).bytes(), MIN_BYTES);
    assert_eq!(class(DEFAULT_BYTES).bytes(), DEFAULT_BYTES);
    assert_eq!(class(DEFAULT_BYTES + 1).bytes(), 320 * 1024);
    assert_eq!(class(MAX_BYTES).bytes(), MAX_BYTES);
    assert!(ptr::eq(class(100_000), class(100_001)));
    for bytes in [MAX_BYTES + 1, usize::MAX] {
        let error = StackClass::of(bytes).expect_err("too big");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    let page = memory::page_bytes();
    for bytes in [0, 20_000, 65_536, DEFAULT_BYTES, 3_000_000, 1 << 30] {
        let stride = class(bytes).stride();
        assert!(stride.is_multiple_of(page) && (stride / page) % 2 == 1);
        assert!(stride >= bytes + page && stride <= bytes * 5 / 4 + 8 * page + MIN_BYTES);
    }
}

#[test]
fn a_stack_has_the_size_that_was_asked_for_less_the_top() {
    for bytes in [1, 50_000, DEFAULT_BYTES, 1 << 30] {
        let class = class(bytes);
        let mut pool = FiberPool::new(class, pause).expect("memory");
        class.reserve(9).expect("memory");
        let fibers: Vec<_> = (0..9).map(|_| start(class, &mut pool).0).collect();
        for fiber in fibers {
            // SAFETY: bound.
            let bounds = unsafe { fiber.bounds() };
            assert!(bounds.len() + 2048 >= class.bytes(), "{bounds:?}");
            let guard = guarded_by(bounds.start - 1).expect("a guard");
            assert_eq!(guard.start, bounds.start - memory::page_bytes());
            assert!(guarded_by(bounds.start).is_none());
            assert!(guarded_by(bounds.end - 1).is_none());
            finish(fiber, &mut pool);
        }
        class.release(9);
    }
}

#[test]
fn a_fiber_goes_on_upon_any_thread() {
    unsafe fn wander(input: *mut ()) {
        // SAFETY: the input is the fiber.
        let fiber = unsafe { *input.cast::<Fiber>() };
        let mut here = thread::current().id();
        for step in 0..100 {
            // SAFETY: we run on it.
            unsafe { fiber.suspend(step) };
            let now = thread::current().id();
            assert_ne!(here, now);
            here = now;
        }
    }
    let class = class(DEFAULT_BYTES);
    let mut pool = FiberPool::new(class, wander).expect("memory");
    class.reserve(1).expect("memory");
    let (fiber, mut value) = start(class, &mut pool);
    while value != FINISHED {
        value = thread::scope(|scope| {
            // SAFETY: bound; the joins make one thread come after the other.
            let run = scope.spawn(move || unsafe { fiber.resume(ptr::null_mut()) });
            run.join().expect("no panic")
        });
    }
    // SAFETY: finished.
    unsafe { pool.put(fiber) };
    class.release(1);
}

/// Pools that hoard, spill and trim never take a stack away from one who has its promise: binding
/// would abort.
#[test]
fn whoever_has_a_promise_gets_a_stack() {
    in_child::succeeds("coroutine::tests::child_binds_small_stacks");
    in_child::succeeds("coroutine::tests::child_binds_stacks_without_one_to_spare");
}

#[test]
#[ignore = "run by another test"]
fn child_binds_small_stacks() {
    bind_at_random(class(40 * 1024), 300, Promises::Pool);
}

/// Each chunk is one stack, so there are exactly as many as promised.
#[test]
#[ignore = "run by another test"]
fn child_binds_stacks_without_one_to_spare() {
    bind_at_random(class(96 << 20), 10, Promises::Class);
}

/// Who makes the promises of [`bind_at_random`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promises {
    Pool,
    Class,
}

fn bind_at_random(class: &'static StackClass, most: usize, promises: Promises) {
    for seed in 1..=5 {
        thread::scope(|scope| {
            for number in 0..4 {
                scope.spawn(move || {
                    let rng = Rng::new(seed * 100 + number);
                    let mut pool = FiberPool::new(class, pause).expect("memory");
                    let mut fibers = Vec::new();
                    for _ in 0..3_000 {
                        if fibers.len() < most && rng.below(9) < 5 {
                            let promised = match promises {
                                Promises::Pool => pool.reserve(class),
                                Promises::Class => class.reserve(1),
                            };
                            promised.expect("memory");
                            let (fiber, value) = start(class, &mut pool);
                            assert_eq!(value, 1, "seed {seed}");
                            fibers.push(fiber);
                        } else if !fibers.is_empty() {
                            finish(fibers.swap_remove(rng.below(fibers.len())), &mut pool);
                            match promises {
                                Promises::Pool => pool.release(class),
                                Promises::Class => class.release(1),
                            }
                        }
                        match rng.below(500) {
                            0 => pool.flush(),
                            1 => _ = trim(Trim::Rested),
                            2 => _ = trim(Trim::All),
                            _ => {}
                        }
                    }
                    for fiber in fibers {
                        finish(fiber, &mut pool);
                        class.release(1);
                    }
                });
            }
        });
        let counts = class.counts();
        assert_eq!((counts.promised, counts.out), (0, 0), "seed {seed}");
    }
    trim(Trim::All);
    assert_eq!(class.counts().ready, 0);
}

#[test]
fn what_is_armed_on_a_thread_goes_with_its_guard() {
    fn current() -> (usize, c_int) {
        let mut stack = libc::stack_t {
            ss_sp: ptr::null_mut(),
            ss_flags: 0,
            ss_size: 0,
        };
        // SAFETY: a place for the answer.
        assert_eq!(unsafe { libc::sigaltstack(ptr::null(), &raw mut stack) }, 0);
        (stack.ss_sp.addr(), stack.ss_flags)
    }
    let before = current();
    {
        let _alternate = AlternateStack::arm().expect("a stack");
        assert_ne!(current(), before);
        let inner = AlternateStack::arm().expect("a stack");
        drop(inner);
        assert_ne!(current(), before);
    }
    assert_eq!(current(), before);
}

#[test]
fn an_overflow_names_the_task_and_the_setting() {
    let said = in_child::dies("coroutine::tests::child_overflows", libc::SIGABRT);
    assert!(
        said.contains(
            "green thread 'deep' (id 7) has overflowed its stack of 48 KiB; raise it by \
             thread::Builder::stack_size or RuntimeBuilder::stack_size\n"
        ),
        "{said}"
    );
}

#[test]
#[ignore = "run by another test"]
fn child_overflows() {
    run_guarded(48 * 1024, sink);
}

#[test]
fn one_frame_that_is_bigger_than_its_stack_is_an_overflow() {
    let said = in_child::dies("coroutine::tests::child_has_a_huge_frame", libc::SIGABRT);
    assert!(
        said.contains("'deep' (id 7) has overflowed its stack of 16 KiB"),
        "{said}"
    );
}

#[test]
#[ignore = "run by another test"]
fn child_has_a_huge_frame() {
    #[expect(clippy::large_stack_arrays, reason = "it is too big")]
    unsafe fn huge(_: *mut ()) {
        hint::black_box([1_u8; 600 * 1024]);
    }
    run_guarded(16 * 1024, huge);
}

#[test]
fn an_overflow_is_seen_on_an_old_kernel_too() {
    let said = in_child::dies(
        "coroutine::tests::child_overflows_on_an_old_kernel",
        libc::SIGABRT,
    );
    assert!(
        said.contains("'deep' (id 7) has overflowed its stack of 256 KiB"),
        "{said}"
    );
}

#[test]
#[ignore = "run by another test"]
fn child_overflows_on_an_old_kernel() {
    OLD_KERNEL.store(1, Relaxed);
    run_guarded(DEFAULT_BYTES, sink);
}

#[test]
fn other_faults_end_as_they_would_without_us() {
    let said = in_child::dies("coroutine::tests::child_crashes", libc::SIGSEGV);
    assert!(!said.contains("overflow"), "{said}");
}

#[test]
#[ignore = "run by another test"]
fn child_crashes() {
    run_guarded(DEFAULT_BYTES, crash);
}

#[test]
fn other_faults_go_to_the_handler_before_ours() {
    for (test, words) in [
        ("coroutine::tests::child_has_a_plain_handler", "plain 11"),
        (
            "coroutine::tests::child_has_a_handler_with_information",
            "information 11 at 16",
        ),
    ] {
        let said = in_child::dies(test, libc::SIGABRT);
        assert!(said.contains(words) && !said.contains("overflow"), "{said}");
    }
}

fn set_handler(handler: usize, flags: c_int) {
    let action = libc::sigaction {
        sa_sigaction: handler,
        sa_flags: flags | libc::SA_ONSTACK,
        // SAFETY: zeros are an empty set of signals.
        sa_mask: unsafe { std::mem::zeroed() },
        sa_restorer: None,
    };
    // SAFETY: the two callers pass functions of the right form.
    let outcome = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) };
    assert_eq!(outcome, 0);
}

#[test]
#[ignore = "run by another test"]
fn child_has_a_plain_handler() {
    extern "C" fn handler(signal: c_int) {
        crate::base::fatal::fatal(format_args!("plain {signal}"));
    }
    set_handler(handler as *const () as usize, 0);
    run_guarded(DEFAULT_BYTES, crash);
}

#[test]
#[ignore = "run by another test"]
fn child_has_a_handler_with_information() {
    unsafe extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, _: *mut ()) {
        // SAFETY: our handler passes the kernel's.
        let info = unsafe { &*info };
        // SAFETY: it is a fault.
        let at = unsafe { info.si_addr() }.addr();
        crate::base::fatal::fatal(format_args!("information {signal} at {at}"));
    }
    set_handler(handler as *const () as usize, libc::SA_SIGINFO);
    run_guarded(DEFAULT_BYTES, crash);
}

#[test]
fn a_panic_that_leaves_a_fiber_ends_the_process() {
    in_child::dies(
        "coroutine::tests::child_panics_out_of_a_fiber",
        libc::SIGABRT,
    );
}

#[test]
#[ignore = "run by another test"]
fn child_panics_out_of_a_fiber() {
    run_guarded(DEFAULT_BYTES, escape);
}

/// One page and its share of the tables for a task that waits; few mappings; all of it comes back.
#[test]
fn a_hundred_thousand_stacks_cost_a_page_each() {
    in_child::succeeds("coroutine::tests::child_makes_a_hundred_thousand");
}

#[test]
#[ignore = "run by another test"]
fn child_makes_a_hundred_thousand() {
    const COUNT: usize = 100_000;
    let class = class(DEFAULT_BYTES);
    let mut pool = FiberPool::new(class, pause).expect("memory");
    let mut fibers = Vec::with_capacity(COUNT);
    fibers.extend((0..100).map(|_| {
        class.reserve(1).expect("memory");
        start(class, &mut pool).0
    }));

    let (resident, tables) = (status("VmRSS"), status("VmPTE"));
    let before = mappings();
    class.reserve(COUNT - fibers.len()).expect("memory");
    while fibers.len() < COUNT {
        fibers.push(start(class, &mut pool).0);
    }
    let counted = COUNT - 100;
    let each = (status("VmRSS") - resident) / counted + (status("VmPTE") - tables) / counted;
    assert!(each <= 4700, "{each} bytes each");
    assert!(mappings() < before + 500, "{} mappings", mappings());

    for fiber in fibers.drain(..) {
        finish(fiber, &mut pool);
    }
    class.release(COUNT);
    // Nothing has rested yet.
    assert_eq!(trim(Trim::Rested).bytes, 0);
    let gone: usize = iter::from_fn(|| Some(trim(Trim::Rested).bytes).filter(|it| *it > 0)).sum();
    assert!(gone >= (COUNT - 1000) * class.stride(), "{gone} bytes");
    let left = (status("VmRSS") + status("VmPTE")).saturating_sub(resident + tables);
    assert!(left < (8 << 20), "{left} bytes stay");
    drop(pool);
    trim(Trim::All);
    assert_eq!(class.counts().ready, 0);
}

/// One long-lived task in each chunk must not keep the pages of all others.
#[test]
fn the_pages_of_idle_stacks_go_though_their_chunk_stays() {
    in_child::succeeds("coroutine::tests::child_pins_chunks");
}

#[test]
#[ignore = "run by another test"]
fn child_pins_chunks() {
    const COUNT: usize = 5_000;
    let class = class(DEFAULT_BYTES);
    let mut pool = FiberPool::new(class, pause).expect("memory");
    class.reserve(COUNT).expect("memory");
    let mut fibers: Vec<_> = (0..COUNT)
        .map(|_| Some(start(class, &mut pool).0))
        .collect();
    let resident = status("VmRSS");
    for (number, place) in fibers.iter_mut().enumerate() {
        if number % 100 != 0
            && let Some(fiber) = place.take()
        {
            finish(fiber, &mut pool);
            class.release(1);
        }
    }
    assert_eq!(trim(Trim::Rested).bytes, 0);
    assert_eq!(class.counts().cold, 0);
    trim(Trim::Rested);
    assert!(class.counts().cold > COUNT / 2, "{:?}", class.counts());
    let now = status("VmRSS");
    assert!(
        now + (COUNT * 3 / 4) * memory::page_bytes() < resident,
        "{resident} then {now}"
    );

    // They still work, guards and all.
    class.reserve(COUNT).expect("memory");
    let again: Vec<_> = (0..COUNT).map(|_| start(class, &mut pool).0).collect();
    for fiber in again.into_iter().chain(fibers.into_iter().flatten()) {
        finish(fiber, &mut pool);
    }
}

#[test]
fn no_memory_for_stacks_is_an_error() {
    in_child::succeeds("coroutine::tests::child_runs_out_of_addresses");
}

#[test]
#[ignore = "run by another test"]
fn child_runs_out_of_addresses() {
    let class = class(DEFAULT_BYTES);
    let mut pool = FiberPool::new(class, pause).expect("memory");
    let limit = libc::rlimit {
        rlim_cur: (status("VmSize") + (200 << 20)) as u64,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: plain data.
    let outcome = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(outcome, 0);
    let mut fibers = Vec::new();
    let error = loop {
        match class.reserve(1) {
            Ok(()) => fibers.push(start(class, &mut pool).0),
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    // 200 MiB hold 787; the last chunks are smaller.
    assert!((700..=1100).contains(&fibers.len()), "{}", fibers.len());
    let promised = class.counts().promised;
    assert!(class.reserve(10_000).is_err());
    assert_eq!(class.counts().promised, promised);
    let Some(fiber) = fibers.pop() else { return };
    finish(fiber, &mut pool);
    class.release(1);
    class.reserve(1).expect("the one that was freed");
}

#[test]
fn an_old_kernel_counts_mappings() {
    in_child::succeeds("coroutine::tests::child_runs_out_of_mappings");
}

#[test]
#[ignore = "run by another test"]
fn child_runs_out_of_mappings() {
    OLD_KERNEL.store(1, Relaxed);
    let class = class(DEFAULT_BYTES);
    let mut pool = FiberPool::new(class, pause).expect("memory");
    let before = mappings();
    class.reserve(1000).expect("memory");
    assert!(mappings() >= before + 1990);
    let fibers: Vec<_> = (0..1000).map(|_| start(class, &mut pool).0).collect();
    let error = class.reserve(1_000_000).expect_err("too many");
    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
    assert_eq!(class.counts().promised, 1000 + class.hoard());
    for fiber in fibers {
        finish(fiber, &mut pool);
    }
    class.release(1000);
    pool.flush();
    trim(Trim::All);
    assert!(mappings() < before + 1000, "{}", mappings());
    class.reserve(1000).expect("memory");
}
