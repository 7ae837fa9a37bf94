//! The trace: every event of a run with its id and the id of the event that caused it, as JSON lines.
//!
//! Ids are given out in the order of events, so they are stable over replays. The newest events are kept in a ring of
//! bounded size; a digest runs over *all* events, so two runs can be compared beyond what the ring holds. Nothing is
//! rendered and nothing touches the disk unless a run fails or asks for it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use rustc_hash::FxHasher;

use crate::clock::VirtualTime;

/// An event's number; 0 stands for "nothing before".
pub type EventId = u64;

/// How many events are kept unless told otherwise: about 5 MB of JSON lines.
pub const DEFAULT_CAPACITY: usize = 30_000;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// A number.
    Number(u64),
    /// A fixed word.
    Word(&'static str),
    /// Any text.
    Text(String),
}

impl From<u64> for Field {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&'static str> for Field {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// One event. Store, region and peer are 0 where they do not apply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceEvent {
    /// Its number.
    pub id: EventId,
    /// The event that it follows from.
    pub cause: EventId,
    /// The step of the run in which it happened.
    pub step: u64,
    /// When.
    pub at: VirtualTime,
    /// On which store.
    pub store: u64,
    /// In which region.
    pub region: u64,
    /// What happened: `tick`, `send`, `deliver`, `drop`, `crash`, `invoke`, …
    pub kind: &'static str,
    /// Details by name.
    pub fields: Vec<(&'static str, Field)>,
}

/// The events of one run.
#[derive(Clone)]
pub struct Trace {
    ring: VecDeque<TraceEvent>,
    capacity: usize,
    next: EventId,
    digest: FxHasher,
    step: u64,
    now: VirtualTime,
}

impl Trace {
    /// An empty trace that keeps the newest `capacity` events.
    pub fn new(capacity: usize) -> Self {
        Self {
            ring: VecDeque::with_capacity(capacity.min(DEFAULT_CAPACITY)),
            capacity,
            next: 1,
            digest: FxHasher::default(),
            step: 0,
            now: VirtualTime::ZERO,
        }
    }

    /// Says which step of the run begins and when; events that follow belong to it.
    pub fn begin_step(&mut self, step: u64, now: VirtualTime) {
        self.step = step;
        self.now = now;
    }

    /// Adds an event and returns its id.
    pub fn record(
        &mut self,
        cause: EventId,
        kind: &'static str,
        store: u64,
        region: u64,
        fields: Vec<(&'static str, Field)>,
    ) -> EventId {
        let event = TraceEvent { id: self.next, cause, step: self.step, at: self.now, store, region, kind, fields };
        self.next += 1;
        event.hash(&mut self.digest);
        if self.capacity > 0 {
            if self.ring.len() == self.capacity {
                self.ring.pop_front();
            }
            self.ring.push_back(event);
        }
        self.next - 1
    }

    /// A hash over all events so far.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// How many events there were, kept or not.
    pub fn len(&self) -> u64 {
        self.next - 1
    }

    /// Whether there was no event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events that are kept, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &TraceEvent> {
        self.ring.iter()
    }

    /// The kept events as JSON lines. If older ones were let go, a first line says how many.
    pub fn to_json_lines(&self) -> String {
        let mut lines = String::new();
        let forgotten = self.len() - self.ring.len() as u64;
        if forgotten > 0 {
            let _ = writeln!(lines, "{{\"kind\":\"truncated\",\"events\":{forgotten}}}");
        }
        for event in &self.ring {
            render(&mut lines, event);
        }
        lines
    }

    /// Writes the kept events to `<folder>/<name>-<seed>/trace.jsonl` and returns the path.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn write(&self, folder: &Path, name: &str, seed: u64) -> io::Result<PathBuf> {
        let folder = folder.join(format!("{name}-{seed}"));
        fs::create_dir_all(&folder)?;
        let path = folder.join("trace.jsonl");
        fs::write(&path, self.to_json_lines())?;
        Ok(path)
    }
}

/// Where failing runs leave their traces: `target/lab` of the workspace, or of `CARGO_TARGET_DIR`.
pub fn default_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = || here.parent().unwrap_or(here).join("target");
    target.unwrap_or_else(workspace).join("lab")
}

fn render(lines: &mut String, event: &TraceEvent) {
    let _ = write!(
        lines,
        "{{\"id\":{},\"cause\":{},\"step\":{},\"vtime\":{},\"store\":{},\"region\":{},\"kind\":\"{}\"",
        event.id,
        event.cause,
        event.step,
        event.at.as_micros(),
        event.store,
        event.region,
        event.kind
    );
    for (name, field) in &event.fields {
        let _ = write!(lines, ",\"{name}\":");
        match field {
            Field::Number(number) => {
                let _ = write!(lines, "{number}");
            }
            Field::Word(word) => lines.push_str(&serde_json::Value::from(*word).to_string()),
            Field::Text(text) => lines.push_str(&serde_json::Value::from(text.as_str()).to_string()),
        }
    }
    lines.push_str("}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_events(capacity: usize) -> Trace {
        let mut trace = Trace::new(capacity);
        trace.begin_step(7, VirtualTime::from_micros(42));
        let tick = trace.record(0, "tick", 1, 0, Vec::new());
        let send = trace.record(tick, "send", 1, 2, vec![("to", Field::from(3)), ("type", Field::from("vote"))]);
        trace.record(send, "drop", 3, 2, vec![("why", Field::from("a \"cut\"".to_string()))]);
        trace
    }

    #[test]
    fn events_are_json_lines_with_their_causes() {
        let lines = three_events(10).to_json_lines();
        let parsed: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed.len(), 3);
        assert_eq!(parsed[1]["cause"], 1);
        assert_eq!(parsed[1]["to"], 3);
        assert_eq!(parsed[2]["why"], "a \"cut\"");
        assert_eq!(parsed[2]["vtime"], 42);
    }

    #[test]
    fn the_ring_forgets_but_the_digest_does_not() {
        let small = three_events(2);
        assert_eq!(small.events().count(), 2);
        assert!(small.to_json_lines().starts_with("{\"kind\":\"truncated\",\"events\":1}\n"));
        assert_eq!(small.digest(), three_events(10).digest());
        assert_eq!(small.len(), 3);
    }

    #[test]
    fn a_trace_is_written_under_its_name_and_seed() {
        let folder = std::env::temp_dir().join(format!("trace-test-{}", std::process::id()));
        let path = three_events(10).write(&folder, "unit", 9).unwrap();
        assert!(path.ends_with("unit-9/trace.jsonl"));
        assert_eq!(fs::read_to_string(&path).unwrap(), three_events(10).to_json_lines());
        fs::remove_dir_all(&folder).unwrap();
    }
}
