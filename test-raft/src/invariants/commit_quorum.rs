//! R-COMMIT-QUORUM: what a leader commits is on the disks of a majority of each half of its configuration (Raft, section 5.3; thesis,
//! section 10.2.1: the leader's own disk counts like any other).
//!
//! The disks are asked, not the nodes: what was acknowledged too early shows here at once, long before a crash makes it a lost write.

use raft_core::Role;

use super::{Event, Rule, Step};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct CommitQuorum;

impl Rule for CommitQuorum {
    const ID: &'static str = "R-COMMIT-QUORUM";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (before, now) = (step.before, step.now);
        if now.role != Role::Leader || before.life != now.life || now.commit <= before.commit {
            return Ok(());
        }
        let Some(node) = step.member.node() else { return Ok(()) };
        let conf = node.raft.tracker().conf_state();
        [conf.voters, conf.voters_outgoing].iter().try_for_each(|half| check_half(step, half))
    }
}

fn check_half(step: &Step<'_>, voters: &[u64]) -> Result<(), String> {
    let index = step.now.commit;
    let Some(term) = step.member.seen.log.term(index) else { return Ok(()) };
    let holds = |voter: &&u64| step.group.members.get(voter).is_some_and(|member| member.disk_holds(index, term));
    let holders: Vec<u64> = voters.iter().filter(holds).copied().collect();
    if voters.is_empty() || holders.len() > voters.len() / 2 {
        return Ok(());
    }
    Err(format!(
        "leader n{}@{} committed {index}@{term}, which of the voters {voters:?} only the disks of {holders:?} hold",
        step.member.id, step.now.term
    ))
}
