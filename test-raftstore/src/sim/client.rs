//! A client: what it asks next, whom, and what it makes of an answer.
//!
//! A client has one operation at a time. It repeats an attempt only after an answer that rules out any effect; once an attempt is
//! in doubt (no answer, a broken connection), a write ends as unknown and is never repeated.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use proto::metapb::Region;
use proto::raft_cmdpb::{CmdType, CompareAndSwapRequest, DeleteRequest, PutRequest, Request, Response};
use raftstore::region::contains_key;
use raftstore::{Error, RegionSnapshot};
use storage::raw::value;
use storage::{Cf, Reader};

use super::disk::pairs;
use super::world::SimScheduler;
use crate::cluster::work::Work;
use crate::history::{Answer, History, Operation, OperationId};
use crate::rng::SeededRng;

/// The keys that clients share.
#[derive(Clone, Debug)]
pub struct Workload {
    /// For each of the first regions its keys.
    pub keys: Vec<Vec<Bytes>>,
}

/// Where the region of an operation is looked for.
fn place_of(operation: &Operation) -> &Bytes {
    match operation {
        Operation::Scan { start, .. } => start,
        other => other.key().expect("invariant: only scans have no key"),
    }
}

/// Does the region hold all that a read is about? All of it has to come from one snapshot.
pub fn covers(region: &Region, operation: &Operation) -> bool {
    match operation {
        Operation::Scan { end, .. } => region.end_key.is_empty() || (!end.is_empty() && *end <= region.end_key),
        _ => true,
    }
}

/// One thing that a scripted client has to get done.
#[derive(Clone, Debug)]
pub enum Errand {
    /// Write a new value.
    Put(Bytes),
    /// Read a key.
    Get(Bytes),
    /// Read a whole region.
    Scan(Bytes, Bytes),
}

/// The operation that a client is at.
#[derive(Clone, Debug)]
pub struct Current {
    /// Its place in the history.
    pub id: OperationId,
    /// What it is.
    pub operation: Operation,
    /// The attempt whose answer is awaited.
    pub call: u64,
    /// The region that it went to.
    pub region: u64,
    /// How many attempts were refused although somebody leads the region (see `client_check.rs`).
    pub refusals: u32,
    /// An attempt may have had an effect that the client does not know of.
    pub in_doubt: bool,
}

/// What a client makes of a store's answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The answer to the operation.
    Done(Answer),
    /// Nothing was done; try again, best at this store.
    Retry {
        /// Why.
        cause: &'static str,
        /// The leader, if the store knew it.
        leader: Option<u64>,
        /// The regions that are there now, if the store knew better than the client.
        regions: Vec<Region>,
    },
    /// Nobody knows what became of it.
    InDoubt {
        /// Why.
        cause: &'static str,
    },
}

/// See the module.
pub struct Client {
    /// Its number.
    pub id: u64,
    /// Its random choices.
    pub rng: SeededRng,
    /// What it is doing.
    pub current: Option<Current>,
    /// What it has to do, if it is scripted; a client without a script draws its operations.
    pub script: Option<VecDeque<Errand>>,
    /// What it has to do for a test; nothing else is drawn then.
    pub work: Option<Work>,
    /// How many operations it has drawn.
    pub drawn: u64,
    /// Number of the last call.
    pub calls: u64,
    /// Why calls were repeated or lost, with counts, for the stuck report.
    pub causes: BTreeMap<&'static str, u64>,
    /// The regions it knows, by start key; they do not overlap.
    regions: BTreeMap<Bytes, Region>,
    /// Which store it believes to lead each region.
    leaders: BTreeMap<u64, u64>,
    /// What it saw last of each key.
    seen: BTreeMap<Bytes, Option<Bytes>>,
}

impl Client {
    /// A client that draws its operations.
    pub fn new(id: u64, rng: SeededRng) -> Self {
        Self {
            id,
            rng,
            current: None,
            script: None,
            work: None,
            drawn: 0,
            calls: 0,
            causes: BTreeMap::new(),
            regions: BTreeMap::new(),
            leaders: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// What it asks next; `None` if its script is at its end.
    pub fn next_operation(
        &mut self,
        workload: &Workload,
        scheduler: &SimScheduler,
        history: &History,
    ) -> Option<Operation> {
        let value = history.unique_value(self.id);
        if let Some(work) = &mut self.work {
            let operation = work.next(value)?;
            return Some(self.clip(operation, scheduler));
        }
        if self.script.is_some() {
            return self.next_errand(scheduler).map(|errand| match errand {
                Errand::Put(key) => Operation::Put { key, value },
                Errand::Get(key) => Operation::Get { key },
                Errand::Scan(start, end) => Operation::Scan { start, end, limit: 1000 },
            });
        }
        let group = self.rng.below(workload.keys.len() as u64) as usize;
        let key = self.rng.pick(&workload.keys[group])?.clone();
        Some(match self.rng.below(100) {
            0..35 => Operation::Get { key },
            35..68 => Operation::Put { key, value: self.pad(value) },
            68..76 => Operation::Delete { key },
            76..90 => {
                let expected = self.seen.get(&key).cloned().unwrap_or_default();
                Operation::CompareAndSwap { key, expected, value }
            }
            _ => {
                // To the end of the region as the client knows it; where it knows none, of the key alone.
                let just_behind = || Bytes::from([&key[..], b"\0"].concat());
                let end = self.region_of(&key, scheduler).map_or_else(just_behind, |region| region.end_key);
                Operation::Scan { start: key, end, limit: self.rng.within(1..=10) as usize }
            }
        })
    }

    /// The part of an operation that one region can serve, as far as the client knows.
    pub fn clip(&mut self, operation: Operation, scheduler: &SimScheduler) -> Operation {
        let Operation::Scan { start, end, limit } = operation else { return operation };
        let bound = self.region_of(&start, scheduler).map(|region| region.end_key).filter(|bound| !bound.is_empty());
        let end = bound.filter(|bound| end.is_empty() || *bound < end).unwrap_or(end);
        Operation::Scan { start, end, limit }
    }

    /// How long it rests between two operations, in microseconds; a tick takes `tick`.
    pub fn draw_pause(&mut self, tick: u64) -> u64 {
        match &mut self.work {
            Some(work) => work.draw_pause() * tick / 1000,
            None => self.rng.within(100..=40_000),
        }
    }

    /// The next thing to get done. A scan over several regions becomes several errands.
    fn next_errand(&mut self, scheduler: &SimScheduler) -> Option<Errand> {
        let errand = self.script.as_ref()?.front()?.clone();
        let Errand::Scan(start, end) = &errand else { return Some(errand) };
        let Some(region) = self.region_of(start, scheduler) else { return Some(errand) };
        if region.end_key.is_empty() || (!end.is_empty() && *end <= region.end_key) {
            return Some(errand);
        }
        let first = Errand::Scan(start.clone(), region.end_key.clone());
        let script = self.script.as_mut()?;
        script.pop_front();
        script.push_front(Errand::Scan(region.end_key, end.clone()));
        script.push_front(first.clone());
        Some(first)
    }

    /// The region of a key, as the client knows it or else as the scheduler does.
    fn region_of(&mut self, key: &[u8], scheduler: &SimScheduler) -> Option<Region> {
        let known = self.regions.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        let known = known.map(|(_, region)| region).filter(|region| contains_key(region, key)).cloned();
        known.or_else(|| {
            let (region, leader) = scheduler.find(key)?;
            self.know(region.clone());
            if let Some(leader) = leader {
                self.leaders.insert(region.id, leader);
            }
            Some(region)
        })
    }

    /// The region in which an operation takes place.
    pub fn region_of_operation(&mut self, operation: &Operation, scheduler: &SimScheduler) -> Option<Region> {
        self.region_of(place_of(operation), scheduler)
    }

    /// Takes a region in, in place of all that it overlaps.
    fn know(&mut self, region: Region) {
        let apart = |known: &Region| {
            (!known.end_key.is_empty() && known.end_key <= region.start_key)
                || (!region.end_key.is_empty() && region.end_key <= known.start_key)
        };
        self.regions.retain(|_, known| apart(known));
        self.regions.insert(region.start_key.clone(), region);
    }

    /// Now and then a value that fills a message or a batch by itself.
    fn pad(&mut self, value: Bytes) -> Bytes {
        if !self.rng.chance(20) {
            return value;
        }
        let mut padded = value.to_vec();
        padded.resize(padded.len() + self.rng.within(1_000..=10_000) as usize, b'.');
        padded.into()
    }

    /// The store to ask about `region`.
    pub fn choose_store(&mut self, region: &Region) -> u64 {
        let known = self.leaders.get(&region.id).copied();
        known.or_else(|| self.rng.pick(&region.peers).map(|peer| peer.store_id)).unwrap_or_default()
    }

    /// Learns from a reply whom to ask next.
    pub fn learn(&mut self, region: u64, store: u64, reply: &Reply) {
        if let Reply::Retry { cause, regions, .. } = reply {
            if *cause != "not leader" {
                self.regions.retain(|_, known| known.id != region);
            }
            regions.iter().for_each(|region| self.know(region.clone()));
        }
        match reply {
            Reply::Done(_) => {
                self.leaders.insert(region, store);
            }
            Reply::Retry { leader: Some(leader), .. } => {
                self.leaders.insert(region, *leader);
            }
            Reply::Retry { leader: None, .. } | Reply::InDoubt { .. } => {
                self.leaders.remove(&region);
            }
        }
    }

    /// Notes what an answer says about keys.
    pub fn remember(&mut self, operation: &Operation, answer: &Answer) {
        let (key, value) = match (operation, answer) {
            (Operation::Get { key }, Answer::Value(value)) => (key, value.clone()),
            (Operation::Put { key, value }, Answer::Done) => (key, Some(value.clone())),
            (Operation::Delete { key }, Answer::Done) => (key, None),
            (Operation::CompareAndSwap { key, value, .. }, Answer::Swapped { succeeded, previous }) => {
                (key, if *succeeded { Some(value.clone()) } else { previous.clone() })
            }
            _ => return,
        };
        self.seen.insert(key.clone(), value);
    }
}

/// The request that carries out a write; `None` for a read.
pub fn write_request(operation: &Operation) -> Option<Request> {
    let cf = Cf::Raw.name().to_owned();
    let mut request = Request::default();
    match operation {
        Operation::Put { key, value } => {
            request.cmd_type = CmdType::Put as i32;
            request.put = Some(PutRequest { cf, key: key.clone(), value: value::encode(value, value::NEVER) });
        }
        Operation::Delete { key } => {
            request.cmd_type = CmdType::Delete as i32;
            request.delete = Some(DeleteRequest { cf, key: key.clone() });
        }
        Operation::CompareAndSwap { key, expected, value } => {
            request.cmd_type = CmdType::CompareAndSwap as i32;
            request.compare_and_swap = Some(CompareAndSwapRequest {
                cf,
                key: key.clone(),
                value: value::encode(value, value::NEVER),
                previous_value: expected.clone().unwrap_or_default(),
                previous_not_exist: expected.is_none(),
                now: 1,
            });
        }
        Operation::Get { .. } | Operation::Scan { .. } => return None,
    }
    Some(request)
}

/// What a write's responses say.
pub fn written(operation: &Operation, result: raftstore::Result<Vec<Response>>) -> Reply {
    let responses = match result {
        Ok(responses) => responses,
        Err(error) => return refused(&error),
    };
    match (operation, responses.into_iter().next().and_then(|response| response.compare_and_swap)) {
        (Operation::CompareAndSwap { .. }, Some(swap)) => Reply::Done(Answer::Swapped {
            succeeded: swap.succeed,
            previous: (!swap.previous_not_exist).then_some(swap.previous_value),
        }),
        _ => Reply::Done(Answer::Done),
    }
}

/// Reads what was asked for from a region's snapshot.
pub fn read<S: Reader>(operation: &Operation, result: raftstore::Result<RegionSnapshot<S>>) -> Reply {
    match result {
        Ok(view) => Reply::Done(read_from(operation, &view.snapshot)),
        Err(error) => refused(&error),
    }
}

/// Reads what was asked for from any view of the data.
pub fn read_from(operation: &Operation, reader: &impl Reader) -> Answer {
    let plain = |stored: Bytes| value::live(&stored, 1).ok().flatten();
    match operation {
        Operation::Scan { start, end, limit } => {
            let upper = (!end.is_empty()).then_some(end.as_ref());
            let cursor = reader.cursor(Cf::Raw, Some(start), upper).expect("invariant: reading memory does not fail");
            let found = pairs(cursor).into_iter().filter_map(|(key, stored)| Some((key, plain(stored)?)));
            Answer::Pairs(found.take(*limit).collect())
        }
        other => {
            let key = other.key().expect("invariant: only scans have no key");
            let stored = reader.get(Cf::Raw, key).expect("invariant: reading memory does not fail");
            Answer::Value(stored.and_then(plain))
        }
    }
}

fn refused(error: &Error) -> Reply {
    let leader = match error {
        Error::NotLeader { leader, .. } => leader.as_ref().map(|peer| peer.store_id),
        _ => None,
    };
    let regions = match error {
        Error::EpochNotMatch { current } => current.clone(),
        _ => Vec::new(),
    };
    let cause = match error {
        Error::NotLeader { .. } => "not leader",
        Error::RegionNotFound { .. } => "region not found",
        Error::StaleCommand => "stale command",
        Error::EpochNotMatch { .. } => "epoch not match",
        Error::KeyNotInRegion { .. } => "key not in region",
        Error::ServerIsBusy { .. } => "server is busy",
        Error::ReadIndexNotReady { .. } => "read index not ready",
        _ => "other error",
    };
    if error.is_retryable() { Reply::Retry { cause, leader, regions } } else { Reply::InDoubt { cause } }
}
