//! `select!` and `select_biased!`: from arms, as they are written, to a choice.
//!
//! The arms are taken one by one. Each opens a `match` over its handle, so that what the expression borrows
//! lives until the end, handles are evaluated once and in order, and the next arm stands inside. The last
//! one chooses, and goes through the arms again for the one that was chosen. An arm's name `handle` is a
//! different one at each step, by hygiene.
//!
//! An arm that may be switched off has a handle of its own, by a clone, as what an expression borrows
//! cannot outlive the `if` around it. It is dropped before the body.

use super::{
    arm::Arm,
    choose::{Operation, choose},
    core::Until,
    error::{RecvError, SendError},
    receiver::{Receiver, wait_for_nothing},
    sender::Sender,
};
use crate::wait::deadline_after;
use std::{fmt, time::Duration};

/// A `send` arm.
#[derive(Clone, Copy)]
pub struct SendArm<'a, T>(&'a Sender<T>);

/// A `recv` arm.
#[derive(Clone, Copy)]
pub struct ReceiveArm<'a, T>(&'a Receiver<T>);

/// A `send` arm that may be switched off.
pub struct SendArmIf<T>(Option<Sender<T>>);

/// A `recv` arm that may be switched off.
pub struct ReceiveArmIf<T>(Option<Receiver<T>>);

/// How long a `select!` waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience(Until);

#[inline]
fn send<T>(chosen: Chosen<'_>, sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
    match chosen.0 {
        Some(operation) => operation.send(sender, message).map_err(SendError),
        None => Err(SendError(message)),
    }
}

#[inline]
fn receive<T>(chosen: Chosen<'_>, receiver: &Receiver<T>) -> Result<T, RecvError> {
    chosen
        .0
        .and_then(|it| it.receive(receiver))
        .ok_or(RecvError)
}

impl<'a, T> SendArm<'a, T> {
    /// The arm for this handle.
    #[inline]
    pub fn new(sender: &'a Sender<T>) -> Self {
        Self(sender)
    }

    /// What the choice needs to know.
    #[inline]
    pub fn arm(&self) -> Arm<'a> {
        Arm::send(self.0)
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    #[inline]
    pub fn complete(&self, chosen: Chosen<'_>, message: T) -> Result<(), SendError<T>> {
        send(chosen, self.0, message)
    }
}

impl<'a, T> ReceiveArm<'a, T> {
    /// The arm for this handle.
    #[inline]
    pub fn new(receiver: &'a Receiver<T>) -> Self {
        Self(receiver)
    }

    /// What the choice needs to know.
    #[inline]
    pub fn arm(&self) -> Arm<'a> {
        Arm::receive(self.0)
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    #[inline]
    pub fn complete(&self, chosen: Chosen<'_>) -> Result<T, RecvError> {
        receive(chosen, self.0)
    }
}

impl<T> SendArmIf<T> {
    /// The arm for a handle of its own.
    #[inline]
    pub fn on(sender: &Sender<T>) -> Self {
        Self(Some(sender.clone()))
    }

    /// An arm that is never chosen.
    #[inline]
    pub fn off() -> Self {
        Self(None)
    }

    /// What the choice needs to know.
    #[inline]
    pub fn arm(&self) -> Arm<'_> {
        self.0.as_ref().map_or(Arm::nothing(), Arm::send)
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    #[inline]
    pub fn complete(&self, chosen: Chosen<'_>, message: T) -> Result<(), SendError<T>> {
        match &self.0 {
            Some(sender) => send(chosen, sender, message),
            None => Err(SendError(message)),
        }
    }
}

impl<T> ReceiveArmIf<T> {
    /// The arm for a handle of its own.
    #[inline]
    pub fn on(receiver: &Receiver<T>) -> Self {
        Self(Some(receiver.clone()))
    }

    /// An arm that is never chosen.
    #[inline]
    pub fn off() -> Self {
        Self(None)
    }

    /// What the choice needs to know.
    #[inline]
    pub fn arm(&self) -> Arm<'_> {
        self.0.as_ref().map_or(Arm::nothing(), Arm::receive)
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    #[inline]
    pub fn complete(&self, chosen: Chosen<'_>) -> Result<T, RecvError> {
        receive(chosen, self.0.as_ref().ok_or(RecvError)?)
    }
}

impl Patience {
    /// It waits for ever.
    pub const FOR_EVER: Self = Self(Until::Time(None));
    /// It does not wait.
    pub const NONE: Self = Self(Until::Now);

    /// It waits so long.
    pub fn until(timeout: Duration) -> Self {
        Self(Until::Time(deadline_after(timeout)))
    }
}

/// Chooses one of the arms.
#[inline]
#[track_caller]
pub fn run<'a>(arms: &[Arm<'a>], biased: bool, patience: Patience) -> Chosen<'a> {
    Chosen(choose(arms, biased, patience.0))
}

/// What was chosen, or that nothing was.
#[derive(Debug)]
#[must_use = "what was chosen is handed back when this is dropped"]
pub struct Chosen<'a>(Option<Operation<'a>>);

impl Chosen<'_> {
    /// Which arm; if none, a number that none has.
    #[inline]
    pub fn index(&self) -> usize {
        self.0.as_ref().map_or(usize::MAX, Operation::index)
    }
}

/// Waits for ever: a `select!` without arms.
#[track_caller]
pub fn nothing() -> ! {
    loop {
        wait_for_nothing(None);
    }
}

/// The choice has no such outcome.
#[cold]
#[track_caller]
pub fn impossible() -> ! {
    unreachable!("a select! chose none of its arms")
}

impl<T> fmt::Debug for SendArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendArm")
    }
}

impl<T> fmt::Debug for ReceiveArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiveArm")
    }
}

impl<T> fmt::Debug for SendArmIf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendArmIf")
    }
}

impl<T> fmt::Debug for ReceiveArmIf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiveArmIf")
    }
}

/// Waits until one of several channel operations is ready, and does it.
///
/// If several are ready, one of them is drawn, each as likely as another. The others have no effect.
/// Only the calling green thread waits; outside a runtime, the kernel thread does.
///
/// ```text
/// select! {
///     recv(receiver) -> result => body,              // result: Result<T, RecvError>
///     send(sender, message) -> result => body,       // result: Result<(), SendError<T>>
///     recv(receiver) -> result if condition => body, // switched off if it is false; send alike
///     default => body,                               // if none is ready; or
///     default(timeout) => body,                      // if none was ready in time
/// }
/// ```
///
/// Conditions, handles and the time-out are evaluated once, in order, before the choice; those of an arm
/// that is switched off are not. A message is evaluated only when its arm is chosen: meanwhile the
/// receiver, or the place in the buffer, is kept for it; if the expression panics, or leaves by `?`, they
/// are handed back, and nothing is lost. It may wait, and `select!` again. An operation on a closed channel
/// is ready, and its result an error. A body may `break`, `continue`, `return` and use `?`.
///
/// Without `default`, it waits; without arms, for ever. Up to 8 arms it allocates nothing.
///
/// The compiler takes some 40 arms as it is. A crate with more of them in one `select!` asks for deeper macros,
/// by `#![recursion_limit = "1024"]`; [`Select`](crate::channel::Select) takes any number.
///
/// # Examples
///
/// ```
/// use sward::channel::{after, select, unbounded};
/// use std::time::Duration;
///
/// let (tx1, rx1) = unbounded();
/// let (tx2, rx2) = unbounded::<i32>();
/// tx1.send(10)?;
///
/// let mut open = true;
/// select! {
///     recv(rx1) -> message => assert_eq!(message, Ok(10)),
///     recv(rx2) -> message if open => open = message.is_ok(),
///     recv(after(Duration::from_secs(1))) -> _ => panic!("late"),
/// }
/// select! {
///     recv(rx1) -> message => panic!("{message:?}"),
///     default => {}
/// }
/// # drop(tx2);
/// # Ok::<(), sward::channel::SendError<i32>>(())
/// ```
#[macro_export]
macro_rules! select {
    ($($tokens:tt)*) => {
        $crate::__sward_select!(@arms (false) () () () (0) $($tokens)*)
    };
}

/// Waits until one of several channel operations is ready, and does it; of several, the first.
///
/// As [`select!`](crate::select), but without a draw: of the arms that are ready, the one that is written
/// first is chosen.
///
/// ```
/// use sward::channel::{select_biased, unbounded};
///
/// let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded());
/// tx1.send("urgent")?;
/// tx2.send("work")?;
/// select_biased! {
///     recv(rx1) -> message => assert_eq!(message, Ok("urgent")),
///     recv(rx2) -> message => panic!("{message:?}"),
/// }
/// # Ok::<(), sward::channel::SendError<&str>>(())
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($tokens:tt)*) => {
        $crate::__sward_select!(@arms (true) () () () (0) $($tokens)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __sward_select {
    // @arms (biased) (arms: [handle (call) number pattern body]...) (clones) (default) (number) rest

    // Separators.
    (@arms $b:tt $a:tt $c:tt $d:tt $n:tt , $($rest:tt)*) => {
        compile_error!("expected an arm of `select!`, found `,`")
    };

    // recv
    (@arms $b:tt $a:tt $c:tt $d:tt $n:tt
        recv($handle:expr $(,)?) -> $result:pat => $($rest:tt)*
    ) => {
        match &$handle {
            handle => match $crate::channel::__private::ReceiveArm::new(handle) {
            handle => $crate::__sward_select!(
                @body (recv handle () ($result)) $b $a $c $d $n $($rest)*
            ),
        }}
    };
    (@arms $b:tt $a:tt ($($c:tt)*) $d:tt $n:tt
        recv($handle:expr $(,)?) -> $result:pat if $condition:expr => $($rest:tt)*
    ) => {
        match if $condition {
            match &$handle {
                handle => $crate::channel::__private::ReceiveArmIf::on(handle),
            }
        } else {
            $crate::channel::__private::ReceiveArmIf::off()
        } {
            handle => $crate::__sward_select!(
                @body (recv handle () ($result)) $b $a ($($c)* handle) $d $n $($rest)*
            ),
        }
    };

    // send
    (@arms $b:tt $a:tt $c:tt $d:tt $n:tt
        send($handle:expr, $message:expr $(,)?) -> $result:pat => $($rest:tt)*
    ) => {
        match &$handle {
            handle => match $crate::channel::__private::SendArm::new(handle) {
            handle => $crate::__sward_select!(
                @body (send handle ($message) ($result)) $b $a $c $d $n $($rest)*
            ),
        }}
    };
    (@arms $b:tt $a:tt ($($c:tt)*) $d:tt $n:tt
        send($handle:expr, $message:expr $(,)?) -> $result:pat if $condition:expr => $($rest:tt)*
    ) => {
        match if $condition {
            match &$handle {
                handle => $crate::channel::__private::SendArmIf::on(handle),
            }
        } else {
            $crate::channel::__private::SendArmIf::off()
        } {
            handle => $crate::__sward_select!(
                @body (send handle ($message) ($result)) $b $a ($($c)* handle) $d $n $($rest)*
            ),
        }
    };

    // default
    (@arms $b:tt $a:tt $c:tt () $n:tt default $(())? => $($rest:tt)*) => {
        match $crate::channel::__private::Patience::NONE {
            patience => $crate::__sward_select!(@body (default patience) $b $a $c () $n $($rest)*),
        }
    };
    (@arms $b:tt $a:tt $c:tt () $n:tt default($timeout:expr $(,)?) => $($rest:tt)*) => {
        match $crate::channel::__private::Patience::until($timeout) {
            patience => $crate::__sward_select!(@body (default patience) $b $a $c () $n $($rest)*),
        }
    };
    (@arms $b:tt $a:tt $c:tt ($($d:tt)+) $n:tt default $($rest:tt)*) => {
        compile_error!("there can be only one `default` arm in a `select!`")
    };

    // The end: without anything, and with something.
    (@arms $b:tt () () () $n:tt) => {
        $crate::channel::__private::nothing()
    };
    (@arms ($b:tt) $a:tt $c:tt () $n:tt) => {
        $crate::__sward_select!(@run $b $a $c
            ($crate::channel::__private::Patience::FOR_EVER)
            ($crate::channel::__private::impossible()))
    };
    (@arms ($b:tt) $a:tt $c:tt ($patience:ident ($default:expr)) $n:tt) => {
        $crate::__sward_select!(@run $b $a $c ($patience) ($default))
    };

    // What cannot be an arm.
    (@arms $b:tt $a:tt $c:tt $d:tt $n:tt $word:ident ($($inside:tt)*) => $($rest:tt)*) => {
        compile_error!(concat!(
            "expected `", stringify!($word), "(..) -> result => ..` in `select!`: `->` is missing"
        ))
    };
    (@arms $b:tt $a:tt $c:tt $d:tt $n:tt $($rest:tt)*) => {
        compile_error!(concat!(
            "expected `recv(receiver) -> result => body`, `send(sender, message) -> result => body` ",
            "or `default => body` in `select!`, found `", stringify!($($rest)*), "`"
        ))
    };

    // @body (what) ..: takes the body, and a comma where there must be one.
    (@body $what:tt $b:tt $a:tt $c:tt $d:tt $n:tt $body:block , $($rest:tt)*) => {
        $crate::__sward_select!(@add $what ($body) $b $a $c $d $n $($rest)*)
    };
    (@body $what:tt $b:tt $a:tt $c:tt $d:tt $n:tt $body:block $($rest:tt)*) => {
        $crate::__sward_select!(@add $what ($body) $b $a $c $d $n $($rest)*)
    };
    (@body $what:tt $b:tt $a:tt $c:tt $d:tt $n:tt $body:expr , $($rest:tt)*) => {
        $crate::__sward_select!(@add $what ($body) $b $a $c $d $n $($rest)*)
    };
    (@body $what:tt $b:tt $a:tt $c:tt $d:tt $n:tt $body:expr) => {
        $crate::__sward_select!(@add $what ($body) $b $a $c $d $n)
    };

    // @add (what) (body) ..: keeps the arm, and goes on.
    (@add (default $patience:ident) $body:tt $b:tt $a:tt $c:tt $d:tt $n:tt $($rest:tt)*) => {
        $crate::__sward_select!(@arms $b $a $c ($patience $body) $n $($rest)*)
    };
    (@add (recv $handle:ident () $result:tt) $body:tt $b:tt ($($a:tt)*) $c:tt $d:tt ($($n:tt)*)
        $($rest:tt)*
    ) => {
        $crate::__sward_select!(@arms $b
            ($($a)* [$handle () ($($n)*) $result $body])
            $c $d ($($n)* + 1) $($rest)*)
    };
    (@add (send $handle:ident ($message:expr) $result:tt) $body:tt $b:tt ($($a:tt)*) $c:tt $d:tt
        ($($n:tt)*) $($rest:tt)*
    ) => {
        $crate::__sward_select!(@arms $b
            ($($a)* [$handle (, $message) ($($n)*) $result $body])
            $c $d ($($n)* + 1) $($rest)*)
    };

    // @run: chooses, and does what was chosen.
    (@run $b:tt
        ($([$handle:ident ($($message:tt)*) ($($n:tt)*) ($result:pat) ($body:expr)])*)
        $clones:tt ($patience:expr) ($default:expr)
    ) => {{
        let chosen = $crate::channel::__private::run(&[$($handle.arm()),*], $b, $patience);
        let index = chosen.index();
        // Each branch moves `chosen`, so that nothing with a destructor borrows the handles in a body.
        $(
            if index == $($n)* {
                let result = $handle.complete(chosen $($message)*);
                $crate::__sward_select!(@drop $clones);
                match result {
                    $result => $body,
                }
            } else
        )* {
            ::core::mem::drop(chosen);
            $crate::__sward_select!(@drop $clones);
            $default
        }
    }};
    (@drop ($($clone:ident)*)) => {
        $(::core::mem::drop($clone);)*
    };
}
