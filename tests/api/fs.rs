//! Files and directories: std's functions, from green threads too.

use crate::support::{Home, on_every_real_home};
use std::{
    io::{ErrorKind, IoSlice, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, PermissionsExt},
    path::PathBuf,
    sync::Arc,
};
use sward::fs::{self, DirBuilder, File, OpenOptions, TryLockError};

/// A directory of its own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(home: Home, name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sward-fs-{name}-{}-{home:?}", std::process::id()));
        fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn files_are_written_and_read() {
    on_every_real_home(|home| {
        let folder = Folder::new(home, "files");
        let path = folder.path("words");
        fs::write(&path, "some words").expect("room");
        assert_eq!(fs::read(&path).expect("words"), b"some words");
        assert_eq!(fs::read_to_string(&path).expect("words"), "some words");
        assert_eq!(fs::metadata(&path).expect("a file").len(), 10);
        assert_eq!(fs::copy(&path, folder.path("copy")).expect("room"), 10);
        fs::hard_link(&path, folder.path("second")).expect("room");
        fs::rename(folder.path("copy"), folder.path("moved")).expect("a file");
        assert!(!fs::exists(folder.path("copy")).expect("a directory"));
        assert_eq!(
            fs::read(folder.path("moved")).expect("words"),
            b"some words"
        );
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        fs::set_permissions(&path, mode(0o600)).expect("ours");
        let got = fs::symlink_metadata(&path).expect("a file").permissions();
        assert_eq!(got.mode() & 0o777, 0o600);
        let real = fs::canonicalize(
            folder
                .path("../")
                .join(folder.0.file_name().expect("a name")),
        );
        assert_eq!(
            real.expect("a path"),
            std::fs::canonicalize(&folder.0).expect("a path")
        );
        fs::remove_file(&path).expect("a file");
        let error = fs::read(&path).expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_has_a_place_and_options() {
    on_every_real_home(|home| {
        let folder = Folder::new(home, "options");
        let path = folder.path("file");
        let mut file = File::create_new(&path).expect("a file");
        let error = File::create_new(&path).expect_err("it is there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let length = file
            .write_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"two")])
            .expect("room");
        assert_eq!(length, 7);
        file.sync_all().expect("a device");
        assert_eq!(file.seek(SeekFrom::End(-3)).expect("a file"), 4);
        let mut word = String::new();
        (&file).read_to_string(&mut word).expect("words");
        assert_eq!(word, "two");
        file.write_all_at(b"ONE", 0).expect("room");
        let mut word = [0; 3];
        file.read_exact_at(&mut word, 0).expect("words");
        assert_eq!(&word, b"ONE");
        let mut log = OpenOptions::new().append(true).open(&path).expect("a file");
        log.write_all(b"!").expect("room");
        let mut text = String::new();
        let mut twin = file.try_clone().expect("descriptors");
        file.rewind().expect("a file");
        twin.read_to_string(&mut text).expect("words");
        assert_eq!(text, "ONE two!");
        file.set_len(3).expect("ours");
        assert_eq!(file.metadata().expect("a file").len(), 3);
        assert_eq!(
            File::create(&path)
                .and_then(|it| it.metadata())
                .expect("emptied")
                .len(),
            0
        );
        let error = OpenOptions::new().open(&path).expect_err("nothing allowed");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn directories_are_made_read_and_removed() {
    // More than are read at once.
    const FILES: usize = 300;
    on_every_real_home(|home| {
        let folder = Folder::new(home, "directories");
        DirBuilder::new()
            .recursive(true)
            .create(folder.path("a/b/c"))
            .expect("room");
        fs::create_dir_all(folder.path("a/b/c")).expect("it is there");
        let error = fs::remove_dir(folder.path("a")).expect_err("not empty");
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
        for number in 0..FILES {
            fs::write(folder.path(&format!("a/{number}")), []).expect("room");
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder.path("a")).expect("a directory") {
            let entry = entry.expect("an entry");
            let is_dir = entry.file_type().expect("still there").is_dir();
            assert_eq!(is_dir, entry.metadata().expect("still there").is_dir());
            assert_eq!(entry.path(), folder.path("a").join(entry.file_name()));
            names.push((entry.file_name().into_string().expect("ASCII"), is_dir));
        }
        names.sort();
        let mut expected: Vec<_> = (0..FILES).map(|it| (it.to_string(), false)).collect();
        expected.push(("b".to_owned(), true));
        expected.sort();
        assert_eq!(names, expected);
        let mut nothing = fs::read_dir(folder.path("a/b/c")).expect("a directory");
        assert!(nothing.next().is_none());
        assert!(nothing.next().is_none());
        fs::remove_dir_all(folder.path("a")).expect("ours");
        assert!(fs::read_dir(folder.path("a")).is_err());
    });
}

/// A lock of a file is waited for away from the worker: on one worker its holder goes on.
#[test]
fn waiting_for_a_file_s_lock_lets_its_holder_run() {
    on_every_real_home(|home| {
        let folder = Folder::new(home, "locks");
        let path = folder.path("lock");
        let held = File::create(&path).expect("a file");
        held.lock().expect("free");
        let other = Arc::new(File::open(&path).expect("a file"));
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        let waiter = home.spawn({
            let other = Arc::clone(&other);
            move || other.lock_shared().expect("it becomes free")
        });
        for _ in 0..100 {
            home.yield_now();
        }
        assert!(matches!(
            other.try_lock_shared(),
            Err(TryLockError::WouldBlock)
        ));
        held.unlock().expect("ours");
        waiter.join().expect("the waiter");
        assert!(matches!(held.try_lock(), Err(TryLockError::WouldBlock)));
    });
}
