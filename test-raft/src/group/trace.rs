//! What happened, as a digest and, if wanted, in words.

use std::hash::{Hash, Hasher};

use super::Digest;

/// The trace of one run. Two runs with the same digest did the same.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    digest: Digest,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps its lines.
    pub fn in_words() -> Self {
        Trace { lines: Some(Vec::new()), ..Trace::default() }
    }

    /// Notes an event.
    pub fn note(&mut self, event: &impl Hash) {
        event.hash(&mut self.digest);
    }

    /// Notes a line, if lines are wanted.
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }

    /// True if lines are kept.
    pub fn has_words(&self) -> bool {
        self.lines.is_some()
    }

    /// The digest of everything that happened.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
