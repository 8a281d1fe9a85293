//! What is measured, and on what.

/// Who is measured: its name, and what it is in a word or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
}

/// In the order of the columns.
pub(crate) const SYSTEMS: [System; 5] = [
    System {
        name: "sward",
        title: "sward",
    },
    System {
        name: "go",
        title: "Go",
    },
    System {
        name: "tokio",
        title: "tokio",
    },
    System {
        name: "may",
        title: "may",
    },
    System {
        name: "kernel",
        title: "kernel threads",
    },
];

/// Figures of one unit, which make one picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

/// Which of two figures one would rather have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}

const fn group(name: &'static str, title: &'static str, unit: &'static str) -> Group {
    Group {
        name,
        title,
        unit,
        better: Better::Less,
    }
}

pub(crate) const GROUPS: [Group; 8] = [
    group("switch", "Giving way, and passing it on", "ns"),
    group("spawn", "Starting, ending, waking", "ns"),
    group("channel", "A message", "ns"),
    group("mutex", "A lock, taken and given back", "ns"),
    group("program", "Whole programs", "ms"),
    group("timers", "100,000 sleeps", "us"),
    Group {
        better: Better::More,
        ..group("echo", "Echo over loopback", "1000 req/s")
    },
    group("memory", "Memory of a task that waits", "bytes"),
];

/// What a program calls it, the name it has here, and the group it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) says: &'static str,
    pub(crate) title: &'static str,
    pub(crate) group: &'static str,
}

/// One call of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    /// The name, and numbers after it.
    pub(crate) arguments: &'static str,
    pub(crate) figures: &'static [Figure],
}

impl Workload {
    pub(crate) fn in_group(&self, wanted: &str) -> bool {
        self.figures.iter().any(|it| it.group == wanted)
    }
}

const fn figure(says: &'static str, title: &'static str, group: &'static str) -> Figure {
    Figure { says, title, group }
}

macro_rules! workloads {
    ($($arguments:literal: $($says:literal $title:literal $group:literal),+;)+) => {
        &[$(Workload {
            arguments: $arguments,
            figures: &[$(figure($says, $title, $group)),+],
        }),+]
    };
}

pub(crate) const WORKLOADS: &[Workload] = workloads! {
    "yield 2 1000000": "time" "yield, 2 tasks" "switch";
    "yield 1000 4000000": "time" "yield, 1,000 tasks" "switch";
    "ping-pong 1000000": "time" "ping-pong, round trip" "switch";
    "select 1000000": "time" "select of 4" "switch";
    "spawn 1000000": "time" "spawn" "spawn";
    "join 500000": "time" "spawn and join, in turn" "spawn";
    "channel 1 1 0 2000000": "time" "1 to 1, no buffer" "channel";
    "channel 8 1 0 2000000": "time" "8 to 1, no buffer" "channel";
    "channel 8 8 0 2000000": "time" "8 to 8, no buffer" "channel";
    "channel 1 1 128 2000000": "time" "1 to 1, buffer of 128" "channel";
    "channel 8 1 128 2000000": "time" "8 to 1, buffer of 128" "channel";
    "channel 8 8 128 2000000": "time" "8 to 8, buffer of 128" "channel";
    "channel 1000 1000 128 2000000": "time" "1,000 to 1,000, of 128" "channel";
    "channel 1 1 unbounded 2000000": "time" "1 to 1, unbounded" "channel";
    "channel 8 1 unbounded 2000000": "time" "8 to 1, unbounded" "channel";
    "channel 8 8 unbounded 2000000": "time" "8 to 8, unbounded" "channel";
    "mutex 1 4000000": "time" "1 task" "mutex";
    "mutex 8 4000000": "time" "8 tasks" "mutex";
    "mutex 1000 4000000": "time" "1,000 tasks" "mutex";
    "skynet 1000000": "time" "skynet, a million tasks" "program";
    "sieve 2000": "time" "sieve of 2,000 primes" "program";
    "timers 100000":
        "cpu" "CPU time of each" "timers",
        "late-p50" "late, median" "timers",
        "late-p99" "late, 99 of 100" "timers";
    "echo 100 2000": "rate" "100 connections" "echo";
    "echo 1000 2000": "rate" "1,000 connections" "echo";
    "memory 10000": "memory" "of 10,000" "memory";
    "memory 1000000":
        "spawn" "spawn a million that wait" "spawn",
        "wake" "wake them, to the end" "spawn",
        "memory" "of a million" "memory";
};
