//! Messages with every field set that a version has, and the way from frame to frame.

use bytes::{Bytes, BytesMut};
use handover_machine::{
    Api, ErrorCode, FetchedOffset, FindCoordinator, FoundCoordinator, Heartbeat, Identity,
    JoinGroup, Joined, JoinedMember, LeaveGroup, Leaver, Left, Name, Node, OffsetCommit,
    OffsetCommitted, OffsetFetch, OffsetToCommit, OffsetsFetched, Protocol, Request, Response,
    SyncGroup, Synced, TopicPartition,
};
use handover_wire::{
    FrameLimit, Reply, RequestHead, SPOKEN, WireError, decode_group_request, encode_group_request,
};

/// Every group API in every version that is spoken.
pub(crate) fn every_version() -> impl Iterator<Item = (Api, i16)> {
    Api::ALL.into_iter().flat_map(|api| {
        let range = SPOKEN.iter().find(|range| range.api.0 == api.key()).unwrap();
        (range.min..=range.max).map(move |version| (api, version))
    })
}

/// The one frame in what was to be written.
pub(crate) fn unframed(wire: Bytes) -> Bytes {
    let mut buffer = BytesMut::from(wire);
    let frame = FrameLimit::DEFAULT.split(&mut buffer).unwrap().unwrap();
    assert!(buffer.is_empty(), "one frame and nothing behind it");
    frame
}

pub(crate) fn serve(mut frame: Bytes) -> Result<(Vec<Request>, Reply), WireError> {
    let head = RequestHead::decode(&mut frame)?;
    decode_group_request(&head, frame)
}

/// The reply to `request`, as the broker has it after reading the request.
pub(crate) fn reply_to(request: &Request, version: i16) -> Reply {
    let (wire, _) = encode_group_request(request, version, 77, Some("test")).unwrap();
    serve(unframed(wire)).unwrap().1
}

fn name(text: &str) -> Name {
    Name::from(text)
}

/// An instance id from the version on that has room for it.
fn instance(version: i16, since: i16) -> Option<Name> {
    (version >= since).then(|| name("static-1"))
}

fn identity(version: i16, since: i16) -> Identity {
    Identity { member: name("m-1"), generation: 7, instance: instance(version, since) }
}

/// A request with all that `version` has room for.
pub(crate) fn request(api: Api, version: i16) -> Request {
    let group = name("gröup");
    match api {
        Api::FindCoordinator => Request::FindCoordinator(FindCoordinator { group }),
        Api::JoinGroup => Request::JoinGroup(JoinGroup {
            group,
            member: name("m-1"),
            instance: instance(version, 5),
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: if version == 0 { 45_000 } else { 300_000 },
            protocol_type: name("consumer"),
            protocols: vec![
                Protocol { name: name("range"), metadata: vec![0, 1, 2] },
                Protocol { name: name("sticky"), metadata: vec![] },
            ],
            reason: (version >= 8).then(|| name("because")),
            member_id_required: false,
        }),
        Api::SyncGroup => Request::SyncGroup(SyncGroup {
            group,
            identity: identity(version, 3),
            protocol_type: (version >= 5).then(|| name("consumer")),
            protocol: (version >= 5).then(|| name("range")),
            assignments: vec![(name("m-1"), vec![1; 200]), (name("m-2"), vec![])],
        }),
        Api::Heartbeat => Request::Heartbeat(Heartbeat { group, identity: identity(version, 3) }),
        Api::LeaveGroup => Request::LeaveGroup(leave(group, version)),
        Api::OffsetCommit => Request::OffsetCommit(commit(group, version)),
        Api::OffsetFetch => Request::OffsetFetch(OffsetFetch {
            group,
            partitions: Some(vec![at("a", 0), at("a", 5), at("b", 1)]),
            require_stable: version >= 7,
        }),
    }
}

fn leave(group: Name, version: i16) -> LeaveGroup {
    let reason = (version >= 5).then(|| name("closed"));
    let one = Leaver { member: name("m-1"), instance: instance(version, 3), reason };
    let other = Leaver { member: name(""), instance: Some(name("static-2")), reason: None };
    LeaveGroup { group, members: if version >= 3 { vec![one, other] } else { vec![one] } }
}

fn commit(group: Name, version: i16) -> OffsetCommit {
    let epoch = |epoch| if version >= 6 { epoch } else { -1 };
    let offset = |partition, offset, leader_epoch, metadata| OffsetToCommit {
        partition,
        offset,
        leader_epoch,
        metadata,
    };
    let offsets = vec![
        offset(at("a", 0), 10, epoch(3), Some(name("note"))),
        offset(at("a", 1), i64::MAX, -1, None),
        offset(at("b", 7), 0, epoch(0), Some(name(""))),
    ];
    OffsetCommit { group, identity: identity(version, 7), offsets }
}

pub(crate) fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// A good answer to [`request`] with all that `version` has room for.
pub(crate) fn response(api: Api, version: i16) -> Response {
    match api {
        Api::FindCoordinator => Response::FindCoordinator(FoundCoordinator {
            error: ErrorCode::None,
            node: Some(Node { id: 3, host: name("broker-3"), port: u16::MAX }),
        }),
        Api::JoinGroup => Response::JoinGroup(Joined {
            error: ErrorCode::None,
            generation: 8,
            protocol_type: (version >= 7).then(|| name("consumer")),
            protocol: Some(name("range")),
            leader: name("m-1"),
            member: name("m-1"),
            skip_assignment: version >= 9,
            members: vec![
                JoinedMember {
                    member: name("m-1"),
                    instance: instance(version, 5),
                    metadata: vec![9],
                },
                JoinedMember { member: name("m-2"), instance: None, metadata: vec![] },
            ],
        }),
        Api::SyncGroup => Response::SyncGroup(Synced {
            error: ErrorCode::None,
            protocol_type: (version >= 5).then(|| name("consumer")),
            protocol: (version >= 5).then(|| name("range")),
            assignment: vec![4; 300],
        }),
        Api::Heartbeat => Response::Heartbeat(ErrorCode::RebalanceInProgress),
        Api::LeaveGroup => {
            let members = vec![
                (name("m-1"), instance(version, 3), ErrorCode::None),
                (name(""), Some(name("static-2")), ErrorCode::UnknownMemberId),
            ];
            let members = if version >= 3 { members } else { vec![] };
            Response::LeaveGroup(Left { error: ErrorCode::None, members })
        }
        Api::OffsetCommit => Response::OffsetCommit(OffsetCommitted {
            partitions: vec![
                (at("a", 0), ErrorCode::None),
                (at("a", 1), ErrorCode::OffsetMetadataTooLarge),
                (at("b", 7), ErrorCode::Other(12_345)),
            ],
        }),
        Api::OffsetFetch => Response::OffsetFetch(fetched(version)),
    }
}

fn fetched(version: i16) -> OffsetsFetched {
    let offset = |partition, offset, epoch, metadata, error| FetchedOffset {
        partition,
        offset,
        leader_epoch: if version >= 5 { epoch } else { -1 },
        metadata,
        error,
    };
    let offsets = vec![
        offset(at("a", 0), 10, 3, Some(name("note")), ErrorCode::None),
        offset(at("a", 5), -1, -1, None, ErrorCode::None),
        offset(at("b", 1), -1, -1, Some(name("")), ErrorCode::TopicAuthorizationFailed),
    ];
    OffsetsFetched { error: ErrorCode::None, offsets }
}

/// The refusal of [`request`] as the coordinator words it, with `error`.
pub(crate) fn refusal(api: Api, version: i16, error: ErrorCode) -> Response {
    match api {
        Api::FindCoordinator => Response::FindCoordinator(FoundCoordinator { error, node: None }),
        Api::JoinGroup => Response::JoinGroup(Joined {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: name(""),
            member: name("m-new"),
            skip_assignment: false,
            members: vec![],
        }),
        Api::SyncGroup => Response::SyncGroup(Synced {
            error,
            protocol_type: None,
            protocol: None,
            assignment: vec![],
        }),
        Api::Heartbeat => Response::Heartbeat(error),
        Api::LeaveGroup => Response::LeaveGroup(Left { error, members: vec![] }),
        Api::OffsetCommit => {
            let partitions = [at("a", 0), at("a", 1), at("b", 7)].map(|at| (at, error)).to_vec();
            Response::OffsetCommit(OffsetCommitted { partitions })
        }
        Api::OffsetFetch => {
            // Version 1 has no error of the group: each partition asked for carries it.
            let refused = [at("a", 0), at("a", 5), at("b", 1)].map(|partition| FetchedOffset {
                partition,
                offset: -1,
                leader_epoch: -1,
                metadata: Some(name("")),
                error,
            });
            let offsets = if version == 1 { refused.to_vec() } else { vec![] };
            Response::OffsetFetch(OffsetsFetched { error, offsets })
        }
    }
}
