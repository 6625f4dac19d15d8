//! Bytes written down by hand from the message schemas of Apache Kafka
//! (`clients/src/main/resources/common/message`), so that both directions can't be wrong alike.

use bytes::Bytes;
use handover_machine::{
    Heartbeat, Identity, JoinGroup, OffsetCommit, OffsetToCommit, Protocol, Request, SyncGroup,
};
use handover_wire::encode_group_request;

use crate::support::{at, serve, unframed};

/// A request's frame: `header`, correlation id 1, client id `me`, then the parts of the body.
fn frame(header: [u8; 4], parts: &[&[u8]]) -> Bytes {
    let body = parts.iter().flat_map(|part| part.iter().copied());
    header.into_iter().chain(*b"\0\0\0\x01\0\x02me").chain(body).collect()
}

fn check(request: Request, version: i16, expected: Bytes) {
    let (wire, _) = encode_group_request(&request, version, 1, Some("me")).unwrap();
    assert_eq!(unframed(wire), expected);
    assert_eq!(serve(expected).unwrap().0, [request]);
}

fn identity(instance: Option<&str>) -> Identity {
    Identity { member: "m".into(), generation: 258, instance: instance.map(Into::into) }
}

#[test]
fn join_group_9() {
    let join = JoinGroup {
        group: "g".into(),
        member: "".into(),
        instance: None,
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), metadata: vec![0xaa, 0xbb] }],
        reason: Some("why".into()),
        member_id_required: true,
    };
    let parts: [&[u8]; 11] = [
        b"\0",             // the header's tagged fields: none
        b"\x02g",          // group: compact, length + 1
        b"\0\0\xaf\xc8",   // session timeout 45 000
        b"\0\x04\x93\xe0", // rebalance timeout 300 000
        b"\x01",           // member: empty
        b"\0",             // instance: null
        b"\x09consumer",   // protocol type
        b"\x02\x06range",  // one protocol, its name
        b"\x03\xaa\xbb\0", // its metadata, its tagged fields
        b"\x04why",        // reason
        b"\0",             // tagged fields
    ];
    check(Request::JoinGroup(join), 9, frame([0, 11, 0, 9], &parts));
}

#[test]
fn sync_group_5() {
    let sync = SyncGroup {
        group: "g".into(),
        identity: identity(Some("i")),
        protocol_type: Some("consumer".into()),
        protocol: None,
        assignments: vec![("m".into(), vec![7; 3]), ("n".into(), vec![])],
    };
    let parts: [&[u8]; 11] = [
        b"\0",
        b"\x02g",
        b"\0\0\x01\x02", // generation 258
        b"\x02m",        // member
        b"\x02i",        // instance
        b"\x09consumer", // protocol type
        b"\0",           // protocol: null
        b"\x03",         // two assignments
        b"\x02m\x04\x07\x07\x07\0",
        b"\x02n\x01\0",
        b"\0",
    ];
    check(Request::SyncGroup(sync), 5, frame([0, 14, 0, 5], &parts));
}

#[test]
fn offset_commit_8() {
    let offset = |partition, offset, leader_epoch, metadata: Option<&str>| OffsetToCommit {
        partition,
        offset,
        leader_epoch,
        metadata: metadata.map(Into::into),
    };
    let commit = OffsetCommit {
        group: "g".into(),
        identity: identity(None),
        offsets: vec![offset(at("t", 3), 65_536, 9, Some("note")), offset(at("t", 4), 0, -1, None)],
    };
    let parts: [&[u8]; 12] = [
        b"\0",
        b"\x02g",
        b"\0\0\x01\x02", // generation 258
        b"\x02m",
        b"\0",                           // instance: null
        b"\x02\x02t\x03",                // one topic, its name, two partitions
        b"\0\0\0\x03\0\0\0\0\0\x01\0\0", // partition 3, offset 65 536
        b"\0\0\0\x09\x05note\0",         // leader epoch, metadata, tagged fields
        b"\0\0\0\x04\0\0\0\0\0\0\0\0",
        b"\xff\xff\xff\xff\0\0", // no leader epoch, null metadata, tagged fields
        b"\0",                   // the topic's tagged fields
        b"\0",
    ];
    check(Request::OffsetCommit(commit), 8, frame([0, 8, 0, 8], &parts));
}

#[test]
fn heartbeat_3_is_not_compact() {
    let beat = Heartbeat { group: "g".into(), identity: identity(Some("i")) };
    let parts: [&[u8]; 4] = [b"\0\x01g", b"\0\0\x01\x02", b"\0\x01m", b"\0\x01i"];
    check(Request::Heartbeat(beat), 3, frame([0, 12, 0, 3], &parts));
}
