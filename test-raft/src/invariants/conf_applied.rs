//! R-CONF-APPLIED: the configuration that a node goes by is the one of its applied index, and the same on all nodes at that index. (The
//! paper, section 6, lets a change take effect when it is appended; this core, like TiKV's, when it is applied. Mixing both loses the
//! overlap of majorities.) While a snapshot is being written, its configuration is in force already.

use std::collections::BTreeMap;

use proto::eraftpb::ConfState;

use super::{Event, Rule};

/// Remembers the configuration behind each change.
#[derive(Clone, Debug, Default, Hash)]
pub struct ConfIsApplied {
    configurations: BTreeMap<u64, ConfState>,
}

impl Rule for ConfIsApplied {
    const ID: &'static str = "R-CONF-APPLIED";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Configured { node, index, after, .. } => {
                let first = self.configurations.entry(*index).or_insert_with(|| (*after).clone());
                if first == *after {
                    return Ok(());
                }
                Err(format!("n{node} comes to {after:?} at {index}, another node to {first:?}"))
            }
            Event::Step(step) => {
                let Some(node) = step.member.node() else { return Ok(()) };
                let snapshot_is_written = step.now.first <= step.now.applied + 1;
                let (in_force, applied) = (node.raft.tracker().conf_state(), &step.member.machine.conf);
                if !snapshot_is_written || in_force == *applied {
                    return Ok(());
                }
                Err(format!(
                    "n{} goes by {in_force:?}, but what it has applied, {}, says {applied:?}",
                    step.member.id, step.member.machine.applied
                ))
            }
            _ => Ok(()),
        }
    }
}
