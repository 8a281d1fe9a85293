//! Patterns that pipelines are made of: a stage, many into one, one into many, the first few.
//!
//! Each starts green threads of its own, and each ends when its input closes, when whoever reads its
//! output has gone, or when `quit` closes or gets a message, whichever comes first. It then drops its
//! ends of the channels, so the end spreads through the whole pipeline, in both directions, and no green
//! thread is left behind. What nothing shall stop gets [`never`](super::never) for `quit`.
//!
//! That is seen at once, also by one that waits for its input: what it has taken in by then and cannot pass
//! on is dropped.
//!
//! ```
//! use sward::channel::{never, pipeline, unbounded};
//!
//! let (tx, numbers) = unbounded();
//! for number in 1..=4 {
//!     tx.send(number)?;
//! }
//! drop(tx);
//!
//! let squares = pipeline::stage(numbers, 1, &never(), |it| it * it);
//! let few = pipeline::take(squares, 3, &never());
//! assert_eq!(few.iter().collect::<Vec<_>>(), [1, 4, 9]);
//! # Ok::<(), sward::channel::SendError<i32>>(())
//! ```

use super::{
    arm::Arm, choose::choose, core::Until, error::RecvError, receiver::Receiver, select::Select,
    select_biased, sender::Sender,
};
use crate::{channel::bounded, thread::spawn};

/// Sends, unless `quit` comes first or nobody receives any more: then `false`.
fn pass_on<T>(output: &Sender<T>, message: T, quit: &Receiver<()>) -> bool {
    select_biased! {
        recv(quit) -> _ => false,
        send(output, message) -> result => result.is_ok(),
    }
}

/// Receives, unless `quit` comes first or nobody receives what is to come of it.
fn take_in<T, U>(
    input: &Receiver<T>,
    output: &Sender<U>,
    quit: &Receiver<()>,
) -> Result<T, RecvError> {
    let arms = [Arm::receive(quit), Arm::receive(input), Arm::end(output)];
    let operation = choose(&arms, true, Until::Time(None)).ok_or(RecvError)?;
    match operation.index() {
        0 => {
            // Whatever it says, it is the end.
            let (Some(()) | None) = operation.receive(quit);
            Err(RecvError)
        }
        1 => operation.receive(input).ok_or(RecvError),
        _ => Err(RecvError),
    }
}

/// Applies `f` to every message, in order, on a green thread of its own.
///
/// The output's buffer keeps `capacity` messages.
///
/// # Examples
///
/// ```
/// use sward::channel::{never, pipeline, unbounded};
///
/// let (tx, words) = unbounded();
/// tx.send("one")?;
/// drop(tx);
/// let lengths = pipeline::stage(words, 0, &never(), str::len);
/// assert_eq!(lengths.recv(), Ok(3));
/// # Ok::<(), sward::channel::SendError<&str>>(())
/// ```
pub fn stage<T, U>(
    input: Receiver<T>,
    capacity: usize,
    quit: &Receiver<()>,
    mut f: impl FnMut(T) -> U + Send + 'static,
) -> Receiver<U>
where
    T: Send + 'static,
    U: Send + 'static,
{
    let (tx, rx) = bounded(capacity);
    let quit = quit.clone();
    spawn(move || {
        while let Ok(message) = take_in(&input, &tx, &quit) {
            if !pass_on(&tx, f(message), &quit) {
                break;
            }
        }
    });
    rx
}

/// Merges `inputs` into one output, which closes when all of them have.
///
/// Messages of one input keep their order; inputs that have messages are served by lot.
///
/// # Examples
///
/// ```
/// use sward::channel::{never, pipeline, unbounded};
///
/// let (inputs, senders): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded()).map(|(tx, rx)| (rx, tx)).unzip();
/// for (tx, number) in senders.iter().zip(1..) {
///     tx.send(number)?;
/// }
/// drop(senders);
/// assert_eq!(pipeline::fan_in(inputs, 0, &never()).iter().sum::<i32>(), 6);
/// # Ok::<(), sward::channel::SendError<i32>>(())
/// ```
pub fn fan_in<T>(
    inputs: impl IntoIterator<Item = Receiver<T>>,
    capacity: usize,
    quit: &Receiver<()>,
) -> Receiver<T>
where
    T: Send + 'static,
{
    let (tx, rx) = bounded(capacity);
    let inputs: Vec<_> = inputs.into_iter().collect();
    let quit = quit.clone();
    spawn(move || {
        let mut select = Select::new();
        for input in &inputs {
            select.recv(input);
        }
        let stop = select.recv(&quit);
        let end = select.end(&tx);
        let mut open = inputs.len();
        while open > 0 {
            let operation = select.select();
            let index = operation.index();
            if index == end {
                return operation.acknowledge();
            }
            let Some(input) = inputs.get(index) else {
                debug_assert_eq!(index, stop, "the last operation but one is the stop");
                // Whatever it says, it is the end.
                let (Ok(()) | Err(RecvError)) = operation.recv(&quit);
                return;
            };
            let Ok(message) = operation.recv(input) else {
                select.remove(index);
                open -= 1;
                continue;
            };
            if !pass_on(&tx, message, &quit) {
                return;
            }
        }
    });
    rx
}

/// Applies `f` to the messages on `count` green threads, each message once, in any order.
///
/// The output's buffer keeps `capacity` messages. The first panic of `f` ends its own green thread alone.
///
/// # Examples
///
/// ```
/// use sward::channel::{never, pipeline, unbounded};
///
/// let (tx, numbers) = unbounded();
/// for number in 1..=100 {
///     tx.send(number)?;
/// }
/// drop(tx);
/// let doubled = pipeline::fan_out(numbers, 4, 0, &never(), |it| it * 2);
/// assert_eq!(doubled.iter().sum::<i32>(), 10_100);
/// # Ok::<(), sward::channel::SendError<i32>>(())
/// ```
///
/// # Panics
///
/// If `count` is zero.
#[track_caller]
pub fn fan_out<T, U>(
    input: Receiver<T>,
    count: usize,
    capacity: usize,
    quit: &Receiver<()>,
    f: impl Fn(T) -> U + Clone + Send + 'static,
) -> Receiver<U>
where
    T: Send + 'static,
    U: Send + 'static,
{
    assert!(count > 0, "a fan-out needs at least one green thread");
    let (tx, rx) = bounded(capacity);
    for _ in 0..count {
        let (input, tx, quit, f) = (input.clone(), tx.clone(), quit.clone(), f.clone());
        spawn(move || {
            while let Ok(message) = take_in(&input, &tx, &quit) {
                if !pass_on(&tx, f(message), &quit) {
                    break;
                }
            }
        });
    }
    // The last clones are the green threads'.
    drop((input, tx));
    rx
}

/// Gives every message to each of `count` outputs, in order.
///
/// Each output's buffer keeps `capacity` messages; the slowest reader decides how fast it goes. A reader
/// that goes is left out from then on; when all have gone, it ends.
///
/// # Examples
///
/// ```
/// use sward::channel::{never, pipeline, unbounded};
///
/// let (tx, news) = unbounded();
/// tx.send("news")?;
/// drop(tx);
/// for reader in pipeline::broadcast(news, 3, 1, &never()) {
///     assert_eq!(reader.iter().collect::<Vec<_>>(), ["news"]);
/// }
/// # Ok::<(), sward::channel::SendError<&str>>(())
/// ```
pub fn broadcast<T>(
    input: Receiver<T>,
    count: usize,
    capacity: usize,
    quit: &Receiver<()>,
) -> Vec<Receiver<T>>
where
    T: Clone + Send + 'static,
{
    let (mut outputs, readers): (Vec<_>, Vec<_>) =
        (0..count).map(|_| bounded::<T>(capacity)).unzip();
    let quit = quit.clone();
    spawn(move || {
        while let Some(message) = take_in_for(&input, &mut outputs, &quit) {
            let mut stopped = false;
            outputs.retain(|output| {
                if stopped {
                    return false;
                }
                select_biased! {
                    recv(quit) -> _ => {
                        stopped = true;
                        false
                    }
                    send(output, message.clone()) -> result => result.is_ok(),
                }
            });
            if stopped {
                break;
            }
        }
    });
    readers
}

/// As [`take_in`], for several outputs, of which those are left out that nobody receives from.
fn take_in_for<T, U>(
    input: &Receiver<T>,
    outputs: &mut Vec<Sender<U>>,
    quit: &Receiver<()>,
) -> Option<T> {
    while !outputs.is_empty() {
        let mut arms = vec![Arm::receive(quit), Arm::receive(input)];
        arms.extend(outputs.iter().map(Arm::end));
        let operation = choose(&arms, true, Until::Time(None))?;
        match operation.index() {
            0 => {
                // Whatever it says, it is the end.
                let (Some(()) | None) = operation.receive(quit);
                return None;
            }
            1 => return operation.receive(input),
            gone => {
                drop(operation);
                outputs.remove(gone - 2);
            }
        }
    }
    None
}

/// The first `count` messages.
///
/// # Examples
///
/// ```
/// use sward::channel::{never, pipeline, unbounded};
///
/// let (tx, numbers) = unbounded();
/// for number in 0..10 {
///     tx.send(number)?;
/// }
/// let few = pipeline::take(numbers, 2, &never());
/// assert_eq!(few.iter().collect::<Vec<_>>(), [0, 1]);
/// # Ok::<(), sward::channel::SendError<i32>>(())
/// ```
pub fn take<T>(input: Receiver<T>, count: usize, quit: &Receiver<()>) -> Receiver<T>
where
    T: Send + 'static,
{
    let (tx, rx) = bounded(0);
    let quit = quit.clone();
    spawn(move || {
        for _ in 0..count {
            if !take_in(&input, &tx, &quit).is_ok_and(|it| pass_on(&tx, it, &quit)) {
                break;
            }
        }
    });
    rx
}
