//! Figures in rows and columns: printed, drawn, and recorded in the README when asked to.

use super::{
    chart::{self, Bar, Group, number},
    machine::machine,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Set to record what was measured: the table in the README, and the picture beside it.
const RECORD: &str = "RECORD";

#[derive(Debug)]
pub(crate) struct Table {
    title: &'static str,
    unit: &'static str,
    columns: Vec<String>,
    rows: Vec<(String, Vec<(usize, f64)>)>,
}

impl Table {
    pub(crate) fn new(title: &'static str, unit: &'static str) -> Self {
        Self {
            title,
            unit,
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Rows and columns stand in the order in which they were first named.
    pub(crate) fn set(&mut self, row: &str, column: &str, value: f64) {
        let at = self.columns.iter().position(|it| it == column);
        let column = at.unwrap_or_else(|| {
            self.columns.push(column.to_owned());
            self.columns.len() - 1
        });
        match self.rows.iter_mut().find(|it| it.0 == row) {
            Some((_, cells)) => cells.push((column, value)),
            None => self.rows.push((row.to_owned(), vec![(column, value)])),
        }
    }

    /// As Markdown, with columns that line up in a terminal too.
    pub(crate) fn markdown(&self) -> String {
        let mut lines = vec![vec![self.unit.to_owned()]];
        lines[0].extend(self.columns.iter().cloned());
        for (row, cells) in &self.rows {
            let mut line = vec![row.clone()];
            line.extend((0..self.columns.len()).map(|column| {
                let cell = cells.iter().find(|it| it.0 == column);
                cell.map_or_else(|| "-".to_owned(), |it| number(it.1))
            }));
            lines.push(line);
        }
        let width = |at: usize| lines.iter().map(|it| it[at].len()).max().unwrap_or(0);
        let widths: Vec<_> = (0..=self.columns.len()).map(width).collect();
        let rule = |at: usize| match at {
            0 => "-".repeat(widths[0]),
            _ => format!("{}:", "-".repeat(widths[at] - 1)),
        };
        let rule = (0..widths.len()).map(rule).collect();
        lines.insert(1, rule);
        lines
            .iter()
            .map(|line| {
                let cells = line.iter().zip(&widths).enumerate();
                let cells: Vec<_> = cells
                    .map(|(at, (cell, width))| match at {
                        0 => format!("{cell:<width$}"),
                        _ => format!("{cell:>width$}"),
                    })
                    .collect();
                format!("| {} |\n", cells.join(" | "))
            })
            .collect::<Vec<_>>()
            .concat()
    }

    fn picture(&self) -> String {
        let groups: Vec<_> = self
            .rows
            .iter()
            .map(|(row, cells)| Group {
                title: row.clone(),
                bars: cells
                    .iter()
                    .map(|(column, value)| Bar {
                        label: self.columns[*column].clone(),
                        value: *value,
                        series: *column,
                    })
                    .collect(),
            })
            .collect();
        chart::svg(self.title, self.unit, &groups)
    }

    /// Prints it and draws it into `target/`; records it, where that is asked for, under that name.
    ///
    /// # Panics
    ///
    /// When the files cannot be written.
    pub(crate) fn show(&self, name: &str) {
        if self.rows.is_empty() {
            return;
        }
        let table = self.markdown();
        println!("\n{}\n\n{table}", self.title);
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(format!("{name}.svg"));
        fs::write(&picture, self.picture()).expect("target/ can be written to");
        println!("drawn in {}", picture.display());
        if env::var_os(RECORD).is_some() {
            fs::write(benches().join(format!("{name}.svg")), self.picture())
                .expect("benches/ can be written to");
            let (made, title) = (machine().join("\n- "), self.title);
            let section = format!("- {made}\n\n{table}\n![{title}]({name}.svg)\n");
            record(name, &section);
        }
    }
}

fn benches() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches")
}

/// Replaces what stands in the README between the two marks of that name.
fn record(name: &str, section: &str) {
    let file = benches().join("README.md");
    let text = fs::read_to_string(&file).expect("there is a README");
    let (begin, end) = (
        format!("<!-- {name}: recorded -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = parts.unwrap_or_else(|| panic!("the README has no marks for {name}"));
    fs::write(&file, format!("{before}{begin}{section}{end}{after}")).expect("it can be written");
    println!("recorded in {}", file.display());
}
