//! The table on the terminal and `raft.json`.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

/// One line of the comparison.
pub struct Row {
    name: String,
    ours: f64,
    theirs: f64,
    ratio: f64,
}

impl Row {
    /// The row of neighbouring phases (ours, theirs), if there are any. More is better.
    pub fn of_rates(name: String, phases: &[(f64, f64)]) -> Option<Row> {
        let middle = |pick: fn(&(f64, f64)) -> f64| median(&mut phases.iter().map(pick).collect::<Vec<_>>());
        (!phases.is_empty()).then(|| Row {
            name,
            ours: middle(|phase| phase.0),
            theirs: middle(|phase| phase.1),
            ratio: middle(|phase| phase.0 / phase.1),
        })
    }

    /// The row of two counts. Fewer is better.
    pub fn of_counts(name: String, ours: f64, theirs: f64) -> Row {
        Row { name, ours, theirs, ratio: ours / theirs }
    }
}

/// The results of a run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub fn extend(&mut self, row: Option<Row>) {
        self.rows.extend(row);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What it ran on: a busy machine makes the figures worthless, the ratios less so.
    pub fn machine(&self) -> String {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let models: Vec<&str> = cpuinfo
            .lines()
            .filter_map(|line| line.strip_prefix("model name"))
            .map(|rest| rest.trim_matches([' ', '\t', ':']))
            .collect();
        let model = models.first().unwrap_or(&"unknown processor");
        format!("{} x {model}; load average {}", models.len(), read("/proc/loadavg").trim())
    }

    /// The table for people, in Markdown.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["work", "raft-core", "raft 0.7", "ratio"]);
        for row in &self.rows {
            table.add_row([row.name.clone(), figure(row.ours), figure(row.theirs), format!("{:.2}", row.ratio)]);
        }
        for column in 1..4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// Writes `raft.json`: a list of {name, ours, theirs, ratio}, the unit in the name.
    pub fn write_json(&self, folder: &Path) {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        let row = |row: &Row| {
            json!({
                "name": row.name,
                "ours": rounded(row.ours),
                "theirs": rounded(row.theirs),
                "ratio": rounded(row.ratio),
            })
        };
        let list: Vec<_> = self.rows.iter().map(row).collect();
        let path = folder.join("raft.json");
        let text = serde_json::to_string_pretty(&list).expect("invariant: a list of numbers and names is JSON");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text + "\n"))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        println!("wrote {}", path.display());
    }
}

/// The middle of some values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn figure(value: f64) -> String {
    if value < 1000.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
