//! The group APIs: joining, committing, waiting, and being at the wrong node.

use handover_broker::{Api, Broker, GroupState, Mark, TopicPartition};
use handover_machine::{
    ErrorCode, FindCoordinator, Heartbeat, Identity, JoinGroup, LeaveGroup, Leaver, Name,
    OffsetCommit, OffsetFetch, OffsetToCommit, Protocol, Request, Response, SyncGroup,
};

use crate::client::Client;

pub(crate) fn identity(member: &str, generation: i32) -> Identity {
    Identity { member: Name::from(member), generation, instance: None }
}

pub(crate) fn join_request(group: &str, member: &str) -> Request {
    // A ConsumerProtocolSubscription of version 0: no topics, no user data.
    let protocol = Protocol { name: Name::from("range"), metadata: vec![0; 10] };
    Request::JoinGroup(JoinGroup {
        group: Name::from(group),
        member: Name::from(member),
        instance: None,
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: Name::from("consumer"),
        protocols: vec![protocol],
        reason: None,
        member_id_required: true,
    })
}

/// Joins and syncs as the only member; the member id and the generation.
pub(crate) async fn join(client: &mut Client, group: &str) -> (Name, i32) {
    join_at(client, group, [9, 5]).await
}

/// The same with these versions of JoinGroup and SyncGroup.
async fn join_at(client: &mut Client, group: &str, versions: [i16; 2]) -> (Name, i32) {
    let mut member = Name::default();
    let joined = loop {
        let request = join_request(group, &member);
        let Response::JoinGroup(joined) = client.group(request, versions[0]).await else {
            panic!()
        };
        member = joined.member.clone();
        if joined.error != ErrorCode::MemberIdRequired {
            break joined;
        }
    };
    assert_eq!(joined.error, ErrorCode::None);
    let sync = Request::SyncGroup(SyncGroup {
        group: Name::from(group),
        identity: identity(&member, joined.generation),
        protocol_type: Some(Name::from("consumer")),
        protocol: Some(Name::from("range")),
        assignments: vec![(member.clone(), vec![1, 2, 3])],
    });
    let Response::SyncGroup(synced) = client.group(sync, versions[1]).await else { panic!() };
    assert_eq!((synced.error, synced.assignment), (ErrorCode::None, vec![1, 2, 3]));
    (member, joined.generation)
}

pub(crate) async fn leave(client: &mut Client, group: &str, member: &str) {
    leave_at(client, group, member, 5).await;
}

async fn leave_at(client: &mut Client, group: &str, member: &str, version: i16) {
    let request = leave_request(group, member);
    let Response::LeaveGroup(left) = client.group(request, version).await else { panic!() };
    assert_eq!(left.error, ErrorCode::None);
}

pub(crate) fn leave_request(group: &str, member: &str) -> Request {
    let leaver = Leaver { member: Name::from(member), instance: None, reason: None };
    Request::LeaveGroup(LeaveGroup { group: Name::from(group), members: vec![leaver] })
}

pub(crate) async fn heartbeat(
    client: &mut Client,
    group: &str,
    identity: Identity,
    version: i16,
) -> ErrorCode {
    let request = heartbeat_request(group, identity);
    let Response::Heartbeat(error) = client.group(request, version).await else { panic!() };
    error
}

pub(crate) fn heartbeat_request(group: &str, identity: Identity) -> Request {
    Request::Heartbeat(Heartbeat { group: Name::from(group), identity })
}

pub(crate) fn commit_request(
    group: &str,
    identity: Identity,
    partition: i32,
    offset: i64,
) -> Request {
    let offset = OffsetToCommit {
        partition: TopicPartition::new("orders", partition),
        offset,
        leader_epoch: 3,
        metadata: Some(Name::from("note")),
    };
    Request::OffsetCommit(OffsetCommit {
        group: Name::from(group),
        identity,
        offsets: vec![offset],
    })
}

/// Commits `offset` for a partition of `orders`; the partition's error.
pub(crate) async fn commit_of(
    client: &mut Client,
    group: &str,
    identity: Identity,
    partition: i32,
    offset: i64,
) -> ErrorCode {
    let request = commit_request(group, identity, partition, offset);
    let Response::OffsetCommit(answer) = client.group(request, 9).await else { panic!() };
    answer.partitions[0].1
}

#[tokio::test]
async fn a_member_lives_and_leaves_in_the_lowest_and_highest_versions() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    // JoinGroup, SyncGroup, Heartbeat, OffsetCommit, OffsetFetch, LeaveGroup, FindCoordinator.
    for versions in [[0, 0, 0, 2, 1, 0, 0], [9, 5, 4, 9, 9, 5, 6]] {
        let [join, sync, beat, commit, fetch, leave, find] = versions;
        let request = Request::FindCoordinator(FindCoordinator { group: Name::from("billing") });
        let Response::FindCoordinator(found) = client.group(request, find).await else { panic!() };
        assert_eq!(found.node, Some(broker.nodes()[0].clone()));
        let (member, generation) = join_at(&mut client, "billing", [join, sync]).await;
        let me = || identity(&member, generation);
        assert_eq!(heartbeat(&mut client, "billing", me(), beat).await, ErrorCode::None);
        let late = identity(&member, generation + 1);
        assert_eq!(
            heartbeat(&mut client, "billing", late, beat).await,
            ErrorCode::IllegalGeneration
        );

        let request = commit_request("billing", me(), 0, i64::from(generation));
        let Response::OffsetCommit(answer) = client.group(request, commit).await else { panic!() };
        assert_eq!(answer.partitions[0].1, ErrorCode::None);
        let request = Request::OffsetFetch(OffsetFetch {
            group: Name::from("billing"),
            partitions: Some(vec![TopicPartition::new("orders", 0)]),
            require_stable: false,
        });
        let Response::OffsetFetch(fetched) = client.group(request, fetch).await else { panic!() };
        assert_eq!(fetched.offsets[0].offset, i64::from(generation));
        assert_eq!(fetched.offsets[0].metadata, Some(Name::from("note")));
        leave_at(&mut client, "billing", &member, leave).await;
        assert_eq!(broker.group("billing").unwrap().state, GroupState::Empty);
    }
    let mark = broker.committed("billing")[&TopicPartition::new("orders", 0)];
    assert_eq!(mark.leader_epoch, 3);
}

#[tokio::test]
async fn a_commit_for_a_partition_that_is_not_there_is_refused_alone() {
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let to_commit = |topic: &str, partition| OffsetToCommit {
        partition: TopicPartition::new(topic, partition),
        offset: 5,
        leader_epoch: -1,
        metadata: None,
    };
    let offsets = vec![to_commit("orders", 9), to_commit("orders", 1), to_commit("lost", 0)];
    let group = Name::from("billing");
    let request =
        Request::OffsetCommit(OffsetCommit { group, identity: identity("", -1), offsets });
    let Response::OffsetCommit(answer) = client.group(request, 9).await else { panic!() };
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let expected = [("orders", 9, unknown), ("orders", 1, ErrorCode::None), ("lost", 0, unknown)];
    let expected = expected.map(|(topic, at, error)| (TopicPartition::new(topic, at), error));
    assert_eq!(answer.partitions, expected);
    assert_eq!(broker.committed("billing").len(), 1);
}

/// The franz-go bug's ground: a join that is parked must not hold a commit on another connection.
#[tokio::test]
async fn a_parked_join_holds_its_own_connection_and_no_other() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut joining = Client::connect(&broker).await;
    let mut committing = Client::connect(&broker).await;
    let (member, generation) = join(&mut joining, "billing").await;
    // A second member makes the group rebalance; the first rejoins and is answered, the second
    // waits for it, parked.
    let mut second = Client::connect(&broker).await;
    let parked = tokio::spawn(async move { join(&mut second, "billing").await });
    let preparing = |broker: &Broker| {
        broker.group("billing").is_some_and(|group| group.state == GroupState::PreparingRebalance)
    };
    broker.until(preparing).await;
    let me = identity(&member, generation);
    assert_eq!(
        heartbeat(&mut committing, "billing", me.clone(), 4).await,
        ErrorCode::RebalanceInProgress
    );
    assert_eq!(commit_of(&mut committing, "billing", me, 0, 42).await, ErrorCode::None);
    assert_eq!(
        broker.committed("billing")[&TopicPartition::new("orders", 0)],
        Mark { offset: 42, leader_epoch: 3 }
    );
    assert!(!parked.is_finished());
    assert_eq!(broker.awaited("billing"), std::slice::from_ref(&member));
    leave(&mut committing, "billing", &member).await;
    let (other, _) = parked.await.unwrap();
    assert_ne!(other, member);
}

/// What was written before the connection closed is served, behind the request that waits.
#[tokio::test]
async fn a_commit_behind_a_parked_fetch_lands_after_its_connection_closed() {
    use handover_wire::codec::messages::FetchRequest;
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut straggler = Client::connect(&broker).await;
    let held = broker.faults().on(Api::Fetch).hold();
    straggler.send(&FetchRequest::default(), 12).await;
    straggler.send_group(commit_request("billing", identity("", -1), 0, 100), 9).await;
    held.hit().await;
    drop(straggler);

    let mut client = Client::connect(&broker).await;
    assert_eq!(commit_of(&mut client, "billing", identity("", -1), 0, 200).await, ErrorCode::None);
    held.remove();
    broker.requested(Api::OffsetCommit, 2).await;
    let at = TopicPartition::new("orders", 0);
    broker.until(|broker| broker.committed("billing")[&at].offset == 100).await;
}

#[tokio::test]
async fn a_session_ends_by_the_clock() {
    let broker = Broker::start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let Request::JoinGroup(mut request) = join_request("billing", "") else { panic!() };
    request.session_timeout_ms = 50;
    let Response::JoinGroup(joined) = client.group(Request::JoinGroup(request), 3).await else {
        panic!()
    };
    assert_eq!(joined.error, ErrorCode::None);
    broker
        .until(|broker| broker.group("billing").is_some_and(|group| group.members.is_empty()))
        .await;
}

#[tokio::test]
async fn only_the_coordinator_serves_a_group() {
    let broker = Broker::builder().nodes(3).topic("orders", 1).start().await.unwrap();
    let coordinator = broker.coordinator("billing").unwrap();
    let mut there = Client::connect_to(&broker, coordinator).await;
    let elsewhere = coordinator % 3 + 1;
    let mut other = Client::connect_to(&broker, elsewhere).await;
    let nobody = || identity("", -1);
    assert_eq!(commit_of(&mut there, "billing", nobody(), 0, 1).await, ErrorCode::None);
    assert_eq!(commit_of(&mut other, "billing", nobody(), 0, 2).await, ErrorCode::NotCoordinator);

    broker.move_coordinator("billing", elsewhere).unwrap();
    assert_eq!(broker.coordinator("billing"), Some(elsewhere));
    assert_eq!(commit_of(&mut there, "billing", nobody(), 0, 3).await, ErrorCode::NotCoordinator);
    assert_eq!(commit_of(&mut other, "billing", nobody(), 0, 4).await, ErrorCode::None);
    let request = Request::FindCoordinator(FindCoordinator { group: Name::from("billing") });
    let Response::FindCoordinator(found) = there.group(request, 6).await else { panic!() };
    assert_eq!(found.node.unwrap().id, elsewhere);
}

#[tokio::test]
async fn a_move_answers_parked_joins_and_keeps_offsets() {
    let broker = Broker::builder().nodes(2).topic("orders", 1).start().await.unwrap();
    let home = broker.coordinator("billing").unwrap();
    let mut first = Client::connect_to(&broker, home).await;
    let (member, generation) = join(&mut first, "billing").await;
    let me = identity(&member, generation);
    assert_eq!(commit_of(&mut first, "billing", me.clone(), 0, 9).await, ErrorCode::None);
    let mut second = Client::connect_to(&broker, home).await;
    // Below version 4 the join is parked at once, without an id in between.
    let parked = tokio::spawn(async move { second.group(join_request("billing", ""), 3).await });
    broker
        .until(|broker| broker.group("billing").is_some_and(|group| group.members.len() == 2))
        .await;

    broker.move_coordinator("billing", 3 - home).unwrap();
    let Response::JoinGroup(answer) = parked.await.unwrap() else { panic!() };
    assert_eq!(answer.error, ErrorCode::NotCoordinator);
    let mut again = Client::connect_to(&broker, 3 - home).await;
    assert_eq!(heartbeat(&mut again, "billing", me, 4).await, ErrorCode::None, "from its record");
    assert_eq!(broker.group("billing").unwrap().members.len(), 1);
    assert_eq!(broker.committed("billing").len(), 1);
}
