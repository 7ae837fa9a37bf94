//! R-LEASE: with check-quorum on, a follower that has heard its leader within the shortest election timeout is not moved by a request
//! for votes: neither its term nor its vote changes (thesis, sections 4.2.3 and 6.4.1). Leases rest on this.

use proto::eraftpb::MessageType;
use raft_core::Role;

use super::{Cause, Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct LeaseKept;

impl Rule for LeaseKept {
    const ID: &'static str = "R-LEASE";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let Cause::Message(message) = step.cause else { return Ok(()) };
        let asks = message.msg_type() == MessageType::MsgRequestVote && message.context.is_empty();
        let config = &step.member.config;
        let sworn = config.check_quorum
            && step.before.role == Role::Follower
            && step.before.leader != 0
            && step.quiet_ticks < config.election_tick;
        let moved = (step.before.term, step.before.vote) != (step.now.term, step.now.vote);
        if asks && sworn && moved {
            return Err(format!(
                "n{} heard its leader n{} {} ticks ago, and yet n{}'s request for votes moved it from term {} to {}",
                step.member.id, step.before.leader, step.quiet_ticks, message.from, step.before.term, step.now.term
            ));
        }
        Ok(())
    }
}
