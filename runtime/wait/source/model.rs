//! All interleavings of readers, edges and closing, on a descriptor that is a number.

use super::{Counted, Direction, Patience, Ready, Source, Wish};
use crate::base::primitives::{AtomicUsize, Ordering::Relaxed};
use loom::{model::Builder, thread};
use std::{io, panic::Location, sync::Arc};

const READABLE: Ready = Ready {
    readable: true,
    writable: false,
    special: false,
};

/// Behind the datagrams is the end.
const ENDED: usize = 1 << 8;

/// A descriptor that holds so many datagrams. Relaxed: what it holds is known by the edges alone.
struct Descriptor {
    source: Arc<Source>,
    datagrams: AtomicUsize,
}

impl Descriptor {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            source: Arc::new(Source::new()),
            datagrams: AtomicUsize::new(0),
        })
    }

    /// Datagrams come, and the kernel tells of them all at once.
    fn receive(&self, count: usize) {
        self.datagrams.fetch_add(count, Relaxed);
        Source::on_ready(&self.source, READABLE);
    }

    /// Some come, and the end with them.
    fn receive_and_end(&self, count: usize) {
        self.datagrams.fetch_add(count + ENDED, Relaxed);
        let special = true;
        Source::on_ready(
            &self.source,
            Ready {
                special,
                ..READABLE
            },
        );
    }

    /// The system call. A stream's, if the datagrams are bytes: takes `wanted` at most.
    fn take(&self, wanted: usize) -> io::Result<usize> {
        // A plain load: a read-modify-write would see the newest without any edge.
        let mut held = self.datagrams.load(Relaxed);
        while held > 0 {
            let taken = (held % ENDED).min(wanted);
            if taken == 0 {
                return Ok(0);
            }
            match self
                .datagrams
                .compare_exchange(held, held - taken, Relaxed, Relaxed)
            {
                Ok(_) => return Ok(taken),
                Err(now) => held = now,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// A read of a stream.
    fn read_stream(&self, wanted: usize) -> io::Result<usize> {
        self.source.repeat_read(
            wanted,
            || self.take(wanted),
            |seen, patience| self.wait(seen, patience),
        )
    }

    fn read(&self) -> io::Result<usize> {
        self.source.repeat(
            Direction::Read,
            |_| self.take(1),
            |seen, patience| self.wait(seen, patience),
        )
    }

    fn wait(&self, seen: u64, patience: &mut Option<Patience>) -> io::Result<()> {
        let source = &self.source;
        let _counted = Counted::new(&source.read, None);
        let state = source.state.lock();
        source.check()?;
        let wish = Wish {
            direction: Direction::Read,
            pause: None,
            caller: Location::caller(),
        };
        source.stand(state, wish, seen, patience)
    }
}

fn explore(f: impl Fn() + Sync + Send + 'static) {
    let mut model = Builder::new();
    model.preemption_bound = Some(3);
    model.check(f);
}

/// What comes between the look and the line is found: the reader never sleeps over it.
#[test]
fn an_edge_between_the_look_and_the_line_is_not_lost() {
    explore(|| {
        let descriptor = Descriptor::new();
        let reader = thread::spawn({
            let descriptor = Arc::clone(&descriptor);
            move || descriptor.read().expect("a datagram")
        });
        descriptor.receive(1);
        reader.join().expect("the reader");
        assert_eq!(descriptor.source.read.waiting.load(Relaxed), 0);
    });
}

/// One edge for two datagrams serves two readers: the first that was called calls the second.
#[test]
fn one_edge_serves_the_line() {
    explore(|| {
        let descriptor = Descriptor::new();
        let readers = [(); 2].map(|()| {
            let descriptor = Arc::clone(&descriptor);
            thread::spawn(move || descriptor.read().expect("a datagram"))
        });
        descriptor.receive(2);
        for reader in readers {
            reader.join().expect("a reader");
        }
    });
}

/// A short read is believed until the next edge, and no longer: every byte is read.
#[test]
fn a_short_read_hides_nothing_that_comes_after_it() {
    explore(|| {
        let descriptor = Descriptor::new();
        // So that the poller is known to watch.
        Source::on_ready(&descriptor.source, READABLE);
        let reader = thread::spawn({
            let descriptor = Arc::clone(&descriptor);
            move || {
                let mut seen = 0;
                while seen < 2 {
                    seen += descriptor.read_stream(3).expect("bytes");
                }
            }
        });
        descriptor.receive(1);
        descriptor.receive(1);
        reader.join().expect("the reader");
    });
}

/// The end, which comes with the last bytes, is no short read: whoever sees the edge sees that.
#[test]
fn an_end_behind_a_short_read_is_found() {
    explore(|| {
        let descriptor = Descriptor::new();
        let reader = thread::spawn({
            let descriptor = Arc::clone(&descriptor);
            move || while descriptor.read_stream(3).expect("bytes, or the end") > 0 {}
        });
        descriptor.receive_and_end(1);
        reader.join().expect("the reader");
    });
}

/// Whoever is about to wait while the source is closed is told.
#[test]
fn closing_is_not_missed() {
    explore(|| {
        let descriptor = Descriptor::new();
        let reader = thread::spawn({
            let descriptor = Arc::clone(&descriptor);
            move || descriptor.read().map_err(|it| it.kind())
        });
        assert!(descriptor.source.close(-1));
        let result = reader.join().expect("the reader");
        assert_eq!(result, Err(io::ErrorKind::NotConnected));
    });
}
