//! Garbage collection's safe points: below the cluster's one, old versions may be removed; services can ask to keep more.
//!
//! Invariants: the cluster's safe point never goes back; a service's request is accepted only where nothing it needs can be gone.
//! Both are on disk before the answer leaves.

use std::collections::BTreeMap;

use bytes::Bytes;
use storage::{Cf, Durability, Engine, WriteBatch};

use super::error::{Error, Result};
use super::records::{GC_SAFE_POINT, Records, SERVICES, put_message};

/// The service that drives garbage collection itself; its request never expires.
const GC_WORKER: &[u8] = b"gc_worker";

/// A service's wish to keep versions from a timestamp on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServiceSafePoint {
    /// The service's name.
    #[prost(bytes = "bytes", tag = "1")]
    pub service_id: Bytes,
    /// Versions at and above this timestamp are needed.
    #[prost(uint64, tag = "2")]
    pub safe_point: u64,
    /// When the wish lapses, in seconds since 1970; the largest number = never.
    #[prost(uint64, tag = "3")]
    pub expires_at: u64,
}

impl ServiceSafePoint {
    /// Seconds until it lapses, as the protocol writes it.
    pub fn ttl(&self, now_seconds: u64) -> i64 {
        match self.expires_at {
            u64::MAX => i64::MAX,
            expires_at => i64::try_from(expires_at.saturating_sub(now_seconds)).unwrap_or(i64::MAX),
        }
    }
}

/// What clients ask for at their start.
#[derive(Debug, Clone, PartialEq)]
pub struct GcState {
    /// The cluster's safe point.
    pub safe_point: u64,
    /// The wishes that have not lapsed.
    pub services: Vec<ServiceSafePoint>,
}

#[derive(Debug)]
pub(crate) struct SafePoints {
    safe_point: u64,
    services: BTreeMap<Bytes, ServiceSafePoint>,
}

impl SafePoints {
    pub(crate) fn load<E: Engine>(records: &Records<E>) -> Result<Self> {
        let services: Vec<ServiceSafePoint> = records.load_all(SERVICES)?;
        Ok(Self {
            safe_point: records.load_u64(GC_SAFE_POINT)?.unwrap_or(0),
            services: services.into_iter().map(|service| (service.service_id.clone(), service)).collect(),
        })
    }

    pub(crate) fn safe_point(&self) -> u64 {
        self.safe_point
    }

    /// Moves the cluster's safe point forward; an older one changes nothing. Returns the one that holds now.
    pub(crate) fn advance<E: Engine>(&mut self, records: &Records<E>, safe_point: u64) -> Result<u64> {
        if safe_point > self.safe_point {
            records.commit_u64(GC_SAFE_POINT, safe_point)?;
            self.safe_point = safe_point;
        }
        Ok(self.safe_point)
    }

    pub(crate) fn state(&self, now_seconds: u64) -> GcState {
        let alive = self.services.values().filter(|service| service.expires_at > now_seconds);
        GcState { safe_point: self.safe_point, services: alive.cloned().collect() }
    }

    /// Registers, renews or (with a `ttl` of 0 or less) withdraws a service's wish. Returns the wish with the smallest timestamp,
    /// from which the caller sees whether its own was accepted: one below the smallest was not.
    pub(crate) fn update_service<E: Engine>(
        &mut self,
        records: &Records<E>,
        service_id: &Bytes,
        safe_point: u64,
        ttl: i64,
        now_seconds: u64,
    ) -> Result<ServiceSafePoint> {
        if service_id.is_empty() {
            return Err(Error::invalid("a service safe point needs a service id"));
        }
        if service_id == GC_WORKER && ttl != i64::MAX {
            return Err(Error::invalid("the safe point of gc_worker must not expire"));
        }
        let key = Bytes::from([SERVICES, service_id].concat());
        let Ok(ttl @ 1..) = u64::try_from(ttl) else {
            let mut batch = WriteBatch::new();
            batch.delete(Cf::Default, key);
            records.commit(batch, Durability::Sync)?;
            self.services.remove(service_id);
            return Ok(self.smallest(now_seconds));
        };
        if safe_point < self.safe_point {
            let reason = format!("versions below {} may be gone already, {safe_point} was asked for", self.safe_point);
            return Err(Error::invalid(reason));
        }
        if safe_point >= self.smallest(now_seconds).safe_point {
            let expires_at = if ttl >= i64::MAX as u64 { u64::MAX } else { now_seconds.saturating_add(ttl) };
            let wish = ServiceSafePoint { service_id: service_id.clone(), safe_point, expires_at };
            let mut batch = WriteBatch::new();
            put_message(&mut batch, key, &wish);
            records.commit(batch, Durability::Sync)?;
            self.services.insert(service_id.clone(), wish);
        }
        Ok(self.smallest(now_seconds))
    }

    /// Without any wish it is garbage collection's own, at the cluster's safe point.
    fn smallest(&self, now_seconds: u64) -> ServiceSafePoint {
        let alive = self.services.values().filter(|service| service.expires_at > now_seconds);
        alive.min_by_key(|service| service.safe_point).cloned().unwrap_or_else(|| ServiceSafePoint {
            service_id: Bytes::from_static(GC_WORKER),
            safe_point: self.safe_point,
            expires_at: u64::MAX,
        })
    }
}
