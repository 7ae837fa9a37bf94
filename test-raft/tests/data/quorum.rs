//! `committed` and `vote`: what a quorum of one or two halves has acknowledged, and how an election stands.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use raft_core::quorum::{Joint, Majority, VoteResult};

use super::cases::Case;

/// What is known about each voter. A voter that is absent has not been heard of.
type Known<T> = BTreeMap<u64, T>;

/// Runs one case. Every case stands alone.
pub fn run(case: &Case) -> String {
    let quorum = Joint { incoming: Majority::new(case.numbers("cfg")), outgoing: Majority::new(outgoing(case)) };
    match case.command.as_str() {
        "committed" => committed(&quorum, &known(case, "idx", |word| word.parse().expect("an index"))),
        "vote" => vote(&quorum, &known(case, "votes", |word| word == "y")),
        other => panic!("line {}: there is no command {other:?}", case.line),
    }
}

/// The second half. `zero` is an empty one.
fn outgoing(case: &Case) -> Vec<u64> {
    if case.values("cfgj") == ["zero"] { Vec::new() } else { case.numbers("cfgj") }
}

/// The values of an argument by voter: one for each, in the order in which the voters are first named. `_` stands for nothing.
fn known<T>(case: &Case, key: &str, read: impl Fn(&str) -> T) -> Known<T> {
    let mut voters: Vec<u64> = Vec::new();
    for id in case.numbers("cfg").into_iter().chain(outgoing(case)) {
        if !voters.contains(&id) {
            voters.push(id);
        }
    }
    let values = case.values(key);
    assert_eq!(voters.len(), values.len(), "line {}: one value for each voter", case.line);
    let known = voters.into_iter().zip(values).filter(|(_, value)| *value != "_");
    known.map(|(id, value)| (id, read(value))).collect()
}

fn committed(quorum: &Joint, known: &Known<u64>) -> String {
    let index = quorum.committed_index(|id| known.get(&id).copied());
    cross_check_index(quorum, known, index);
    let index = if index == u64::MAX { "∞".to_owned() } else { index.to_string() };
    let ids: Vec<u64> = quorum.ids().collect();
    if ids.is_empty() {
        return format!("<empty majority quorum>{index}");
    }
    let width = ids.len();
    let mut table = format!("{}idx\n", " ".repeat(width + 4));
    for id in &ids {
        let own = known.get(id).copied().unwrap_or(0);
        let below = ids.iter().filter(|other| known.get(other).copied().unwrap_or(0) < own).count();
        let bar = if known.contains_key(id) { format!("{}>", "x".repeat(below)) } else { "?".to_owned() };
        let _ = writeln!(table, "{bar:<bar_width$} {own:>5}    (id={id:x})", bar_width = width + 1);
    }
    table + &index
}

/// What must hold for every quorum, besides the expected output.
fn cross_check_index(quorum: &Joint, known: &Known<u64>, index: u64) {
    let of = |quorum: &Joint, known: &Known<u64>| quorum.committed_index(|id| known.get(&id).copied());
    let by_counting = |half: &Majority| {
        let reached = |candidate: &u64| {
            let count = half.voters().iter().filter(|id| known.get(id).copied().unwrap_or(0) >= *candidate).count();
            count >= half.quorum()
        };
        let candidates = known.values().copied().chain([0]);
        if half.voters().is_empty() { u64::MAX } else { candidates.filter(reached).max().unwrap_or(0) }
    };
    assert_eq!(index, by_counting(&quorum.incoming).min(by_counting(&quorum.outgoing)), "counted in another way");
    let (incoming, outgoing) = (quorum.incoming.clone(), quorum.outgoing.clone());
    let swapped = Joint { incoming: outgoing.clone(), outgoing: incoming.clone() };
    assert_eq!(index, of(&swapped, known), "halves swapped");
    if outgoing.voters().is_empty() {
        assert_eq!(index, of(&Joint { incoming: incoming.clone(), outgoing: incoming }, known), "joint with itself");
    }
    for (id, own) in known.iter().filter(|(_, own)| **own < index) {
        for lower in [own - 1, 0] {
            let mut known = known.clone();
            known.insert(*id, lower);
            assert_eq!(index, of(quorum, &known), "an index below the result does not matter");
        }
    }
}

fn vote(quorum: &Joint, known: &Known<bool>) -> String {
    let result = quorum.vote_result(|id| known.get(&id).copied());
    let swapped = Joint { incoming: quorum.outgoing.clone(), outgoing: quorum.incoming.clone() };
    assert_eq!(result, swapped.vote_result(|id| known.get(&id).copied()), "halves swapped");
    match result {
        VoteResult::Won => "VoteWon".to_owned(),
        VoteResult::Pending => "VotePending".to_owned(),
        VoteResult::Lost => "VoteLost".to_owned(),
    }
}
