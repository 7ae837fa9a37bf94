//! `simple`, `enter-joint` and `leave-joint`: from one configuration to the next, and what becomes of the progress of each member.

use std::fmt::Write as _;

use raft_core::eraftpb::{ConfChangeSingle, ConfChangeType, ConfState};
use raft_core::membership::{Changer, Configuration};
use raft_core::progress::{ProgressState, Tracker};
use raft_core::{Config, Error, Result};

use super::cases::Case;

/// The members, from case to case.
pub struct Group {
    tracker: Tracker,
    /// Stands for the leader's log, and grows with every command, also with one that fails.
    last_index: u64,
}

impl Default for Group {
    fn default() -> Self {
        Group { tracker: Tracker::new(&Config::default(), &ConfState::default(), 0), last_index: 0 }
    }
}

impl Group {
    /// Runs one case.
    pub fn run(&mut self, case: &Case) -> String {
        let changes = case.input.iter().flat_map(|line| line.split_whitespace()).filter_map(parse_change);
        let changes: Vec<ConfChangeSingle> = changes.collect();
        let changer = Changer::new(self.tracker.configuration());
        let next = match case.command.as_str() {
            "simple" => changer.simple(&changes),
            "enter-joint" => changer.enter_joint(case.values("autoleave") == ["true"], &changes),
            "leave-joint" => changer.leave_joint(),
            other => panic!("line {}: there is no command {other:?}", case.line),
        };
        let output = self.switch(next);
        self.last_index += 1;
        output
    }

    /// Puts the configuration into force, as a leader does: newcomers are probed at the end of its log.
    fn switch(&mut self, next: Result<Configuration>) -> String {
        let next = match next {
            Ok(next) => next,
            Err(error) => return error_text(&error),
        };
        let (old, new) = (self.tracker.configuration().members(), next.members());
        self.tracker.set_configuration(next);
        old.difference(&new).for_each(|id| self.tracker.remove(*id));
        for id in new.difference(&old) {
            let progress = self.tracker.new_progress(self.last_index.max(1));
            self.tracker.insert(*id, progress);
        }
        self.describe()
    }

    fn describe(&self) -> String {
        let configuration = self.tracker.configuration();
        let mut text = format!("{}\n", describe(configuration));
        for (id, progress) in self.tracker.iter() {
            let state = match progress.state {
                ProgressState::Probe => "StateProbe",
                ProgressState::Replicate => "StateReplicate",
                ProgressState::Snapshot => "StateSnapshot",
            };
            let learner = if configuration.learners.contains(&id) { " learner" } else { "" };
            let _ = writeln!(text, "{id}: {state} match={} next={}{learner}", progress.matched, progress.next);
        }
        text
    }
}

/// `voters=(1 2)&&(1) learners=(3) autoleave`, with ids in hexadecimal.
fn describe(configuration: &Configuration) -> String {
    let list = |ids: &mut dyn Iterator<Item = u64>| {
        let ids: Vec<String> = ids.map(|id| format!("{id:x}")).collect();
        format!("({})", ids.join(" "))
    };
    let mut text = format!("voters={}", list(&mut configuration.voters.incoming.voters().iter().copied()));
    if configuration.is_joint() {
        text += &format!("&&{}", list(&mut configuration.voters.outgoing.voters().iter().copied()));
    }
    if !configuration.learners.is_empty() {
        text += &format!(" learners={}", list(&mut configuration.learners.iter().copied()));
    }
    if !configuration.learners_next.is_empty() {
        text += &format!(" learners_next={}", list(&mut configuration.learners_next.iter().copied()));
    }
    if configuration.auto_leave {
        text += " autoleave";
    }
    text
}

/// `v1`, `l2`, `r3`; `u4` updates node 4, which changes no configuration and has no counterpart here.
fn parse_change(word: &str) -> Option<ConfChangeSingle> {
    let (kind, id) = word.split_at(1);
    let change_type = match kind {
        "v" => ConfChangeType::AddNode,
        "l" => ConfChangeType::AddLearnerNode,
        "r" => ConfChangeType::RemoveNode,
        "u" => return None,
        _ => panic!("{word:?} is no change"),
    };
    Some(ConfChangeSingle { change_type: change_type as i32, node_id: id.parse().expect("a node") })
}

/// The data's words for our errors.
fn error_text(error: &Error) -> String {
    let Error::ConfChangeInvalid { reason } = error else { panic!("not an error of a change: {error}") };
    match *reason {
        "the group is in a joint configuration already" => "config is already joint",
        "a group without voters cannot become joint" => "can't make a zero-voter config joint",
        "there is no joint configuration to leave" => "can't leave a non-joint config",
        "the joint configuration must be left first" => "can't apply simple config change in joint config",
        "more than one voter would change in one step" => "more than one voter changed without entering joint config",
        "no voter would be left" => "removed all voters",
        other => other,
    }
    .to_owned()
}
