//! Reads and writes that wait allocate nothing, with timeouts or without, on threads of either kind.

#![expect(unsafe_code, reason = "an allocator that counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};
use sward::net::{TcpListener, TcpStream};

/// The system's allocator, counting for each kernel thread, and for green threads wherever they run.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Where the stacks of the two green threads are: an address in the outermost frame of each.
static STACKS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
/// How far below that its frames may be.
const STACK_BYTES: usize = 64 << 10;
/// How often they allocated.
static ON_STACKS: AtomicUsize = AtomicUsize::new(0);

fn count() {
    COUNT.set(COUNT.get() + 1);
    let here = 0_u8;
    let here = (&raw const here).addr();
    let on_one = |it: &AtomicUsize| (1..STACK_BYTES).contains(&it.load(SeqCst).wrapping_sub(here));
    if STACKS.iter().any(on_one) {
        ON_STACKS.fetch_add(1, SeqCst);
    }
}

// SAFETY: all is the system's; the count neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 2_000;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
    let (far, _) = listener.accept().expect("a client");
    (near, far)
}

/// Words go to and fro; every read waits, as the other end only answers. Returns how many allocations
/// this kernel thread did since it called `warm`.
fn talk(stream: &TcpStream, first: bool, warm: impl Fn()) -> usize {
    let mut stream = stream;
    let mut buf = [0; 8];
    let mut before = 0;
    for round in 0..ROUNDS + 100 {
        if round == 100 {
            // It is registered, and all lists have grown.
            warm();
            before = COUNT.get();
        }
        if round % 2 == 0 {
            let timeout = (round % 4 == 0).then_some(Duration::from_secs(5));
            stream.set_read_timeout(timeout).expect("open");
        }
        if first {
            stream.write_all(&buf).expect("room");
        }
        stream.read_exact(&mut buf).expect("data");
        if !first {
            stream.write_all(&buf).expect("room");
        }
    }
    COUNT.get().wrapping_sub(before)
}

#[test]
fn kernel_threads_wait_without_allocating() {
    let (near, far) = pair();
    let other = std::thread::spawn(move || talk(&far, false, || ()));
    assert_eq!(talk(&near, true, || ()), 0);
    assert_eq!(other.join().expect("the other end"), 0);
}

/// As [`talk`], on a green thread: what this allocates on its own stack is counted for it from now on.
fn talk_greenly(stream: &TcpStream, first: bool) -> usize {
    let frame = 0_u8;
    let place = &STACKS[usize::from(first)];
    let on_its_thread = talk(stream, first, || {
        place.store((&raw const frame).addr(), SeqCst);
    });
    place.store(0, SeqCst);
    on_its_thread
}

#[test]
fn green_threads_wait_without_allocating() {
    let runtime = sward::Runtime::builder()
        .workers(1)
        .stack_size(STACK_BYTES)
        .build()
        .expect("a runtime");
    let counts = runtime.run(|| {
        let (near, far) = pair();
        let other = sward::spawn(move || talk_greenly(&far, false));
        let count = talk_greenly(&near, true);
        [count, other.join().expect("the other end")]
    });
    assert_eq!(ON_STACKS.load(SeqCst), 0);
    // Nor does the worker, which turns the poller and keeps the alarms. If it seemed to be stuck, as it may
    // where the machine has no time for it, then both were on other kernel threads too, of which each
    // allocates as it begins.
    if runtime.metrics().take_overs == 0 {
        assert_eq!(counts, [0, 0]);
    }
}
