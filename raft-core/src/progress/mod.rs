//! What a leader knows about each member, and how it paces what it sends.
//!
//! A [`Progress`] is in one of three states:
//!
//! - **Probe**: the leader does not know where the follower's log stops matching. One append at a time, then wait for the answer (or
//!   for a heartbeat's answer, in case the append was lost).
//! - **Replicate**: the logs match up to `matched`. The leader sends optimistically, `next` runs ahead of the answers, and the
//!   [`Inflights`] window bounds how far.
//! - **Snapshot**: the entries that the follower needs are compacted; a snapshot is on its way and nothing else is sent.

mod inflights;
mod tracker;

pub use inflights::Inflights;
pub use tracker::Tracker;

/// How a leader sends to one member; see the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProgressState {
    /// One append at a time.
    #[default]
    Probe,
    /// Optimistic, within the window.
    Replicate,
    /// Nothing until the snapshot has arrived or failed.
    Snapshot,
}

/// What a leader knows about one member.
///
/// Invariant: `matched < next`. In Replicate the entries in `(matched, next)` are on their way.
#[derive(Clone, Debug, Hash)]
pub struct Progress {
    /// Highest index known to be on the member's disk and equal to ours.
    pub matched: u64,
    /// Index of the next entry to send.
    pub next: u64,
    /// How to send.
    pub state: ProgressState,
    /// Set when nothing more may be sent until an answer, also a heartbeat's, comes: a probe is out or the window is full.
    pub paused: bool,
    /// Index of the snapshot on its way, 0 if none.
    pub pending_snapshot: u64,
    /// The member wants a snapshot at this index or later, whatever its log has; 0 if not.
    pub requested_snapshot: u64,
    /// True when the member spoke in the current check period.
    pub recent_active: bool,
    /// Highest commit index that was sent to the member in this state.
    pub sent_commit: u64,
    /// Highest round of read confirmation that the member has answered.
    pub read_round: u64,
    /// Appends on their way.
    pub inflights: Inflights,
}

impl Progress {
    /// A member of whom nothing is known yet, to be probed at `next`.
    pub fn new(next: u64, inflights: Inflights) -> Self {
        Progress {
            matched: 0,
            next,
            state: ProgressState::Probe,
            paused: false,
            pending_snapshot: 0,
            requested_snapshot: 0,
            recent_active: false,
            sent_commit: 0,
            read_round: 0,
            inflights,
        }
    }

    fn reset_state(&mut self, state: ProgressState) {
        self.state = state;
        self.paused = false;
        self.pending_snapshot = 0;
        self.inflights.clear();
    }

    /// Starts probing just behind what is known to match, or behind the snapshot that has just been sent.
    pub fn become_probe(&mut self) {
        let behind_snapshot = self.pending_snapshot + 1;
        self.reset_state(ProgressState::Probe);
        self.next = behind_snapshot.max(self.matched + 1);
        self.sent_commit = self.sent_commit.min(self.next - 1);
    }

    /// Starts sending optimistically behind what matches.
    pub fn become_replicate(&mut self) {
        self.reset_state(ProgressState::Replicate);
        self.next = self.matched + 1;
    }

    /// A snapshot at `index` is on its way.
    pub fn become_snapshot(&mut self, index: u64) {
        self.reset_state(ProgressState::Snapshot);
        self.pending_snapshot = index;
        self.requested_snapshot = 0;
        self.next = index + 1;
        self.sent_commit = index;
    }

    /// Notes that everything up to `index` is on the member's disk. Returns false if that was known.
    pub fn maybe_update(&mut self, index: u64) -> bool {
        if index <= self.matched {
            return false;
        }
        self.matched = index;
        self.next = self.next.max(index + 1);
        self.paused = false;
        true
    }

    /// Handles a rejected append whose previous entry was at `rejected`; logs may still match up to `hint`. Returns false if the
    /// rejection is an old one that says nothing new.
    pub fn maybe_decrease(&mut self, rejected: u64, hint: u64) -> bool {
        match self.state {
            ProgressState::Replicate => {
                // What was acknowledged cannot be refused: this is the answer to an append that a later one has overtaken.
                if rejected <= self.matched {
                    return false;
                }
                self.become_probe();
                true
            }
            ProgressState::Probe => {
                if rejected != self.next - 1 {
                    return false;
                }
                self.next = rejected.min(hint.saturating_add(1)).max(self.matched + 1);
                self.sent_commit = self.sent_commit.min(self.next - 1);
                self.paused = false;
                true
            }
            ProgressState::Snapshot => false,
        }
    }

    /// True when no append may be sent now.
    pub fn is_paused(&self) -> bool {
        self.paused || self.state == ProgressState::Snapshot
    }

    /// True when an append without entries would tell the member about a commit index that it can use and has not been sent.
    pub fn can_bump_commit(&self, committed: u64) -> bool {
        !self.is_paused() && committed.min(self.next - 1) > self.sent_commit
    }

    /// Notes an append with entries up to `last` (`None` for one without entries) that carried `commit`.
    pub fn on_append_sent(&mut self, last: Option<u64>, bytes: u64, commit: u64) {
        match self.state {
            ProgressState::Probe => self.paused = true,
            ProgressState::Replicate => {
                if let Some(last) = last {
                    self.next = last + 1;
                    self.inflights.add(last, bytes);
                }
                self.paused = self.inflights.is_full();
            }
            ProgressState::Snapshot => {}
        }
        self.sent_commit = self.sent_commit.max(commit.min(self.next - 1));
    }

    /// The state's name for people.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            ProgressState::Probe => "probe",
            ProgressState::Replicate => "replicate",
            ProgressState::Snapshot => "snapshot",
        }
    }
}
