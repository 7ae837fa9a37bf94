//! R-APPEND-ANSWER: every append that reaches a node is answered, with the next Ready at the latest (Raft, section 5.3: "AppendEntries RPC
//! ... results").
//!
//! A leader that probes sends nothing more until it is answered: silence can hold up a follower for good.

use std::collections::BTreeMap;

use proto::eraftpb::MessageType;

use super::{Cause, Event, Rule};

/// Remembers whom each node owes how many answers.
#[derive(Clone, Debug, Default, Hash)]
pub struct AppendsAreAnswered {
    owed: BTreeMap<u64, BTreeMap<u64, usize>>,
}

impl AppendsAreAnswered {
    fn fail(node: u64, to: u64) -> Result<(), String> {
        Err(format!("n{node} owes n{to} an answer to an append, and has nothing more to say"))
    }
}

impl Rule for AppendsAreAnswered {
    const ID: &'static str = "R-APPEND-ANSWER";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Step(step) => {
                let id = step.member.id;
                match step.cause {
                    Cause::Start => drop(self.owed.remove(&id)),
                    Cause::Message(message) if message.msg_type() == MessageType::MsgAppend => {
                        *self.owed.entry(id).or_default().entry(message.from).or_default() += 1;
                    }
                    _ => {}
                }
                let silent = step.member.node().is_some_and(|node| !node.has_ready());
                match self.owed.get(&id).filter(|_| silent).and_then(|owed| owed.keys().next()) {
                    Some(to) => Self::fail(id, *to),
                    None => Ok(()),
                }
            }
            Event::Taken { node, ready } => {
                let mut owed = self.owed.remove(node).unwrap_or_default();
                for answer in ready.messages.iter().chain(&ready.persisted_messages) {
                    if answer.msg_type() == MessageType::MsgAppendResponse
                        && let Some(count) = owed.get_mut(&answer.to)
                    {
                        *count = count.saturating_sub(1);
                    }
                }
                match owed.into_iter().find(|(_, count)| *count > 0) {
                    Some((to, _)) => Self::fail(*node, to),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
