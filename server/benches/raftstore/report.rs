//! The figures, with the goal of each, as a table and as `raftstore.json`.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// A figure to know.
    None,
}

impl Goal {
    fn verdict(self, value: f64) -> &'static str {
        match self {
            Goal::AtMost(most) if value <= most => "met",
            Goal::AtLeast(least) if value >= least => "met",
            Goal::None => "",
            _ => "MISSED",
        }
    }

    fn text(self) -> String {
        match self {
            Goal::AtMost(most) => format!("at most {most}"),
            Goal::AtLeast(least) => format!("at least {least}"),
            Goal::None => String::new(),
        }
    }
}

struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Goal,
}

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
}

impl Report {
    /// Takes in a figure, and prints it as soon as it is there.
    pub fn push(&mut self, name: &str, value: f64, unit: &'static str, goal: Goal) {
        eprintln!("{name}: {value:.2} {unit} {}", goal.verdict(value));
        self.figures.push(Figure { name: name.to_owned(), value, unit, goal });
    }

    /// The table for people.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["figure", "value", "unit", "goal", ""]);
        for Figure { name, value, unit, goal } in &self.figures {
            table.add_row([
                name.clone(),
                format!("{value:.2}"),
                (*unit).to_owned(),
                goal.text(),
                goal.verdict(*value).to_owned(),
            ]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// Writes `raftstore.json`: a list of {name, value, unit, goal, verdict}.
    pub fn write_json(&self, folder: &Path) {
        let list: Vec<_> = self
            .figures
            .iter()
            .map(|Figure { name, value, unit, goal }| {
                json!({ "name": name, "value": value, "unit": unit, "goal": goal.text(), "verdict": goal.verdict(*value) })
            })
            .collect();
        let path = folder.join("raftstore.json");
        let text = serde_json::to_string_pretty(&list).expect("invariant: a list of numbers is JSON");
        std::fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        println!("wrote {}", path.display());
    }
}
