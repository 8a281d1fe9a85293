//! Reads and writes that wait allocate nothing, with timeouts or without, on threads of either kind.

#![expect(unsafe_code, reason = "an allocator that counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    time::Duration,
};
use sward::net::{TcpListener, TcpStream};

/// The system's allocator, counting for each kernel thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is the system's; the count neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
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
/// this kernel thread did meanwhile.
fn talk(stream: &TcpStream, first: bool) -> usize {
    let mut stream = stream;
    let mut buf = [0; 8];
    let mut before = 0;
    for round in 0..ROUNDS + 100 {
        if round == 100 {
            // Registered and warm.
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
    COUNT.get() - before
}

#[test]
fn kernel_threads_wait_without_allocating() {
    let (near, far) = pair();
    let other = std::thread::spawn(move || talk(&far, false));
    assert_eq!(talk(&near, true), 0);
    assert_eq!(other.join().expect("the other end"), 0);
}

#[test]
fn green_threads_wait_without_allocating() {
    let runtime = sward::Runtime::builder()
        .workers(1)
        .build()
        .expect("a runtime");
    let counts = runtime.run(|| {
        let (near, far) = pair();
        let other = sward::spawn(move || talk(&far, false));
        let count = talk(&near, true);
        (count, other.join().expect("the other end"))
    });
    // The only worker does both. A list of it may still grow when two things come together for the first
    // time; a call that allocated would do so thousands of times.
    assert!(counts.0.max(counts.1) < 10, "{counts:?}");
}
