//! The pure function from one configuration to the next.

use proto::eraftpb::{ConfChangeSingle, ConfChangeType, ConfState};

use crate::Error;
use crate::membership::{Changer, Configuration};

/// `v1 l2 r3`: a voter, a learner, removed.
fn parse(input: &str) -> Vec<ConfChangeSingle> {
    let one = |word: &str| {
        let change_type = match word.as_bytes()[0] {
            b'v' => ConfChangeType::AddNode,
            b'l' => ConfChangeType::AddLearnerNode,
            b'r' => ConfChangeType::RemoveNode,
            other => panic!("unknown change {other}"),
        };
        ConfChangeSingle { change_type: change_type as i32, node_id: word[1..].parse().expect("a number") }
    };
    input.split_whitespace().map(one).collect()
}

#[test]
fn refusals_change_nothing_and_say_why() {
    let now = Configuration::from_conf_state(&ConfState { voters: vec![1, 2], ..ConfState::default() });
    let changer = Changer::new(&now);
    for refused in [changer.simple(&parse("r1 v3")), changer.simple(&parse("r1 r2")), changer.leave_joint()] {
        assert!(matches!(refused, Err(Error::ConfChangeInvalid { .. })), "{refused:?}");
    }
    let joint = changer.enter_joint(true, &parse("r1 v3 l2")).expect("possible");
    assert_eq!(joint.to_string(), "voters=(3)&&(1 2) learners_next=(2) autoleave");
    let joint = Changer::new(&joint);
    assert!(joint.enter_joint(false, &[]).is_err() && joint.simple(&parse("v4")).is_err());
    assert_eq!(joint.leave_joint().expect("possible").to_string(), "voters=(3) learners=(2)");
}
