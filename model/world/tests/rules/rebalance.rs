//! How long a rebalance waits, and for whom.

use std::time::Duration;

use handover_machine::{ErrorCode, JoinGroup};
use handover_world::{CoordinatorConfig, GroupState};

use crate::bench::{Bench, REBALANCE, SESSION, join, static_join};

fn old_client() -> JoinGroup {
    JoinGroup { member_id_required: false, ..join("") }
}

fn with_delay() -> Bench {
    Bench::with(CoordinatorConfig::default())
}

#[test]
fn an_empty_group_waits_for_more_members() {
    let mut bench = with_delay();
    let caller = bench.join(old_client());
    bench.pass(2_999);
    assert_eq!(bench.take(caller), None);
    bench.pass(1);
    assert_eq!(bench.joined(caller).generation, 1);
}

#[test]
fn each_newcomer_lengthens_the_wait_by_a_round() {
    let mut bench = with_delay();
    let first = bench.join(old_client());
    bench.pass(2_000);
    let second = bench.join(old_client());
    bench.pass(3_999);
    assert_eq!(bench.take(first), None, "the round after the newcomer's own is run through");
    bench.pass(1);
    assert_eq!(bench.joined(first).generation, 1);
    assert_eq!(bench.joined(second).generation, 1);
}

#[test]
fn the_wait_is_never_longer_than_the_rebalance_timeout() {
    let mut bench = with_delay();
    let started = bench.now;
    let hasty = || JoinGroup { rebalance_timeout_ms: 7_500, ..old_client() };
    let mut callers = vec![bench.join(hasty())];
    while bench.describe().generation == 0 {
        bench.pass(500);
        if bench.describe().generation == 0 {
            callers.push(bench.join(hasty()));
        }
    }
    assert_eq!(bench.now.since(started), Duration::from_millis(7_500));
    for caller in callers {
        assert_eq!(bench.joined(caller).generation, 1);
    }
}

#[test]
fn an_initial_rebalance_that_everybody_leaves_ends_empty() {
    let mut bench = with_delay();
    let (id, parked) = bench.enter();
    bench.leave(&[(&id, None)]);
    assert_eq!(bench.joined(parked).error, ErrorCode::UnknownMemberId);
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    bench.pass(3_000);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn the_rebalance_timer_is_the_longest_of_the_members_and_removes_who_is_late() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let patient = JoinGroup { rebalance_timeout_ms: 80_000, ..old_client() };
    let second = bench.join(patient);
    bench.rejoin_all(&ids);
    let second = bench.joined(second).member;
    bench.sync_all(&[ids[0].clone(), second.clone()], 2);

    let parked = bench.join(join(&ids[0]));
    for _ in 0..80 {
        assert_eq!(bench.take(parked), None);
        assert_eq!(bench.beat(&second, 2), ErrorCode::RebalanceInProgress);
        bench.pass(1_000);
    }
    assert_eq!(bench.joined(parked).generation, 3);
    assert_eq!(bench.beat(&second, 2), ErrorCode::UnknownMemberId);
    assert_eq!(bench.describe().members.len(), 1);
}

#[test]
fn a_late_leader_is_replaced_by_one_that_came() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.enter();
    let parked = bench.join(join(&ids[1]));
    for _ in 0..REBALANCE / 1_000 {
        bench.beat(&ids[0], 1);
        bench.pass(1_000);
    }
    let joined = bench.joined(parked);
    assert_eq!((joined.generation, joined.leader), (2, ids[1].clone()));
    assert_eq!(joined.members.len(), 2);
}

/// Late dynamic members are removed, late static ones stay with a dead generation.
#[test]
fn a_late_static_member_stays_with_a_generation_that_is_over() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let caller = bench.join(static_join("", "i"));
    bench.rejoin_all(&ids);
    let late = bench.joined(caller).member;
    bench.sync_all(&[ids[0].clone(), late.clone()], 2);

    let parked = bench.join(join(&ids[0]));
    for _ in 0..REBALANCE / 1_000 {
        bench.beat(&late, 2);
        bench.pass(1_000);
    }
    let joined = bench.joined(parked);
    assert_eq!((joined.generation, joined.members.len()), (3, 2));
    assert_eq!(bench.beat(&late, 2), ErrorCode::IllegalGeneration);
}

#[test]
fn a_late_static_leader_stays_and_leads_no_more() {
    let mut bench = Bench::new();
    let long = JoinGroup { session_timeout_ms: 200_000, ..static_join("", "i") };
    let caller = bench.join(long);
    bench.settle();
    let fixed = bench.joined(caller).member;
    bench.sync_all(std::slice::from_ref(&fixed), 1);
    let parked = bench.join(old_client());
    bench.pass(REBALANCE as u64);
    let joined = bench.joined(parked);
    assert_eq!((joined.leader, joined.members.len()), (joined.member, 2));
    assert_eq!(bench.beat(&fixed, 1), ErrorCode::IllegalGeneration);
}

#[test]
fn while_only_absent_static_members_are_left_the_rebalance_goes_on() {
    let mut bench = Bench::new();
    let long = JoinGroup { session_timeout_ms: 200_000, ..static_join("", "i") };
    let caller = bench.join(long);
    bench.settle();
    let fixed = bench.joined(caller).member;
    bench.sync_all(std::slice::from_ref(&fixed), 1);
    let (newcomer, parked) = bench.enter();
    bench.leave(&[(&newcomer, None)]);
    assert_eq!(bench.joined(parked).error, ErrorCode::UnknownMemberId);
    bench.pass(2 * REBALANCE as u64 + 1_000);
    assert_eq!((bench.state(), bench.describe().generation), (GroupState::PreparingRebalance, 1));
    bench.pass(200_000);
    assert_eq!((bench.state(), bench.describe().generation), (GroupState::Empty, 2));
}

/// Version 0 of JoinGroup has no rebalance timeout.
#[test]
fn a_client_without_a_rebalance_timeout_is_waited_for_as_long_as_its_session() {
    let mut bench = Bench::new();
    let old = JoinGroup { rebalance_timeout_ms: -1, session_timeout_ms: 20_000, ..old_client() };
    let callers = [bench.join(old.clone()), bench.join(old.clone())];
    bench.settle();
    let ids = callers.map(|caller| bench.joined(caller).member);
    bench.sync_all(&ids, 1);
    let parked = bench.join(JoinGroup { member: ids[0].clone(), ..old });
    bench.pass(10_000);
    bench.beat(&ids[1], 1);
    bench.pass(9_999);
    assert_eq!(bench.take(parked), None);
    bench.pass(1);
    assert_eq!(bench.joined(parked).members.len(), 1);
}

#[test]
fn a_rebalance_timeout_of_zero_does_not_stop_the_clock() {
    let mut bench = Bench::new();
    let caller = bench.join(static_join("", "i"));
    bench.settle();
    let fixed = bench.joined(caller).member;
    bench.sync_all(std::slice::from_ref(&fixed), 1);
    bench.join(JoinGroup { rebalance_timeout_ms: 0, ..static_join(&fixed, "i") });
    bench.sync_all(std::slice::from_ref(&fixed), 2);
    bench.join(JoinGroup { rebalance_timeout_ms: 0, ..old_client() });
    let newcomer = bench.describe().members[0].member.clone();
    assert_ne!(newcomer, fixed);
    bench.leave(&[(&newcomer, None)]);
    assert_eq!(bench.coordinator.next_wake(), bench.now);
    bench.coordinator.wake(bench.now);
    assert_eq!(bench.coordinator.next_wake(), bench.now + Duration::from_millis(1));
    bench.pass(SESSION as u64);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn a_member_whose_session_ends_no_longer_holds_the_rebalance() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let parked = bench.join(join(&ids[0]));
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.take(parked), None);
    bench.pass(1);
    assert_eq!(bench.joined(parked).members.len(), 1);
}

#[test]
fn a_round_of_the_initial_delay_that_is_left_over_lengthens_the_next_one() {
    let mut bench = with_delay();
    let hasty = || JoinGroup { rebalance_timeout_ms: 3_000, ..old_client() };
    let first = bench.join(hasty());
    let second = bench.join(hasty());
    bench.pass(3_000);
    let ids = [bench.joined(first).member, bench.joined(second).member];
    bench.leave(&[(&ids[0], None), (&ids[1], None)]);
    assert_eq!(bench.state(), GroupState::Empty);

    let alone = bench.join(old_client());
    bench.pass(5_999);
    assert_eq!(bench.take(alone), None, "Kafka forgets to clear the newcomer of the first time");
    bench.pass(1);
    assert_eq!(bench.joined(alone).generation, 3);
}
