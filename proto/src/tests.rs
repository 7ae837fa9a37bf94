//! Golden encodings: bytes written out by hand, so that a field that changes its number or type fails here and not at a client.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;

use crate::{
    eraftpb, errorpb,
    kvrpcpb::{self, Context, RawPutRequest},
    metapb::{Peer, PeerRole, Region, RegionEpoch},
    pdpb, raft_cmdpb,
    raft_serverpb::{PeerState, RaftApplyState, RaftMessage, RaftTruncatedState, RegionLocalState},
    tikvpb::{BatchCommandsRequest, batch_commands_request},
};

/// Encodes `message`, compares with `golden`, and reads it back.
fn check<M: Message + Default + PartialEq + Debug>(message: M, golden: &[u8]) {
    let encoded = message.encode_to_vec();
    assert_eq!(encoded, golden, "encoding of {message:?}");
    assert_eq!(M::decode(golden).expect("golden bytes decode"), message);
}

fn peer(id: u64, store_id: u64) -> Peer {
    Peer { id, store_id, role: PeerRole::Voter as i32, is_witness: false }
}

#[test]
fn raw_put_request() {
    let request = RawPutRequest {
        context: Some(Context { region_id: 2, ..Default::default() }),
        key: Bytes::from_static(b"k"),
        value: Bytes::from_static(b"v"),
        cf: "default".into(),
        ttl: 300,
        for_cas: true,
    };
    check(request, b"\x0a\x02\x08\x02\x12\x01k\x1a\x01v\x22\x07default\x28\xac\x02\x30\x01");
}

#[test]
fn context() {
    let context = Context {
        region_id: 2,
        region_epoch: Some(RegionEpoch { conf_ver: 1, version: 3 }),
        peer: Some(peer(4, 5)),
        term: 6,
        replica_read: true,
        api_version: kvrpcpb::ApiVersion::V2 as i32,
        cluster_id: 7,
        ..Default::default()
    };
    let golden = b"\x08\x02\x12\x04\x08\x01\x10\x03\x1a\x04\x08\x04\x10\x05\x28\x06\x60\x01\xa8\x01\x02\x98\x02\x07";
    check(context, golden);
}

#[test]
fn region_error() {
    let leader = errorpb::NotLeader { region_id: 2, leader: Some(peer(4, 5)) };
    let error = errorpb::Error { message: "no".into(), not_leader: Some(leader), ..Default::default() };
    check(error, b"\x0a\x02no\x12\x08\x08\x02\x12\x04\x08\x04\x10\x05");

    let busy = errorpb::ServerIsBusy { reason: "r".into(), backoff_ms: 10, ..Default::default() };
    check(errorpb::Error { server_is_busy: Some(busy), ..Default::default() }, b"\x32\x05\x0a\x01r\x10\x0a");

    let mismatch = errorpb::MismatchPeerId { request_peer_id: 1, store_peer_id: 2 };
    let error = errorpb::Error { mismatch_peer_id: Some(mismatch), ..Default::default() };
    check(error, b"\xa2\x01\x04\x08\x01\x10\x02");
}

#[test]
fn region() {
    let region = Region {
        id: 2,
        start_key: Bytes::from_static(b"a"),
        end_key: Bytes::from_static(b"z"),
        region_epoch: Some(RegionEpoch { conf_ver: 1, version: 1 }),
        peers: vec![peer(3, 1)],
        ..Default::default()
    };
    check(region, b"\x08\x02\x12\x01a\x1a\x01z\x22\x04\x08\x01\x10\x01\x2a\x04\x08\x03\x10\x01");
}

#[test]
fn raft_message() {
    let entry = eraftpb::Entry {
        entry_type: eraftpb::EntryType::EntryConfChange as i32,
        term: 5,
        index: 6,
        data: Bytes::from_static(b"d"),
        ..Default::default()
    };
    let message = eraftpb::Message {
        msg_type: eraftpb::MessageType::MsgAppend as i32,
        to: 1,
        from: 2,
        term: 5,
        log_term: 4,
        index: 5,
        entries: vec![entry],
        commit: 3,
        reject: true,
        reject_hint: 9,
        ..Default::default()
    };
    let golden: &[u8] = b"\x08\x03\x10\x01\x18\x02\x20\x05\x28\x04\x30\x05\x3a\x09\x08\x01\x10\x05\x18\x06\x22\x01d\x40\x03\x50\x01\x58\x09";
    check(message.clone(), golden);

    let framed = RaftMessage {
        region_id: 2,
        from_peer: Some(peer(4, 5)),
        to_peer: Some(peer(6, 7)),
        message: Some(message),
        region_epoch: Some(RegionEpoch { conf_ver: 1, version: 1 }),
        is_tombstone: true,
        ..Default::default()
    };
    let mut expected = b"\x08\x02\x12\x04\x08\x04\x10\x05\x1a\x04\x08\x06\x10\x07\x22\x1d".to_vec();
    expected.extend_from_slice(golden);
    expected.extend_from_slice(b"\x2a\x04\x08\x01\x10\x01\x30\x01");
    check(framed, &expected);
}

#[test]
fn vote_request() {
    let message = eraftpb::Message {
        msg_type: eraftpb::MessageType::MsgRequestVote as i32,
        to: 1,
        from: 2,
        term: 5,
        commit: 3,
        deprecated_priority: 7,
        commit_term: 4,
        priority: 7,
        ..Default::default()
    };
    check(message, b"\x08\x05\x10\x01\x18\x02\x20\x05\x40\x03\x70\x07\x78\x04\x80\x01\x07");
}

#[test]
fn states_on_disk() {
    check(eraftpb::HardState { term: 6, vote: 1, commit: 5 }, b"\x08\x06\x10\x01\x18\x05");
    let apply = RaftApplyState {
        applied_index: 9,
        truncated_state: Some(RaftTruncatedState { index: 5, term: 5 }),
        ..Default::default()
    };
    check(apply, b"\x08\x09\x12\x04\x08\x05\x10\x05");
    let tombstone = RegionLocalState { state: PeerState::Tombstone as i32, ..Default::default() };
    check(tombstone, b"\x08\x02");
}

#[test]
fn commands_in_the_log() {
    let put =
        raft_cmdpb::PutRequest { cf: "raw".into(), key: Bytes::from_static(b"k"), value: Bytes::from_static(b"v") };
    let request =
        raft_cmdpb::Request { cmd_type: raft_cmdpb::CmdType::Put as i32, put: Some(put), ..Default::default() };
    check(request, b"\x08\x03\x22\x0b\x0a\x03raw\x12\x01k\x1a\x01v");

    let compact = raft_cmdpb::CompactLogRequest { compact_index: 10, compact_term: 6, voter_replicated_index: 0 };
    let admin = raft_cmdpb::AdminRequest {
        cmd_type: raft_cmdpb::AdminCmdType::CompactLog as i32,
        compact_log: Some(compact),
        ..Default::default()
    };
    check(admin, b"\x08\x03\x22\x04\x08\x0a\x10\x06");
}

#[test]
fn batch_of_commands() {
    let get = kvrpcpb::RawGetRequest { key: Bytes::from_static(b"k"), ..Default::default() };
    let batch = BatchCommandsRequest {
        requests: vec![batch_commands_request::Request {
            cmd: Some(batch_commands_request::request::Cmd::RawGet(get)),
        }],
        request_ids: vec![7],
        client_send_time_ns: 0,
    };
    check(batch, b"\x0a\x05\x6a\x03\x12\x01k\x12\x01\x07");
}

#[test]
fn timestamps() {
    let response = pdpb::TsoResponse {
        header: Some(pdpb::ResponseHeader { cluster_id: 1, error: None }),
        count: 2,
        timestamp: Some(pdpb::Timestamp { physical: 3, logical: 4, suffix_bits: 0 }),
    };
    check(response, b"\x0a\x02\x08\x01\x10\x02\x1a\x04\x08\x03\x10\x04");
}

#[test]
fn own_extension_compare_and_swap() {
    let swap = raft_cmdpb::CompareAndSwapRequest {
        cf: "raw".into(),
        key: Bytes::from_static(b"k"),
        value: Bytes::from_static(b"v"),
        previous_value: Bytes::from_static(b"p"),
        previous_not_exist: true,
        now: 9,
    };
    let request = raft_cmdpb::Request {
        cmd_type: raft_cmdpb::CmdType::CompareAndSwap as i32,
        compare_and_swap: Some(swap),
        ..Default::default()
    };
    check(request, b"\x08\x64\xa2\x06\x12\x0a\x03raw\x12\x01k\x1a\x01v\x22\x01p\x28\x01\x30\x09");

    let outcome = raft_cmdpb::CompareAndSwapResponse {
        succeed: true,
        previous_not_exist: true,
        previous_value: Bytes::from_static(b"p"),
    };
    let response = raft_cmdpb::Response {
        cmd_type: raft_cmdpb::CmdType::CompareAndSwap as i32,
        compare_and_swap: Some(outcome),
        ..Default::default()
    };
    check(response, b"\x08\x64\xa2\x06\x07\x08\x01\x10\x01\x1a\x01p");
}

#[test]
fn own_extension_bootstrap_regions() {
    let regions = vec![Region { id: 2, ..Default::default() }, Region { id: 3, ..Default::default() }];
    let request = pdpb::BootstrapRequest { header: None, store: None, region: Some(regions[0].clone()), regions };
    check(request, b"\x1a\x02\x08\x02\xa2\x06\x02\x08\x02\xa2\x06\x02\x08\x03");
}

#[test]
fn unknown_fields_are_skipped() {
    // Field 60000 (a string), then `ttl`: newer clients send what we do not know.
    let request = RawPutRequest::decode(&b"\x82\xa6\x1d\x03new\x28\x05"[..]).expect("unknown fields are no error");
    assert_eq!(request, RawPutRequest { ttl: 5, ..Default::default() });
}

#[test]
fn garbage_is_an_error() {
    assert!(RawPutRequest::decode(&b"\x0a\x7fgarbage"[..]).is_err());
}
