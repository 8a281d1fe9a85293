//! `Select`: a choice among operations that are put together at run time.

use super::{
    arm::Arm,
    choose::{Operation, choose, ready},
    core::Until,
    error::{
        ReadyTimeoutError, RecvError, SelectTimeoutError, SendError, TryReadyError, TrySelectError,
    },
    receiver::Receiver,
    sender::Sender,
};
use crate::wait::deadline_after;
use std::{
    fmt, ptr,
    thread::panicking,
    time::{Duration, Instant},
};

/// A choice among any number of operations, put together at run time.
///
/// Where the operations are known beforehand, [`select!`](macro@super::select) is easier. A `Select` may be used
/// again and again, and its operations may be removed one by one.
///
/// Each operation gets an index when it is added. What is chosen comes back as a [`SelectedOperation`],
/// which must be completed with the very handle (the same reference) that was added. If several are ready,
/// one of them is drawn, each as likely as another.
///
/// Up to 8 operations, a choice allocates nothing.
///
/// # Examples
///
/// ```
/// use sward::channel::{Select, unbounded};
///
/// let (senders, receivers): (Vec<_>, Vec<_>) = (0..20).map(|_| unbounded()).unzip();
/// senders[13].send("hello")?;
///
/// let mut select = Select::new();
/// for receiver in &receivers {
///     select.recv(receiver);
/// }
/// let operation = select.select();
/// let index = operation.index();
/// assert_eq!(index, 13);
/// assert_eq!(operation.recv(&receivers[index]), Ok("hello"));
/// # Ok::<(), sward::channel::SendError<&str>>(())
/// ```
#[derive(Clone)]
pub struct Select<'a> {
    arms: Vec<Arm<'a>>,
    /// The index and the address of the handle of each arm.
    keys: Vec<(usize, usize)>,
    next: usize,
    biased: bool,
}

impl<'a> Select<'a> {
    /// A choice without operations yet.
    pub fn new() -> Self {
        Self {
            arms: Vec::new(),
            keys: Vec::new(),
            next: 0,
            biased: false,
        }
    }

    /// A choice that takes, of the operations that are ready, the one that was added first.
    ///
    /// ```
    /// use sward::channel::{Select, unbounded};
    ///
    /// let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded());
    /// tx1.send(1)?;
    /// tx2.send(2)?;
    /// let mut select = Select::new_biased();
    /// select.recv(&rx1);
    /// select.recv(&rx2);
    /// assert_eq!(select.select().recv(&rx1), Ok(1));
    /// # Ok::<(), sward::channel::SendError<i32>>(())
    /// ```
    pub fn new_biased() -> Self {
        Self {
            biased: true,
            ..Self::new()
        }
    }

    fn add(&mut self, arm: Arm<'a>, handle: usize) -> usize {
        let index = self.next;
        self.next += 1;
        self.arms.push(arm);
        self.keys.push((index, handle));
        index
    }

    /// Adds a send into `sender`'s channel, and returns its index.
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(Arm::send(sender), ptr::from_ref(sender).addr())
    }

    /// Adds a receive from `receiver`'s channel, and returns its index.
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(Arm::receive(receiver), ptr::from_ref(receiver).addr())
    }

    /// Adds the end of `sender`'s channel, and returns its index.
    pub(super) fn end<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(Arm::end(sender), ptr::from_ref(sender).addr())
    }

    /// Removes the operation with this index, for instance because its channel is closed. The others keep
    /// their indices.
    ///
    /// # Panics
    ///
    /// If there is no such operation, or not any more.
    #[track_caller]
    pub fn remove(&mut self, index: usize) {
        assert!(
            index < self.next,
            "index out of bounds; {index} >= {}",
            self.next
        );
        let place = self.keys.iter().position(|it| it.0 == index);
        let place = place.expect("no operation with this index");
        self.arms.remove(place);
        self.keys.remove(place);
    }

    #[track_caller]
    fn choose(&self, until: Until) -> Option<SelectedOperation<'a>> {
        let operation = choose(&self.arms, self.biased, until)?;
        let (index, handle) = self.keys[operation.index()];
        Some(SelectedOperation {
            operation: Some(operation),
            index,
            handle,
        })
    }

    /// Chooses an operation if one is ready.
    ///
    /// # Errors
    ///
    /// [`TrySelectError`] if none is.
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.choose(Until::Now).ok_or(TrySelectError)
    }

    /// Chooses an operation, and waits until one is ready.
    ///
    /// # Panics
    ///
    /// If there are no operations.
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        let selected = if self.arms.is_empty() {
            None
        } else {
            self.choose(Until::Time(None))
        };
        selected.expect("no operations have been added to `Select`")
    }

    /// Chooses an operation, and waits at most `timeout` until one is ready. Without operations it just
    /// waits.
    ///
    /// # Errors
    ///
    /// [`SelectTimeoutError`] if none was ready in time.
    #[track_caller]
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Until::Time(deadline_after(timeout)))
            .ok_or(SelectTimeoutError)
    }

    /// Chooses an operation, and waits until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`SelectTimeoutError`] if none was ready by then.
    #[track_caller]
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Until::Time(Some(deadline)))
            .ok_or(SelectTimeoutError)
    }

    #[track_caller]
    fn watch(&self, until: Until) -> Option<usize> {
        ready(&self.arms, self.biased, until).map(|it| self.keys[it].0)
    }

    /// The index of an operation that is ready, if one is. It is not done: another thread may do it first.
    ///
    /// # Errors
    ///
    /// [`TryReadyError`] if none is ready.
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.watch(Until::Now).ok_or(TryReadyError)
    }

    /// Waits until an operation is ready, and returns its index. It is not done: another thread may do it
    /// first, so it should be tried without waiting, and this called again if that fails.
    ///
    /// ```
    /// use sward::channel::{Select, unbounded};
    ///
    /// let (tx, rx) = unbounded();
    /// tx.send(1)?;
    /// let mut select = Select::new();
    /// let index = select.recv(&rx);
    /// assert_eq!(select.ready(), index);
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// # Ok::<(), sward::channel::SendError<i32>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If there are no operations.
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        let ready = if self.arms.is_empty() {
            None
        } else {
            self.watch(Until::Time(None))
        };
        ready.expect("no operations have been added to `Select`")
    }

    /// As [`ready`](Self::ready), and waits at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ReadyTimeoutError`] if none was ready in time.
    #[track_caller]
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.watch(Until::Time(deadline_after(timeout)))
            .ok_or(ReadyTimeoutError)
    }

    /// As [`ready`](Self::ready), and waits until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`ReadyTimeoutError`] if none was ready by then.
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.watch(Until::Time(Some(deadline)))
            .ok_or(ReadyTimeoutError)
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// An operation that was chosen, and must now be done.
///
/// Until then it is claimed: the partner or the place in the buffer is this operation's, and nobody was
/// woken. There may be any code between; a partner waits for it.
///
/// # Panics
///
/// When it is dropped without [`send`](Self::send) or [`recv`](Self::recv), unless the thread is panicking
/// already. The claim is handed back first, so that nothing is lost.
#[must_use = "an operation that was chosen must be done"]
pub struct SelectedOperation<'a> {
    operation: Option<Operation<'a>>,
    index: usize,
    handle: usize,
}

impl SelectedOperation<'_> {
    /// The index that the operation got when it was added.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Does nothing: for the end of a channel.
    pub(super) fn acknowledge(mut self) {
        drop(self.operation.take());
    }

    /// Sends `message`. It never waits.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message, if the channel is closed or every receiver is gone.
    ///
    /// # Panics
    ///
    /// If the operation is not a send by this very `sender`.
    #[track_caller]
    pub fn send<T>(mut self, sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
        assert!(
            ptr::from_ref(sender).addr() == self.handle,
            "passed a sender that wasn't selected"
        );
        match self.operation.take() {
            Some(operation) => operation.send(sender, message).map_err(SendError),
            None => Err(SendError(message)),
        }
    }

    /// Receives a message. It never waits.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if nothing is left and the channel is closed or every sender gone.
    ///
    /// # Panics
    ///
    /// If the operation is not a receive by this very `receiver`.
    #[track_caller]
    pub fn recv<T>(mut self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        assert!(
            ptr::from_ref(receiver).addr() == self.handle,
            "passed a receiver that wasn't selected"
        );
        self.operation
            .take()
            .and_then(|it| it.receive(receiver))
            .ok_or(RecvError)
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            drop(operation);
            assert!(
                panicking(),
                "dropped `SelectedOperation` without completing the operation"
            );
        }
    }
}
