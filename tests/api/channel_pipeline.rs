//! Pipelines end cleanly, from either side.

use crate::support::on_every_home;
use sward::channel::{bounded, never, pipeline, unbounded};

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
