//! Heartbeat in each state, and the session that it keeps.

use handover_machine::ErrorCode;
use handover_world::GroupState;

use crate::bench::{Bench, SESSION, join};

#[test]
fn each_state_has_its_answer() {
    let mut bench = Bench::new();
    assert_eq!(bench.beat("nobody", 1), ErrorCode::UnknownMemberId, "no group");
    let ids = bench.stable(2);
    assert_eq!(bench.beat(&ids[1], 1), ErrorCode::None);

    let leader = bench.join(join(&ids[0]));
    assert_eq!(bench.beat(&ids[1], 1), ErrorCode::RebalanceInProgress);
    let follower = bench.join(join(&ids[1]));
    bench.joined(leader);
    bench.joined(follower);
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    assert_eq!(bench.beat(&ids[1], 2), ErrorCode::None);
    assert_eq!(bench.beat(&ids[1], 1), ErrorCode::IllegalGeneration);

    bench.leave(&[(&ids[0], None), (&ids[1], None)]);
    assert_eq!(bench.state(), GroupState::Empty);
    assert_eq!(bench.beat(&ids[1], 3), ErrorCode::UnknownMemberId);
}

#[test]
fn an_id_that_has_not_joined_is_unknown() {
    let mut bench = Bench::new();
    bench.stable(1);
    let caller = bench.join(join(""));
    let pending = bench.joined(caller).member;
    assert_eq!(bench.beat(&pending, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn without_heartbeats_the_session_ends() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::None);
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.state(), GroupState::Stable);
    bench.pass(1);
    assert_eq!(bench.state(), GroupState::Empty);
    assert_eq!(bench.describe().generation, 2, "an empty generation counts");
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_wrong_generation_keeps_no_session() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.beat(&ids[0], 7), ErrorCode::IllegalGeneration);
    bench.pass(1);
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_commit_keeps_the_session() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.commit(&ids[0], 1, 5), ErrorCode::None);
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::None);
}

#[test]
fn a_parked_request_keeps_its_sender_and_its_answer_starts_the_session() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let parked = bench.join(join(&ids[0]));
    for _ in 0..4 {
        bench.pass(SESSION as u64 - 1);
        assert_eq!(bench.beat(&ids[1], 1), ErrorCode::RebalanceInProgress);
    }
    bench.join(join(&ids[1]));
    assert_eq!(bench.joined(parked).generation, 2);

    let parked = bench.sync(&ids[1], 2, &[]);
    for _ in 0..4 {
        bench.pass(SESSION as u64 - 1);
        assert_eq!(bench.beat(&ids[0], 2), ErrorCode::None);
    }
    bench.sync(&ids[0], 2, &[]);
    assert_eq!(bench.synced(parked).error, ErrorCode::None);
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.describe().members.len(), 2);
    bench.pass(1);
    assert_eq!(bench.state(), GroupState::Empty);
}
