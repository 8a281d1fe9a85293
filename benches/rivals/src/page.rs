//! What was measured: as a table, as a page, as data, and as a picture for each group.

use crate::{
    chart::{self, Bar},
    machine::machine,
    measure::{Rival, folder},
    workloads::{Better, GROUPS, Group, SYSTEMS, System, WORKLOADS},
};
use std::{collections::BTreeMap, fmt::Write as _, fs, io};

/// The median of each figure that was measured, by its name and who is measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) medians: BTreeMap<(&'static str, System), f64>,
    /// Who could not do what, and why.
    pub(crate) failures: Vec<(System, &'static str, String)>,
    pub(crate) made: Vec<String>,
}

/// Where, when and of what.
pub(crate) fn made(rivals: &[Rival], rounds: usize, workers: usize) -> Vec<String> {
    let mut made = machine();
    made.push(format!(
        "workers: {workers}; medians of {rounds} rounds, the systems in turn"
    ));
    let versions = rivals
        .iter()
        .map(|it| format!("{}: {}", it.system.title, it.version));
    made.extend(versions);
    made
}

/// The figures of a group, in the order in which they are measured.
fn figures(group: &Group) -> impl Iterator<Item = &'static str> {
    WORKLOADS
        .iter()
        .flat_map(|it| it.figures)
        .filter(|it| it.group == group.name)
        .map(|it| it.title)
}

impl Results {
    fn systems(&self) -> Vec<System> {
        let measured = |it: &System| {
            self.medians.keys().any(|(_, system)| system == it)
                || self.failures.iter().any(|(system, ..)| system == it)
        };
        SYSTEMS.into_iter().filter(measured).collect()
    }

    /// How sward's figure stands to the best rival's: below one it is ahead.
    fn ratio(&self, figure: &'static str, better: Better) -> Option<f64> {
        let [ours, rivals @ ..] = SYSTEMS.map(|it| self.medians.get(&(figure, it)).copied());
        let rivals = rivals.into_iter().flatten();
        match better {
            Better::Less => Some(ours? / rivals.reduce(f64::min)?),
            Better::More => Some(rivals.reduce(f64::max)? / ours?),
        }
    }

    /// Rows of a group: a title, a cell for each system, and the ratio.
    fn rows(&self, group: &Group, systems: &[System]) -> Vec<Vec<String>> {
        let dash = || "-".to_owned();
        figures(group)
            .filter(|figure| self.medians.keys().any(|(it, _)| it == figure))
            .map(|figure| {
                let cell = |it: &System| self.medians.get(&(figure, *it)).copied();
                let mut row = vec![figure.to_owned()];
                row.extend(
                    systems
                        .iter()
                        .map(|it| cell(it).map_or_else(dash, chart::number)),
                );
                let ratio = self.ratio(figure, group.better);
                row.push(ratio.map_or_else(dash, |it| format!("{it:.2}")));
                row
            })
            .collect()
    }

    /// For a terminal.
    pub(crate) fn table(&self) -> String {
        let systems = self.systems();
        let mut out = String::new();
        for group in &GROUPS {
            let rows = self.rows(group, &systems);
            if rows.is_empty() {
                continue;
            }
            let mut head = vec![format!("{}, {}", group.title, group.unit)];
            head.extend(systems.iter().map(|it| it.title.to_owned()));
            head.push("ratio".to_owned());
            for row in [head].iter().chain(&rows) {
                write!(out, "{:<42}", row[0]).expect("a string takes all");
                for cell in &row[1..] {
                    write!(out, "{cell:>15}").expect("a string takes all");
                }
                out.push('\n');
            }
            out.push('\n');
        }
        for (system, workload, why) in &self.failures {
            writeln!(out, "{} at `{workload}`: {why}", system.title).expect("a string takes all");
        }
        out
    }

    fn page(&self) -> String {
        let systems = self.systems();
        let mut out = String::from(
            "# What was measured\n\n\
             Written by `cargo run --release` in this folder; `README.md` says what each figure tells and what not.\n\
             The last column is sward's figure by the best rival's, the other way round where more is better: below one, sward is ahead.\n\
             A dash means that a system has no such thing, or did not survive it: see the end.\n\n",
        );
        let mut put = |line: &str| {
            out.push_str(line);
            out.push('\n');
        };
        for line in &self.made {
            put(&format!("- {line}"));
        }
        for group in &GROUPS {
            let rows = self.rows(group, &systems);
            if rows.is_empty() {
                continue;
            }
            let better = match group.better {
                Better::Less => "less is better",
                Better::More => "more is better",
            };
            put(&format!("\n## {}\n", group.title));
            let titles: Vec<_> = systems.iter().map(|it| it.title).collect();
            put(&format!(
                "| {}; {better} | {} | ratio |",
                group.unit,
                titles.join(" | ")
            ));
            put(&format!("| --- |{}", " ---: |".repeat(systems.len() + 1)));
            for row in rows {
                put(&format!("| {} |", row.join(" | ")));
            }
            put(&format!("\n![{}]({}.svg)", group.title, group.name));
        }
        if !self.failures.is_empty() {
            put("\n## What did not run\n");
            for (system, workload, why) in &self.failures {
                put(&format!("- {} at `{workload}`: {why}", system.title));
            }
        }
        out
    }

    fn json(&self) -> String {
        let string = |it: &str| {
            let plain: String = it
                .chars()
                .map(|it| if it.is_ascii_graphic() { it } else { ' ' })
                .collect();
            format!(
                "\"{}\"",
                plain.replace('\\', "\\\\").replace('"', "\\\"").trim()
            )
        };
        let list = |items: Vec<String>| format!("[\n    {}\n  ]", items.join(",\n    "));
        let figures = GROUPS
            .iter()
            .flat_map(|group| figures(group).map(move |it| (group, it)))
            .flat_map(|(group, figure)| {
                self.systems().into_iter().filter_map(move |system| {
                    let value = self.medians.get(&(figure, system))?;
                    Some(format!(
                        "{{\"group\": {}, \"figure\": {}, \"unit\": {}, \"system\": {}, \"value\": {value}}}",
                        string(group.name),
                        string(figure),
                        string(group.unit),
                        string(system.name),
                    ))
                })
            })
            .collect();
        let failures = self.failures.iter().map(|(system, workload, why)| {
            let (system, workload, why) = (string(system.name), string(workload), string(why));
            format!("{{\"system\": {system}, \"workload\": {workload}, \"why\": {why}}}")
        });
        format!(
            "{{\n  \"made\": {},\n  \"figures\": {},\n  \"failures\": {}\n}}\n",
            list(self.made.iter().map(|it| string(it)).collect()),
            list(figures),
            list(failures.collect())
        )
    }

    fn picture(&self, group: &Group) -> String {
        let groups: Vec<_> = figures(group)
            .map(|figure| chart::Group {
                title: figure.to_owned(),
                bars: SYSTEMS
                    .into_iter()
                    .enumerate()
                    .filter_map(|(series, system)| {
                        Some(Bar {
                            label: system.title.to_owned(),
                            value: *self.medians.get(&(figure, system))?,
                            series,
                        })
                    })
                    .collect(),
            })
            .filter(|it| !it.bars.is_empty())
            .collect();
        chart::svg(group.title, group.unit, &groups)
    }

    /// Writes the page, the data and the pictures beside this package's manifest.
    pub(crate) fn write(&self) -> io::Result<()> {
        fs::write(folder().join("RESULTS.md"), self.page())?;
        fs::write(folder().join("results.json"), self.json())?;
        for group in &GROUPS {
            let name = format!("{}.svg", group.name);
            fs::write(folder().join(name), self.picture(group))?;
        }
        Ok(())
    }
}
