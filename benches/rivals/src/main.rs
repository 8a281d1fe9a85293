//! Runs the same work on all systems, in turn, and shows the medians.
//!
//! ```text
//! cargo run --release                                  # everything; writes RESULTS.md and what goes with it
//! cargo run --release -- switch channel                # some groups, to look at only
//! cargo run --release -- --workers 1 --rounds 5 --only sward,go
//! ```
//!
//! `--limit 60` is how many seconds a call may take; `GO` is where Go's command is, if not on the path.

mod measure;
mod page;
mod workloads;

#[path = "../../support/chart.rs"]
mod chart;
#[path = "../../support/machine.rs"]
mod machine;

use measure::{Outcome, Rival};
use page::Results;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{collections::BTreeMap, env, process::ExitCode, time::Duration};
use workloads::{GROUPS, System, WORKLOADS, Workload};

#[derive(Debug)]
struct Options {
    groups: Vec<String>,
    only: Option<Vec<String>>,
    rounds: usize,
    workers: usize,
    limit: Duration,
}

impl Options {
    fn from_command_line() -> Result<Self, String> {
        let mut options = Self {
            groups: Vec::new(),
            only: None,
            rounds: 3,
            workers: 2,
            limit: Duration::from_mins(1),
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().and_then(|it| it.parse::<usize>().ok());
                let value = value.filter(|it| *it > 0);
                value.ok_or_else(|| format!("{argument} wants a number"))
            };
            match argument.as_str() {
                "--rounds" => options.rounds = number()?,
                "--workers" => options.workers = number()?,
                "--limit" => options.limit = Duration::from_secs(number()? as u64),
                "--only" => {
                    let names = arguments.next().ok_or("--only wants names")?;
                    options.only = Some(names.split(',').map(str::to_owned).collect());
                }
                name if GROUPS.iter().any(|it| it.name == name) => {
                    options.groups.push(argument);
                }
                name => {
                    let groups = GROUPS.map(|it| it.name).join(", ");
                    return Err(format!("no group is called {name}; there are: {groups}"));
                }
            }
        }
        Ok(options)
    }

    fn wants(&self, system: &System) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|it| it.iter().any(|name| name == system.name))
    }

    fn wants_work(&self, workload: &Workload) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|it| workload.in_group(it))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}

/// All rounds of one workload, in which the systems take turns: what the machine does beside hits all.
fn rounds(workload: &Workload, rivals: &[Rival], options: &Options, results: &mut Results) {
    let mut values: BTreeMap<(&str, System), Vec<f64>> = BTreeMap::new();
    let mut out = Vec::new();
    for _ in 0..options.rounds {
        for rival in rivals {
            if out.contains(&rival.system) {
                continue;
            }
            match rival.run(workload, options.workers, options.limit) {
                Outcome::Figures(figures) => {
                    for figure in workload.figures {
                        if let Some(value) = figures.get(figure.says) {
                            let key = (figure.title, rival.system);
                            values.entry(key).or_default().push(*value);
                        }
                    }
                }
                Outcome::HasNone => out.push(rival.system),
                Outcome::Died(why) => {
                    out.push(rival.system);
                    let failure = (rival.system, workload.arguments, why);
                    results.failures.push(failure);
                }
            }
        }
    }
    // Who died in any round has no figure: it is not to be relied on.
    values.retain(|(_, system), _| !out.contains(system));
    let medians = values.into_iter().map(|(key, it)| (key, median(it)));
    results.medians.extend(medians);
}

fn main() -> ExitCode {
    let options = match Options::from_command_line() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    // A thousand connections have two thousand ends, all in one process.
    let mut descriptors = getrlimit(Resource::Nofile);
    descriptors.current = descriptors.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, descriptors) {
        eprintln!("no more descriptors than there are: {error}");
    }
    let rivals = measure::build(|it| options.wants(it));
    let mut results = Results {
        made: page::made(&rivals, options.rounds, options.workers),
        ..Results::default()
    };
    for workload in WORKLOADS.iter().filter(|it| options.wants_work(it)) {
        eprintln!("{}", workload.arguments);
        rounds(workload, &rivals, &options, &mut results);
    }
    for line in &results.made {
        println!("{line}");
    }
    println!("\n{}", results.table());
    if options.groups.is_empty()
        && options.only.is_none()
        && let Err(error) = results.write()
    {
        eprintln!("nothing written: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
