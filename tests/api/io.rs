//! Any descriptor waits green; the standard streams keep their mode; copying.

use crate::support::{Home, in_child, on_every_real_home};
use std::{
    fs,
    io::{PipeReader, PipeWriter, pipe},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use sward::io::{self, Async, BufRead, ErrorKind, Read, Seek, SeekFrom, Write};

fn green_pipe() -> (Async<PipeReader>, Async<PipeWriter>) {
    let (reader, writer) = pipe().expect("descriptors");
    (
        Async::new(reader).expect("a pipe can be polled"),
        Async::new(writer).expect("a pipe can be polled"),
    )
}

/// The byte at that place of everything that is sent.
fn pattern(place: usize) -> u8 {
    u8::try_from(place % 251).expect("below 251")
}

/// The non-blocking mode, by the system's word.
#[expect(unsafe_code, reason = "std does not tell the mode")]
fn is_nonblocking(descriptor: BorrowedFd<'_>) -> bool {
    // SAFETY: takes numbers only.
    let flags = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL) };
    assert!(flags >= 0);
    flags & libc::O_NONBLOCK != 0
}

#[test]
fn a_pipe_carries_more_than_it_holds() {
    const BYTES: usize = 1 << 20;
    on_every_real_home(|home| {
        let (mut reader, mut writer) = green_pipe();
        let sender = home.spawn(move || {
            let bytes: Vec<_> = (0..BYTES).map(pattern).collect();
            writer.write_all(&bytes).expect("a reader");
        });
        let mut bytes = Vec::new();
        assert_eq!(reader.read_to_end(&mut bytes).expect("bytes"), BYTES);
        assert!(bytes.iter().enumerate().all(|(at, it)| *it == pattern(at)));
        sender.join().expect("the sender");
    });
}

/// Go's pipe tests: who writes to nobody is told, and nobody is killed.
#[test]
fn a_pipe_without_its_other_end_ends() {
    on_every_real_home(|_| {
        let (mut reader, writer) = green_pipe();
        drop(writer);
        assert_eq!(reader.read(&mut [0]).expect("an end"), 0);
        let (reader, mut writer) = green_pipe();
        drop(reader);
        let error = writer.write(b"x").expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn one_may_read_while_another_writes() {
    on_every_real_home(|home| {
        let (near, far) = UnixStream::pair().expect("descriptors");
        let near = Arc::new(Async::new(near).expect("a socket"));
        let far = Arc::new(Async::new(far).expect("a socket"));
        let reader = home.spawn({
            let near = Arc::clone(&near);
            move || {
                let mut byte = [0];
                (&*near).read_exact(&mut byte).expect("a byte");
                byte[0]
            }
        });
        (&*near).write_all(b"?").expect("room");
        (&*far).read_exact(&mut [0]).expect("a byte");
        (&*far).write_all(b"!").expect("room");
        assert_eq!(reader.join().expect("the reader"), b'!');
    });
}

#[test]
fn a_read_in_vain_times_out_never_early() {
    on_every_real_home(|_| {
        let (mut reader, mut writer) = green_pipe();
        let timeout = Duration::from_millis(5);
        reader.set_read_timeout(Some(timeout)).expect("a pipe");
        assert_eq!(reader.read_timeout(), Some(timeout));
        let start = Instant::now();
        let error = reader.read(&mut [0]).expect_err("nothing there");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= timeout);
        let error = reader.readable().expect_err("nothing there");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        writer.write_all(b"x").expect("room");
        reader.readable().expect("something there");
        assert_eq!(reader.read(&mut [0]).expect("a byte"), 1);
    });
}

/// The user's own call, on a descriptor that std has no type for.
#[test]
#[expect(unsafe_code, reason = "std has no eventfd")]
fn any_call_waits_until_it_would_not_block() {
    use std::os::fd::FromRawFd;
    on_every_real_home(|home| {
        // SAFETY: takes numbers only.
        let number = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        assert!(number >= 0);
        // SAFETY: it was just made.
        let event = unsafe { OwnedFd::from_raw_fd(number) };
        let event = Arc::new(Async::new(fs::File::from(event)).expect("it can be polled"));
        let waiter = home.spawn({
            let event = Arc::clone(&event);
            move || {
                event
                    .read_with(|mut it| {
                        let mut count = [0; 8];
                        it.read_exact(&mut count)?;
                        Ok(u64::from_ne_bytes(count))
                    })
                    .expect("a count")
            }
        });
        event.writable().expect("room");
        event
            .write_with(|mut it| it.write(&7_u64.to_ne_bytes()))
            .expect("room");
        assert_eq!(waiter.join().expect("the waiter"), 7);
    });
}

/// What the kernel can watch is waited for with timeouts, whatever it is.
#[test]
#[expect(unsafe_code, reason = "std has none of these")]
fn descriptors_of_every_kind_are_waited_for() {
    use std::os::fd::FromRawFd;
    fn owned(number: i32) -> Async<OwnedFd> {
        assert!(number >= 0);
        // SAFETY: the system has just made it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        Async::new(descriptor).expect("it can be watched")
    }
    /// Nothing comes for a while, then it does.
    fn waits(home: Home, what: Async<OwnedFd>, give: impl FnOnce()) {
        let patience = Duration::from_millis(1);
        what.set_read_timeout(Some(patience)).expect("watched");
        let start = sward::time::now();
        let error = what.readable().expect_err("nothing came");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(sward::time::now() - start >= patience);
        what.set_read_timeout(None).expect("watched");
        let waiter = home.spawn(move || what.readable());
        home.yield_now();
        give();
        waiter.join().expect("no panic").expect("it came");
    }
    on_every_real_home(|home| {
        // A child of its own, which ends when its input does.
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .spawn()
            .expect("a child");
        let id = i32::try_from(child.id()).expect("a number of 22 bits");
        // SAFETY: takes numbers only.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
        let input = child.stdin.take();
        waits(home, owned(i32::try_from(number).expect("small")), || {
            drop(input);
        });
        assert!(child.wait().expect("our child").success());

        // SAFETY: takes numbers only.
        let timer =
            owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) });
        let number = timer.as_raw_fd();
        waits(home, timer, || {
            let mut time: libc::itimerspec =
                // SAFETY: zeros are a time.
                unsafe { std::mem::zeroed() };
            time.it_value.tv_nsec = 1;
            // SAFETY: `time` is only read.
            let set =
                unsafe { libc::timerfd_settime(number, 0, &raw const time, std::ptr::null_mut()) };
            assert_eq!(set, 0);
        });

        let (mut near, mut far) = (0, 0);
        let no_name = std::ptr::null_mut();
        // SAFETY: two places for the answers; nothing else is asked for.
        let made = unsafe {
            libc::openpty(
                &raw mut near,
                &raw mut far,
                no_name,
                std::ptr::null(),
                std::ptr::null(),
            )
        };
        assert_eq!(made, 0);
        // SAFETY: the system has just made it.
        let mut terminal = fs::File::from(unsafe { OwnedFd::from_raw_fd(far) });
        waits(home, owned(near), || {
            terminal.write_all(b"typed").expect("a terminal");
        });
        drop(terminal);

        // SAFETY: takes numbers only.
        let inner = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
        let (reader, mut writer) = pipe().expect("a pipe");
        let mut event = libc::epoll_event {
            events: u32::try_from(libc::EPOLLIN).expect("a bit"),
            u64: 0,
        };
        // SAFETY: `event` is only read.
        let added = unsafe {
            let number = reader.as_raw_fd();
            libc::epoll_ctl(
                inner.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                number,
                &raw mut event,
            )
        };
        assert_eq!(added, 0);
        waits(home, inner, || writer.write_all(b"!").expect("room"));
    });
}

/// Go: a regular file is read and written, and has no deadline.
#[test]
fn what_cannot_be_polled_works_without_timeouts() {
    on_every_real_home(|home| {
        let path = std::env::temp_dir().join(format!("sward-io-{}-{home:?}", std::process::id()));
        let file = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a file");
        fs::remove_file(&path).expect("it is there");
        let mut file = Async::new(file).expect("a file");
        file.readable().expect("always");
        file.writable().expect("always");
        file.write_all(b"words").expect("room");
        file.get_ref().seek(SeekFrom::Start(0)).expect("a file");
        let mut words = String::new();
        (&file).read_to_string(&mut words).expect("words");
        assert_eq!(words, "words");
        let error = file
            .set_read_timeout(Some(Duration::from_secs(1)))
            .expect_err("no timeouts");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(!is_nonblocking(file.as_fd()));
    });
}

#[test]
fn the_mode_comes_back_with_what_was_wrapped() {
    on_every_real_home(|_| {
        let (reader, writer) = pipe().expect("descriptors");
        let wrapped = Async::new(&reader).expect("a pipe");
        assert!(is_nonblocking(reader.as_fd()));
        let error = Async::new(&reader).expect_err("it is watched already");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        drop(wrapped);
        assert!(!is_nonblocking(reader.as_fd()));
        let writer = Async::new(writer).expect("a pipe").into_inner();
        assert!(!is_nonblocking(writer.as_fd()));
        let (stream, _other) = UnixStream::pair().expect("descriptors");
        stream.set_nonblocking(true).expect("a socket");
        let stream = Async::new(stream).expect("a socket").into_inner();
        assert!(is_nonblocking(stream.as_fd()), "as it was before");
    });
}

#[test]
fn everything_is_copied() {
    on_every_real_home(|home| {
        let (mut reader, mut writer) = green_pipe();
        let sender = home.spawn(move || io::copy(&mut io::repeat(7).take(200_000), &mut writer));
        let mut copied = Vec::new();
        assert_eq!(io::copy(&mut reader, &mut copied).expect("bytes"), 200_000);
        assert_eq!(sender.join().expect("the sender").expect("room"), 200_000);
        assert!(copied.iter().all(|it| *it == 7));
    });
}

/// The child reads two lines, and answers, while another of its threads goes on; the parent looks at the
/// mode that it shares with the child.
#[test]
fn standard_streams_are_green_and_keep_their_mode() {
    let (from, mut to) = pipe().expect("descriptors");
    let (mut back, out) = pipe().expect("descriptors");
    let (shared_from, shared_out) = (
        from.try_clone().expect("descriptors"),
        out.try_clone().expect("descriptors"),
    );
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "io::child_that_answers",
        ])
        .stdin(from)
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    to.write_all(b"one\r\ntwo\nthree").expect("a reader");
    // The rest of the line, and the end, only after it has answered the first.
    let mut said = Vec::new();
    let mut buf = [0; 256];
    while !String::from_utf8_lossy(&said).contains("ONE") {
        let length = back.read(&mut buf).expect("an answer");
        assert!(length > 0, "the child is gone: {said:?}");
        said.extend_from_slice(&buf[..length]);
    }
    assert!(!is_nonblocking(shared_from.as_fd()));
    assert!(!is_nonblocking(shared_out.as_fd()));
    drop(shared_out);
    drop(to);
    back.read_to_end(&mut said).expect("the rest");
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(child.wait().expect("ours").success(), "{said}");
    assert!(said.contains("ONE TWO THREE . ticks"), "{said}");
}

#[test]
#[ignore = "run by another test"]
fn child_that_answers() {
    crate::support::runtime(1).run(|| {
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        // On the one worker, this only runs if waiting for input leaves it.
        let ticker = sward::spawn({
            let done = Arc::clone(&done);
            move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    sward::yield_now();
                }
            }
        });
        let mut stdout = io::stdout();
        for line in io::stdin().lines().take(1) {
            write!(stdout, "{} ", line.expect("a line").to_uppercase()).expect("a reader");
            stdout.flush().expect("a reader");
        }
        let mut input = io::stdin().lock();
        let mut rest = String::new();
        assert_ne!(input.read_line(&mut rest).expect("a line"), 0);
        input.read_to_string(&mut rest).expect("the rest");
        assert_eq!(input.read(&mut [0]).expect("an end"), 0);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        ticker.join().expect("the ticker");
        let words: Vec<_> = rest.split_whitespace().map(str::to_uppercase).collect();
        writeln!(stdout, "{} . ticks", words.join(" ")).expect("a reader");
    });
}

/// The end is an end, and stays one: for lines, bytes, and who locks it; of a device, of a file, and of none.
#[test]
fn an_ended_input_stays_ended() {
    for from in ["/dev/null", "/proc/self/cmdline", "closed"] {
        let ended = in_child::run("io::child_at_the_end_of_its_input", |command| {
            if let Ok(file) = fs::File::open(from) {
                command.stdin(file);
            } else {
                close_in_child(command);
            }
        });
        assert!(ended.status.success(), "{from}: {ended:?}");
    }
}

/// Lets the child begin without descriptor 0.
#[expect(unsafe_code, reason = "what is done before the program begins")]
fn close_in_child(command: &mut Command) {
    let close = || {
        // SAFETY: takes a number only.
        unsafe { libc::close(0) };
        Ok(())
    };
    // SAFETY: one system call.
    unsafe { command.pre_exec(close) };
}

#[test]
#[ignore = "run by another test"]
fn child_at_the_end_of_its_input() {
    crate::support::runtime(1).run(|| {
        let input = io::stdin();
        let mut all = String::new();
        (&input).read_to_string(&mut all).expect("text");
        for _ in 0..2 {
            let mut line = String::new();
            assert_eq!(input.read_line(&mut line).expect("an end"), 0);
            assert_eq!(input.lock().read(&mut [0]).expect("an end"), 0);
            assert!(input.lock().fill_buf().expect("an end").is_empty());
            assert!(io::stdin().lines().next().is_none());
        }
    });
}

/// `Async` itself on a standard descriptor: it waits, and leaves the mode alone.
#[test]
fn a_standard_descriptor_is_never_made_non_blocking() {
    let (reader, writer) = pipe().expect("descriptors");
    let shared = reader.try_clone().expect("descriptors");
    drop(writer);
    let ended = in_child::run("io::child_with_standard_input", |command| {
        command.stdin(reader);
    });
    assert!(ended.status.success(), "{ended:?}");
    assert!(!is_nonblocking(shared.as_fd()));
}

#[test]
#[ignore = "run by another test"]
fn child_with_standard_input() {
    crate::support::runtime(1).run(|| {
        let input = std::io::stdin();
        let mut input = Async::new(input).expect("a pipe");
        assert!(!is_nonblocking(input.as_fd()));
        assert_eq!(input.read(&mut [0]).expect("an end"), 0);
        assert!(!is_nonblocking(input.as_fd()));
    });
}
