//! R-PERSIST: what a node says must be on its disk before it says it (Raft, figure 2: "updated on stable storage before responding").
//!
//! A term is on disk before anything is said in it, a vote before it is granted or asked for, an entry before it is acknowledged. That a
//! leader replicates while it writes is no exception: it promises nothing about its own disk (thesis, section 10.2.1).

use proto::eraftpb::{Message, MessageType};

use raft_core::Storage;

use super::{Event, Rule};
use crate::group::Member;

/// Remembers nothing.
#[derive(Clone, Debug, Default, Hash)]
pub struct PersistFirst;

impl Rule for PersistFirst {
    const ID: &'static str = "R-PERSIST";

    fn check(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Sent { member, message } = event else { return Ok(()) };
        let hard_state = member.disk().hard_state();
        let missing = |what: String| Err(format!("n{} {what}, its disk says {hard_state:?}", member.id));
        use MessageType::*;
        match message.msg_type() {
            MsgRequestPreVote | MsgRequestPreVoteResponse => Ok(()),
            _ if hard_state.term < message.term => missing(format!("speaks in term {}", message.term)),
            MsgRequestVote => check_vote(member, message.term, member.id),
            MsgRequestVoteResponse if !message.reject => check_vote(member, message.term, message.to),
            MsgAppendResponse if !message.reject => check_entry(member, message),
            _ => Ok(()),
        }
    }
}

fn check_vote(member: &Member, term: u64, candidate: u64) -> Result<(), String> {
    let hard_state = member.disk().hard_state();
    if hard_state.term > term || hard_state.vote == candidate {
        return Ok(());
    }
    Err(format!("n{} votes for n{candidate} in term {term}, its disk says {hard_state:?}", member.id))
}

fn check_entry(member: &Member, message: &Message) -> Result<(), String> {
    // An acknowledgement that a newer term has overtaken is not believed by anybody.
    if member.seen.marks.term != message.term {
        return Ok(());
    }
    let held = match member.seen.log.term(message.index) {
        Some(term) => member.disk_holds(message.index, term),
        // A snapshot is about to replace it; what it replaces must be on disk.
        None => member.disk().last_index().is_ok_and(|last| last >= message.index),
    };
    if held {
        return Ok(());
    }
    Err(format!("n{} acknowledges {} in term {} before it is on its disk", member.id, message.index, message.term))
}
