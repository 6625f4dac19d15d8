//! Leaving and closing, from every state, always in bounded time.

use std::time::Duration;

use crate::peer::{Peer, cooperative, t};
use handover_machine::{
    Call, CloseOptions, CloseReport, Config, ErrorCode, Lane, Leave, LeaveOutcome, Outcome,
    PartitionOutcome, Phase, Request, TicketId, Unanswered,
};

fn report(peer: &mut Peer, close: TicketId) -> CloseReport {
    match peer.outcome(close) {
        Outcome::Closed(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_close_drains_commits_and_leaves_in_that_order() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    let (lease, partition) = peer.leases()[0].clone();
    let close = peer.close();
    assert!(peer.out(Lane::Control).is_none(), "a hold is out");
    let commit = peer.commit(lease, &partition, 4);
    peer.release_all();
    assert!(peer.out(Lane::Control).is_none(), "the commit is not answered");
    peer.committed(ErrorCode::None);
    assert!(matches!(peer.out(Lane::Control), Some(Request::LeaveGroup(_))));
    peer.left(ErrorCode::None);
    assert!(peer.commit_outcome(commit).is_committed());
    let report = report(&mut peer, close);
    assert_eq!(report.leave, LeaveOutcome::Left);
    assert!(report.is_clean());
    assert!(peer.machine.is_closed());
}

#[test]
fn a_close_with_a_parked_join_leaves_by_the_other_lane() {
    let mut peer = Peer::member(cooperative(), &[]);
    peer.call(Call::Rejoin { reason: "a test".into() });
    assert_eq!(peer.phase(), Phase::Joining);
    let close = peer.close();
    assert!(peer.out(Lane::Join).is_some());
    peer.left(ErrorCode::None);
    assert!(report(&mut peer, close).is_clean());
}

#[test]
fn a_close_before_the_first_id_is_known_gives_the_id_back() {
    let mut peer = Peer::new(cooperative());
    peer.subscribe(&["t"]);
    peer.found();
    let close = peer.close();
    assert!(peer.try_outcome(close).is_none(), "an id may be on its way");
    peer.join_refused(ErrorCode::MemberIdRequired, "me");
    let Some(Request::LeaveGroup(leave)) = peer.out(Lane::Control) else { panic!() };
    assert_eq!(&*leave.members[0].member, "me");
    peer.left(ErrorCode::None);
    assert!(report(&mut peer, close).is_clean());
}

/// Every state that a close can meet, made afresh.
fn states() -> Vec<(&'static str, Peer)> {
    let member = || Peer::member(cooperative(), &[t(0)]);
    let new = || Peer::new(cooperative());
    let mut states = vec![("idle", new()), ("stable", member())];
    let mut discovering = new();
    discovering.subscribe(&["t"]);
    states.push(("discovering", discovering));
    let mut joining = new();
    joining.subscribe(&["t"]);
    joining.found();
    states.push(("joining", joining));
    let mut known = new();
    known.subscribe(&["t"]);
    known.found();
    known.join_refused(ErrorCode::MemberIdRequired, "me");
    states.push(("joining with an id", known));
    let mut syncing = new();
    syncing.subscribe(&["t"]);
    syncing.found();
    syncing.join_refused(ErrorCode::MemberIdRequired, "me");
    syncing.joined(1);
    states.push(("syncing", syncing));
    let mut rejoining = member();
    rejoining.call(Call::Rejoin { reason: "a test".into() });
    states.push(("rejoining with leases", rejoining));
    let mut draining = member();
    draining.subscribe(&["u"]);
    states.push(("draining", draining));
    let mut failed = member();
    failed.run(60);
    failed.beaten(ErrorCode::GroupAuthorizationFailed);
    states.push(("failed", failed));
    let mut committing = member();
    let (lease, partition) = committing.leases()[0].clone();
    committing.commit(lease, &partition, 9);
    states.push(("committing", committing));
    states
}

#[test]
fn a_close_is_bounded_in_every_state_by_a_coordinator_that_never_answers() {
    for (name, mut peer) in states() {
        let start = peer.now;
        let deadline = Duration::from_secs(7);
        let close = peer.call(Call::Close(CloseOptions { deadline, leave: Leave::Default }));
        let mut closed = peer.try_outcome(close);
        while closed.is_none() {
            peer.wake();
            closed = peer.try_outcome(close);
        }
        assert!(peer.now <= start + deadline, "{name}: closed at {:?}", peer.now);
        assert!(peer.machine.is_closed(), "{name}");
        assert!(peer.leases().is_empty(), "{name}");
    }
}

#[test]
fn a_close_ends_in_every_state_when_nothing_can_be_sent() {
    for (name, mut peer) in states() {
        let close = peer.close();
        let mut closed = peer.try_outcome(close);
        let mut steps = 0;
        while closed.is_none() {
            steps += 1;
            assert!(steps < 2_000, "{name}: {:?}", peer.machine.status());
            let busy = Lane::ALL.into_iter().find(|lane| peer.out(*lane).is_some());
            match busy {
                Some(lane) => peer.answer(lane, Err(Unanswered::NotSent)),
                None => peer.wake(),
            }
            closed = peer.try_outcome(close);
        }
    }
}

#[test]
fn a_close_says_who_was_still_holding() {
    let mut peer = Peer::member(cooperative(), &[t(0), t(1)]);
    let held = peer.leases()[1].clone();
    let close = peer.close();
    let first = peer.leases()[0].0;
    peer.input(handover_machine::Input::Drained { lease: first, mark: None });
    while !matches!(peer.out(Lane::Control), Some(Request::LeaveGroup(_))) {
        match peer.out(Lane::Control) {
            Some(Request::Heartbeat(_)) => peer.beaten(ErrorCode::None),
            _ => peer.wake(),
        }
    }
    peer.left(ErrorCode::None);
    assert_eq!(report(&mut peer, close).overrun, [held.1]);
}

#[test]
fn closing_twice_is_one_close_and_a_dropped_close_goes_on() {
    let mut peer = Peer::member(cooperative(), &[]);
    let first = peer.close();
    peer.input(handover_machine::Input::Cancel(first));
    assert_eq!(peer.outcome(first), Outcome::Withdrawn);
    let second = peer.close();
    let third = peer.close();
    peer.left(ErrorCode::None);
    assert!(report(&mut peer, second).is_clean());
    assert!(report(&mut peer, third).is_clean());
    let after = peer.close();
    assert!(report(&mut peer, after).is_clean());
}

#[test]
fn after_the_close_every_call_is_answered_at_once() {
    let mut peer = Peer::new(cooperative());
    peer.close();
    let commit = peer.commit(handover_machine::LeaseId(0), &t(0), 1);
    assert_eq!(peer.commit_outcome(commit), PartitionOutcome::Withdrawn);
    let subscribe = peer.call(Call::Subscribe(vec!["t".into()]));
    assert_eq!(peer.outcome(subscribe), Outcome::Withdrawn);
}

#[test]
fn a_static_member_stays_unless_told_to_leave() {
    let config = || {
        let mut config: Config = cooperative();
        config.instance = Some("one".into());
        config
    };
    let mut stays = Peer::member(config(), &[]);
    let close = stays.close();
    assert_eq!(report(&mut stays, close).leave, LeaveOutcome::Stayed);
    let mut leaves = Peer::member(config(), &[]);
    let options = CloseOptions { leave: Leave::Leave, ..CloseOptions::default() };
    let close = leaves.call(Call::Close(options));
    leaves.left(ErrorCode::None);
    assert_eq!(report(&mut leaves, close).leave, LeaveOutcome::Left);
}

#[test]
fn unsubscribing_hands_over_and_leaves_but_does_not_close() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    peer.subscribe(&[]);
    peer.release_all();
    peer.left(ErrorCode::None);
    assert_eq!(peer.phase(), Phase::Idle);
    assert!(!peer.machine.is_closed());
    peer.subscribe(&["t"]);
    assert!(matches!(peer.out(Lane::Join), Some(Request::JoinGroup(_))));
}
