//! R-XFER-QUIET: a leader that hands over its leadership appends nothing meanwhile, or the target would never have a complete log.
//! R-XFER-BOUND: a handover ends after one election timeout, however it went (Raft thesis, section 3.10).

use std::collections::BTreeMap;

use super::{Cause, Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct QuietTransfer;

impl Rule for QuietTransfer {
    const ID: &'static str = "R-XFER-QUIET";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (before, now) = (step.before, step.now);
        let hands_over = now.same_reign(&before) && now.transfer != 0 && now.transfer == before.transfer;
        match step.change.from {
            Some(from) if hands_over => Err(format!(
                "leader n{}@{} hands over to n{}, and appends at {from}",
                step.member.id, now.term, now.transfer
            )),
            _ => Ok(()),
        }
    }
}

/// Remembers for how many ticks each node has been handing over.
#[derive(Clone, Debug, Default, Hash)]
pub struct BoundTransfer {
    ticks: BTreeMap<u64, usize>,
}

impl Rule for BoundTransfer {
    const ID: &'static str = "R-XFER-BOUND";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Step(step) = event else { return Ok(()) };
        let (id, before, now) = (step.member.id, step.before, step.now);
        if now.transfer == 0 || now.transfer != before.transfer || !now.same_reign(&before) {
            self.ticks.remove(&id);
            return Ok(());
        }
        if !matches!(step.cause, Cause::Tick) {
            return Ok(());
        }
        let ticks = self.ticks.entry(id).or_insert(0);
        *ticks += 1;
        let limit = step.member.config.election_tick;
        if *ticks < limit {
            return Ok(());
        }
        Err(format!(
            "leader n{id}@{} has been handing over to n{} for {ticks} ticks, {limit} are allowed",
            now.term, now.transfer
        ))
    }
}
