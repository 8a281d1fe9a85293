//! Children on every home: pipes, ends, exits; who waits leaves the worker.

use crate::support::{in_child, on_every_real_home, watched};
use std::{
    io::{ErrorKind, Read, Write},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use sward::process::{ChildStdout, Command, Stdio};

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

/// A megabyte for a child that reads nothing: the writer waits, others do not, and it is told when the child
/// has gone.
#[test]
fn a_child_that_reads_nothing_holds_up_its_writer_alone() {
    on_every_real_home(|home| {
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut stdin = child.stdin.take().expect("a pipe");
        let writer = home.spawn(move || stdin.write_all(&vec![7; 1 << 20]));
        // On one worker this only ends if the writer leaves it.
        for _ in 0..100 {
            home.yield_now();
        }
        child.kill().expect("ours");
        assert_eq!(child.wait().expect("ours").signal(), Some(libc::SIGKILL));
        let error = writer.join().expect("no panic").expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

/// What it wrote is there although it does not care for its input, and was waited for already.
#[test]
fn what_a_child_wrote_outlives_it() {
    on_every_real_home(|_| {
        let mut child = shell("echo last words; exit 7")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let status = child.wait().expect("ours");
        assert_eq!(status.code(), Some(7));
        assert_eq!(child.try_wait().expect("the same"), Some(status));
        assert_eq!(child.wait().expect("the same"), status);
        child.kill().expect("nothing to do");
        assert!(child.stdin.is_none(), "waiting has closed it");
        let output = child.wait_with_output().expect("ours");
        assert_eq!(output.status, status);
        assert_eq!(output.stdout, b"last words\n");
        assert!(output.stderr.is_empty());
    });
}

/// A child that is dropped goes on, and its pipes are of use without it.
#[test]
fn a_dropped_child_goes_on() {
    on_every_real_home(|_| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        drop(child);
        stdin.write_all(b"still here").expect("a reader");
        drop(stdin);
        let mut said = String::new();
        stdout.read_to_string(&mut said).expect("text");
        assert_eq!(said, "still here");
    });
}

/// A pipe goes through its bare descriptor, and waits green again.
#[test]
fn a_pipe_may_be_given_away_and_taken_over() {
    on_every_real_home(|home| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let descriptor = OwnedFd::from(child.stdout.take().expect("a pipe"));
        let mut stdout = ChildStdout::from(descriptor);
        let reader = home.spawn(move || {
            let mut said = String::new();
            stdout.read_to_string(&mut said).map(|_| said)
        });
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(b"over").expect("a reader");
        drop(stdin);
        assert_eq!(reader.join().expect("no panic").expect("text"), "over");
        assert!(child.wait().expect("ours").success());
    });
}

/// It becomes the program, with its streams; if that is not there, it goes on.
#[test]
fn a_process_becomes_another() {
    let ended = in_child::run("process::child_that_becomes_another", |_| {});
    assert_eq!(ended.status.code(), Some(5), "{ended:?}");
    assert!(ended.said.contains("another"), "{ended:?}");
}

#[test]
#[ignore = "run by another test"]
fn child_that_becomes_another() {
    crate::support::runtime(2).run(|| {
        let other = sward::spawn(sward::thread::park);
        let error = Command::new("/no/such/program").exec();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!other.is_finished());
        let error = shell("echo another; exit 5").exec();
        panic!("{error}");
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

/// A green thread that computes for long makes its kernel thread a batch job, whose timers are punctual.
/// Its children are as the program was, in a runtime that was built on a pinned thread as well.
#[test]
#[expect(unsafe_code, reason = "system calls that std does not have")]
fn children_inherit_nothing_that_was_asked_for_a_worker() {
    // SAFETY: it takes a number.
    let class = || unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
    if class() != libc::SCHED_OTHER {
        return; // Then nobody is made a batch job.
    }
    // SAFETY: it takes nothing.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    let computes = move || {
        let done = Arc::new(AtomicBool::new(false));
        let other = sward::spawn({
            let done = Arc::clone(&done);
            move || {
                while !done.load(Relaxed) {
                    sward::yield_now();
                }
            }
        });
        while class() != libc::SCHED_BATCH {
            std::hint::spin_loop();
        }
        let output = Command::new("cat")
            .args(["/proc/self/timerslack_ns", "/proc/self/stat"])
            .output()
            .expect("a child");
        done.store(true, Relaxed);
        other.join().expect("no panic");
        let said = String::from_utf8(output.stdout).expect("text");
        let (its_slack, stat) = said.split_once('\n').expect("two lines");
        let (_, stat) = stat.rsplit_once(") ").expect("a name");
        // The 41st, after two.
        let its_class = stat.split(' ').nth(38).expect("52 numbers");
        assert_eq!((its_slack, its_class), (&*slack.to_string(), "0"));
    };
    let runtime = crate::support::runtime(1);
    watched("computes", Duration::from_mins(1), move || {
        runtime.run(computes);
        // A pinned thread's timers are punctual too; those of a runtime that is built there are not to be.
        runtime.run(move || {
            let build = move || crate::support::runtime(1).run(computes);
            let builder = sward::thread::Builder::new().spawn_pinned(build);
            builder.expect("a thread").join().expect("no panic");
        });
    });
}
