//! The rules of the house that the compiler does not know.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A longer file has two subjects.
const MAX_LINES: usize = 700;

/// The longer ones, and why they are one subject all the same.
const LONGER: &[(&str, usize, &str)] = &[
    (
        "runtime/scheduler/worker.rs",
        960,
        "one loop, and what it does with each outcome",
    ),
    (
        "runtime/driver/poller.rs",
        800,
        "half of it are tests and a measurement",
    ),
    (
        "runtime/channel/core.rs",
        800,
        "the sections under one lock, which are argued together",
    ),
    (
        "runtime/task/record.rs",
        900,
        "one record; its fields' rules are only true together",
    ),
    (
        "tests/api/net_tcp.rs",
        900,
        "a claim after the other, all of TCP",
    ),
];

/// The longest first sentence of a file.
const MAX_SENTENCE: usize = 100;

/// The files in which `unsafe` may be written.
const UNSAFE: &[&str] = &[
    "runtime/base/fatal.rs",
    "runtime/base/memory.rs",
    "runtime/base/mutex.rs",
    "runtime/base/peek.rs",
    "runtime/base/primitives.rs",
    "runtime/base/slab.rs",
    "runtime/channel/choose.rs",
    "runtime/channel/clock.rs",
    "runtime/channel/core.rs",
    "runtime/channel/receiver.rs",
    "runtime/channel/sender.rs",
    "runtime/channel/state.rs",
    "runtime/coroutine/fiber.rs",
    "runtime/coroutine/guard.rs",
    "runtime/coroutine/overflow.rs",
    "runtime/coroutine/range.rs",
    "runtime/coroutine/stack.rs",
    "runtime/coroutine/tests.rs",
    "runtime/driver/clock.rs",
    "runtime/driver/timer.rs",
    "runtime/fs/file.rs",
    "runtime/io/pollable.rs",
    "runtime/net/names.rs",
    "runtime/net/socket.rs",
    "runtime/net/tcp.rs",
    "runtime/net/udp.rs",
    "runtime/net/unix.rs",
    "runtime/observe/circles.rs",
    "runtime/observe/dump.rs",
    "runtime/observe/signal.rs",
    "runtime/observe/subject.rs",
    "runtime/process.rs",
    "runtime/scheduler/kernel.rs",
    "runtime/scheduler/mod.rs",
    "runtime/scheduler/origin.rs",
    "runtime/scheduler/pinned.rs",
    "runtime/scheduler/processor.rs",
    "runtime/scheduler/shutdown.rs",
    "runtime/scheduler/worker.rs",
    "runtime/scheduler/worker/calls.rs",
    "runtime/scheduler/worker/watched.rs",
    "runtime/sim/explorer.rs",
    "runtime/sim/home.rs",
    "runtime/sim/simulation.rs",
    "runtime/signal.rs",
    "runtime/sync/condvar.rs",
    "runtime/sync/lazy_lock.rs",
    "runtime/sync/mutex.rs",
    "runtime/sync/once_lock.rs",
    "runtime/sync/raw_mutex.rs",
    "runtime/sync/rwlock.rs",
    "runtime/sync/semaphore.rs",
    "runtime/task/join.rs",
    "runtime/task/record.rs",
    "runtime/task/token.rs",
    "runtime/thread/join.rs",
    "runtime/thread/scope.rs",
    "runtime/thread/spawn.rs",
    "runtime/wait/holder.rs",
    "runtime/wait/home.rs",
    "runtime/wait/kernel_waits.rs",
    "runtime/wait/line.rs",
    "runtime/wait/mod.rs",
    "runtime/wait/ticket.rs",
];

/// What this crate builds on; why each is there stands in ARCHITECTURE.md.
const DEPENDENCIES: &[&str] = &["corosensei", "crossbeam-deque", "libc", "loom", "mio"];

/// What its tests, examples and benches build on besides.
const DEV_DEPENDENCIES: &[&str] = &[
    "corosensei",
    "criterion",
    "crossbeam-channel",
    "httparse",
    "libc",
    "proptest",
    "serde_json",
];

struct Source {
    name: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().copied().map(str::to_owned).collect()
}

/// All Rust files below these folders, by their path from the root.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|it| root().join(it)).collect();
    while let Some(folder) = left.pop() {
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be read").path();
            if path.ends_with("target") {
                // What was built there.
            } else if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let name = path.strip_prefix(root()).expect("it lies below the root");
                let name = name.to_str().expect("names are ASCII").to_owned();
                sources.push(Source {
                    text: read(&name),
                    name,
                });
            }
        }
    }
    assert!(!sources.is_empty(), "nothing below {folders:?}");
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    sources
}

fn everything() -> Vec<Source> {
    sources(&["runtime", "tests", "benches", "examples"])
}

/// What went wrong, all of it at once.
fn nothing_of(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_file_begins_with_a_sentence_about_itself() {
    let mut complaints = Vec::new();
    for Source { name, text } in everything() {
        let first = text.lines().next().unwrap_or_default();
        match first.strip_prefix("//! ") {
            Some(it) if !it.ends_with('.') => complaints.push(format!("{name}: no full stop")),
            Some(it) if it.chars().count() > MAX_SENTENCE => {
                complaints.push(format!("{name}: more than {MAX_SENTENCE} characters"));
            }
            Some(_) => {}
            None => complaints.push(format!("{name} begins with {first:?}")),
        }
    }
    nothing_of(&complaints);
}

#[test]
fn every_file_is_short_or_says_why_not() {
    let mut complaints = Vec::new();
    let sources = everything();
    for Source { name, text } in &sources {
        let lines = text.lines().count();
        let exception = LONGER.iter().find(|it| it.0 == name);
        let limit = exception.map_or(MAX_LINES, |it| it.1);
        if lines > limit {
            complaints.push(format!("{name}: {lines} lines, of at most {limit}"));
        } else if exception.is_some() && lines <= MAX_LINES {
            complaints.push(format!("{name} needs no exception any more"));
        }
    }
    for (name, _, reason) in LONGER {
        if reason.is_empty() || !sources.iter().any(|it| it.name == *name) {
            complaints.push(format!("{name}: an exception without a reason or a file"));
        }
    }
    nothing_of(&complaints);
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let has = |text: &str, door: &str| {
        let text: String = text.split_whitespace().collect();
        text.contains(door)
    };
    let found: BTreeSet<_> = sources(&["runtime"])
        .into_iter()
        .filter(|it| has(&it.text, "#![expect(unsafe_code"))
        .map(|it| it.name)
        .collect();
    let listed = set(UNSAFE);
    let mut complaints = Vec::new();
    for name in found.difference(&listed) {
        complaints.push(format!("{name}: a room for unsafe code that is not listed"));
    }
    for name in listed.difference(&found) {
        complaints.push(format!("{name} is listed, and has no unsafe code"));
    }
    // A room has a door: no item of another file may let itself out of the lint, but for its tests.
    for Source { name, text } in sources(&["runtime", "examples", "benches"]) {
        let code = text.split("#[cfg(all(test").next().unwrap_or_default();
        if has(code, "#[expect(unsafe_code") {
            complaints.push(format!("{name}: unsafe code by the back door"));
        }
    }
    nothing_of(&complaints);
}

/// What a header announces as `` `[edge]` `` is released somewhere below and acquired somewhere, and
/// what is released or acquired by a name was announced.
#[test]
fn every_edge_has_two_ends() {
    let mut complaints = Vec::new();
    let mut edges = 0;
    for Source { name, text } in sources(&["runtime"]) {
        let announced: BTreeSet<_> = text
            .lines()
            .filter_map(|it| it.strip_prefix("//! - `[")?.split_once("]`"))
            .map(|it| it.0)
            .collect();
        let comments: Vec<_> = text
            .lines()
            .filter(|it| !it.trim_start().starts_with("//!"))
            .filter_map(|it| it.split_once("// "))
            .map(|it| it.1)
            .collect();
        for edge in &announced {
            edges += 1;
            let named = format!("[{edge}]");
            for end in ["Release", "Acquire"] {
                let says =
                    |it: &&str| it.contains(&named) && (it.contains(end) || it.contains("AcqRel"));
                if !comments.iter().any(says) {
                    complaints.push(format!("{name}: nothing says `{end} {named}`"));
                }
            }
        }
        for comment in comments {
            for end in ["Release [", "Acquire [", "AcqRel ["] {
                for rest in comment.split(end).skip(1) {
                    let edge = rest.split(']').next().unwrap_or_default();
                    if !announced.contains(edge) {
                        complaints.push(format!("{name}: nobody announced [{edge}]"));
                    }
                }
            }
        }
    }
    assert!(edges > 0, "headers announce edges");
    nothing_of(&complaints);
}

/// A model can only see the atomics that it can replace.
#[test]
fn atomics_come_from_one_place() {
    let mut complaints = Vec::new();
    for Source { name, text } in sources(&["runtime"]) {
        if name == "runtime/base/primitives.rs" {
            continue;
        }
        for line in text.lines().map(str::trim_start) {
            let names = line.starts_with("use std::sync::atomic")
                || line.starts_with("use core::sync::atomic")
                || line.starts_with("use loom::sync");
            if names || line == "#[cfg(loom)]" {
                complaints.push(format!("{name}: {line}"));
            }
        }
    }
    nothing_of(&complaints);
}

#[test]
fn nothing_unfinished_is_left_behind() {
    let mut complaints = Vec::new();
    // In two parts each, or this file would complain about itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|it| it.concat());
    for Source { name, text } in everything() {
        for (number, line) in text.lines().enumerate() {
            let word = |it: &str| marks.iter().any(|mark| it == mark);
            let banner = line.trim_start().starts_with("// ---");
            if banner || line.split(|it: char| !it.is_alphanumeric()).any(word) {
                complaints.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    nothing_of(&complaints);
}

#[test]
fn every_example_says_how_to_run_it() {
    let mut complaints = Vec::new();
    for Source { name, text } in sources(&["examples"]) {
        let path = name.trim_start_matches("examples/");
        let example = match path.split_once('/') {
            Some((folder, "main.rs")) => folder,
            // A part of one.
            Some(_) => continue,
            None => path.trim_end_matches(".rs"),
        };
        let command = format!("//! cargo run --release --example {example}");
        if !text.lines().any(|it| it.starts_with(&command)) {
            complaints.push(format!("{name} has no line {command:?}"));
        }
    }
    nothing_of(&complaints);
}

/// Paths are what stands in backquotes and looks like one.
#[test]
fn the_map_shows_what_is_there() {
    let map = read("ARCHITECTURE.md");
    let mut complaints = Vec::new();
    for entry in fs::read_dir(root().join("runtime")).expect("the sources are there") {
        let path = entry.expect("a folder can be read").path();
        let name = path.file_name().and_then(|it| it.to_str()).expect("ASCII");
        let shown = if path.is_dir() {
            format!("`{name}/`")
        } else {
            format!("`{name}`")
        };
        if !map.contains(&shown) {
            complaints.push(format!("runtime/{name} is not on the map"));
        }
    }
    // Odd places are inside of backquotes, once the pictures are out of the way.
    let prose: Vec<_> = map.split("```").step_by(2).collect();
    for quoted in prose.iter().flat_map(|it| it.split('`').skip(1).step_by(2)) {
        let is_path = [".rs", ".md", "/"].iter().any(|it| quoted.ends_with(it));
        let plain = |it: char| it.is_ascii_alphanumeric() || "/._-".contains(it);
        if is_path && quoted.chars().all(plain) {
            let below = [root().join("runtime").join(quoted), root().join(quoted)];
            if !below.iter().any(|it| it.exists()) {
                complaints.push(format!(
                    "ARCHITECTURE.md names {quoted}, which is not there"
                ));
            }
        }
    }
    nothing_of(&complaints);
}

#[test]
fn dependencies_are_those_on_the_list() {
    let manifest = read("Cargo.toml");
    let mut found = BTreeSet::new();
    let mut dev = BTreeSet::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if let Some((name, _)) = line.split_once([' ', '=', '.'])
            && !line.starts_with('#')
        {
            if section.ends_with("dev-dependencies") {
                dev.insert(name.to_owned());
            } else if section.ends_with("dependencies") {
                found.insert(name.to_owned());
            }
        }
    }
    assert_eq!(found, set(DEPENDENCIES));
    assert_eq!(dev, set(DEV_DEPENDENCIES));
    // Each has its line on the map.
    let map = read("ARCHITECTURE.md");
    let mut complaints = Vec::new();
    for name in found.union(&dev) {
        if !map.contains(&format!("- `{name}`")) {
            complaints.push(format!("ARCHITECTURE.md does not say what {name} is for"));
        }
    }
    nothing_of(&complaints);
}
