//! Why a green thread waits: a closed list, one word in dumps, traces and deadlock reports.

use std::fmt;

/// What a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Reason {
    /// It does not wait.
    None,
    Send,
    Receive,
    Select,
    /// A channel that nothing can ever come out of, or a `select!` without arms.
    Never,
    Sleep,
    Park,
    Join,
    Scope,
    Mutex,
    Read,
    Write,
    Condvar,
    Barrier,
    Once,
    WaitGroup,
    Semaphore,
    Group,
    SingleFlight,
    Readable,
    Writable,
    Process,
    Signal,
    Blocking,
}

impl Reason {
    /// Every reason, by its number.
    const ALL: [Self; 24] = [
        Self::None,
        Self::Send,
        Self::Receive,
        Self::Select,
        Self::Never,
        Self::Sleep,
        Self::Park,
        Self::Join,
        Self::Scope,
        Self::Mutex,
        Self::Read,
        Self::Write,
        Self::Condvar,
        Self::Barrier,
        Self::Once,
        Self::WaitGroup,
        Self::Semaphore,
        Self::Group,
        Self::SingleFlight,
        Self::Readable,
        Self::Writable,
        Self::Process,
        Self::Signal,
        Self::Blocking,
    ];

    /// The reason with this number; `None` if there is none such.
    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::None)
    }
}

impl Reason {
    /// A few words for it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Send => "channel send",
            Self::Receive => "channel receive",
            Self::Select => "select",
            Self::Never => "never",
            Self::Sleep => "sleep",
            Self::Park => "park",
            Self::Join => "join",
            Self::Scope => "scope",
            Self::Mutex => "mutex lock",
            Self::Read => "rwlock read",
            Self::Write => "rwlock write",
            Self::Condvar => "condition variable",
            Self::Barrier => "barrier",
            Self::Once => "once",
            Self::WaitGroup => "wait group",
            Self::Semaphore => "semaphore",
            Self::Group => "group",
            Self::SingleFlight => "single flight",
            Self::Readable => "readable socket",
            Self::Writable => "writable socket",
            Self::Process => "process",
            Self::Signal => "signal",
            Self::Blocking => "blocking call",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_comes_back_from_its_number() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert_eq!(Reason::from_number(reason as u8), reason);
        }
    }
}
