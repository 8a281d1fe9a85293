//! What the system says of this process, and how many files it may have open.

#![expect(unsafe_code, reason = "std has no limits of a process")]

use std::{fs, io};

/// How many files may be open at once, and how many might if one asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files {
    pub(crate) before: u64,
    pub(crate) now: u64,
}

/// Asks for the right to open as many files as `wanted`, or as many as one may have.
pub(crate) fn raise_files(wanted: u64) -> io::Result<Files> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = before.max(wanted.min(limit.rlim_max));
    // SAFETY: it reads `limit`, which is whole.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Files {
        before,
        now: limit.rlim_cur,
    })
}

/// How many kernel threads this process has.
pub(crate) fn kernel_threads() -> io::Result<u64> {
    status("Threads:")
}

/// How much memory it has in use, in KiB, page tables included.
pub(crate) fn memory_kib() -> io::Result<u64> {
    Ok(status("VmRSS:")? + status("VmPTE:")?)
}

fn status(name: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .ok_or_else(|| io::Error::other(format!("/proc/self/status has no {name}")))
}
