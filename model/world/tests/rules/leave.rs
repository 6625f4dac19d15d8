//! LeaveGroup: by id, by instance, several, and ids that never joined.

use handover_machine::ErrorCode;
use handover_world::GroupState;

use crate::bench::{Bench, join, static_join};

#[test]
fn a_member_that_leaves_moves_the_group() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    assert_eq!(bench.leave(&[(&ids[0], None)]), [ErrorCode::None]);
    assert_eq!(bench.beat(&ids[1], 1), ErrorCode::RebalanceInProgress);
    let caller = bench.join(join(&ids[1]));
    let joined = bench.joined(caller);
    assert_eq!((joined.leader, joined.members.len()), (ids[1].clone(), 1));
}

#[test]
fn the_last_one_to_leave_empties_the_group() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    bench.leave(&[(&ids[0], None)]);
    assert_eq!((bench.state(), bench.describe().generation), (GroupState::Empty, 2));
}

#[test]
fn the_last_one_awaited_lets_the_others_go_on_by_leaving() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let parked = bench.join(join(&ids[0]));
    assert_eq!(bench.take(parked), None);
    bench.leave(&[(&ids[1], None)]);
    assert_eq!(bench.joined(parked).generation, 2);
}

#[test]
fn strangers_cannot_leave() {
    let mut bench = Bench::new();
    assert_eq!(bench.leave(&[("nobody", None)]), [ErrorCode::UnknownMemberId], "no group");
    bench.stable(1);
    let left = bench.leave(&[("nobody", None), ("", Some("nobody")), ("", None)]);
    assert_eq!(left, [ErrorCode::UnknownMemberId; 3]);
    assert_eq!(bench.state(), GroupState::Stable);
}

#[test]
fn an_administrator_removes_several_at_once_by_id_or_by_instance() {
    let mut bench = Bench::new();
    let dynamic = bench.stable(1);
    let caller = bench.join(static_join("", "i"));
    bench.rejoin_all(&dynamic);
    let fixed = bench.joined(caller).member;
    let left = bench.leave(&[
        ("wrong", Some("i")),
        ("", Some("i")),
        (&fixed, Some("i")),
        (&dynamic[0], None),
    ]);
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!(left, [ErrorCode::FencedInstanceId, ErrorCode::None, unknown, ErrorCode::None]);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn a_parked_join_is_answered_when_its_sender_leaves() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let parked = bench.join(join(&ids[0]));
    bench.leave(&[(&ids[0], None)]);
    let told = bench.joined(parked);
    assert_eq!((told.error, &*told.member), (ErrorCode::UnknownMemberId, ""));
}

#[test]
fn an_id_that_never_joined_may_leave_and_frees_a_rebalance_that_waits_for_it() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let caller = bench.join(join(""));
    let pending = bench.joined(caller).member;
    let parked = bench.join(join(&ids[0]));
    assert_eq!(bench.take(parked), None);
    assert_eq!(bench.leave(&[(&pending, None)]), [ErrorCode::None]);
    assert_eq!(bench.joined(parked).generation, 2);
    assert_eq!(bench.join_error(join(&pending)), ErrorCode::UnknownMemberId);
}

#[test]
fn its_leaving_a_stable_group_costs_a_rebalance() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let caller = bench.join(join(""));
    let pending = bench.joined(caller).member;
    bench.leave(&[(&pending, None)]);
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::RebalanceInProgress);
}
