//! Builds the programs and runs them, each as a process of its own with an end that is enforced.

use crate::{
    machine::first_line,
    workloads::{SYSTEMS, System, Workload},
};
use rivals::HAS_NONE;
use std::{
    collections::BTreeMap,
    env,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A system whose program is there.
#[derive(Debug)]
pub(crate) struct Rival {
    pub(crate) system: System,
    pub(crate) version: String,
    program: PathBuf,
}

/// What became of a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Figures(BTreeMap<String, f64>),
    /// It cannot do that, by design.
    HasNone,
    /// It should, and did not.
    Died(String),
}

pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The version that is locked of a package.
fn locked(package: &str) -> String {
    let name = format!("name = \"{package}\"");
    include_str!("../Cargo.lock")
        .lines()
        .skip_while(|it| *it != name)
        .find_map(|it| it.strip_prefix("version = "))
        .map_or_else(|| "?".to_owned(), |it| it.trim_matches('"').to_owned())
}

/// Builds the wanted ones. Who cannot be built is left out, with a word.
pub(crate) fn build(wanted: impl Fn(&System) -> bool) -> Vec<Rival> {
    let mut rivals = Vec::new();
    for system in SYSTEMS.into_iter().filter(wanted) {
        eprintln!("building {}", system.title);
        match build_one(system) {
            Ok(rival) => rivals.push(rival),
            Err(why) => println!("{} is left out: {why}", system.title),
        }
    }
    rivals
}

fn build_one(system: System) -> Result<Rival, String> {
    let here = env::current_exe().map_err(|error| error.to_string())?;
    let programs = here.parent().ok_or("this program is nowhere")?;
    let (mut command, program, version) = if system.name == "go" {
        let go = env::var("GO").unwrap_or_else(|_| "go".to_owned());
        let version = first_line(&go, &["version"]).ok_or("there is no Go here")?;
        let program = programs.join("rival-go");
        let mut command = Command::new(go);
        command.arg("build").arg("-o").arg(&program).arg(".");
        command.current_dir(folder().join("go"));
        (command, program, version)
    } else {
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "--locked", "--bin", system.name]);
        command.current_dir(folder());
        let version = match system.name {
            "sward" => first_line(
                "git",
                &[
                    "-C",
                    env!("CARGO_MANIFEST_DIR"),
                    "describe",
                    "--always",
                    "--dirty",
                ],
            )
            .map_or_else(|| locked("sward"), |it| format!("sward at {it}")),
            "tokio" => format!(
                "tokio {}, async-channel {}",
                locked("tokio"),
                locked("async-channel")
            ),
            "kernel" => format!("std, crossbeam-channel {}", locked("crossbeam-channel")),
            name => format!("{name} {}", locked(name)),
        };
        (command, programs.join(system.name), version)
    };
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().find(|it| it.contains("error"));
        return Err(line.unwrap_or("it cannot be built").to_owned());
    }
    Ok(Rival {
        system,
        version,
        program,
    })
}

impl Rival {
    /// One call, for at most so long.
    pub(crate) fn run(&self, workload: &Workload, workers: usize, limit: Duration) -> Outcome {
        let child = Command::new(&self.program)
            .args(workload.arguments.split(' '))
            .env("WORKERS", workers.to_string())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => Self::follow(child, limit),
            Err(error) => Outcome::Died(error.to_string()),
        }
    }

    fn follow(mut child: Child, limit: Duration) -> Outcome {
        let (mut said, mut complained) = (String::new(), Vec::new());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let end = thread::scope(|scope| {
            // Beside the wait: a program that dies may say more than a pipe holds.
            scope.spawn(|| stdout.map(|mut it| it.read_to_string(&mut said)));
            scope.spawn(|| stderr.map(|mut it| it.read_to_end(&mut complained)));
            wait(&mut child, limit)
        });
        let complained = String::from_utf8_lossy(&complained);
        match end {
            Err(why) => Outcome::Died(why),
            Ok(status) if status.code() == Some(HAS_NONE) => Outcome::HasNone,
            Ok(status) if !status.success() => {
                Outcome::Died(format!("{status}: {}", last_words(&complained)))
            }
            Ok(_) => Outcome::Figures(
                said.lines()
                    .filter_map(|it| it.split_once(' '))
                    .filter_map(|(says, value)| Some((says.to_owned(), value.parse().ok()?)))
                    .collect(),
            ),
        }
    }
}

/// What it complained of first. The line of a panic that says where is of no use to others.
fn last_words(complained: &str) -> String {
    let mut lines = complained.lines().map(str::trim);
    let line = lines.find(|it| !it.is_empty() && !it.contains("panicked at"));
    let line = line.unwrap_or("without a word");
    line.chars().take(160).collect()
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let killed = child.kill().and_then(|()| child.wait());
                let seconds = limit.as_secs();
                return Err(killed.map_or_else(
                    |error| error.to_string(),
                    |_| format!("not done after {seconds} s"),
                ));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}
