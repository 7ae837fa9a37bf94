//! The epoch table: which part of a region's epoch a command is checked against, and which part it moves.
//!
//! | command | checks version | checks conf_ver | moves |
//! |---|---|---|---|
//! | read, write | yes | no | nothing |
//! | compact log, transfer leader | no | no | nothing |
//! | change of members | no | yes | conf_ver |
//! | split | yes | yes | version |
//!
//! Versions are compared for equality, both ways: a request that is newer than the store is refused, too. The check is made when
//! a command is proposed and again when its entry is applied; the second one decides, and comes to the same result on every
//! replica, because both the entry and the region at that place of the log are the same everywhere (invariant S-EPOCH-APPLY).
//! The row of a command must never change: replicas of different builds apply the same log.

use std::collections::VecDeque;

use proto::{
    metapb::{Region, RegionEpoch},
    raft_cmdpb::{AdminCmdType, AdminRequest},
};

use crate::error::{Error, Result};

/// A row of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochRule {
    /// The command depends on the range of the region.
    pub checks_version: bool,
    /// The command depends on the members of the region.
    pub checks_conf_ver: bool,
    /// The command changes the range of the region.
    pub moves_version: bool,
    /// The command changes the members of the region.
    pub moves_conf_ver: bool,
}

impl EpochRule {
    /// The row of reads and writes.
    pub const DATA: EpochRule =
        EpochRule { checks_version: true, checks_conf_ver: false, moves_version: false, moves_conf_ver: false };

    /// The row of an admin command; `None` for one that this version does not know.
    pub fn of_admin(request: &AdminRequest) -> Option<EpochRule> {
        let nothing = EpochRule::default();
        match request.cmd_type() {
            AdminCmdType::CompactLog | AdminCmdType::TransferLeader => Some(nothing),
            AdminCmdType::ChangePeer | AdminCmdType::ChangePeerV2 => {
                Some(EpochRule { checks_conf_ver: true, moves_conf_ver: true, ..nothing })
            }
            AdminCmdType::Split | AdminCmdType::BatchSplit => {
                Some(EpochRule { checks_version: true, checks_conf_ver: true, moves_version: true, ..nothing })
            }
            _ => None,
        }
    }

    /// Does the command change the epoch?
    pub fn moves_epoch(self) -> bool {
        self.moves_version || self.moves_conf_ver
    }

    /// Would a command of this row, proposed behind `earlier`, surely be refused when it is applied?
    pub fn is_overtaken_by(self, earlier: EpochRule) -> bool {
        (self.checks_version && earlier.moves_version) || (self.checks_conf_ver && earlier.moves_conf_ver)
    }

    /// Compares the epoch that a command was made for with the region's.
    ///
    /// # Errors
    /// [`Error::EpochNotMatch`] with the region as it is.
    pub fn check(self, region: &Region, sent: &RegionEpoch) -> Result<()> {
        // lab:begin 2B epoch::check  hint="equality, both ways, of the parts that the row names"
        let current = region.region_epoch.unwrap_or_default();
        let version = !self.checks_version || current.version == sent.version;
        let conf_ver = !self.checks_conf_ver || current.conf_ver == sent.conf_ver;
        if version && conf_ver {
            return Ok(());
        }
        Err(Error::EpochNotMatch { current: vec![region.clone()] })
        // lab:end
    }

    /// Panics if an applied command moved another part of the epoch than its row says (invariant S-EPOCH-STEP).
    pub fn assert_moved(self, before: &RegionEpoch, after: &RegionEpoch, region_id: u64) {
        let moved = (after.version > before.version, after.conf_ver > before.conf_ver);
        let back = after.version < before.version || after.conf_ver < before.conf_ver;
        assert!(
            !back && moved == (self.moves_version, self.moves_conf_ver),
            "invariant S-EPOCH-STEP: region {region_id}: {self:?} moved the epoch from {before:?} to {after:?}"
        );
    }
}

/// Proposed commands that will move the epoch and are not applied yet.
///
/// A command that one of them would overtake is not worth an entry: it waits, and is checked against the new epoch when the
/// change is applied.
#[derive(Debug, Default)]
pub struct ChangesInFlight {
    changes: VecDeque<(u64, EpochRule)>,
}

impl ChangesInFlight {
    /// Notes a proposed command.
    pub fn proposed(&mut self, index: u64, rule: EpochRule) {
        if rule.moves_epoch() {
            self.changes.push_back((index, rule));
        }
    }

    /// The index of a change in flight that a command of this row would come too late behind.
    pub fn overtaking(&self, rule: EpochRule) -> Option<u64> {
        self.changes.iter().find(|(_, change)| rule.is_overtaken_by(*change)).map(|(index, _)| *index)
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Everything up to `index` is applied.
    pub fn applied_to(&mut self, index: u64) {
        while self.changes.front().is_some_and(|(at, _)| *at <= index) {
            self.changes.pop_front();
        }
    }

    /// The peer no longer leads: what became of its proposals is no longer its business.
    pub fn clear(&mut self) {
        self.changes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(version: u64, conf_ver: u64) -> Region {
        Region { id: 1, region_epoch: Some(RegionEpoch { conf_ver, version }), ..Default::default() }
    }

    fn rule(cmd_type: AdminCmdType) -> EpochRule {
        EpochRule::of_admin(&AdminRequest { cmd_type: cmd_type as i32, ..Default::default() }).unwrap()
    }

    #[test]
    fn each_row_compares_its_parts_both_ways_2b() {
        let current = region(3, 7);
        let epoch = |version, conf_ver| RegionEpoch { conf_ver, version };
        let accepts = |rule: EpochRule, sent: RegionEpoch| match rule.check(&current, &sent) {
            Ok(()) => true,
            Err(Error::EpochNotMatch { current: told }) => {
                assert_eq!(told[..], *std::slice::from_ref(&current));
                false
            }
            Err(other) => panic!("{other}"),
        };
        let rows = [
            (EpochRule::DATA, true, false),
            (rule(AdminCmdType::CompactLog), false, false),
            (rule(AdminCmdType::TransferLeader), false, false),
            (rule(AdminCmdType::ChangePeer), false, true),
            (rule(AdminCmdType::BatchSplit), true, true),
        ];
        for (row, version, conf_ver) in rows {
            assert!(accepts(row, epoch(3, 7)), "{row:?}");
            for other in [2, 4] {
                assert_eq!(accepts(row, epoch(other, 7)), !version, "{row:?}");
            }
            for other in [6, 8] {
                assert_eq!(accepts(row, epoch(3, other)), !conf_ver, "{row:?}");
            }
        }
    }

    #[test]
    fn commands_wait_for_the_changes_that_would_refuse_them() {
        let (split, change) = (rule(AdminCmdType::BatchSplit), rule(AdminCmdType::ChangePeer));
        let compact = rule(AdminCmdType::CompactLog);
        let mut in_flight = ChangesInFlight::default();
        in_flight.proposed(10, compact);
        assert_eq!(in_flight.overtaking(split), None);
        in_flight.proposed(11, change);
        assert_eq!((in_flight.overtaking(EpochRule::DATA), in_flight.overtaking(split)), (None, Some(11)));
        in_flight.proposed(12, split);
        assert_eq!((in_flight.overtaking(EpochRule::DATA), in_flight.overtaking(compact)), (Some(12), None));
        in_flight.applied_to(11);
        assert_eq!((in_flight.overtaking(change), in_flight.overtaking(split)), (None, Some(12)));
        in_flight.applied_to(12);
        assert_eq!(in_flight.overtaking(EpochRule::DATA), None);
    }

    #[test]
    #[should_panic(expected = "S-EPOCH-STEP")]
    fn a_command_that_moves_what_it_must_not_is_found_out() {
        let (before, after) = (RegionEpoch { conf_ver: 1, version: 1 }, RegionEpoch { conf_ver: 2, version: 1 });
        rule(AdminCmdType::BatchSplit).assert_moved(&before, &after, 1);
    }
}
