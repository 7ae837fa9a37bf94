//! Stores that were away for longer than the log reaches back.

use prost::Message;
use proto::raft_serverpb::{PeerState, RegionLocalState};
use raftstore::{Config, Error, keys, snapshot::SnapshotDir, store::Layout};
use storage::{Cf, Engine, Reader};

use crate::common::{Cluster, delete};

/// Ticks that a log waits for a member that restores a snapshot.
const WAIT: u64 = 60;

/// Three stores of which one is cut off and then misses more than the log keeps. Returns it and the leader.
fn one_falls_behind(layout: Layout) -> (Cluster, u64, u64) {
    let config = Config {
        log_gc_ticks: 5,
        log_gc_threshold: 10,
        log_gc_count_limit: 30,
        snapshot_wait_ticks: WAIT,
        ..Config::default()
    };
    let mut cluster = Cluster::with_config(layout, config);
    let leader = cluster.elect(None);
    let away = leader % 3 + 1;
    for i in 0..10 {
        cluster.must_put(&format!("old{i}"), "v");
    }
    cluster.tick(4);
    cluster.isolated.insert(away);
    let leader = cluster.elect(Some(away));
    for i in 0..10 {
        let answer = cluster.write(cluster.header(leader), vec![delete(&format!("old{i}"))]);
        cluster.settle();
        answer.take().unwrap().unwrap();
    }
    for i in 0..60 {
        cluster.must_put(&format!("k{i}"), &format!("v{i}"));
        cluster.tick(1);
    }
    (cluster, away, leader)
}

fn restored(cluster: &mut Cluster, store: u64) -> u64 {
    cluster.store(store).parts.as_ref().unwrap().router.metrics().snapshots_restored.get()
}

fn same_data(cluster: &mut Cluster, a: u64, b: u64) -> bool {
    let (a, b) = (cluster.store(a).engines.kv.clone(), cluster.store(b).engines.kv.clone());
    a.same_data(&b, &Cf::DATA)
}

fn region_state(cluster: &mut Cluster, store: u64) -> PeerState {
    let region = cluster.regions[0].id;
    let value = cluster.store(store).engines.kv.get(Cf::Raft, &keys::region_state(region)).unwrap().unwrap();
    RegionLocalState::decode(value).unwrap().state()
}

fn caught_up(cluster: &mut Cluster, away: u64, leader: u64) {
    for _ in 0..100 {
        cluster.tick(1);
        let leader = cluster.leader().unwrap_or(leader);
        if leader != away && same_data(cluster, away, leader) {
            return;
        }
    }
    panic!("store {away} does not catch up");
}

#[test]
fn a_store_that_missed_too_much_gets_a_snapshot_and_follows_again_2c() {
    for layout in [Layout::default(), Layout { log_writer: false, ..Layout::default() }] {
        let (mut cluster, away, leader) = one_falls_behind(layout);
        assert!(!same_data(&mut cluster, away, leader));
        cluster.isolated.clear();
        caught_up(&mut cluster, away, leader);
        assert_eq!(restored(&mut cluster, away), 1);
        assert_eq!(cluster.store(away).engines.kv.get(Cf::Raw, b"old1").unwrap(), None, "what was deleted stays so");
        assert_eq!(region_state(&mut cluster, away), PeerState::Normal);
        // It is a full member: the cluster goes on with it and without another one.
        let leader = cluster.leader().unwrap();
        let other = 6 - away - leader;
        cluster.crash(other, 0);
        cluster.must_put("later", "v");
        cluster.tick(4);
        assert!(same_data(&mut cluster, away, leader));
        // And it comes back with what it has.
        cluster.crash(away, 0);
        cluster.start(away);
        cluster.start(other);
        cluster.tick(30);
        cluster.must_put("last", "v");
        let leader = cluster.leader().unwrap();
        cluster.tick(4);
        assert!(same_data(&mut cluster, away, leader));
        assert_eq!(restored(&mut cluster, away), 0);
    }
}

/// What is committed here and not applied would be applied on top of the snapshot.
#[test]
fn a_snapshot_waits_for_what_is_still_to_be_applied_2c() {
    let config = Config { log_gc_ticks: 5, log_gc_threshold: 10, log_gc_count_limit: 30, ..Config::default() };
    let mut cluster = Cluster::with_config(Layout::default(), config);
    let leader = cluster.elect(None);
    let away = leader % 3 + 1;
    cluster.must_put("k", "before");
    cluster.tick(2);
    cluster.lazy.insert(away);
    cluster.must_put("k", "waits to be applied");
    cluster.tick(2);
    cluster.isolated.insert(away);
    for i in 0..60 {
        cluster.must_put("k", &format!("later {i}"));
        cluster.tick(1);
    }
    cluster.isolated.clear();
    cluster.tick(40);
    assert_eq!((region_state(&mut cluster, away), restored(&mut cluster, away)), (PeerState::Normal, 0));
    cluster.lazy.clear();
    caught_up(&mut cluster, away, leader);
    assert_eq!(restored(&mut cluster, away), 1);
}

#[test]
fn a_crash_at_any_step_of_a_snapshot_is_recovered_2c() {
    let mut seen_applying = 0;
    for steps in 0..40 {
        for survivors in [0, 3, 100] {
            let (mut cluster, away, leader) = one_falls_behind(Layout::default());
            cluster.isolated.clear();
            // Ticks bring the leader to send; then the steps of the receiver are counted.
            for _ in 0..200 {
                if cluster.store(away).dir.list().unwrap().iter().any(|name| name.starts_with("rev_")) {
                    break;
                }
                for store in &cluster.stores {
                    store.parts.as_ref().unwrap().router.tick();
                }
                for _ in 0..3 {
                    cluster.settle_step(None);
                }
            }
            for _ in 0..steps {
                cluster.settle_step(Some(away));
            }
            seen_applying += u32::from(region_state(&mut cluster, away) == PeerState::Applying);
            cluster.crash(away, survivors);
            cluster.start(away);
            assert_eq!(region_state(&mut cluster, away), PeerState::Normal, "step {steps}");
            caught_up(&mut cluster, away, leader);
        }
    }
    assert!(seen_applying > 0, "no crash fell into a snapshot");
}

/// How many more bytes would have been needed for the write that failed.
fn missing_bytes(error: &Error) -> u64 {
    let Error::Engine(storage::Error::DiskFull { message }) = error else { panic!("{error}") };
    let numbers: Vec<u64> = message.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    numbers[0] - numbers[1]
}

#[test]
fn a_crash_instead_of_any_write_of_a_snapshot_is_recovered() {
    // Every write of either engine fails in its turn, and the store crashes there: so between any two writes of the table of
    // writes, also those that one stage makes in one go.
    for layout in [Layout::default(), Layout { log_writer: false, ..Layout::default() }] {
        for of_kv in [true, false] {
            let (mut free, mut points, mut in_between) = (0, 0, 0);
            loop {
                let (mut cluster, away, leader) = one_falls_behind(layout);
                let engines = cluster.store(away).engines.clone();
                let faults = if of_kv { engines.kv.faults() } else { engines.raft.faults() };
                faults.set_free_bytes(Some(free));
                cluster.isolated.clear();
                let Some(error) = cluster.run_until_failure(away, |cluster| same_data(cluster, away, leader)) else {
                    break;
                };
                free += missing_bytes(&error);
                points += 1;
                faults.clear();
                cluster.crash(away, if points % 2 == 0 { 100 } else { 0 });
                in_between += u32::from(region_state(&mut cluster, away) == PeerState::Applying);
                cluster.start(away);
                assert_eq!(region_state(&mut cluster, away), PeerState::Normal, "write {points}");
                caught_up(&mut cluster, away, leader);
            }
            // Between Applying and Normal, the raft engine has one write, and the kv engine three: old data out, new data in, Normal.
            let expected = if of_kv { 3 } else { 1 };
            assert!(in_between >= expected && points >= in_between, "{in_between} of {points}, kv: {of_kv}");
        }
    }
}

#[test]
fn the_log_behind_a_snapshot_stays_while_it_is_restored_but_not_for_ever() {
    let (mut cluster, away, leader) = one_falls_behind(Layout::default());
    let region = cluster.regions[0].id;
    cluster.resting.insert(away);
    cluster.isolated.clear();
    let arrived = |cluster: &mut Cluster| {
        let files = cluster.store(away).dir.list().unwrap();
        let name =
            files.into_iter().find(|name| name.starts_with(&format!("rev_{region}_")) && name.ends_with(".meta"));
        name.and_then(|name| name.trim_end_matches(".meta").rsplit('_').next()?.parse::<u64>().ok())
    };
    let index = (0..100).find_map(|_| {
        cluster.tick(1);
        arrived(&mut cluster)
    });
    let index = index.expect("a snapshot arrives");
    let truncated = |cluster: &mut Cluster| {
        let statuses = cluster.store(leader).parts.as_ref().unwrap().router.statuses();
        statuses.iter().find(|status| status.region.id == region).unwrap().truncated
    };
    let write = |cluster: &mut Cluster, ticks: u64| {
        for i in 0..ticks {
            cluster.must_put(&format!("later{i}"), "v");
            cluster.must_put(&format!("later{i}"), "w");
            cluster.tick(1);
        }
    };
    write(&mut cluster, WAIT / 2);
    assert!(truncated(&mut cluster) <= index, "the member would need another snapshot");
    cluster.resting.clear();
    caught_up(&mut cluster, away, leader);
    assert_eq!(restored(&mut cluster, away), 1);
    // A member that takes too long is not waited for.
    let (mut cluster, away, leader) = one_falls_behind(Layout::default());
    cluster.resting.insert(away);
    cluster.isolated.clear();
    write(&mut cluster, 2 * WAIT);
    let statuses = cluster.store(leader).parts.as_ref().unwrap().router.statuses();
    let own = statuses.iter().find(|status| status.region.id == region).unwrap();
    assert!(own.last - own.truncated < 2 * WAIT, "{own:?}");
}

#[test]
fn a_restored_snapshot_is_removed_at_once() {
    let (mut cluster, away, leader) = one_falls_behind(Layout::default());
    cluster.isolated.clear();
    caught_up(&mut cluster, away, leader);
    assert_eq!(restored(&mut cluster, away), 1);
    let store = cluster.store(away);
    assert_eq!(store.engines.kv.table_names(), Ok(Vec::new()));
    assert_eq!(store.dir.list().unwrap(), Vec::<String>::new());
}

#[test]
fn a_damaged_snapshot_leads_to_another_one_2c() {
    let (mut cluster, away, leader) = one_falls_behind(Layout::default());
    cluster.isolated.clear();
    cluster.damage = true;
    caught_up(&mut cluster, away, leader);
    assert_eq!(restored(&mut cluster, away), 1);
    assert!(!cluster.damage, "the first one was damaged");
}

#[test]
fn a_snapshot_that_is_lost_while_it_is_restored_costs_the_replica_and_nothing_else_2c() {
    let (mut cluster, away, leader) = one_falls_behind(Layout::default());
    let region = cluster.regions[0].id;
    cluster.isolated.clear();
    for _ in 0..10_000 {
        if region_state(&mut cluster, away) == PeerState::Applying {
            break;
        }
        if !cluster.settle_step(None) {
            cluster.stores.iter().for_each(|store| store.parts.as_ref().unwrap().router.tick());
        }
    }
    assert_eq!(region_state(&mut cluster, away), PeerState::Applying);
    cluster.crash(away, 0);
    let kv = cluster.store(away).engines.kv.clone();
    let tables = kv.table_names().unwrap();
    assert_eq!(tables.len(), 1);
    kv.remove_tables(&tables[0]).unwrap();
    cluster.start(away);
    assert_eq!(region_state(&mut cluster, away), PeerState::Applying);
    let loaded = cluster.store(away).parts.as_ref().unwrap().router.region_ids();
    assert!(!loaded.contains(&region) && loaded.len() == 1, "the other region is served: {loaded:?}");
    cluster.tick(30);
    assert_eq!(cluster.leader(), Some(leader));
    cluster.must_put("k", "v");
}
