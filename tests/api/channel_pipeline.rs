//! Pipelines end cleanly, from either side.

use crate::support::on_every_home;
use sward::channel::{Receiver, bounded, never, pipeline, unbounded};

#[test]
fn a_pipeline_ends_with_its_input() {
    on_every_home(|_| {
        let (tx, numbers) = unbounded();
        for number in 0..100 {
            tx.send(number).expect("open");
        }
        drop(tx);
        let quit = never();
        let copies = pipeline::broadcast(numbers, 3, 0, &quit);
        let worked: Vec<_> = copies
            .into_iter()
            .map(|it| pipeline::fan_out(it, 3, 1, &quit, |number| number * 2))
            .collect();
        let all = pipeline::fan_in(worked, 0, &quit);
        assert_eq!(all.iter().sum::<i32>(), 3 * 9900);
    });
}

#[test]
fn a_pipeline_ends_when_its_reader_goes() {
    on_every_home(|home| {
        let (tx, numbers) = bounded(0);
        let source =
            home.spawn(move || (0..u64::MAX).take_while(|it| tx.send(*it).is_ok()).count());
        let quit = never();
        let squares = pipeline::stage(numbers, 0, &quit, |it: u64| it * it);
        let few = pipeline::take(squares, 3, &quit);
        assert_eq!(few.iter().collect::<Vec<_>>(), [0, 1, 4]);
        drop(few);
        assert!(source.join().expect("the source") >= 3);
    });
}

#[test]
fn a_pipeline_ends_when_it_is_told_to() {
    on_every_home(|home| {
        let (tx, numbers) = bounded::<u64>(0);
        let source =
            home.spawn(move || (0..u64::MAX).take_while(|it| tx.send(*it).is_ok()).count());
        let (stop, quit) = bounded::<()>(0);
        let worked = pipeline::fan_out(numbers, 4, 0, &quit, |it| it + 1);
        let merged = pipeline::fan_in([worked], 0, &quit);
        let mut copies = pipeline::broadcast(merged, 2, 0, &quit);
        let other = copies.pop().expect("two");
        let reader = home.spawn(move || other.iter().count());
        for _ in 0..20 {
            copies[0].recv().expect("a message");
        }
        stop.close();
        // Nobody reads `copies[0]` any more, and yet everything ends.
        assert!(reader.join().expect("the reader") >= 19);
        assert!(source.join().expect("the source") >= 20);
        assert!(copies[0].recv().is_err());
    });
}

#[test]
fn a_reader_that_goes_is_left_out() {
    on_every_home(|_| {
        let (tx, news) = unbounded();
        let mut copies = pipeline::broadcast(news, 2, 0, &never());
        drop(copies.remove(0));
        for it in 0..10 {
            tx.send(it).expect("open");
        }
        drop(tx);
        assert_eq!(
            copies[0].iter().collect::<Vec<_>>(),
            (0..10).collect::<Vec<_>>()
        );
    });
}

/// A pattern between a source that is idle for ever and its readers.
type Pattern = fn(Receiver<u64>, &Receiver<()>) -> Vec<Receiver<u64>>;

/// Whoever waits for its input ends when its reader goes, and so does what is before it: no message is
/// needed for that.
#[test]
fn an_idle_pipeline_ends_when_its_reader_goes() {
    const PATTERNS: [Pattern; 5] = [
        |input, quit| vec![pipeline::stage(input, 1, quit, |it| it)],
        |input, quit| vec![pipeline::fan_in([input, never()], 1, quit)],
        |input, quit| vec![pipeline::fan_out(input, 3, 1, quit, |it| it)],
        |input, quit| pipeline::broadcast(input, 3, 1, quit),
        |input, quit| vec![pipeline::take(input, 7, quit)],
    ];
    on_every_home(|home| {
        for pattern in PATTERNS {
            let (tx, idle) = bounded::<u64>(0);
            let (alive, ended) = bounded::<()>(0);
            let quit = never();
            let first = pipeline::stage(idle, 0, &quit, move |it| {
                _ = &alive;
                it
            });
            let readers = pattern(first, &quit);
            // One message, so that it has waited and waits again.
            tx.send(5).expect("somebody receives");
            for reader in &readers {
                assert_eq!(reader.recv(), Ok(5));
            }
            home.yield_now();
            drop(readers);
            assert!(ended.recv().is_err(), "the first stage has dropped its end");
            assert!(tx.send(6).is_err());
        }
    });
}

/// A channel's end is noticed though it is seen by the same choice as messages, and by nobody else.
#[test]
fn what_is_read_late_is_read_all_the_same() {
    on_every_home(|_| {
        let (tx, numbers) = bounded::<u64>(0);
        let copies = pipeline::stage(numbers, 4, &never(), |it| it);
        for it in 0..4 {
            tx.send(it).expect("somebody receives");
        }
        // The stage waits for more as its output is read, a message at a time.
        for it in 0..4 {
            assert_eq!(copies.recv(), Ok(it));
        }
        drop(tx);
        assert!(copies.recv().is_err());
    });
}
