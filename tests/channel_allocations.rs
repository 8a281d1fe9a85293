//! In the end, sends, receives and small choices allocate nothing; idle channels are small.
#![allow(
    unsafe_code,
    clippy::allow_attributes,
    reason = "an allocator that counts is unsafe by its trait"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};
use sward::{
    channel::{Select, bounded, select, unbounded},
    context::Context,
};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Allocations of one kernel thread, and their bytes.
    static OWN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        let (blocks, bytes) = OWN.get();
        OWN.set((blocks + 1, bytes + layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations of `f`, after once for warming up.
fn allocations(mut f: impl FnMut()) -> usize {
    f();
    let before = ALLOCATIONS.load(Relaxed);
    f();
    ALLOCATIONS.load(Relaxed) - before
}

/// One block for each channel, whatever its capacity, which the docs of `bounded` say.
fn a_million_idle_channels_are_small() {
    const CHANNELS: usize = 1_000_000;
    let mut idle = Vec::with_capacity(CHANNELS);
    let before = OWN.get();
    idle.extend((0..CHANNELS).map(bounded::<[u64; 4]>));
    let after = OWN.get();
    assert_eq!(after.0 - before.0, CHANNELS);
    let each = (after.1 - before.1) / CHANNELS;
    assert!(each <= 192, "{each} bytes");
    assert_eq!(size_of_val(&idle[0]), 24, "a pair of handles");
}

/// A context is a block, its channel another once somebody asks for it; to look at it costs none.
fn contexts_are_few_blocks() {
    fn blocks<T>(make: impl Fn() -> T) -> usize {
        // Lists of children and of deadlines have grown then.
        drop(make());
        let before = OWN.get().0;
        let made = make();
        let after = OWN.get().0;
        drop(made);
        after - before
    }
    let root = Context::background();
    let child = root
        .with_value("a value")
        .with_timeout(Duration::from_hours(1));
    assert_eq!(blocks(Context::background), 1);
    assert_eq!(blocks(|| root.with_cancel()), 1);
    assert_eq!(blocks(|| child.with_timeout(Duration::from_mins(1))), 1);
    assert!(blocks(|| root.with_value(1)) <= 2);
    let watched = || {
        let context = root.with_cancel();
        assert!(context.done().is_empty());
        context
    };
    assert_eq!(blocks(watched), 2);
    let looks = || {
        assert_eq!(child.err(), None);
        assert_eq!(child.value(), Some(&"a value"));
        assert!(child.deadline().is_some() && child.cause().is_none());
        child.done().len()
    };
    assert_eq!(blocks(looks), 0);
}

/// One test, as the count is the whole process's.
#[test]
fn nothing_is_allocated_in_steady_state() {
    a_million_idle_channels_are_small();
    for capacity in [1, 128, usize::MAX] {
        let (tx, rx) = bounded(capacity);
        let count = allocations(|| {
            for it in 0..10_000 {
                tx.send(it).expect("open");
                assert_eq!(rx.recv(), Ok(it));
            }
        });
        assert_eq!(count, 0, "capacity {capacity}");
    }

    // Two kernel threads hand over and wait, by plain operations and by choices. (The queues of a runtime
    // allocate a block for every few dozen green threads that pass through them.)
    thread::scope(|scope| {
        let (ask, asked) = bounded::<u32>(0);
        let (answer, answered) = bounded::<u32>(0);
        let (_idle, no) = bounded::<u32>(0);
        let quiet = no.clone();
        let echo = scope.spawn(move || {
            loop {
                let it = select! {
                    recv(asked) -> it => it,
                    recv(quiet) -> it => it,
                    recv(quiet) -> it => it,
                    recv(quiet) -> it => it,
                    recv(quiet) -> it => it,
                    recv(quiet) -> it => it,
                    recv(quiet) -> it => it,
                    recv(quiet) -> it => it,
                };
                let Ok(it) = it else { break };
                select! {
                    send(answer, it + 1) -> result => if result.is_err() { break },
                    recv(quiet) -> _ => break,
                }
            }
        });
        let count = allocations(|| {
            for it in 0..2_000 {
                ask.send(it).expect("open");
                assert_eq!(answered.recv(), Ok(it + 1));
            }
        });
        assert_eq!(count, 0, "hand-overs");
        drop(ask);
        echo.join().expect("the echo");

        let (tx, rx) = unbounded();
        let mut dynamic = Select::new();
        for _ in 0..8 {
            dynamic.recv(&rx);
        }
        let count = allocations(|| {
            for it in 0..1_000 {
                tx.send(it).expect("open");
                assert_eq!(dynamic.select().recv(&rx), Ok(it));
                assert!(dynamic.try_select().is_err());
            }
        });
        assert_eq!(count, 0, "choices");
        drop(no);
    });
    // After the channels: the thread that keeps their deadlines begins meanwhile.
    contexts_are_few_blocks();
    waits_for_time_allocate_nothing();
}

/// A green thread that sleeps, and that waits with a time limit, uses what it has.
fn waits_for_time_allocate_nothing() {
    let runtime = sward::Runtime::builder().workers(1).build();
    let count = runtime.expect("a runtime").run(|| {
        let (_tx, rx) = bounded::<u32>(0);
        allocations(|| {
            for _ in 0..1_000 {
                sward::thread::sleep(Duration::from_micros(1));
                assert!(rx.recv_timeout(Duration::from_micros(1)).is_err());
            }
        })
    });
    // The monitor, which looks on meanwhile, may allocate.
    assert!(count < 100, "{count} allocations");
}
