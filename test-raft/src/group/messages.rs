//! Messages in words, for traces.

use std::fmt::Write;

use proto::eraftpb::{Message, MessageType};

/// What a message says, in one line.
pub fn describe(message: &Message) -> String {
    let msg_type = message.msg_type();
    let mut text = format!("n{}->n{} {} @{}", message.from, message.to, short(msg_type), message.term);
    use MessageType::*;
    let written = match msg_type {
        MsgAppend => {
            write!(text, " after {}@{} commit {}", message.index, message.log_term, message.commit).and_then(|()| {
                message.entries.iter().try_for_each(|entry| {
                    write!(text, " +{}@{}", entry.index, entry.term)?;
                    if entry.entry_type == 0 { Ok(()) } else { text.write_str("(conf)") }
                })
            })
        }
        MsgAppendResponse if message.reject => {
            write!(text, " no to {}, hint {}@{}", message.index, message.reject_hint, message.log_term)
        }
        MsgAppendResponse => write!(text, " has {}", message.index),
        MsgRequestVote | MsgRequestPreVote => write!(text, " log ends {}@{}", message.index, message.log_term),
        MsgRequestVoteResponse | MsgRequestPreVoteResponse => {
            text.write_str(if message.reject { " no" } else { " granted" })
        }
        MsgHeartbeat => write!(text, " commit {}{}", message.commit, context(message)),
        MsgHeartbeatResponse => text.write_str(&context(message)),
        MsgSnapshot => {
            let metadata = message.snapshot.as_ref().and_then(|s| s.metadata.as_ref());
            write!(text, " at {}@{}", metadata.map_or(0, |m| m.index), metadata.map_or(0, |m| m.term))
        }
        _ => Ok(()),
    };
    written.expect("writing to a string does not fail");
    text
}

fn context(message: &Message) -> String {
    match <[u8; 8]>::try_from(&message.context[..]) {
        Ok(round) => format!(" read round {}", u64::from_be_bytes(round)),
        Err(_) => String::new(),
    }
}

fn short(msg_type: MessageType) -> &'static str {
    let name = msg_type.as_str_name();
    name.strip_prefix("Msg").unwrap_or(name)
}
