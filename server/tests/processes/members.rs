//! Members of regions of a running cluster change by request, while the official client goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proto::metapb::{Peer, Region};

use crate::cluster::wait::wait_until;
use crate::cluster::{Cluster, Options, START_BOUND};
use crate::splits::{ctl, run};

const BOUND: Duration = Duration::from_secs(30);

fn key(number: u64) -> Vec<u8> {
    format!("{number:05}").into_bytes()
}

/// The first region and its leader, as the scheduler knows them.
async fn first_region(cluster: &Cluster) -> (Region, Peer) {
    wait_until("a leader of the first region", BOUND, || async {
        let (region, leader) = cluster.regions().await.into_iter().next().ok_or("no region")?;
        leader.filter(|leader| leader.id != 0).map(|leader| (region, leader)).ok_or("no leader".to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_come_and_go_and_leaders_are_handed_over_while_the_official_client_goes_on() {
    let settings = "[raftstore]\nmax-leader-missing = \"2s\"\n";
    let options = Options { stores: 4, store_config: Some(settings.to_owned()), ..Options::default() };
    let mut cluster = Cluster::start_with(options).await;
    let client = cluster.raw_client().await;
    for number in 0..100 {
        client.put(key(number), b"before".to_vec()).await.expect("put");
    }
    let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (client, stop, writes) = (cluster.raw_client().await, stop.clone(), writes.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = writes.fetch_add(1, Ordering::Relaxed) * 7 % 100;
                client.put(key(number), b"during".to_vec()).await.expect("a write while members change");
            }
        })
    };

    let (region, leader) = first_region(&cluster).await;
    let id = region.id.to_string();
    let other = region.peers.iter().find(|peer| peer.id != leader.id).expect("three peers").store_id.to_string();
    let done = run(&cluster, &["region", "transfer-leader", &id, &other]);
    assert!(done.contains("done"), "{done}");
    let (_, now) = first_region(&cluster).await;
    assert_eq!(now.store_id.to_string(), other);

    // The one that leads goes: another one leads first.
    run(&cluster, &["region", "remove-peer", &id, &other]);
    let (after, now) = first_region(&cluster).await;
    assert!(after.peers.len() == 2 && now.store_id.to_string() != other, "{after:?} {now:?}");
    assert_eq!(after.region_epoch.unwrap().conf_ver, region.region_epoch.unwrap().conf_ver + 1);
    let standing = run(&cluster, &["region", "operator", &id]);
    assert!(standing.contains("remove the peer") && standing.contains("done"), "{standing}");

    for wrong in [["remove-peer", &id, &other], ["transfer-leader", &id, "999"], ["remove-peer", "999999", "1"]] {
        let refused = ctl(&cluster, &["region", wrong[0], wrong[1], wrong[2]]);
        assert_eq!(refused.status.code(), Some(1), "{wrong:?}: {refused:?}");
    }
    // A store that has had nothing of the region gets all of it.
    let listed = run(&cluster, &["store", "list"]);
    let mut stores = listed.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let empty = stores.find(|store| region.peers.iter().all(|peer| peer.store_id != *store));
    let empty = empty.expect("four stores for three peers").to_string();
    run(&cluster, &["region", "add-peer", &id, &empty]);
    let (after, _) = first_region(&cluster).await;
    assert!(after.peers.len() == 3 && after.peers.iter().any(|peer| peer.store_id.to_string() == empty), "{after:?}");
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("the writer meets no error");
    eprintln!("{} writes while members changed", writes.load(Ordering::Relaxed));

    // What is left serves, also after everything was killed.
    for store in 0..cluster.len() {
        cluster.kill_store(store);
    }
    for store in 0..cluster.len() {
        cluster.start_store(store);
    }
    cluster.wait_serving(START_BOUND).await;
    let client = cluster.raw_client().await;
    client.put(key(0), b"after".to_vec()).await.expect("put");
    for number in 1..100 {
        let value = client.get(key(number)).await.expect("get").expect("the key is there");
        assert!(value == b"during" || value == b"before", "key {number}");
    }
    assert_eq!(client.get(key(0)).await.expect("get").as_deref(), Some(&b"after"[..]));
    cluster.assert_running();

    // With one of the old members gone, the new one's vote is needed.
    let old = after.peers.iter().find(|peer| peer.store_id.to_string() != empty).expect("two old members").store_id;
    run(&cluster, &["region", "transfer-leader", &id, &old.to_string()]);
    let leading = cluster.leader_store(&key(0)).await;
    cluster.kill_store(leading);
    // The official client does not ask again where a region is when a store is gone.
    cluster.locate(&key(1)).await;
    let client = cluster.raw_client().await;
    wait_until("a write with the new member", BOUND, || async {
        client.put(key(1), b"later".to_vec()).await.map_err(|error| error.to_string())
    })
    .await;
}
