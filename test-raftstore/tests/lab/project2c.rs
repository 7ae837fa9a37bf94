//! Project 2C: logs that are compacted, and stores that need a snapshot to catch up.

use test_raftstore::cluster::{Chaos, Cluster, PATIENCE, Setup, generic, run};

/// Entries after which logs are compacted.
const LOG_LIMIT: u64 = 10;

#[test]
fn one_snapshot_2c() {
    let setup = Setup { log_limit: Some(LOG_LIMIT), ..Setup::new(3) };
    run("one_snapshot_2c", &setup, |cluster| {
        let leader = cluster.leader("k1");
        let region = cluster.region("k1");
        for store in cluster.stores() {
            let (truncated, _) = cluster.truncated_and_applied(store, region.id).unwrap_or_default();
            cluster.expect_eq("where the log of a new region begins", truncated, 5);
        }
        cluster.put("k1", "v1");
        cluster.put("k2", "v2");
        let away = cluster.stores().into_iter().find(|store| *store != leader).unwrap_or_default();
        cluster.wait_stored(away, "k2", Some("v2"));

        // While a store is away, the log goes on without it.
        cluster.isolate(away);
        cluster.delete("k2");
        for number in 0..15 {
            cluster.put(&format!("n{number:02}"), "new");
        }
        cluster.leave_behind(away, "k1");
        cluster.expect_eq("data of the store that is away", cluster.stored(away, "k2").as_deref(), Some("v2"));

        // A snapshot brings what is new, and takes what is gone.
        let before = cluster.snapshots();
        cluster.reconnect();
        caught_up(cluster, away);
        assert!(cluster.snapshots() > before, "the store has caught up without a snapshot");

        cluster.crash(away);
        cluster.start_store(away);
        caught_up(cluster, away);
        cluster.put("after", "v");
        cluster.wait_stored(away, "after", Some("v"));
        cluster.wait("L-LOG-GC", "a log is longer than twice its limit", PATIENCE, |cluster| {
            let stores = cluster.stores().into_iter();
            let all: Vec<_> = stores.filter_map(|store| cluster.truncated_and_applied(store, region.id)).collect();
            all.len() == 3 && all.into_iter().all(|(truncated, applied)| applied - truncated <= 2 * LOG_LIMIT)
        });
    });
}

fn caught_up(cluster: &mut Cluster, store: u64) {
    for number in 0..15 {
        cluster.wait_stored(store, &format!("n{number:02}"), Some("new"));
    }
    cluster.wait_stored(store, "k1", Some("v1"));
    cluster.wait_stored(store, "k2", None);
}

#[test]
fn snapshot_recover_2c() {
    generic("snapshot_recover_2c", Chaos::none(1).crash().log_limit(20));
}

#[test]
fn snapshot_recover_many_clients_2c() {
    generic("snapshot_recover_many_clients_2c", Chaos::none(20).crash().log_limit(20));
}

#[test]
fn snapshot_unreliable_2c() {
    generic("snapshot_unreliable_2c", Chaos::none(5).unreliable().log_limit(20));
}

#[test]
fn snapshot_unreliable_recover_2c() {
    generic("snapshot_unreliable_recover_2c", Chaos::none(5).unreliable().crash().log_limit(20));
}

#[test]
fn snapshot_unreliable_recover_concurrent_partition_2c() {
    let chaos = Chaos::none(5).unreliable().crash().partitions().log_limit(20);
    generic("snapshot_unreliable_recover_concurrent_partition_2c", chaos);
}
