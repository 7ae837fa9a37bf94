//! What the scheduler keeps on disk, and under which keys.
//!
//! Everything lives in the default column family:
//!
//! | key | value |
//! |---|---|
//! | `cluster_id`, `id_window`, `tso_window`, `gc_safe_point` | u64, big-endian |
//! | `bootstrapped` | empty; present = yes |
//! | `config` | `metapb.Cluster`, only once a client has changed it |
//! | `store/` + id | `metapb.Store` |
//! | `region/` + id | `metapb.Region` |
//! | `service/` + service id | [`super::ServiceSafePoint`] |
//!
//! All writes go through [`Records::commit`]; a replicated scheduler would propose there.

use bytes::Bytes;
use prost::Message;
use storage::{Cf, Cursor, Durability, Engine, WriteBatch};

use super::error::{Error, Result};

pub(crate) const CLUSTER_ID: &[u8] = b"cluster_id";
pub(crate) const ID_WINDOW: &[u8] = b"id_window";
pub(crate) const TSO_WINDOW: &[u8] = b"tso_window";
pub(crate) const GC_SAFE_POINT: &[u8] = b"gc_safe_point";
pub(crate) const BOOTSTRAPPED: &[u8] = b"bootstrapped";
pub(crate) const CONFIG: &[u8] = b"config";
pub(crate) const STORES: &[u8] = b"store/";
pub(crate) const REGIONS: &[u8] = b"region/";
pub(crate) const SERVICES: &[u8] = b"service/";

/// The engine, seen as the scheduler's records.
#[derive(Clone)]
pub(crate) struct Records<E> {
    engine: E,
}

impl<E: Engine> Records<E> {
    pub(crate) fn new(engine: E) -> Self {
        Self { engine }
    }

    pub(crate) fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        Ok(self.engine.write(batch, durability)?)
    }

    /// Writes one number, durably.
    pub(crate) fn commit_u64(&self, key: &'static [u8], value: u64) -> Result<()> {
        let mut batch = WriteBatch::new();
        put_u64(&mut batch, key, value);
        self.commit(batch, Durability::Sync)
    }

    pub(crate) fn load_u64(&self, key: &[u8]) -> Result<Option<u64>> {
        let Some(value) = self.engine.get(Cf::Default, key)? else { return Ok(None) };
        let bytes: [u8; 8] = value.as_ref().try_into().map_err(|_| corrupted(key, "not eight bytes"))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    pub(crate) fn load_message<M: Message + Default>(&self, key: &[u8]) -> Result<Option<M>> {
        let Some(value) = self.engine.get(Cf::Default, key)? else { return Ok(None) };
        M::decode(value).map(Some).map_err(|error| corrupted(key, &error.to_string()))
    }

    pub(crate) fn exists(&self, key: &[u8]) -> Result<bool> {
        Ok(self.engine.get(Cf::Default, key)?.is_some())
    }

    /// Is there nothing at all?
    pub(crate) fn is_empty(&self) -> Result<bool> {
        let mut cursor = self.engine.cursor(Cf::Default, None, None)?;
        cursor.seek_to_first();
        let empty = !cursor.valid();
        cursor.status()?;
        Ok(empty)
    }

    /// All messages whose keys start with `prefix`, in key order.
    pub(crate) fn load_all<M: Message + Default>(&self, prefix: &'static [u8]) -> Result<Vec<M>> {
        // The prefixes end in '/', and '0' comes right after it.
        let mut end = prefix.to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let mut cursor = self.engine.cursor(Cf::Default, Some(prefix), Some(&end))?;
        cursor.seek_to_first();
        let mut messages = Vec::new();
        while cursor.valid() {
            let message = M::decode(cursor.value());
            messages.push(message.map_err(|error| corrupted(cursor.key(), &error.to_string()))?);
            cursor.next();
        }
        cursor.status()?;
        Ok(messages)
    }
}

/// The key of a numbered record.
pub(crate) fn key_of(prefix: &[u8], id: u64) -> Bytes {
    [prefix, &id.to_be_bytes()].concat().into()
}

pub(crate) fn put_u64(batch: &mut WriteBatch, key: &'static [u8], value: u64) {
    batch.put(Cf::Default, key, value.to_be_bytes().to_vec());
}

pub(crate) fn put_message<M: Message>(batch: &mut WriteBatch, key: Bytes, message: &M) {
    batch.put(Cf::Default, key, message.encode_to_vec());
}

fn corrupted(key: &[u8], reason: &str) -> Error {
    let message = format!("scheduler record {}: {reason}", key.escape_ascii());
    Error::Storage(storage::Error::Corrupted { message })
}
