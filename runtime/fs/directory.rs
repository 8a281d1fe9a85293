//! Directories: made, and read by many entries at once.

use crate::wait::blocking;
use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt,
    fs::{self as system, FileType, Metadata},
    io,
    iter::FusedIterator,
    os::unix::fs::{DirBuilderExt, DirEntryExt},
    path::{Path, PathBuf},
};

/// How many entries of a directory are read at once.
const ENTRIES: usize = 128;

/// The entries of a directory, without `.` and `..`, in no order.
///
/// Many are read at once: what comes into the directory or goes meanwhile may be missed.
pub struct ReadDir {
    /// None after the last.
    inner: Option<system::ReadDir>,
    read: VecDeque<io::Result<DirEntry>>,
}

impl ReadDir {
    pub(super) fn new(inner: system::ReadDir) -> Self {
        Self {
            inner: Some(inner),
            read: VecDeque::new(),
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let (true, Some(inner)) = (self.read.is_empty(), &mut self.inner) {
            let read = &mut self.read;
            blocking(|| {
                let entries = inner.by_ref().take(ENTRIES);
                read.extend(entries.map(|it| it.map(|inner| DirEntry { inner })));
            });
            if self.read.len() < ENTRIES {
                self.inner = None;
            }
        }
        self.read.pop_front()
    }
}

impl FusedIterator for ReadDir {}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

/// One entry of a directory.
pub struct DirEntry {
    inner: system::DirEntry,
}

impl DirEntry {
    /// The path of the directory, as it was given, with the name.
    pub fn path(&self) -> PathBuf {
        self.inner.path()
    }

    /// The name alone.
    pub fn file_name(&self) -> OsString {
        self.inner.file_name()
    }

    /// What the system knows of it, or of the link itself.
    ///
    /// # Errors
    ///
    /// The system's: it may be gone.
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.inner.metadata())
    }

    /// Whether it is a file, a directory or something else: a link is a link.
    ///
    /// # Errors
    ///
    /// The system's: it may be gone.
    pub fn file_type(&self) -> io::Result<FileType> {
        // Most file systems have said so already, but one cannot know.
        blocking(|| self.inner.file_type())
    }

    /// Its number in the file system.
    pub fn ino(&self) -> u64 {
        self.inner.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// How a directory is made: `std::fs::DirBuilder`, green.
#[derive(Debug)]
pub struct DirBuilder {
    inner: system::DirBuilder,
}

impl Default for DirBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl DirBuilder {
    /// One that makes a directory whose parent is there.
    pub fn new() -> Self {
        Self {
            inner: system::DirBuilder::new(),
        }
    }

    /// Whether missing parents are made too.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.inner.recursive(recursive);
        self
    }

    /// Who may do what with it, as for `mkdir`.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.inner.mode(mode);
        self
    }

    /// Makes the directory.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        blocking(|| self.inner.create(path))
    }
}
