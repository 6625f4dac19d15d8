//! Static members: coming back, taking the place of their old self, fencing it.

use std::time::Duration;

use handover_machine::{ErrorCode, JoinGroup, Name};
use handover_world::{Client, CoordinatorConfig, GroupState};

use crate::bench::{Bench, SESSION, join, protocols, static_identity, static_join};

/// A stable group in generation 2 of a dynamic leader and the static member `i`.
fn group_with_follower() -> (Bench, Name, Name) {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let caller = bench.join(static_join("", "i"));
    bench.rejoin_all(&ids);
    let fixed = bench.joined(caller).member;
    bench.sync_all(&[ids[0].clone(), fixed.clone()], 2);
    (bench, ids[0].clone(), fixed)
}

/// A stable group in generation 1 of the static member `i` alone.
fn group_with_leader() -> (Bench, Name) {
    let mut bench = Bench::new();
    let caller = bench.join(static_join("", "i"));
    bench.settle();
    let fixed = bench.joined(caller).member;
    assert!(fixed.starts_with("i-"), "{fixed}");
    bench.sync_all(std::slice::from_ref(&fixed), 1);
    (bench, fixed)
}

#[test]
fn a_static_member_is_in_at_once_without_being_told_an_id_first() {
    let (bench, _) = group_with_leader();
    assert_eq!(bench.describe().members[0].instance.as_deref(), Some("i"));
}

#[test]
fn a_returning_follower_gets_a_new_id_and_its_old_assignment_without_a_rebalance() {
    let (mut bench, leader, old) = group_with_follower();
    let caller = bench.join(static_join("", "i"));
    let back = bench.joined(caller);
    assert_eq!((back.error, back.generation), (ErrorCode::None, 2));
    assert_ne!(back.member, old);
    assert_eq!((&back.leader, back.skip_assignment), (&leader, false));
    assert_eq!((bench.state(), bench.describe().generation), (GroupState::Stable, 2));
    let caller = bench.sync(&back.member, 2, &[]);
    assert_eq!(bench.synced(caller).assignment, b"1");
}

#[test]
fn its_old_self_is_fenced_if_it_names_its_instance_and_unknown_if_not() {
    let (mut bench, _, old) = group_with_follower();
    bench.join(static_join("", "i"));
    let fenced = ErrorCode::FencedInstanceId;
    assert_eq!(bench.beat_as(static_identity(&old, 2, "i")), fenced);
    assert_eq!(bench.commit_as(static_identity(&old, 2, "i"), 5), fenced);
    assert_eq!(bench.join_error(static_join(&old, "i")), fenced);
    assert_eq!(bench.leave(&[(&old, Some("i"))]), [fenced]);
    assert_eq!(bench.beat(&old, 2), ErrorCode::UnknownMemberId);
    let stranger = static_identity(&old, 2, "another");
    assert_eq!(bench.beat_as(stranger), ErrorCode::UnknownMemberId);
}

#[test]
fn a_parked_request_of_the_old_self_is_fenced_at_once() {
    let (mut bench, _, old) = group_with_follower();
    let several = protocols(&["range", "sticky"]);
    let parked = bench.join(JoinGroup { protocols: several, ..static_join(&old, "i") });
    bench.join(static_join("", "i"));
    assert_eq!(bench.joined(parked).error, ErrorCode::FencedInstanceId);

    let (mut bench, leader, old) = group_with_follower();
    bench.join(join(&leader));
    bench.join(static_join(&old, "i"));
    let parked = bench.sync(&old, 3, &[]);
    bench.join(static_join("", "i"));
    assert_eq!(bench.synced(parked).error, ErrorCode::FencedInstanceId);
}

/// KIP-814.
#[test]
fn a_returning_leader_is_told_to_skip_the_assignment() {
    let (mut bench, _) = group_with_leader();
    let caller = bench.join(static_join("", "i"));
    let back = bench.joined(caller);
    assert!(back.skip_assignment);
    assert_eq!((&back.leader, back.members.len()), (&back.member, 1));
    assert_eq!(bench.state(), GroupState::Stable);
    let caller = bench.sync(&back.member, 1, &[]);
    assert_eq!(bench.synced(caller).assignment, b"0");
}

#[test]
fn an_old_client_that_returns_as_leader_takes_itself_for_a_follower() {
    let (mut bench, old) = group_with_leader();
    bench.client = Client { version: 8, ..bench.client.clone() };
    let caller = bench.join(static_join("", "i"));
    let back = bench.joined(caller);
    assert_eq!((back.leader, back.skip_assignment, back.members), (old, false, vec![]));
    assert_eq!(bench.describe().leader, Some(back.member));
}

#[test]
fn a_return_that_changes_the_groups_protocol_moves_it() {
    let mut bench = Bench::new();
    let both = JoinGroup { protocols: protocols(&["range", "sticky"]), ..static_join("", "i") };
    let caller = bench.join(both);
    bench.settle();
    let fixed = bench.joined(caller).member;
    bench.sync_all(&[fixed], 1);
    let other = JoinGroup { protocols: protocols(&["sticky", "range"]), ..static_join("", "i") };
    let caller = bench.join(other);
    let back = bench.joined(caller);
    assert_eq!((back.generation, back.protocol.as_deref()), (2, Some("sticky")));
}

#[test]
fn a_return_while_the_plan_is_awaited_begins_anew() {
    let (mut bench, leader, old) = group_with_follower();
    bench.join(join(&leader));
    bench.join(static_join(&old, "i"));
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    let parked = bench.sync(&leader, 7, &[]);
    assert_eq!(bench.synced(parked).error, ErrorCode::IllegalGeneration);
    let caller = bench.join(static_join("", "i"));
    assert_eq!(bench.take(caller), None);
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    bench.join(join(&leader));
    assert_eq!(bench.joined(caller).generation, 4);
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_for_its_session() {
    let (mut bench, leader, _) = group_with_follower();
    for _ in 0..2 {
        bench.pass(SESSION as u64 / 2 - 1);
        assert_eq!(bench.beat(&leader, 2), ErrorCode::None);
    }
    bench.pass(2);
    assert_eq!(bench.beat(&leader, 2), ErrorCode::RebalanceInProgress);
}

#[test]
fn the_session_of_the_new_self_starts_at_its_return() {
    let (mut bench, leader, _) = group_with_follower();
    bench.pass(SESSION as u64 - 1);
    bench.beat(&leader, 2);
    let caller = bench.join(static_join("", "i"));
    let back = bench.joined(caller).member;
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.beat(&back, 2), ErrorCode::None);
}

#[test]
fn the_parked_join_of_the_new_self_keeps_it_beyond_its_session() {
    let (mut bench, leader, old) = group_with_follower();
    let several = protocols(&["range", "sticky"]);
    bench.join(JoinGroup { protocols: several, ..static_join(&old, "i") });
    bench.join(join(""));
    bench.join(join(&leader));
    let parked = bench.join(static_join("", "i"));
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.take(parked), None, "the id that was given has not come back");
    let waits = bench.join(JoinGroup { session_timeout_ms: 50_000, ..join("") });
    bench.joined(waits);
    bench.pass(30_000);
    assert_eq!(bench.take(parked), None);
    bench.pass(20_000);
    assert_eq!(bench.joined(parked).error, ErrorCode::None);
}

#[test]
fn one_that_returns_in_its_first_join_of_all_is_kept_likewise() {
    let delay = Duration::from_secs(20);
    let config =
        CoordinatorConfig { initial_rebalance_delay: delay, ..CoordinatorConfig::default() };
    let mut bench = Bench::with(config);
    bench.join(static_join("", "i"));
    let parked = bench.join(static_join("", "i"));
    bench.pass(2 * SESSION as u64 - 1);
    assert_eq!(bench.take(parked), None);
    bench.pass(1);
    assert_eq!(bench.joined(parked).error, ErrorCode::None);
}

/// The old id stays among those that have not synced, as in Kafka.
#[test]
fn a_return_before_the_sync_costs_a_rebalance_later() {
    let (mut bench, leader, old) = group_with_follower();
    bench.join(join(&leader));
    bench.join(static_join(&old, "i"));
    bench.sync(&leader, 3, &[]);
    assert_eq!(bench.state(), GroupState::Stable);
    let caller = bench.join(static_join("", "i"));
    let back = bench.joined(caller).member;
    let caller = bench.sync(&back, 3, &[]);
    assert_eq!(bench.synced(caller).error, ErrorCode::None);
    for _ in 0..60 {
        assert_eq!(bench.beat(&leader, 3), ErrorCode::None);
        assert_eq!(bench.beat(&back, 3), ErrorCode::None);
        bench.pass(1_000);
    }
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    assert_eq!(bench.describe().members.len(), 2, "nobody is removed by it");
}

#[test]
fn an_id_of_a_dynamic_newcomer_is_not_a_static_members() {
    let mut bench = Bench::new();
    let caller = bench.join(join(""));
    let pending = bench.joined(caller).member;
    assert_eq!(bench.join_error(static_join(&pending, "i")), ErrorCode::UnknownServerError);
}
