//! R-VOTE-QUORUM: a leader has the votes of a majority of each half of its configuration (Raft, section 5.2; section 6 for joint
//! configurations). Learners' votes do not count.

use std::collections::{BTreeMap, BTreeSet};

use proto::eraftpb::MessageType;
use raft_core::Role;

use super::{Event, Rule, Step};

/// Remembers who voted for each candidate in each term, as far as it was said.
#[derive(Clone, Debug, Default, Hash)]
pub struct VoteQuorum {
    votes: BTreeMap<(u64, u64), BTreeSet<u64>>,
}

impl Rule for VoteQuorum {
    const ID: &'static str = "R-VOTE-QUORUM";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Sent { message, .. } => {
                if message.msg_type() == MessageType::MsgRequestVoteResponse && !message.reject {
                    self.votes.entry((message.term, message.to)).or_default().insert(message.from);
                }
                Ok(())
            }
            Event::Step(step) if step.now.role == Role::Leader && !step.now.same_reign(&step.before) => {
                self.check_leader(step)
            }
            _ => Ok(()),
        }
    }
}

impl VoteQuorum {
    fn check_leader(&self, step: &Step<'_>) -> Result<(), String> {
        let (id, term) = (step.member.id, step.now.term);
        let Some(node) = step.member.node() else { return Ok(()) };
        let conf = node.raft.tracker().conf_state();
        let nobody = BTreeSet::new();
        let votes = self.votes.get(&(term, id)).unwrap_or(&nobody);
        for half in [conf.voters, conf.voters_outgoing] {
            let yes = half.iter().filter(|voter| **voter == id || votes.contains(voter)).count();
            if !half.is_empty() && yes <= half.len() / 2 {
                return Err(format!(
                    "n{id} leads term {term} with the votes of {votes:?} and its own, voters {half:?}"
                ));
            }
        }
        Ok(())
    }
}
