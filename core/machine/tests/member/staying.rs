//! Heartbeats, the session, the max poll interval, the drain deadline.

use std::time::Duration;

use crate::peer::{Peer, cooperative, eager, t};
use handover_machine::{
    ErrorCode, Event, Input, Lane, LossReason, Node, Notice, Output, Phase, Request, Response,
    SessionExpiry, Start, Unanswered, Waiting,
};

fn told(outputs: &[Output], notice: &Notice) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Notice(told) if told == notice))
}

#[test]
fn beats_are_quick_after_a_change_and_steady_then() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    let start = peer.now;
    let mut at = Vec::new();
    while at.len() < 8 {
        peer.wake();
        if peer.out(Lane::Control).is_some() {
            at.push(peer.now.since(start).as_millis());
            peer.beaten(ErrorCode::None);
        }
    }
    assert_eq!(at, [50, 150, 350, 750, 1_550, 4_550, 7_550, 10_550]);
}

#[test]
fn an_early_beat_is_never_later_than_the_steady_one() {
    let mut config = cooperative();
    config.heartbeat_interval = Duration::from_millis(60);
    let mut peer = Peer::member(config, &[t(0)]);
    let start = peer.now;
    for beat in 0..4 {
        peer.wake();
        peer.beaten(ErrorCode::None);
        assert_eq!(peer.now.since(start).as_millis(), [50, 110, 170, 230][beat]);
    }
}

#[test]
fn a_moved_coordinator_is_found_again_and_membership_goes_on() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    peer.run(60);
    peer.beaten(ErrorCode::NotCoordinator);
    peer.found();
    assert_eq!(peer.phase(), Phase::Stable);
    peer.wake();
    assert!(matches!(peer.out(Lane::Control), Some(Request::Heartbeat(_))));
    assert_eq!(peer.leases().len(), 1);
}

#[test]
fn a_late_not_coordinator_does_not_unseat_the_new_coordinator() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    let (lease, partition) = peer.leases()[0].clone();
    peer.commit(lease, &partition, 1);
    peer.run(60);
    peer.beaten(ErrorCode::NotCoordinator);
    let node = Some(Node { id: 2, host: "other".into(), port: 9093 });
    let found = handover_machine::FoundCoordinator { error: ErrorCode::None, node };
    peer.answer(Lane::Control, Ok(Response::FindCoordinator(found)));
    peer.committed(ErrorCode::NotCoordinator);
    assert_eq!(peer.machine.status().coordinator.map(|node| node.id), Some(2));
}

fn silence(config_expiry: SessionExpiry) -> (Peer, Vec<Output>) {
    let mut config = cooperative();
    config.session_timeout = Duration::from_secs(10);
    config.on_session_expiry = config_expiry;
    let mut peer = Peer::member(config, &[t(0)]);
    peer.run(60);
    peer.answer(Lane::Control, Err(Unanswered::Lost));
    let end = peer.now + Duration::from_secs(10);
    while peer.now < end {
        match peer.out(Lane::Control) {
            Some(_) => peer.answer(Lane::Control, Err(Unanswered::NotSent)),
            None => peer.wake(),
        }
    }
    let outputs = peer.take();
    assert!(told(&outputs, &Notice::SessionExpired));
    (peer, outputs)
}

#[test]
fn a_silent_session_pauses_delivery_until_the_coordinator_answers() {
    let (mut peer, outputs) = silence(SessionExpiry::Pause);
    assert!(outputs.contains(&Output::Deliver(false)));
    assert_eq!(peer.leases().len(), 1);
    while peer.out(Lane::Control).is_none() {
        peer.wake();
    }
    peer.found();
    while peer.out(Lane::Control).is_none() {
        peer.wake();
    }
    peer.beaten(ErrorCode::None);
    let outputs = peer.take();
    assert!(outputs.contains(&Output::Deliver(true)));
    assert!(told(&outputs, &Notice::SessionRestored));
}

#[test]
fn a_silent_session_may_be_kept_or_lost_instead() {
    let (kept, outputs) = silence(SessionExpiry::Keep);
    assert!(!outputs.contains(&Output::Deliver(false)));
    assert_eq!(kept.leases().len(), 1);
    let (lost, outputs) = silence(SessionExpiry::Lost);
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Event(Event::Lost { reason: LossReason::SessionExpired, .. })
    )));
    assert!(lost.leases().is_empty());
    assert_eq!(&*lost.machine.status().identity.member, "me", "the broker may still hold the id");
}

#[test]
fn an_application_that_does_not_poll_loses_its_leases_and_comes_back_with_a_poll() {
    let mut config = cooperative();
    config.max_poll_interval = Duration::from_secs(5);
    let mut peer = Peer::member(config, &[t(0)]);
    while !matches!(peer.out(Lane::Control), Some(Request::LeaveGroup(_))) {
        match peer.out(Lane::Control) {
            Some(Request::Heartbeat(_)) => peer.beaten(ErrorCode::None),
            _ => peer.wake(),
        }
    }
    let outputs = peer.take();
    assert!(told(&outputs, &Notice::PollIntervalExceeded));
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Event(Event::Lost { reason: LossReason::PollInterval, .. })
    )));
    peer.left(ErrorCode::None);
    assert_eq!(peer.phase(), Phase::Idle);
    peer.input(Input::Polled);
    assert!(matches!(peer.out(Lane::Join), Some(Request::JoinGroup(_))));
}

#[test]
fn a_pending_poll_counts_as_alive() {
    let mut config = cooperative();
    config.max_poll_interval = Duration::from_secs(2);
    let mut peer = Peer::member(config, &[t(0)]);
    for _ in 0..20 {
        // The driver looks at the poll word before it tells of a wake.
        peer.now = peer.wake.1;
        peer.input(Input::Polled);
        peer.input(Input::Wake);
        if peer.out(Lane::Control).is_some() {
            peer.beaten(ErrorCode::None);
        }
    }
    assert_eq!(peer.phase(), Phase::Stable);
    assert_eq!(peer.leases().len(), 1);
}

#[test]
fn a_forgotten_hold_costs_one_drain_timeout_of_one_lease() {
    let mut peer = Peer::member(eager(), &[t(0), t(1)]);
    let [(first, _), (second, _)] = peer.leases()[..] else { panic!() };
    peer.run(100);
    peer.beaten(ErrorCode::RebalanceInProgress);
    peer.take();
    peer.input(Input::Drained { lease: first, mark: None });
    while peer.out(Lane::Join).is_none() {
        match peer.out(Lane::Control) {
            Some(Request::Heartbeat(_)) => peer.beaten(ErrorCode::RebalanceInProgress),
            _ => peer.wake(),
        }
    }
    let events = peer.events();
    assert!(events.contains(&Event::Revoked { leases: vec![first] }));
    assert!(events.contains(&Event::Lost { leases: vec![second], reason: LossReason::Overrun }));
    assert!(peer.now.since(handover_machine::Time::from_millis(1_000)) < Duration::from_secs(32));
}

#[test]
fn the_drain_deadline_leaves_time_for_the_last_commit_and_the_join() {
    let mut config = eager();
    config.rebalance_timeout = Duration::from_secs(20);
    config.drain_timeout = Duration::from_secs(20);
    let mut peer = Peer::member(config, &[t(0)]);
    peer.run(60);
    let last_quiet = peer.now;
    peer.beaten(ErrorCode::None);
    while peer.out(Lane::Control).is_none() {
        peer.wake();
    }
    peer.beaten(ErrorCode::RebalanceInProgress);
    let Some(Waiting::Holds { by }) = peer.machine.status().leases[0].waiting else { panic!() };
    // Beats are sent at the end of a wake's window, so the quiet one went out when `run` ended
    // at the latest.
    assert!(by <= last_quiet + Duration::from_secs(18), "{by:?}");
    assert!(by > last_quiet + Duration::from_secs(17), "{by:?}");
}

#[test]
fn an_error_is_never_taken_for_an_offset() {
    let mut peer = Peer::new(cooperative());
    peer.subscribe(&["t"]);
    peer.found();
    peer.join_refused(ErrorCode::MemberIdRequired, "me");
    peer.joined(1);
    peer.synced(&[t(0)]);
    let retried = [
        ErrorCode::UnstableOffsetCommit,
        ErrorCode::StaleMemberEpoch,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::TopicAuthorizationFailed,
    ];
    for error in retried {
        peer.fetched(-1, error);
        let outputs = peer.take();
        assert!(told(&outputs, &Notice::PositionUnknown { partition: t(0), error: Some(error) }));
        assert!(!outputs.iter().any(|output| matches!(output, Output::Position { .. })));
        while peer.out(Lane::Commit).is_none() {
            match peer.out(Lane::Control) {
                Some(_) => peer.beaten(ErrorCode::None),
                None => peer.wake(),
            }
        }
    }
    peer.fetched(-1, ErrorCode::None);
    let reset = |output: &Output| matches!(output, Output::Position { start: Start::Reset, .. });
    assert!(peer.take().iter().any(reset));
}
