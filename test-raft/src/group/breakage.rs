//! Promises of a node's owner that can be broken on purpose. Bugs inside the algorithm are patches, in `test-raft/bugs`.

/// One broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breakage {
    /// A crash loses the vote, but not the term.
    ForgetVote,
    /// A crash loses term and vote of the last ballot.
    ForgetBallot,
    /// Messages that must wait for the disk leave at once.
    SendBeforeWrite,
    /// A configuration is in force as soon as its entry is in the log.
    ConfigureAtAppend,
    /// Heartbeats carry the leader's commit index, whatever the follower is known to have.
    HeartbeatsCommitTooMuch,
}

impl Breakage {
    /// All of them.
    pub const ALL: [Breakage; 5] = [
        Breakage::ForgetVote,
        Breakage::ForgetBallot,
        Breakage::SendBeforeWrite,
        Breakage::ConfigureAtAppend,
        Breakage::HeartbeatsCommitTooMuch,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Breakage::ForgetVote => "forget-vote",
            Breakage::ForgetBallot => "forget-ballot",
            Breakage::SendBeforeWrite => "send-before-write",
            Breakage::ConfigureAtAppend => "configure-at-append",
            Breakage::HeartbeatsCommitTooMuch => "heartbeats-commit-too-much",
        }
    }

    /// The rules of which one must notice it.
    pub fn caught_by(self) -> &'static [&'static str] {
        match self {
            Breakage::ForgetVote => &["R-VOTE"],
            Breakage::ForgetBallot => &["R-VOTE", "R-MONO"],
            Breakage::SendBeforeWrite => &["R-PERSIST"],
            Breakage::ConfigureAtAppend => &["R-CONF-APPLIED"],
            Breakage::HeartbeatsCommitTooMuch => &["R-APPLY-SAME", "R-COMPLETE"],
        }
    }

    /// The breakage called `name`.
    pub fn named(name: &str) -> Option<Breakage> {
        Breakage::ALL.into_iter().find(|breakage| breakage.name() == name)
    }
}
