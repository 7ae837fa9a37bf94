//! Snapshots on their way: a message, and the files that go with it.
//!
//! A transfer takes its time and may break: the sender or the receiver is gone, the link is cut, the stream ends early, a byte
//! changes on the way or, later, on the receiver's disk, the sender's files or the receiver's tables disappear. It may happen twice. Whatever happens, the sender
//! hears of it.

use proto::raft_serverpb::RaftMessage;
use raftstore::metrics::Metrics;
use raftstore::snapshot::{SnapshotDir, SnapshotId, decode_data};
use storage::Engine;

use super::driver::{Broken, Simulation};
use super::event::Event;
use super::finish::Stage;
use crate::network::Fate;
use crate::trace::Field;
use crate::verdict::FailureKind;

/// Bytes of a piece of a snapshot.
const CHUNK: usize = 256;

/// What happens to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    Nothing,
    /// The stream ends before this piece.
    EndsAt(usize),
    /// A bit of this piece changes on the way.
    ChangesAt(usize),
    /// What has arrived is damaged on the disk.
    Rots,
    /// What has arrived disappears.
    Disappears,
    /// The sender's files are gone.
    GoneBefore,
}

/// What became of the snapshots of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotCounters {
    /// Handed to the network.
    pub sent: u64,
    /// Arrived whole.
    pub arrived: u64,
    /// Lost, cut short or damaged on their way.
    pub failed: u64,
    /// Begun, and given up before they were made.
    pub cancelled: u64,
    /// Received, and found damaged.
    pub damaged: u64,
    /// Received, and of no use.
    pub refused: u64,
    /// Restored.
    pub restored: u64,
    /// Peers that messages have made.
    pub created: u64,
    /// Such peers that a split has initialised.
    pub adopted: u64,
    /// Stores that crashed while a snapshot was being restored.
    pub interrupted: u64,
}

impl SnapshotCounters {
    /// Adds what another run, or another life of a store, came to.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.sent, other.sent),
            (&mut self.arrived, other.arrived),
            (&mut self.failed, other.failed),
            (&mut self.cancelled, other.cancelled),
            (&mut self.damaged, other.damaged),
            (&mut self.refused, other.refused),
            (&mut self.restored, other.restored),
            (&mut self.created, other.created),
            (&mut self.adopted, other.adopted),
            (&mut self.interrupted, other.interrupted),
        ];
        pairs.into_iter().for_each(|(sum, part)| *sum += part);
    }

    /// What a store has counted in its present life.
    pub fn of_store(metrics: &Metrics) -> Self {
        Self {
            cancelled: metrics.snapshots_cancelled.get(),
            damaged: metrics.snapshots_damaged.get(),
            refused: metrics.snapshots_refused.get(),
            restored: metrics.snapshots_restored.get(),
            created: metrics.peers_created.get(),
            adopted: metrics.peers_adopted.get(),
            ..Self::default()
        }
    }
}

impl Simulation {
    /// A store hands a snapshot to the network.
    pub(super) fn send_snapshot(
        &mut self,
        from: u64,
        message: RaftMessage,
        fate: Fate,
        mut fields: Vec<(&'static str, Field)>,
    ) -> Result<(), Broken> {
        let to = message.to_peer.map_or(0, |peer| peer.store_id);
        self.snapshots.sent += 1;
        let incarnation = self.stores.get(&from).map_or(0, |store| store.incarnation);
        match fate {
            Fate::Dropped(reason) => {
                fields.push(("lost", reason.name().into()));
                self.trace.record(self.current, "send", from, message.region_id, fields);
                self.report_transfer(from, incarnation, &message, false);
            }
            Fate::Arrives(arrivals) => {
                let cause = self.trace.record(self.current, "send", from, message.region_id, fields);
                // A duplicate is a transfer of its own: a sender that did not hear of the first one's end has tried again.
                for _ in arrivals {
                    let at = self.clock.now() + self.rng.within(500..=200_000);
                    let event = Event::SnapshotArrives { from, incarnation, to, message: Box::new(message.clone()) };
                    self.queue.push(at, super::event::Queued { cause, event });
                }
            }
        }
        Ok(())
    }

    fn report_transfer(&mut self, store: u64, incarnation: u64, message: &RaftMessage, ok: bool) {
        self.snapshots.failed += u64::from(!ok);
        let (region, to_peer) = (message.region_id, message.to_peer.map_or(0, |peer| peer.id));
        let delay = self.rng.within(100..=20_000);
        self.push_in(delay, Event::SnapshotStatus { store, incarnation, region, to_peer, ok });
    }

    pub(super) fn on_snapshot_status(
        &mut self,
        store: u64,
        incarnation: u64,
        region: u64,
        to_peer: u64,
        ok: bool,
    ) -> Result<(), Broken> {
        let Some(running) = self.running(store, incarnation) else { return Ok(()) };
        running.parts.router.snapshot_status(region, to_peer, ok);
        self.note("snapshot_status", store, region, vec![("peer", to_peer.into()), ("ok", u64::from(ok).into())]);
        self.after_step(store, &[])
    }

    /// The last piece of a snapshot reaches its receiver.
    pub(super) fn on_snapshot_arrives(
        &mut self,
        from: u64,
        incarnation: u64,
        to: u64,
        message: RaftMessage,
    ) -> Result<(), Broken> {
        if self.running(from, incarnation).is_none() {
            return Ok(()); // nobody is left to send, or to be told
        }
        let region = message.region_id;
        let mishap = self.draw_mishap();
        let outcome = if self.network.is_cut(from, to) {
            Err("cut".to_owned())
        } else {
            self.transfer(from, to, &message, mishap)
        };
        let why = outcome.as_ref().err().cloned().unwrap_or_default();
        self.note("snapshot", to, region, vec![("from", from.into()), ("failed", why.into())]);
        self.report_transfer(from, incarnation, &message, outcome.is_ok());
        if outcome.is_err() {
            return Ok(());
        }
        if matches!(mishap, Mishap::EndsAt(0) | Mishap::ChangesAt(_) | Mishap::GoneBefore) {
            let details = format!("store {to} took a snapshot of region {region} in spite of {mishap:?}");
            return Err(Broken { kind: FailureKind::Safety, id: "SNAP-WHOLE", details });
        }
        self.snapshots.arrived += 1;
        if self.stage == Stage::Faults && self.crash_rng.chance(self.ambush_permille) {
            let incarnation = self.stores.get(&to).map_or(0, |store| store.incarnation);
            let soon = self.crash_rng.within(1..=40_000);
            self.push_in(soon, Event::Die { store: to, incarnation });
        }
        if let Some(running) = self.stores.get(&to).and_then(|store| store.running.as_ref()) {
            running.parts.router.raft_message(message);
        }
        self.after_step(to, &[])
    }

    /// What became of all snapshots so far.
    pub(super) fn all_snapshots(&self) -> SnapshotCounters {
        let mut all = self.snapshots;
        for running in self.stores.values().filter_map(|store| store.running.as_ref()) {
            all.add(&SnapshotCounters::of_store(running.parts.router.metrics()));
        }
        all
    }

    fn draw_mishap(&mut self) -> Mishap {
        if self.stage != Stage::Faults || !self.mishaps {
            return Mishap::Nothing;
        }
        let at = self.crash_rng.below(4) as usize;
        match self.crash_rng.below(20) {
            0 => Mishap::EndsAt(at),
            1 => Mishap::ChangesAt(at),
            2 => Mishap::Rots,
            3 => Mishap::Disappears,
            4 => Mishap::GoneBefore,
            _ => Mishap::Nothing,
        }
    }

    /// Copies the files, as the two ends of the stream do.
    fn transfer(&mut self, from: u64, to: u64, message: &RaftMessage, mishap: Mishap) -> Result<(), String> {
        let snapshots = |store: u64| {
            let running = self.stores.get(&store).and_then(|sim_store| sim_store.running.as_ref());
            running.map(|running| running.snapshots.clone()).ok_or_else(|| "down".to_owned())
        };
        let (sender, receiver) = (snapshots(from)?, snapshots(to)?);
        let text = |error: raftstore::Error| error.to_string();
        let snapshot = message.message.as_ref().and_then(|inner| inner.snapshot.as_ref()).ok_or("no snapshot")?;
        let (region, meta) = decode_data(snapshot).map_err(text)?;
        let id = SnapshotId::of(message.region_id, snapshot);
        if let (Mishap::GoneBefore, Some(store)) = (mishap, self.stores.get(&from)) {
            // There is none if another transfer has met the same fate.
            let _ = store.snapshot_dir.remove(&format!("gen_{id}.meta"));
        }
        // One that was here already may be about to be restored. Whatever befell it then would cost the replica.
        let is_first = receiver.verify(id).is_err();
        let mut source = sender.source(id).map_err(text)?;
        let mut sink = receiver.receive(id, region, meta);
        let mut pieces = 0;
        while let Some(piece) = source.next_chunk(CHUNK).map_err(text)? {
            let mut piece = piece.to_vec();
            match mishap {
                Mishap::EndsAt(at) if at == pieces => break,
                Mishap::ChangesAt(at) if at <= pieces => piece[0] ^= 1,
                _ => {}
            }
            sink.write(&piece).map_err(text)?;
            pieces += 1;
        }
        if matches!(mishap, Mishap::ChangesAt(at) if at >= pieces) || (mishap == Mishap::EndsAt(0) && pieces == 0) {
            return Err("lost".to_owned()); // too short for that mishap
        }
        sink.finish().map_err(text)?;
        if let Some(store) = self.stores.get(&to).filter(|_| is_first) {
            // There are no tables in a snapshot without pairs.
            let (kv, name) = (store.engines.kv.engine(), format!("rev_{id}"));
            match mishap {
                Mishap::Rots => drop(kv.damage_tables(&name)),
                Mishap::Disappears => drop(kv.remove_tables(&name)),
                _ => {}
            }
        }
        Ok(())
    }
}
