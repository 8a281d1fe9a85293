//! Runs an ignored test in a process of its own: it may die, or be alone with its memory.

use std::{
    env,
    ffi::c_int,
    os::unix::process::ExitStatusExt,
    process::{Command, Output},
};

/// Runs the ignored test of that path, `coroutine::tests::child_overflows`, say.
pub(crate) fn run(test: &str) -> Output {
    Command::new(env::current_exe().expect("this program"))
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
            test,
        ])
        .output()
        .expect("a child process")
}

/// Asserts that the test passes there.
#[track_caller]
pub(crate) fn succeeds(test: &str) {
    let output = run(test);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Asserts that the test dies there by `signal`. Returns what it said on its standard error.
#[track_caller]
pub(crate) fn dies(test: &str, signal: c_int) -> String {
    let output = run(test);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.signal(), Some(signal), "{said}");
    said
}
