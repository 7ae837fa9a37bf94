//! R-CONF-OVERLAP: every quorum of a configuration has a node in common with every quorum of the one that follows (Raft, section 6;
//! thesis, section 4.1). Otherwise each of them could elect a leader in the same term.

use std::collections::BTreeSet;

use proto::eraftpb::ConfState;

use super::{Event, Rule};

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct QuorumsOverlap;

impl Rule for QuorumsOverlap {
    const ID: &'static str = "R-CONF-OVERLAP";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Configured { node, index, before, after } = event else { return Ok(()) };
        match disjoint_quorums(before, after) {
            Some((left, right)) => Err(format!(
                "n{node} goes at {index} from {before:?} to {after:?}: {left:?} could decide in the one and {right:?} in the other"
            )),
            None => Ok(()),
        }
    }
}

/// A quorum of `before` and one of `after` without a common node. All ways to split the voters in two are tried: there are few voters.
fn disjoint_quorums(before: &ConfState, after: &ConfState) -> Option<(Vec<u64>, Vec<u64>)> {
    let halves = [&before.voters, &before.voters_outgoing, &after.voters, &after.voters_outgoing];
    let all: BTreeSet<u64> = halves.into_iter().flatten().copied().collect();
    (0u64..1 << all.len()).find_map(|mask| {
        let in_mask = |position: usize| mask & (1 << position) != 0;
        let (left, right): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(position, _)| in_mask(*position));
        let ids = |half: Vec<(usize, &u64)>| half.into_iter().map(|(_, id)| *id).collect::<Vec<u64>>();
        let (left, right) = (ids(left), ids(right));
        (decides(before, &left) && decides(after, &right)).then_some((left, right))
    })
}

fn decides(conf: &ConfState, nodes: &[u64]) -> bool {
    [&conf.voters, &conf.voters_outgoing].iter().all(|half| {
        let count = half.iter().filter(|voter| nodes.contains(voter)).count();
        half.is_empty() || count > half.len() / 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(voters: &[u64], outgoing: &[u64]) -> ConfState {
        ConfState { voters: voters.to_vec(), voters_outgoing: outgoing.to_vec(), ..ConfState::default() }
    }

    #[test]
    fn one_voter_at_a_time_overlaps_and_two_do_not() {
        let three = conf(&[1, 2, 3], &[]);
        assert_eq!(disjoint_quorums(&three, &conf(&[1, 2, 3, 4], &[])), None);
        assert_eq!(disjoint_quorums(&three, &conf(&[1, 2], &[])), None);
        let (left, right) =
            disjoint_quorums(&three, &conf(&[1, 2, 3, 4, 5], &[])).expect("three of five can miss two of three");
        assert_eq!((left.len(), right.len()), (2, 3));
    }

    #[test]
    fn a_joint_configuration_overlaps_with_both_ends() {
        let (old, new) = (conf(&[1, 2, 3], &[]), conf(&[4, 5, 6], &[]));
        let joint = conf(&[4, 5, 6], &[1, 2, 3]);
        assert!(disjoint_quorums(&old, &new).is_some());
        assert_eq!(disjoint_quorums(&old, &joint), None);
        assert_eq!(disjoint_quorums(&joint, &new), None);
    }
}
