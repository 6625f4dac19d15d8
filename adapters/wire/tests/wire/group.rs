//! The machine's messages in every version: what one side writes, the other reads.

use crate::support::{at, every_version, refusal, reply_to, request, response, serve, unframed};
use bytes::Bytes;
use handover_machine::{
    Api, ErrorCode, FindCoordinator, FoundCoordinator, LeaveGroup, Left, Node, OffsetFetch,
    OffsetsFetched, Request, Response,
};
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, OffsetFetchRequest,
    OffsetFetchResponse, offset_fetch_request::OffsetFetchRequestGroup,
};
use handover_wire::{WireError, decode_response, encode_group_request, encode_request};

#[test]
fn every_request_arrives_as_it_was_sent() {
    for (api, version) in every_version() {
        let sent = request(api, version);
        let (wire, _) = encode_group_request(&sent, version, 77, Some("test")).unwrap();
        let (arrived, _) = serve(unframed(wire)).unwrap();
        assert_eq!(arrived, [sent], "{api:?} {version}");
    }
}

#[test]
fn every_answer_arrives_as_it_was_sent() {
    for (api, version) in every_version() {
        let asked = request(api, version);
        let (_, sent) = encode_group_request(&asked, version, 77, None).unwrap();
        for answer in [
            response(api, version),
            refusal(api, version, ErrorCode::CoordinatorLoadInProgress),
            refusal(api, version, ErrorCode::Other(9_999)),
        ] {
            let wire = reply_to(&asked, version).encode(std::slice::from_ref(&answer)).unwrap();
            assert_eq!(sent.decode(unframed(wire)).unwrap(), answer, "{api:?} {version}");
        }
    }
}

#[test]
fn an_answer_to_another_request_is_not_taken() {
    let asked = request(Api::Heartbeat, 4);
    let (_, sent) = encode_group_request(&asked, 4, 78, None).unwrap();
    let answer = unframed(reply_to(&asked, 4).encode(&[response(Api::Heartbeat, 4)]).unwrap());
    assert_eq!(sent.decode(answer), Err(WireError::Correlation { expected: 78, got: 77 }));
}

#[test]
fn only_a_nameless_dynamic_member_may_be_asked_to_come_again() {
    for version in 0..=9 {
        let Request::JoinGroup(mut join) = request(Api::JoinGroup, version) else { panic!() };
        join.member = "".into();
        let mut dynamic = join.clone();
        dynamic.instance = None;
        for (join, required) in [(dynamic, version >= 4), (join, version == 4)] {
            let wire = encode_group_request(&Request::JoinGroup(join), version, 1, None).unwrap().0;
            let (requests, _) = serve(unframed(wire)).unwrap();
            let [Request::JoinGroup(arrived)] = &requests[..] else { panic!("{requests:?}") };
            assert_eq!(arrived.member_id_required, required, "version {version}");
        }
    }
}

#[test]
fn what_a_version_cannot_say_is_refused_and_not_dropped() {
    let refused = |request: &Request, version| {
        let refusal = encode_group_request(request, version, 1, None).unwrap_err();
        assert!(matches!(refusal, WireError::Unencodable { .. }), "{refusal}");
    };
    for (api, newest, old) in [
        (Api::JoinGroup, 9, 4),
        (Api::SyncGroup, 5, 2),
        (Api::Heartbeat, 4, 2),
        (Api::OffsetCommit, 9, 6),
        (Api::OffsetFetch, 9, 6), // require_stable
        (Api::LeaveGroup, 5, 2),  // two members
    ] {
        refused(&request(api, newest), old);
    }
    let all = OffsetFetch { group: "g".into(), partitions: None, require_stable: false };
    refused(&Request::OffsetFetch(all), 1);
    let Request::LeaveGroup(LeaveGroup { group, members }) = request(Api::LeaveGroup, 5) else {
        panic!()
    };
    let by_instance = vec![members[1].clone()];
    refused(&Request::LeaveGroup(LeaveGroup { group, members: by_instance }), 2);
}

#[test]
fn all_partitions_can_be_asked_for() {
    for version in 2..=9 {
        let all = OffsetFetch { group: "g".into(), partitions: None, require_stable: false };
        let all = Request::OffsetFetch(all);
        let wire = encode_group_request(&all, version, 1, None).unwrap().0;
        assert_eq!(serve(unframed(wire)).unwrap().0, [all], "version {version}");
    }
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let Request::JoinGroup(mut join) = request(Api::JoinGroup, 9) else { panic!() };
    join.reason = Some("é".repeat(300).into());
    let wire = encode_group_request(&Request::JoinGroup(join), 9, 1, None).unwrap().0;
    let (requests, _) = serve(unframed(wire)).unwrap();
    let [Request::JoinGroup(arrived)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(arrived.reason.as_deref(), Some(&*"é".repeat(255)));
}

#[test]
fn one_error_of_several_leavers_fits_an_old_answer() {
    let asked = request(Api::LeaveGroup, 1);
    let members = vec![("m-1".into(), None, ErrorCode::UnknownMemberId)];
    let left = Response::LeaveGroup(Left { error: ErrorCode::None, members });
    let wire = reply_to(&asked, 1).encode(&[left]).unwrap();
    let (_, sent) = encode_group_request(&asked, 1, 77, None).unwrap();
    let told = Left { error: ErrorCode::UnknownMemberId, members: vec![] };
    assert_eq!(sent.decode(unframed(wire)).unwrap(), Response::LeaveGroup(told));
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

#[test]
fn batched_coordinator_keys_are_several_requests_and_one_answer() {
    let keys = vec![text("a"), text("b")];
    for version in 4..=6 {
        let asked = FindCoordinatorRequest::default().with_coordinator_keys(keys.clone());
        let wire = encode_request(&asked, version, 3, None).unwrap();
        let (requests, reply) = serve(unframed(wire)).unwrap();
        let find = |group: &str| Request::FindCoordinator(FindCoordinator { group: group.into() });
        assert_eq!(requests, [find("a"), find("b")]);

        let node = Node { id: 1, host: "h".into(), port: 9092 };
        let found = FoundCoordinator { error: ErrorCode::None, node: Some(node) };
        let lost = FoundCoordinator { error: ErrorCode::CoordinatorNotAvailable, node: None };
        let answers = [Response::FindCoordinator(found), Response::FindCoordinator(lost)];
        let wire = unframed(reply.encode(&answers).unwrap());
        let answer = decode_response::<FindCoordinatorRequest>(wire, version, 3).unwrap();
        let told: Vec<_> =
            answer.coordinators.iter().map(|c| (&*c.key, c.error_code, c.port)).collect();
        assert_eq!(told, [("a", 0, 9092), ("b", 15, -1)]);
        assert!(reply.encode(&answers[..1]).is_err(), "an answer is missing");
    }
}

#[test]
fn a_coordinator_of_no_group_is_refused() {
    for version in 1..=6 {
        let asked = FindCoordinatorRequest::default().with_key_type(1);
        let asked = match version {
            ..4 => asked.with_key(text("transaction")),
            _ => asked.with_coordinator_keys(vec![text("transaction")]),
        };
        let (requests, reply) =
            serve(unframed(encode_request(&asked, version, 3, None).unwrap())).unwrap();
        assert_eq!(requests, []);
        let wire = unframed(reply.encode(&[]).unwrap());
        let answer: FindCoordinatorResponse =
            decode_response::<FindCoordinatorRequest>(wire, version, 3).unwrap();
        let error = answer.coordinators.first().map_or(answer.error_code, |one| one.error_code);
        assert_eq!(error, ErrorCode::InvalidRequest.code());
    }
}

#[test]
fn offsets_of_several_groups_are_several_requests_and_one_answer() {
    let group = |name| OffsetFetchRequestGroup::default().with_group_id(GroupId(text(name)));
    for version in 8..=9 {
        let all = group("b").with_topics(None);
        let asked = OffsetFetchRequest::default().with_groups(vec![group("a"), all]);
        let wire = encode_request(&asked, version, 3, None).unwrap();
        let (requests, reply) = serve(unframed(wire)).unwrap();
        let fetch = |group: &str, partitions| {
            let group = group.into();
            Request::OffsetFetch(OffsetFetch { group, partitions, require_stable: false })
        };
        assert_eq!(requests, [fetch("a", Some(vec![])), fetch("b", None)]);

        let fetched = |error| Response::OffsetFetch(OffsetsFetched { error, offsets: vec![] });
        let answers = [fetched(ErrorCode::None), fetched(ErrorCode::GroupAuthorizationFailed)];
        let wire = unframed(reply.encode(&answers).unwrap());
        let answer: OffsetFetchResponse =
            decode_response::<OffsetFetchRequest>(wire, version, 3).unwrap();
        let told: Vec<_> = answer.groups.iter().map(|g| (&**g.group_id, g.error_code)).collect();
        assert_eq!(told, [("a", 0), ("b", 30)]);
    }
}

#[test]
fn an_answer_about_another_group_is_not_taken() {
    for (api, newest) in [(Api::FindCoordinator, 6), (Api::OffsetFetch, 9)] {
        let asked = request(api, newest);
        let mut other = asked.clone();
        match &mut other {
            Request::FindCoordinator(find) => find.group = "other".into(),
            Request::OffsetFetch(fetch) => fetch.group = "other".into(),
            _ => panic!("{other:?}"),
        }
        let (_, sent) = encode_group_request(&asked, newest, 77, None).unwrap();
        let wire = reply_to(&other, newest).encode(&[response(api, newest)]).unwrap();
        let refusal = sent.decode(unframed(wire)).unwrap_err();
        assert!(refusal.to_string().contains("\"other\""), "{refusal}");
    }
}

#[test]
fn partitions_of_one_topic_that_stand_apart_are_gathered() {
    let partitions = vec![at("a", 0), at("b", 0), at("a", 1)];
    let fetch =
        OffsetFetch { group: "g".into(), partitions: Some(partitions), require_stable: false };
    let (wire, _) = encode_group_request(&Request::OffsetFetch(fetch), 9, 1, None).unwrap();
    let (requests, _) = serve(unframed(wire)).unwrap();
    let [Request::OffsetFetch(arrived)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(arrived.partitions, Some(vec![at("a", 0), at("a", 1), at("b", 0)]));
}

#[test]
fn an_answer_of_another_kind_is_refused() {
    for (api, version) in every_version() {
        let reply = reply_to(&request(api, version), version);
        let other = if api == Api::Heartbeat { Api::SyncGroup } else { Api::Heartbeat };
        assert!(reply.encode(&[response(other, 0)]).is_err(), "{api:?} {version}");
        assert!(reply.encode(&[]).is_err(), "{api:?} {version}");
    }
}

#[test]
fn a_request_that_is_none_of_the_group_can_be_tried_elsewhere() {
    let wire =
        encode_request(&handover_wire::codec::messages::MetadataRequest::default(), 9, 1, None);
    let refusal = serve(unframed(wire.unwrap())).unwrap_err();
    assert!(matches!(refusal, WireError::UnknownApi { .. }), "{refusal}");
    let unknown = Bytes::from_static(&[0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
    assert!(matches!(serve(unknown), Err(WireError::UnknownApi { .. })));
}
