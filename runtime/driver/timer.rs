//! Ends a sleep in the poller at a time, to the nanosecond.
//!
//! Setting a timerfd is a system call, and most deadlines are time-outs that move on before they
//! are due: so a timer that is set too early is left alone, and set again when it has woken us.

#![expect(unsafe_code, reason = "std has no timerfd")]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

/// A timer that is set too early stays if it is still this far ahead.
const FAR: u64 = 1_000_000;

/// A timerfd, which becomes readable at the time that it is set to. It is never read: setting it
/// again takes back what it said.
#[derive(Debug)]
pub(super) struct Timer {
    descriptor: OwnedFd,
    /// The time, unless the event for it has been seen.
    set_to: Option<u64>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: takes numbers only.
        let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self {
            descriptor,
            set_to: None,
        })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// The event has come.
    pub(super) fn seen(&mut self) {
        self.set_to = None;
    }

    /// Sees to an event at `deadline`, which is after `now`, or at a time before it.
    pub(super) fn set(&mut self, deadline: u64, now: u64) -> io::Result<()> {
        let far = now.saturating_add(FAR);
        if self
            .set_to
            .is_some_and(|it| it == deadline || it < deadline && it >= far)
        {
            return Ok(());
        }
        // A span, not a time: counted from after `now`, so it ends no earlier.
        let span = Duration::from_nanos(deadline.saturating_sub(now).max(1));
        let time = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: span.as_secs().cast_signed(),
                tv_nsec: libc::c_long::from(span.subsec_nanos()),
            },
        };
        let descriptor = self.descriptor();
        // SAFETY: `time` is a local that is only read; the old value is not asked for.
        let set = unsafe { libc::timerfd_settime(descriptor, 0, &raw const time, ptr::null_mut()) };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
        self.set_to = Some(deadline);
        Ok(())
    }
}
