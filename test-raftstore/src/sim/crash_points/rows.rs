//! The rows of the table "Which engine is written first", and how often a store crashed in each of their places.

use std::collections::BTreeMap;
use std::fmt;

use super::point::Moment;
use super::watch::Effect;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// Raft log synced, applied later.
    Append,
    /// Data and apply state.
    Apply,
    /// Applying and a copy of the raft state, then the log is cleared.
    SnapshotReceived,
    /// Data, then Normal.
    SnapshotRestored,
    /// The kv engine synced, then entries deleted.
    LogCompaction,
    /// All parts.
    Split,
    /// Region state and apply state.
    ChangeOfMembers,
    /// Tombstone, then the log.
    EndOfPeer,
    /// Raft engine, then kv engine.
    Identity,
    /// Region state and apply state.
    FirstPeer,
}

impl Row {
    /// All rows, as the table has them.
    pub const ALL: [Self; 10] = [
        Self::Append,
        Self::Apply,
        Self::SnapshotReceived,
        Self::SnapshotRestored,
        Self::LogCompaction,
        Self::Split,
        Self::ChangeOfMembers,
        Self::EndOfPeer,
        Self::Identity,
        Self::FirstPeer,
    ];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Apply => "apply",
            Self::SnapshotReceived => "snapshot received",
            Self::SnapshotRestored => "snapshot restored",
            Self::LogCompaction => "log compaction",
            Self::Split => "split",
            Self::ChangeOfMembers => "change of members",
            Self::EndOfPeer => "end of a peer",
            Self::Identity => "identity",
            Self::FirstPeer => "first peer of a region",
        }
    }

    /// Has it an arrow: one write, then another one? The others are one batch.
    pub fn has_arrow(self) -> bool {
        !matches!(self, Self::Apply | Self::Split | Self::ChangeOfMembers | Self::FirstPeer)
    }
}

/// Which of the writes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    First,
    Second,
    Only,
}

/// A write of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    row: Row,
    part: Part,
}

impl Mark {
    /// What the arrow of a row begins with.
    pub fn first(row: Row) -> Self {
        Self { row, part: Part::First }
    }

    /// What the arrow of a row ends with.
    pub fn second(row: Row) -> Self {
        Self { row, part: Part::Second }
    }

    /// The one batch of a row without an arrow.
    pub fn only(row: Row) -> Self {
        Self { row, part: Part::Only }
    }
}

/// Crashes in the places of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    before: u64,
    on_the_arrow: u64,
    behind: u64,
}

/// Counts the crashes of many runs by rows.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    places: BTreeMap<Row, Places>,
    /// Crashes.
    pub crashes: u64,
    /// Those of them while a store made up for an earlier one.
    second: u64,
}

impl Tally {
    /// Counts a crash at this change.
    pub fn add(&mut self, effect: &Effect, moment: Moment) {
        self.crashes += 1;
        for Mark { row, part } in &effect.what.marks {
            let places = self.places.entry(*row).or_default();
            match (part, moment) {
                (Part::First | Part::Only, Moment::Before) => places.before += 1,
                (Part::First, Moment::After) | (Part::Second, Moment::Before) => places.on_the_arrow += 1,
                (Part::Second | Part::Only, Moment::After) => places.behind += 1,
            }
        }
    }

    /// Counts one at a change by which a store makes up for an earlier one.
    pub fn add_second(&mut self, effect: &Effect, moment: Moment) {
        self.add(effect, moment);
        self.second += 1;
    }

    /// The places of the table at which no store has crashed.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for row in Row::ALL {
            let Places { before, on_the_arrow, behind } = self.places.get(&row).copied().unwrap_or_default();
            let of = [
                ("before", before, true),
                ("on the arrow of", on_the_arrow, row.has_arrow()),
                ("behind", behind, true),
            ];
            let none = of.into_iter().filter(|(_, count, exists)| *exists && *count == 0);
            missing.extend(none.map(|(place, ..)| format!("{place} {}", row.name())));
        }
        missing
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<24}{:>8}{:>14}{:>8}", "crashes of", "before", "on the arrow", "behind")?;
        for row in Row::ALL {
            let Places { before, on_the_arrow, behind } = self.places.get(&row).copied().unwrap_or_default();
            let arrow = if row.has_arrow() { on_the_arrow.to_string() } else { "–".to_owned() };
            writeln!(formatter, "{:<24}{before:>8}{arrow:>14}{behind:>8}", row.name())?;
        }
        write!(formatter, "{} crashes, {} of them while a store made up for an earlier one", self.crashes, self.second)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::point::Unsynced;
    use super::super::records::Description;
    use super::super::watch::Disk;
    use super::*;

    fn effect(marks: &[Mark]) -> Effect {
        let what = Description { name: String::new(), marks: BTreeSet::from_iter(marks.iter().copied()) };
        Effect { disk: Disk::Kv, what, event: 1, before: Unsynced::default(), after: Unsynced::default() }
    }

    #[test]
    fn a_place_that_nobody_came_to_is_named() {
        let mut tally = Tally::default();
        for row in Row::ALL {
            let marks = if row.has_arrow() { vec![Mark::first(row), Mark::second(row)] } else { vec![Mark::only(row)] };
            for mark in marks.into_iter().filter(|mark| *mark != Mark::second(Row::Identity)) {
                tally.add(&effect(&[mark]), Moment::Before);
                tally.add(&effect(&[mark]), Moment::After);
            }
        }
        assert_eq!(tally.missing(), ["behind identity"]);
        tally.add(&effect(&[Mark::second(Row::Identity)]), Moment::After);
        assert_eq!(tally.missing(), [""; 0]);
        assert!(tally.to_string().contains("identity                       1             1       1"), "{tally}");
    }
}
