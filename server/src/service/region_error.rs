//! From an error of the storage layer to the two places where a response can carry it.
//!
//! Region errors go into `region_error`: clients refresh what they know of the region and try again. Everything else is a
//! text in `error`, which ends the client's call. Three errors of the storage layer change sides here:
//!
//! - a value over the limit becomes `RaftEntryTooLarge`, which clients know as "this write will never fit";
//! - a full disk becomes `DiskFull`;
//! - a read that the store's stop cut off answers as if the region were no longer here, so that clients look for it elsewhere;
//!   a write becomes `UndeterminedResult`, because it may have taken effect. A compare-and-swap gets a text instead: the
//!   official Rust client repeats whatever has a region error, and this must not be done twice.

use proto::{errorpb, kvrpcpb};

use crate::metrics::Command;

/// How a response carries an error.
#[derive(Debug, PartialEq)]
pub enum Failure {
    /// In `region_error`.
    Region(Box<errorpb::Error>),
    /// In `error`.
    Text(String),
}

impl Failure {
    /// Sorts `error`, which `command` got from region `region_id`.
    pub fn new(error: storage::Error, command: Command, region_id: u64) -> Self {
        let message = error.to_string();
        let mut region = errorpb::Error { message: message.clone(), ..Default::default() };
        match error {
            storage::Error::Region(region_error) => return Self::Region(region_error),
            storage::Error::ValueTooLarge { len, .. } => {
                region.raft_entry_too_large = Some(errorpb::RaftEntryTooLarge { region_id, entry_size: len as u64 });
            }
            storage::Error::DiskFull { .. } => {
                region.disk_full = Some(errorpb::DiskFull { reason: message, ..Default::default() });
            }
            storage::Error::Stopped if command == Command::RawCompareAndSwap => {
                return Self::Text(format!("{message}; whether the command took effect is unknown"));
            }
            storage::Error::Stopped if command.is_write() => {
                region.undetermined_result = Some(errorpb::UndeterminedResult { message });
            }
            storage::Error::Stopped => region.region_not_found = Some(errorpb::RegionNotFound { region_id }),
            _ => return Self::Text(message),
        }
        Self::Region(Box::new(region))
    }

    /// As the pair of response fields `region_error`, `error`.
    pub fn fields(self) -> (Option<errorpb::Error>, String) {
        match self {
            Self::Region(error) => (Some(*error), String::new()),
            Self::Text(text) => (None, text),
        }
    }

    /// For responses without an `error` field: the text goes into a pair of its own.
    pub fn pair(self) -> (Option<errorpb::Error>, Vec<kvrpcpb::KvPair>) {
        match self {
            Self::Region(error) => (Some(*error), Vec::new()),
            Self::Text(text) => {
                let error = kvrpcpb::KeyError { abort: text, ..Default::default() };
                (None, vec![kvrpcpb::KvPair { error: Some(error), ..Default::default() }])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_goes_where_clients_look_for_it() {
        let failure = |error, command| Failure::new(error, command, 7);
        let region = |error, command| match failure(error, command) {
            Failure::Region(error) => *error,
            Failure::Text(text) => panic!("a text: {text}"),
        };
        let put = Command::RawPut;
        let too_large = region(storage::Error::ValueTooLarge { len: 9, limit: 8 }, put).raft_entry_too_large.unwrap();
        assert_eq!((too_large.region_id, too_large.entry_size), (7, 9));
        assert!(region(storage::Error::DiskFull { message: "no space".into() }, put).disk_full.is_some());
        assert_eq!(region(storage::Error::Stopped, Command::RawGet).region_not_found.unwrap().region_id, 7);
        assert!(region(storage::Error::Stopped, put).undetermined_result.is_some());
        let not_leader = errorpb::Error { not_leader: Some(errorpb::NotLeader::default()), ..Default::default() };
        assert_eq!(region(storage::Error::Region(Box::new(not_leader.clone())), put), not_leader);
        assert!(matches!(failure(storage::Error::KeyEmpty, put), Failure::Text(text) if text.contains("empty")));
        let cas = failure(storage::Error::Stopped, Command::RawCompareAndSwap);
        assert!(matches!(cas, Failure::Text(text) if text.contains("unknown")));
        let (none, pairs) = failure(storage::Error::KeyEmpty, put).pair();
        assert!(none.is_none() && pairs[0].error.as_ref().unwrap().abort.contains("empty"));
    }
}
