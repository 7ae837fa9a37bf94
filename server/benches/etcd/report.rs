//! The table on the terminal and `etcd.json`.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::common::load::{Operation, Phase};

/// Which client of ours stands against etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Official,
    Thin,
    Etcd,
}

impl Side {
    pub const ALL: [Side; 3] = [Side::Official, Side::Etcd, Side::Thin];
}

/// One phase, and the processor time that the servers used in it.
#[derive(Clone, Debug)]
pub struct Measured {
    pub phase: Phase,
    /// Microseconds of processor time in all server processes together, by operation.
    pub server_micros: f64,
}

/// All phases of one operation and one number of clients.
#[derive(Clone, Debug, Default)]
pub struct Row {
    official: Vec<Measured>,
    thin: Vec<Measured>,
    etcd: Vec<Measured>,
}

impl Row {
    pub fn push(&mut self, side: Side, measured: Measured) {
        match side {
            Side::Official => self.official.push(measured),
            Side::Thin => self.thin.push(measured),
            Side::Etcd => self.etcd.push(measured),
        }
    }
}

/// The results of a run.
#[derive(Default)]
pub struct Report {
    rows: Vec<(Operation, usize, Row)>,
}

impl Report {
    pub fn push(&mut self, operation: Operation, clients: usize, row: Row) {
        self.rows.push((operation, clients, row));
    }

    /// The table for people: one line for each side.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header([
            "operation",
            "clients",
            "system",
            "ops/s",
            "p50 ms",
            "p99 ms",
            "ratio",
            "server µs/op",
            "errors",
        ]);
        for (operation, clients, row) in &self.rows {
            let theirs = median(&row.etcd).phase.operations_per_second;
            let sides =
                [("tinykv, tikv-client", &row.official), ("tinykv, thin client", &row.thin), ("etcd", &row.etcd)];
            for (system, phases) in sides {
                let middle = median(phases);
                let errors: u64 = phases.iter().map(|measured| measured.phase.errors).sum();
                table.add_row([
                    operation.name().to_owned(),
                    clients.to_string(),
                    system.to_owned(),
                    format!("{:.0}", middle.phase.operations_per_second),
                    millis(middle.phase.p50_micros),
                    millis(middle.phase.p99_micros),
                    format!("{:.2}", middle.phase.operations_per_second / theirs),
                    format!("{:.0}", middle.server_micros),
                    errors.to_string(),
                ]);
            }
        }
        for column in 3..9 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// Writes `etcd.json`: a list of {name, ours, theirs, ratio}, operations per second.
    pub fn write_json(&self, folder: &Path) {
        let mut list = Vec::new();
        for (operation, clients, row) in &self.rows {
            let theirs = median(&row.etcd).phase.operations_per_second;
            for (suffix, phases) in [("", &row.official), (", thin client", &row.thin)] {
                let ours = median(phases).phase.operations_per_second;
                list.push(json!({
                    "name": format!("{}, {clients} clients{suffix}", operation.name()),
                    "ours": ours.round(),
                    "theirs": theirs.round(),
                    "ratio": (ours / theirs * 1000.0).round() / 1000.0,
                }));
            }
        }
        let path = folder.join("etcd.json");
        let text = serde_json::to_string_pretty(&list).expect("invariant: a list of numbers and names is JSON");
        std::fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        println!("wrote {}", path.display());
    }
}

/// The phase of median throughput.
fn median(phases: &[Measured]) -> &Measured {
    let mut sorted: Vec<&Measured> = phases.iter().collect();
    sorted.sort_by(|left, right| left.phase.operations_per_second.total_cmp(&right.phase.operations_per_second));
    sorted[sorted.len() / 2]
}

fn millis(micros: u64) -> String {
    format!("{:.2}", micros as f64 / 1000.0)
}
