//! Instructions that a program takes, by callgrind.

use std::{env, process::Command};

/// Whether there is a valgrind to count with.
pub(crate) fn is_there() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok()
}

/// How many instructions this very program takes with these arguments.
pub(crate) fn instructions(arguments: &[&str]) -> Result<u64, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("{arguments:?} under valgrind: {}\n{said}", output.status))
}
