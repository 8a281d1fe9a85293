//! Files: opened, read and written.

#![expect(unsafe_code, reason = "a raw descriptor may be taken over")]

use crate::wait::blocking;
use std::{
    fmt,
    fs::{self as system, FileTimes, Metadata, Permissions, TryLockError},
    io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
    process::Stdio,
    time::SystemTime,
};

/// How a file is opened: `std::fs::OpenOptions`, green.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use sward::fs::{self, OpenOptions};
///
/// let path = std::env::temp_dir().join(format!("sward-options-{}", std::process::id()));
/// let mut log = OpenOptions::new().append(true).create(true).open(&path)?;
/// log.write_all(b"a line\n")?;
/// assert_eq!(fs::read_to_string(&path)?, "a line\n");
/// fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions {
    inner: system::OpenOptions,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing is allowed yet.
    pub fn new() -> Self {
        Self {
            inner: system::OpenOptions::new(),
        }
    }

    /// Whether the file may be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.inner.read(read);
        self
    }

    /// Whether the file may be written; what is in it stays.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.inner.write(write);
        self
    }

    /// Whether each write goes to the end.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.inner.append(append);
        self
    }

    /// Whether what is in the file is thrown away.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.inner.truncate(truncate);
        self
    }

    /// Whether the file is made if it is missing.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.inner.create(create);
        self
    }

    /// Whether the file is made, and must be missing.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.inner.create_new(create_new);
        self
    }

    /// Who may do what with the file if it is made, as for `open`.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.inner.mode(mode);
        self
    }

    /// Flags for `open` besides.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.inner.custom_flags(flags);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidInput` if these options contradict each other.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        Ok(File {
            inner: blocking(|| self.inner.open(path))?,
        })
    }
}

/// A file: `std::fs::File`, green.
///
/// Each call is made away from the worker. `Read`, `Write` and `Seek` are there for shared references too; the
/// place in the file is one for all.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Seek, Write};
/// use sward::fs::{self, File};
///
/// let path = std::env::temp_dir().join(format!("sward-file-{}", std::process::id()));
/// let mut file = File::create_new(&path)?;
/// file.write_all(b"some words")?;
/// assert_eq!(file.metadata()?.len(), 10);
/// let mut words = String::new();
/// File::open(&path)?.read_to_string(&mut words)?;
/// assert_eq!(words, "some words");
/// fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    inner: system::File,
}

impl File {
    /// Opens a file to read from it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to write to it: it is made if it is missing, else emptied.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    }

    /// Makes a file to read and write, which must be missing.
    ///
    /// # Errors
    ///
    /// The system's: `AlreadyExists` if it is there.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
    }

    /// Options, of which nothing is allowed yet.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// A second descriptor for this open file; both have one place in it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            inner: self.inner.try_clone()?,
        })
    }

    /// Waits until all of the file is on its device.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn sync_all(&self) -> io::Result<()> {
        blocking(|| self.inner.sync_all())
    }

    /// Waits until the data of the file is on its device, if not all that is known of it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn sync_data(&self) -> io::Result<()> {
        blocking(|| self.inner.sync_data())
    }

    /// Cuts the file off at that length, or fills it up with zeros.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        blocking(|| self.inner.set_len(size))
    }

    /// What the system knows of the file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.inner.metadata())
    }

    /// Changes who may do what with the file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        blocking(|| self.inner.set_permissions(perm))
    }

    /// Changes when the file was read and written last.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        blocking(|| self.inner.set_times(times))
    }

    /// Changes when the file was written last.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        blocking(|| self.inner.set_modified(time))
    }

    /// Waits for the exclusive lock of the file, as `flock` has it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn lock(&self) -> io::Result<()> {
        blocking(|| self.inner.lock())
    }

    /// Waits for a shared lock of the file, as `flock` has it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn lock_shared(&self) -> io::Result<()> {
        blocking(|| self.inner.lock_shared())
    }

    /// Gives back the locks of the file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn unlock(&self) -> io::Result<()> {
        blocking(|| self.inner.unlock())
    }

    /// Takes the exclusive lock of the file if it is free.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it is not; else the system's.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        blocking(|| self.inner.try_lock())
    }

    /// Takes a shared lock of the file unless somebody has the exclusive one.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it is not; else the system's.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        blocking(|| self.inner.try_lock_shared())
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        blocking(|| (&self.inner).read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        blocking(|| (&self.inner).read_vectored(bufs))
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        blocking(|| (&self.inner).read_to_end(buf))
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        blocking(|| (&self.inner).read_to_string(buf))
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        blocking(|| (&self.inner).read_exact(buf))
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        blocking(|| (&self.inner).write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(|| (&self.inner).write_vectored(bufs))
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        blocking(|| (&self.inner).write_all(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        match pos {
            // Asks the file system for the length.
            SeekFrom::End(_) => blocking(|| (&self.inner).seek(pos)),
            SeekFrom::Start(_) | SeekFrom::Current(_) => (&self.inner).seek(pos),
        }
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        (&*self).seek(pos)
    }
}

impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        blocking(|| self.inner.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        blocking(|| self.inner.write_at(buf, offset))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        blocking(|| self.inner.read_exact_at(buf, offset))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        blocking(|| self.inner.write_all_at(buf, offset))
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.inner.into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(descriptor: RawFd) -> Self {
        // SAFETY: the caller's promise: it is an open descriptor that nobody else owns.
        Self::from(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }
}

impl From<system::File> for File {
    fn from(inner: system::File) -> Self {
        Self { inner }
    }
}

impl From<File> for system::File {
    fn from(file: File) -> Self {
        file.inner
    }
}

impl From<OwnedFd> for File {
    fn from(descriptor: OwnedFd) -> Self {
        system::File::from(descriptor).into()
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> Self {
        file.inner.into()
    }
}

impl From<File> for Stdio {
    /// Makes the file a standard stream of a child.
    fn from(file: File) -> Self {
        file.inner.into()
    }
}
