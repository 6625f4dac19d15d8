//! How a member gets in, moves on and falls out.

use crate::peer::{Peer, cooperative, eager, t};
use handover_machine::assign::Subscription;
use handover_machine::{
    Call, ErrorCode, Event, Input, JoinGroup, Joined, JoinedMember, Lane, LossReason, Output,
    Phase, Plan, Request, Response, Start, Unanswered,
};

fn join_out(peer: &Peer) -> JoinGroup {
    match peer.out(Lane::Join) {
        Some(Request::JoinGroup(join)) => join.clone(),
        other => panic!("{other:?}"),
    }
}

fn subscription(join: &JoinGroup) -> Subscription {
    Subscription::decode(&join.protocols[0].metadata).expect("our own bytes")
}

#[test]
fn a_subscription_leads_to_positions() {
    let mut peer = Peer::new(cooperative());
    peer.subscribe(&["t"]);
    peer.found();
    assert_eq!(&*join_out(&peer).member, "");
    peer.join_refused(ErrorCode::MemberIdRequired, "me");
    assert_eq!(&*join_out(&peer).member, "me");
    peer.joined(7);
    assert_eq!(peer.phase(), Phase::Syncing);
    peer.synced(&[t(0), t(1)]);
    assert_eq!(peer.phase(), Phase::Stable);
    peer.fetched(5, ErrorCode::None);
    let starts: Vec<Start> = peer
        .take()
        .into_iter()
        .filter_map(|output| match output {
            Output::Position { start, .. } => Some(start),
            _ => None,
        })
        .collect();
    assert_eq!(starts.len(), 2);
    assert!(matches!(starts[0], Start::Committed(mark) if mark.offset == 5));
    assert_eq!(peer.machine.status().identity.generation, 7);
}

#[test]
fn every_completed_rebalance_is_told_also_when_nothing_is_new() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    peer.run(100);
    peer.beaten(ErrorCode::RebalanceInProgress);
    assert_eq!(subscription(&join_out(&peer)).owned, [t(0)]);
    peer.joined(2);
    peer.synced(&[t(0)]);
    let assigned = Event::Assigned { generation: 2, leases: Vec::new() };
    assert!(peer.events().contains(&assigned));
}

#[test]
fn an_eager_member_hands_everything_over_before_it_joins() {
    let mut peer = Peer::member(eager(), &[t(0), t(1)]);
    let (lease, partition) = peer.leases()[0].clone();
    peer.run(100);
    peer.beaten(ErrorCode::RebalanceInProgress);
    assert!(peer.out(Lane::Join).is_none(), "holds are out");
    let commit = peer.commit(lease, &partition, 3);
    peer.release_all();
    assert!(peer.out(Lane::Join).is_none(), "a commit is not answered");
    peer.committed(ErrorCode::None);
    assert!(peer.commit_outcome(commit).is_committed());
    assert!(subscription(&join_out(&peer)).owned.is_empty());
    assert!(
        peer.events().iter().any(|e| matches!(e, Event::Revoked { leases } if leases.len() == 2))
    );
}

#[test]
fn a_cooperative_member_keeps_what_it_may_and_joins_again_for_the_rest() {
    let mut peer = Peer::member(cooperative(), &[t(0), t(1)]);
    let kept = peer.leases()[0].clone();
    peer.run(100);
    peer.beaten(ErrorCode::RebalanceInProgress);
    peer.joined(2);
    peer.synced(&[t(0)]);
    assert!(peer.out(Lane::Join).is_none(), "t-1 is still held");
    peer.release_all();
    assert_eq!(subscription(&join_out(&peer)).owned, [t(0)]);
    peer.joined(3);
    peer.synced(&[t(0)]);
    assert_eq!(peer.leases(), [kept], "the lease that stays is the same one");
}

#[test]
fn a_lease_that_comes_back_is_another_one() {
    let mut peer = Peer::member(eager(), &[t(0)]);
    let before = peer.leases()[0].0;
    peer.run(100);
    peer.beaten(ErrorCode::RebalanceInProgress);
    peer.release_all();
    peer.joined(2);
    peer.synced(&[t(0)]);
    assert_ne!(peer.leases()[0].0, before);
}

#[test]
fn a_lost_generation_loses_the_leases_and_keeps_the_id() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    peer.run(100);
    peer.beaten(ErrorCode::IllegalGeneration);
    let lost = peer.events();
    assert!(matches!(&lost[..], [Event::Lost { reason: LossReason::IllegalGeneration, .. }]));
    let join = join_out(&peer);
    assert_eq!(&*join.member, "me");
    assert_eq!(subscription(&join).owned, []);
    assert_eq!(subscription(&join).generation, -1);
}

#[test]
fn an_unknown_member_joins_with_no_id() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    peer.run(100);
    peer.beaten(ErrorCode::UnknownMemberId);
    assert_eq!(&*join_out(&peer).member, "");
    assert!(peer.leases().is_empty());
}

#[test]
fn a_heartbeat_of_the_generation_before_says_nothing_about_this_one() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    peer.run(100);
    // The beat is out; a commit learns of the rebalance first.
    assert!(matches!(peer.out(Lane::Control), Some(Request::Heartbeat(_))));
    peer.call(Call::Rejoin { reason: "a test".into() });
    peer.joined(2);
    peer.beaten(ErrorCode::IllegalGeneration);
    peer.synced(&[t(0)]);
    assert_eq!(peer.leases().len(), 1);
    assert_eq!(peer.phase(), Phase::Stable);
}

#[test]
fn a_commit_refused_for_its_generation_while_joining_costs_no_lease() {
    for error in [ErrorCode::IllegalGeneration, ErrorCode::UnknownMemberId] {
        let mut peer = Peer::member(cooperative(), &[t(0)]);
        let (lease, partition) = peer.leases()[0].clone();
        peer.call(Call::Rejoin { reason: "a test".into() });
        let commit = peer.commit(lease, &partition, 4);
        // The coordinator completed the join first; its answer is still on its way.
        peer.committed(error);
        peer.joined(2);
        peer.synced(&[t(0)]);
        assert_eq!(peer.leases(), [(lease, partition)], "{error}");
        while peer.out(Lane::Commit).is_none() {
            match peer.out(Lane::Control) {
                Some(_) => peer.beaten(ErrorCode::None),
                None => peer.wake(),
            }
        }
        peer.committed(ErrorCode::None);
        assert!(peer.commit_outcome(commit).is_committed());
    }
}

#[test]
fn a_subscription_changed_while_joining_brings_another_round() {
    let mut peer = Peer::new(cooperative());
    peer.subscribe(&["t"]);
    peer.found();
    peer.join_refused(ErrorCode::MemberIdRequired, "me");
    peer.subscribe(&["t", "u"]);
    peer.joined(1);
    peer.synced(&[t(0)]);
    assert_eq!(subscription(&join_out(&peer)).topics.len(), 2);
}

#[test]
fn a_leader_assigns_and_watches_the_topics() {
    let mut peer = Peer::new(cooperative());
    peer.subscribe(&["t"]);
    peer.found();
    peer.join_refused(ErrorCode::MemberIdRequired, "me");
    let join = join_out(&peer);
    let (name, metadata) = (join.protocols[0].name.clone(), join.protocols[0].metadata.clone());
    let joined = Joined {
        error: ErrorCode::None,
        generation: 1,
        protocol_type: Some("consumer".into()),
        protocol: Some(name.clone()),
        leader: "me".into(),
        member: "me".into(),
        skip_assignment: false,
        members: vec![JoinedMember { member: "me".into(), instance: None, metadata }],
    };
    peer.answer(Lane::Join, Ok(Response::JoinGroup(joined)));
    let (round, members) = peer
        .take()
        .into_iter()
        .find_map(|output| match output {
            Output::Assign { round, members, .. } => Some((round, members)),
            _ => None,
        })
        .expect("the leader is asked");
    let topics = [("t".into(), 2)].into();
    let plan: Plan = handover_machine::assign::plan(&name, &members, &topics).expect("a plan");
    peer.input(Input::Assigned { round, plan: Ok(plan) });
    let Some(Request::SyncGroup(sync)) = peer.out(Lane::Join) else { panic!() };
    let bytes = sync.assignments[0].1.clone();
    peer.sync_answered(ErrorCode::None, bytes);
    assert_eq!(peer.leases().len(), 2);
    peer.input(Input::Topics(topics));
    assert_eq!(peer.phase(), Phase::Stable, "nothing moved");
    peer.input(Input::Topics([("t".into(), 3)].into()));
    assert!(peer.out(Lane::Join).is_some(), "a partition was added");
}

#[test]
fn a_lost_join_keeps_the_id_and_asks_for_the_coordinator_again() {
    let mut peer = Peer::new(cooperative());
    peer.subscribe(&["t"]);
    peer.found();
    peer.join_refused(ErrorCode::MemberIdRequired, "me");
    peer.answer(Lane::Join, Err(Unanswered::Lost));
    peer.found();
    peer.wake();
    assert_eq!(&*join_out(&peer).member, "me");
}

#[test]
fn an_unreadable_assignment_is_no_assignment() {
    let mut peer = Peer::new(cooperative());
    peer.subscribe(&["t"]);
    peer.found();
    peer.join_refused(ErrorCode::MemberIdRequired, "me");
    peer.joined(1);
    peer.sync_answered(ErrorCode::None, vec![0, 1, 0xff, 0xff]);
    assert_eq!(peer.phase(), Phase::Preparing);
    assert!(peer.leases().is_empty());
}
