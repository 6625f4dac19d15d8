//! Every error on every request, in the state in which it can come: none may end in silence.
//!
//! After any answer the machine must be waiting for something that will come - a request that is
//! out, or a moment - or have told the application that it can't go on.

use crate::peer::{Peer, cooperative, t};
use handover_machine::{
    Api, CommitEntry, ErrorCode, Event, FoundCoordinator, Lane, OffsetsFetched, Output, Phase,
    Response, Time, Verdict, judge,
};

/// A machine with a request of `api` out.
fn waiting_for(api: Api) -> Peer {
    let mut peer = match api {
        Api::FindCoordinator | Api::JoinGroup | Api::SyncGroup | Api::OffsetFetch => {
            Peer::new(cooperative())
        }
        Api::Heartbeat | Api::LeaveGroup | Api::OffsetCommit => {
            Peer::member(cooperative(), &[t(0)])
        }
    };
    match api {
        Api::FindCoordinator => peer.subscribe(&["t"]),
        Api::JoinGroup => {
            peer.subscribe(&["t"]);
            peer.found();
        }
        Api::SyncGroup | Api::OffsetFetch => {
            peer.subscribe(&["t"]);
            peer.found();
            peer.join_refused(ErrorCode::MemberIdRequired, "me");
            peer.joined(1);
            if api == Api::OffsetFetch {
                peer.synced(&[t(0)]);
            }
        }
        Api::Heartbeat => peer.run(60),
        Api::LeaveGroup => {
            peer.close();
            peer.release_all();
        }
        Api::OffsetCommit => {
            let (lease, partition) = peer.leases()[0].clone();
            peer.commit(lease, &partition, 1);
        }
    }
    peer.take();
    peer
}

fn answer(peer: &mut Peer, api: Api, error: ErrorCode) {
    match api {
        Api::FindCoordinator => {
            let found = FoundCoordinator { error, node: None };
            peer.answer(Lane::Control, Ok(Response::FindCoordinator(found)));
        }
        Api::JoinGroup => peer.join_refused(error, "me"),
        Api::SyncGroup => peer.sync_answered(error, Vec::new()),
        Api::Heartbeat => peer.beaten(error),
        Api::LeaveGroup => peer.left(error),
        Api::OffsetCommit => peer.committed(error),
        Api::OffsetFetch => {
            let fetched = OffsetsFetched { error, offsets: Vec::new() };
            peer.answer(Lane::Commit, Ok(Response::OffsetFetch(fetched)));
        }
    }
}

#[test]
fn no_error_ends_in_silence() {
    let codes = ErrorCode::NAMED.iter().copied().chain([ErrorCode::Other(999)]);
    for error in codes.filter(|error| !error.is_none()) {
        for api in Api::ALL {
            let mut peer = waiting_for(api);
            answer(&mut peer, api, error);
            let busy = Lane::ALL.into_iter().any(|lane| peer.out(lane).is_some());
            let awaits = peer.wake.1 != Time::NEVER;
            let fatal =
                peer.take().iter().any(|output| matches!(output, Output::Event(Event::Fatal(_))));
            let over = peer.phase() == Phase::Closed;
            assert!(busy || awaits || fatal || over, "{api:?} {error}: silence");
            let failed = peer.phase() == Phase::Failed;
            assert!(!failed || fatal, "{api:?} {error}: failed without a word");
            // A refused partition is the commit's own affair; a refused member is everybody's.
            if judge(api, error) == Verdict::Fatal && api != Api::LeaveGroup {
                assert!(fatal, "{api:?} {error}: fatal and not told");
            }
        }
    }
}

#[test]
fn an_error_asked_for_again_and_again_is_never_a_busy_loop() {
    for &error in ErrorCode::NAMED.iter().filter(|error| !error.is_none()) {
        for api in Api::ALL {
            let mut peer = waiting_for(api);
            let start = peer.now;
            let mut rounds = 0;
            while peer.now.since(start).as_secs() < 20 && !peer.machine.is_closed() {
                rounds += 1;
                // A broker that asks for a rebalance after every heartbeat gets one, at the pace
                // of the early beats; more than 200 steps a second would be nobody's pace.
                assert!(rounds < 4_000, "{api:?} {error}: a busy loop");
                if !step(&mut peer, api, error) {
                    break;
                }
            }
        }
    }
}

/// One answer, or one wake; every request of `api` gets `error`, all others work.
fn step(peer: &mut Peer, api: Api, error: ErrorCode) -> bool {
    use handover_machine::Request;
    peer.release_all();
    let busy = Lane::ALL.into_iter().find(|lane| peer.out(*lane).is_some());
    let Some(lane) = busy else {
        if peer.wake.1 == Time::NEVER {
            return false;
        }
        peer.wake();
        return true;
    };
    let out = peer.out(lane).map(Request::api);
    if out == Some(api) {
        answer(peer, api, error);
        return true;
    }
    match out {
        Some(Api::FindCoordinator) => peer.found(),
        Some(Api::JoinGroup) => peer.joined(5),
        Some(Api::SyncGroup) => peer.synced(&[t(0)]),
        Some(Api::Heartbeat) => peer.beaten(ErrorCode::None),
        Some(Api::LeaveGroup) => peer.left(ErrorCode::None),
        Some(Api::OffsetCommit) => peer.committed(ErrorCode::None),
        Some(Api::OffsetFetch) => peer.fetched(0, ErrorCode::None),
        None => unreachable!("the lane is busy"),
    }
    true
}

#[test]
fn a_commit_entry_of_a_partition_that_is_not_held_is_fenced() {
    let mut peer = Peer::member(cooperative(), &[t(0)]);
    let entry = CommitEntry {
        target: handover_machine::CommitTarget::Partition(t(5)),
        mark: handover_machine::Mark::at(3),
        metadata: None,
        rewind: false,
    };
    let timeout = std::time::Duration::from_secs(1);
    let ticket = peer.call(handover_machine::Call::Commit { entries: vec![entry], timeout });
    assert_eq!(
        peer.commit_outcome(ticket),
        handover_machine::PartitionOutcome::Fenced(handover_machine::LeaseEnd::NotHeld)
    );
}
