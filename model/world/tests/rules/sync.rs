//! SyncGroup: the plan in, the assignments out.

use handover_machine::{ErrorCode, Request, SyncGroup};
use handover_world::GroupState;

use crate::bench::{Bench, GROUP, REBALANCE, SESSION, identity, join};

#[test]
fn a_follower_waits_for_the_leaders_plan() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    let follower = bench.sync(&ids[1], 2, &[]);
    assert_eq!(bench.take(follower), None);
    let leader = bench.sync(&ids[0], 2, &[(&ids[0], "a"), (&ids[1], "b")]);
    assert_eq!(bench.synced(leader).assignment, b"a");
    let synced = bench.synced(follower);
    assert_eq!(synced.assignment, b"b");
    assert_eq!(synced.protocol.as_deref(), Some("range"));
    assert_eq!(synced.protocol_type.as_deref(), Some("consumer"));
}

#[test]
fn a_late_follower_gets_its_assignment_at_once() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    bench.sync(&ids[0], 2, &[(&ids[1], "b")]);
    assert_eq!(bench.state(), GroupState::Stable);
    for _ in 0..2 {
        let follower = bench.sync(&ids[1], 2, &[]);
        assert_eq!(bench.synced(follower).assignment, b"b");
    }
}

#[test]
fn whom_the_plan_leaves_out_gets_nothing_and_whom_it_invents_is_passed_over() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    let follower = bench.sync(&ids[1], 2, &[]);
    let leader = bench.sync(&ids[0], 2, &[(&"ghost".into(), "g"), (&ids[0], "a")]);
    assert_eq!(bench.synced(leader).assignment, b"a");
    let synced = bench.synced(follower);
    assert_eq!((synced.error, synced.assignment), (ErrorCode::None, vec![]));
    assert_eq!(bench.describe().members.len(), 2);
}

#[test]
fn a_plan_in_a_stable_group_changes_nothing() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let again = bench.sync(&ids[0], 1, &[(&ids[0], "other")]);
    assert_eq!(bench.synced(again).assignment, b"0");
}

#[test]
fn strangers_and_old_generations_are_refused() {
    let mut bench = Bench::new();
    let caller = bench.sync("nobody", 1, &[]);
    assert_eq!(bench.synced(caller).error, ErrorCode::UnknownMemberId, "no group");
    let ids = bench.stable(1);
    for (member, generation, error) in [
        ("nobody", 1, ErrorCode::UnknownMemberId),
        (&*ids[0], 0, ErrorCode::IllegalGeneration),
        (&*ids[0], 2, ErrorCode::IllegalGeneration),
    ] {
        let caller = bench.sync(member, generation, &[]);
        assert_eq!(bench.synced(caller).error, error);
    }
    bench.leave(&[(&ids[0], None)]);
    assert_eq!(bench.state(), GroupState::Empty);
    let caller = bench.sync(&ids[0], 2, &[]);
    assert_eq!(bench.synced(caller).error, ErrorCode::UnknownMemberId, "an empty group");
}

#[test]
fn another_protocol_than_the_chosen_one_is_refused() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    for (kind, name, error) in [
        ("consumer", "range", ErrorCode::None),
        ("connect", "range", ErrorCode::InconsistentGroupProtocol),
        ("consumer", "sticky", ErrorCode::InconsistentGroupProtocol),
    ] {
        let caller = bench.ask(Request::SyncGroup(SyncGroup {
            group: GROUP.into(),
            identity: identity(&ids[0], 1),
            protocol_type: Some(kind.into()),
            protocol: Some(name.into()),
            assignments: vec![],
        }));
        assert_eq!(bench.synced(caller).error, error, "{kind} {name}");
    }
}

#[test]
fn while_a_rebalance_prepares_a_sync_is_told_so() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.join(join(&ids[0]));
    let caller = bench.sync(&ids[1], 1, &[]);
    assert_eq!(bench.synced(caller).error, ErrorCode::RebalanceInProgress);
}

#[test]
fn who_never_syncs_is_removed_after_the_rebalance_timeout() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    let leader = bench.sync(&ids[0], 2, &[]);
    assert_eq!(bench.synced(leader).error, ErrorCode::None);
    let second = SESSION as u64 / 2;
    for _ in 0..(REBALANCE as u64 / second) {
        assert_eq!(bench.state(), GroupState::Stable);
        assert_eq!(bench.beat(&ids[0], 2), ErrorCode::None);
        assert_eq!(bench.beat(&ids[1], 2), ErrorCode::None);
        bench.pass(second);
    }
    assert_eq!(bench.beat(&ids[0], 2), ErrorCode::RebalanceInProgress);
    assert_eq!(bench.beat(&ids[1], 2), ErrorCode::UnknownMemberId);
}

#[test]
fn a_leader_that_dies_before_its_plan_frees_the_followers() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    let follower = bench.sync(&ids[1], 2, &[]);
    bench.pass(SESSION as u64);
    assert_eq!(bench.synced(follower).error, ErrorCode::RebalanceInProgress);
    let caller = bench.join(join(&ids[1]));
    let joined = bench.joined(caller);
    assert_eq!((joined.generation, joined.leader), (3, ids[1].clone()));
}

#[test]
fn a_sync_of_a_member_that_left_is_never_answered() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    let follower = bench.sync(&ids[1], 2, &[]);
    bench.leave(&[(&ids[1], None)]);
    bench.pass(2 * REBALANCE as u64);
    assert_eq!(bench.take(follower), None);
    assert_eq!(bench.coordinator.parked().count(), 0);
}
