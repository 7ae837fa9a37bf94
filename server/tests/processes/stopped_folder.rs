//! `tinykv-ctl raft`: the Raft state and log in the data folder of a store, while it is stopped and only then.

use std::path::Path;
use std::process::{Command, Output};

use crate::cluster::Cluster;

fn raft(data: &Path, arguments: &[&str]) -> Output {
    let (verb, rest) = arguments.split_first().expect("a verb");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-ctl"));
    command.args(["raft", verb, "--data"]).arg(data).args(rest);
    command.output().expect("run tinykv-ctl")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_stopped_store_shows_what_was_written() {
    let mut cluster = Cluster::start().await;
    let client = cluster.raw_client().await;
    client.put(b"apple".to_vec(), b"red".to_vec()).await.expect("put");
    client.delete(b"apple".to_vec()).await.expect("delete");
    let region = cluster.locate(b"apple").await.region.id;
    let leader = cluster.leader_store(b"apple").await;
    let data = cluster.data_dir(leader).to_path_buf();

    let running = refused(&raft(&data, &["state"]));
    assert!(running.contains("in use by another process"), "{running}");

    assert!(cluster.stop_store(leader).await.success());
    let states = printed(&raft(&data, &["state"]));
    assert!(states.starts_with(" REGION") && states.contains("Normal"), "{states}");
    assert_eq!(states.lines().count(), 3, "a line for each of the first regions below the header:\n{states}");
    let id = region.to_string();
    assert_eq!(printed(&raft(&data, &["state", "--region", &id])).lines().count(), 2);

    let log = printed(&raft(&data, &["log", "--region", &id]));
    let put = log.find("Put apple").unwrap_or_else(|| panic!("no put in\n{log}"));
    assert!(log[put..].contains("Delete apple"), "the delete comes after the put:\n{log}");
    assert_eq!(printed(&raft(&data, &["log", "--region", &id, "--limit", "1"])).lines().count(), 2);

    let unknown = refused(&raft(&data, &["log", "--region", "4711"]));
    assert!(unknown.contains("no record of region 4711"), "{unknown}");
    // Looking changes nothing: the store starts again and serves.
    cluster.start_store(leader);
    cluster.wait_serving(crate::cluster::START_BOUND).await;
    assert_eq!(client.get(b"apple".to_vec()).await.expect("get"), None);
}
