//! R-CONF-CAMPAIGN: nobody stands for election who has no vote, or who has a committed change of membership in its log that it has not
//! applied: it would count votes by a configuration that is no longer in force (Raft thesis, section 4.1).

use raft_core::Role;

use super::{Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct MayCampaign;

impl Rule for MayCampaign {
    const ID: &'static str = "R-CONF-CAMPAIGN";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (id, before, now) = (step.member.id, step.before, step.now);
        if now.role == Role::Follower || before.role != Role::Follower || before.life != now.life {
            return Ok(());
        }
        if let Some(pending) = step.member.seen.log.changes(now.applied + 1, before.commit).next() {
            return Err(format!(
                "n{id} campaigns in term {}, and has not applied the committed change at {pending}",
                now.term
            ));
        }
        let conf = &step.member.machine.conf;
        if conf.voters.contains(&id) || conf.voters_outgoing.contains(&id) {
            return Ok(());
        }
        Err(format!("n{id} campaigns in term {} without a vote in {conf:?}", now.term))
    }
}
