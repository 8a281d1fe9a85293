//! The arms of a choice: what each would do, and how that looks from outside.

use super::{
    clock::Clock,
    core::Channel,
    receiver::{Flavour, Receiver},
    sender::Sender,
    state::{Claim, Claimed, Core, Returned, Shared},
};
use std::{fmt, mem, time::Instant};

/// Gives back what was got at a channel.
pub(super) type GiveBack = unsafe fn(&Shared, Returned);

/// One operation that may be chosen.
#[doc(hidden)]
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Arm<'a> {
    pub(super) target: Target<'a>,
}

/// `repr(usize)`: [`Aim`] is made of a copy. Those with a channel come first, in the order of the bits of its
/// hint that say whether they may be ready.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Target<'a> {
    Send(&'a Shared, GiveBack),
    Receive(&'a Shared, GiveBack),
    /// It is ready when the channel is closed.
    End(&'a Shared),
    Clock(&'a Clock),
    /// It is never ready.
    Nothing,
}

/// Where the arms of a selector lie, for those who look. `repr(C)`: `observe::subject` copies it.
#[repr(C)]
pub(super) struct Choice<'a>(pub(super) *const Arm<'a>, pub(super) usize);

/// What an arm waits for, as others see it. Channels are told apart by the address of their handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    Send(usize),
    Receive(usize),
    /// That it is closed.
    End(usize),
    Time,
    Nothing,
}

impl Aim {
    /// How many words an arm has.
    pub(crate) const WORDS: usize = size_of::<Arm<'_>>() / size_of::<usize>();

    /// What the arm does whose words these are: a number, and what it refers to.
    pub(crate) fn of_words(words: [usize; Self::WORDS]) -> Self {
        // Whatever stands there, as the words may be anything: it is used by the arms that have a channel.
        let channel = words[1].wrapping_add(mem::offset_of!(Shared, handles));
        match words[0] {
            0 => Self::Send(channel),
            1 => Self::Receive(channel),
            2 => Self::End(channel),
            3 => Self::Time,
            _ => Self::Nothing,
        }
    }
}

impl<'a> Arm<'a> {
    /// Sends into a channel.
    pub(super) fn send<T>(sender: &'a Sender<T>) -> Self {
        let shared = sender.channel().shared();
        Self {
            target: Target::Send(shared, Channel::<T>::give_back),
        }
    }

    /// Receives from a channel.
    pub(super) fn receive<T>(receiver: &'a Receiver<T>) -> Self {
        let target = match (receiver.channel(), receiver.flavour()) {
            (Some(channel), _) => Target::Receive(channel.shared(), Channel::<T>::give_back),
            (_, Flavour::Clock(clock)) => Target::Clock(clock),
            _ => Target::Nothing,
        };
        Self { target }
    }

    /// Is ready as soon as nothing can be sent any more, be it that nobody is left to receive it.
    pub(super) fn end<T>(sender: &'a Sender<T>) -> Self {
        Self {
            target: Target::End(sender.channel().shared()),
        }
    }

    /// Is never ready.
    pub(super) const fn nothing() -> Self {
        Self {
            target: Target::Nothing,
        }
    }

    #[inline]
    pub(super) fn shared(&self) -> Option<&'a Shared> {
        match self.target {
            Target::Send(shared, _) | Target::Receive(shared, _) | Target::End(shared) => {
                Some(shared)
            }
            Target::Clock(_) | Target::Nothing => None,
        }
    }

    /// Whether it is ready, by its channel's lock. Whoever is held by another looks again afterwards.
    pub(super) fn is_ready(&self, core: Option<&Core>, time: Option<Instant>) -> bool {
        match (self.target, core) {
            (Target::Send(..), Some(core)) => core.may_send(),
            (Target::Receive(..), Some(core)) => core.may_receive(),
            (Target::End(_), Some(core)) => core.closed,
            (Target::Clock(clock), _) => time.is_some_and(|it| clock.is_due(it)),
            _ => false,
        }
    }

    /// Claims it, under its channel's lock.
    pub(super) fn claim(&self, core: Option<&mut Core>, time: Option<Instant>) -> Option<Claimed> {
        match (self.target, core) {
            (Target::Send(..), Some(core)) => core.claim_send().map(Claimed::Whole),
            (Target::Receive(..), Some(core)) => core.claim_receive(),
            (Target::End(_), Some(core)) => core.closed.then_some(Claimed::Whole(Claim::Closed)),
            (Target::Clock(clock), _) => {
                let (at, setting) = clock.take(time?)?;
                Some(Claimed::Whole(Claim::Tick { at, setting }))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Arm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arm")
    }
}
