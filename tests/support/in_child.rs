//! Runs an ignored test of the same binary in a process of its own.
//!
//! It may die there, or be alone with its limits.

use std::{
    env, io,
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a child process came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub status: ExitStatus,
    pub said: String,
    pub complained: String,
}

/// Runs the ignored test of that path, for a minute at most; `prepare` may change the command.
pub(crate) fn run(test: &str, prepare: impl FnOnce(&mut Command)) -> Ended {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
            test,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    prepare(&mut command);
    let mut child = command.spawn().expect("a child process");
    let said = reader(child.stdout.take());
    let complained = reader(child.stderr.take());
    let status = wait(&mut child, Duration::from_mins(1));
    let text = |it: thread::JoinHandle<io::Result<Vec<u8>>>| {
        let bytes = it.join().expect("no panic").expect("the child's output");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (said, complained) = (text(said), text(complained));
    let status = status.unwrap_or_else(|| panic!("{test} hangs\n{said}\n{complained}"));
    Ended {
        status,
        said,
        complained,
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        pipe.expect("piped").read_to_end(&mut all)?;
        Ok(all)
    })
}

/// Waits for the end; kills after `limit` and returns `None`.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return Some(status);
        }
        if Instant::now() >= end {
            child.kill().expect("our child");
            drop(child.wait());
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asserts that the test passes there.
#[track_caller]
pub(crate) fn succeeds(test: &str) {
    succeeds_with(test, |_| {});
}

/// Asserts that the test passes in a process so prepared.
#[track_caller]
pub(crate) fn succeeds_with(test: &str, prepare: impl FnOnce(&mut Command)) {
    let Ended {
        status,
        said,
        complained,
    } = run(test, prepare);
    assert!(
        status.success() && said.contains("1 passed"),
        "{said}\n{complained}"
    );
}

/// Asserts that the test dies there by `signal`. Returns what it said on its standard error.
#[track_caller]
pub(crate) fn dies(test: &str, signal: i32) -> String {
    let ended = run(test, |_| {});
    assert_eq!(ended.status.signal(), Some(signal), "{ended:?}");
    ended.complained
}
