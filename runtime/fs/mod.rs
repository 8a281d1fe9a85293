//! Files and directories: `std::fs`'s names and signatures, each call made away from the worker.
//!
//! The system cannot wait for files: a call blocks its kernel thread. So each call here is std's inside of
//! [`blocking`](crate::blocking()): other green threads go on meanwhile. A directory is read by many entries at
//! once. On a plain kernel thread the call is just made.
//!
//! # What was not done
//!
//! - *Closing away from the worker*: dropping a [`File`] closes it where it is dropped, which may take its
//!   time on a network file system.
//! - *`io_uring`*: files without a kernel thread for each call under way; what is here would stay as it is.

mod directory;
mod file;

pub use directory::{DirBuilder, DirEntry, ReadDir};
pub use file::{File, OpenOptions};

use crate::wait::blocking;
use std::{
    fs as system, io,
    path::{Path, PathBuf},
};

pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};

/// Reads a whole file.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    blocking(|| system::read(path))
}

/// Reads a whole file as UTF-8.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    blocking(|| system::read_to_string(path))
}

/// The absolute path, without links and dots.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    blocking(|| system::canonicalize(path))
}

/// Makes a directory, whose parent must be there.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    blocking(|| system::create_dir(path))
}

/// Makes a directory and all its parents that are missing.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    blocking(|| system::create_dir_all(path))
}

/// Whether there is something at `path`; an error if that cannot be found out.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    blocking(|| system::exists(path))
}

/// What the system knows of a file; links are followed.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    blocking(|| system::metadata(path))
}

/// What the system knows of a file, or of the link itself.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    blocking(|| system::symlink_metadata(path))
}

/// Where a symbolic link points to.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    blocking(|| system::read_link(path))
}

/// Removes an empty directory.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    blocking(|| system::remove_dir(path))
}

/// Removes a directory and all that is in it; links are not followed.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    blocking(|| system::remove_dir_all(path))
}

/// Removes a file, or a link.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    blocking(|| system::remove_file(path))
}

/// Copies a file with its permissions, and returns its length.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    blocking(|| system::copy(from, to))
}

/// Gives a file or directory another name, in place of what has that name already.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    blocking(|| system::rename(from, to))
}

/// Gives a file a second name.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    blocking(|| system::hard_link(original, link))
}

/// Writes a whole file, in place of what was in it.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    blocking(|| system::write(path, contents))
}

/// Changes who may do what with a file.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn set_permissions<P: AsRef<Path>>(path: P, perm: Permissions) -> io::Result<()> {
    blocking(|| system::set_permissions(path, perm))
}

/// Begins to read what is in a directory.
///
/// Other green threads go on meanwhile.
///
/// # Errors
///
/// The system's, as std's function of that name.
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    blocking(|| system::read_dir(path)).map(ReadDir::new)
}
