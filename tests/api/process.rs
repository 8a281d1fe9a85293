//! Children on every home: pipes, ends, exits; who waits leaves the worker.

use crate::support::{on_every_real_home, watched};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::process::ExitStatusExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use sward::process::{Command, Stdio};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn output_is_what_the_child_says() {
    on_every_real_home(|_| {
        let mut command = shell("echo said; echo complained >&2; cat; exit 3");
        for _ in 0..2 {
            let output = command.output().expect("a child");
            assert_eq!(output.stdout, b"said\n");
            assert_eq!(output.stderr, b"complained\n");
            assert_eq!(output.status.code(), Some(3));
        }
        // What was said for one way of starting holds for the others.
        let output = shell("echo said; echo complained >&2")
            .stderr(Stdio::null())
            .output()
            .expect("a child");
        assert_eq!(
            (&output.stdout[..], &output.stderr[..]),
            (&b"said\n"[..], &b""[..])
        );
        assert!(shell("exit 0").status().expect("a child").success());
        let error = Command::new("/no/such/program")
            .spawn()
            .expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

/// More than two pipes hold, on both at once.
#[test]
fn both_outputs_are_read_at_once() {
    on_every_real_home(|_| {
        let output = shell(
            "head -c 300000 /dev/zero >&2; head -c 200000 /dev/zero; head -c 100000 /dev/zero >&2",
        )
        .output()
        .expect("a child");
        assert!(output.status.success());
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (200_000, 400_000)
        );
    });
}

#[test]
fn a_child_answers_through_its_pipes() {
    on_every_real_home(|_| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        for round in 0..100_u32 {
            stdin.write_all(&round.to_ne_bytes()).expect("a reader");
            let mut echo = [0; 4];
            stdout.read_exact(&mut echo).expect("an echo");
            assert_eq!(u32::from_ne_bytes(echo), round);
        }
        assert!(child.try_wait().expect("ours").is_none());
        child.stdin = Some(stdin);
        // Waiting closes it, and so ends the child.
        assert!(child.wait().expect("ours").success());
        assert!(child.wait().expect("the same").success());
        assert_eq!(stdout.read(&mut [0]).expect("an end"), 0);
    });
}

#[test]
fn pipes_go_from_child_to_child() {
    on_every_real_home(|_| {
        let mut first = shell("head -c 500000 /dev/zero")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let from = first.stdout.take().expect("a pipe");
        let count = Command::new("wc")
            .arg("-c")
            .stdin(from)
            .output()
            .expect("a child");
        assert_eq!(String::from_utf8_lossy(&count.stdout).trim(), "500000");
        assert!(first.wait().expect("ours").success());
    });
}

/// Go's `TestSignalExitStatus`.
#[test]
fn a_killed_child_says_by_what() {
    on_every_real_home(|home| {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("a child");
        let id = child.id();
        let waiter = home.spawn(move || child.wait().expect("ours"));
        let killed = Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status()
            .expect("a child");
        assert!(killed.success());
        let status = waiter.join().expect("the waiter");
        assert_eq!(status.signal(), Some(libc::SIGTERM));
        let mut child = Command::new("sleep").arg("1000").spawn().expect("a child");
        child.kill().expect("ours");
        assert_eq!(child.wait().expect("ours").signal(), Some(libc::SIGKILL));
        child.kill().expect("nothing to do");
    });
}

/// On one worker: the child only ends when another green thread has run.
#[test]
fn waiting_for_a_child_leaves_the_worker() {
    on_every_real_home(|home| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        let stdin = child.stdin.take();
        let ended = Arc::new(AtomicBool::new(false));
        let waiter = home.spawn({
            let ended = Arc::clone(&ended);
            move || {
                assert!(child.wait().expect("ours").success());
                ended.store(true, Relaxed);
            }
        });
        for _ in 0..100 {
            home.yield_now();
        }
        assert!(!ended.load(Relaxed), "its input is still open");
        drop(stdin);
        waiter.join().expect("the waiter");
    });
}

/// Go's `TestSignalDuringExec`, smaller: children are started while signals rain, each ends well, and
/// begins with no signal blocked.
#[test]
fn children_start_while_signals_come() {
    let signals = sward::signal::notify([sward::signal::SIGVTALRM]).expect("a handler");
    let done = Arc::new(AtomicBool::new(false));
    let rain = thread::spawn({
        let done = Arc::clone(&done);
        // Without a subscriber the signal would end the whole program, should the test fail.
        let subscription = signals.clone();
        move || {
            let _subscription = subscription;
            while !done.load(Relaxed) {
                raise(sward::signal::SIGVTALRM);
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    on_every_real_home(|home| {
        let children: Vec<_> = (0..4)
            .map(|_| {
                home.spawn(|| {
                    for _ in 0..5 {
                        let output = Command::new("grep")
                            .args(["SigBlk", "/proc/self/status"])
                            .output()
                            .expect("a child");
                        assert_eq!(output.stdout, b"SigBlk:\t0000000000000000\n");
                    }
                })
            })
            .collect();
        for child in children {
            child.join().expect("children");
        }
    });
    done.store(true, Relaxed);
    rain.join().expect("the rain");
    let first = watched("a signal", Duration::from_secs(10), move || signals.recv());
    assert_eq!(first, Ok(sward::signal::SIGVTALRM));
}

#[expect(unsafe_code, reason = "std sends no signals")]
fn raise(signal: i32) {
    let own = i32::try_from(std::process::id()).expect("a number of 22 bits");
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::kill(own, signal) }, 0);
}
