//! On what a figure was measured, and when: figures without that are no figures.

use std::{env, fs, process::Command, thread};

/// The first line that a command says, if it is there and well.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next().filter(|_| output.status.success())?;
    Some(line.trim().to_owned())
}

/// Lines of a list.
pub(crate) fn machine() -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let unknown = || "?".to_owned();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|it| it.strip_prefix("model name")?.split_once(": "))
        .map_or_else(unknown, |it| it.1.to_owned());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let line =
        |program: &str, arguments: &[&str]| first_line(program, arguments).unwrap_or_else(unknown);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    vec![
        format!("date: {}", line("date", &["-u", "+%F"])),
        format!("machine: {processor}, {cores} cores, {}", env::consts::ARCH),
        format!(
            "kernel: Linux {}, load {load}",
            read("/proc/sys/kernel/osrelease").trim()
        ),
        format!("compiler: {}", line("rustc", &["-V"])),
    ]
}
