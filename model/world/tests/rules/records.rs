//! What survives when the coordinator moves or restarts.

use std::time::Duration;

use handover_machine::{ErrorCode, JoinGroup};
use handover_world::{CoordinatorConfig, GroupState};

use crate::bench::{Bench, SESSION, join, protocols, static_join};

/// [ran] Generation 2 joined and not synced, broker restarted: heartbeat and commit with 2 get
/// ILLEGAL_GENERATION, a commit with 1 is accepted again, and the next join yields 2 again.
#[test]
fn a_generation_that_was_not_synced_is_forgotten_and_given_again() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    for joined in bench.rejoin_all(&ids) {
        assert_eq!(joined.generation, 2);
    }
    bench.reload();
    assert_eq!(bench.beat(&ids[0], 2), ErrorCode::IllegalGeneration);
    assert_eq!(bench.commit(&ids[0], 2, 5), ErrorCode::IllegalGeneration);
    assert_eq!(bench.commit(&ids[0], 1, 5), ErrorCode::None);
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::None);
    for joined in bench.rejoin_all(&ids) {
        assert_eq!(joined.generation, 2);
    }
}

#[test]
fn a_synced_generation_survives_with_its_assignments() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.reload();
    assert_eq!((bench.state(), bench.describe().generation), (GroupState::Stable, 1));
    assert_eq!(bench.describe().leader, Some(ids[0].clone()));
    for (id, assignment) in ids.iter().zip([b"0", b"1"]) {
        assert_eq!(bench.beat(id, 1), ErrorCode::None);
        let caller = bench.sync(id, 1, &[]);
        assert_eq!(bench.synced(caller).assignment, assignment);
    }
}

#[test]
fn offsets_survive_and_a_group_of_offsets_alone() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit("", -1, 5), ErrorCode::None);
    bench.reload();
    assert_eq!((bench.state(), bench.committed()), (GroupState::Empty, Some(5)));
}

#[test]
fn sessions_start_afresh() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    bench.pass(SESSION as u64 - 1);
    bench.reload();
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::None);
}

#[test]
fn a_reloaded_member_is_none_that_never_completed_a_join() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.reload();
    let parked = bench.join(join(&ids[0]));
    for _ in 0..3 {
        bench.pass(SESSION as u64 - 1);
        assert_eq!(bench.beat(&ids[1], 1), ErrorCode::RebalanceInProgress);
    }
    assert_eq!(bench.take(parked), None, "its parked request keeps it");
    bench.join(join(&ids[1]));
    assert_eq!(bench.joined(parked).generation, 2);
}

#[test]
fn ids_that_have_not_joined_are_forgotten() {
    let mut bench = Bench::new();
    let caller = bench.join(join(""));
    let pending = bench.joined(caller).member;
    bench.reload();
    assert_eq!(bench.join_error(join(&pending)), ErrorCode::UnknownMemberId);
    assert_eq!(bench.state(), GroupState::Empty, "the group itself was written down");
}

#[test]
fn parked_requests_are_told_not_coordinator_and_members_of_no_generation_are_gone() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let (newcomer, parked) = bench.enter();
    bench.reload();
    assert_eq!(bench.joined(parked).error, ErrorCode::NotCoordinator);
    assert_eq!(bench.state(), GroupState::Stable);
    assert_eq!(bench.join_error(join(&newcomer)), ErrorCode::UnknownMemberId);

    let (newcomer, joining) = bench.enter();
    bench.rejoin_all(&ids);
    bench.joined(joining);
    let parked = bench.sync(&newcomer, 2, &[]);
    bench.reload();
    assert_eq!(bench.synced(parked).error, ErrorCode::NotCoordinator);
    assert_eq!(bench.beat(&newcomer, 2), ErrorCode::UnknownMemberId);
}

#[test]
fn a_static_members_new_id_is_written_down_at_its_return() {
    let mut bench = Bench::new();
    let caller = bench.join(static_join("", "i"));
    bench.settle();
    let old = bench.joined(caller).member;
    bench.sync_all(&[old], 1);
    let caller = bench.join(static_join("", "i"));
    let back = bench.joined(caller).member;
    bench.reload();
    assert_eq!(bench.beat(&back, 1), ErrorCode::None);
}

#[test]
fn an_emptied_group_keeps_its_generation() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    bench.leave(&[(&ids[0], None)]);
    bench.reload();
    assert_eq!((bench.state(), bench.describe().generation), (GroupState::Empty, 2));
}

/// Of a member's protocols the record has the chosen one alone.
#[test]
fn a_follower_with_several_protocols_moves_the_group_after_a_reload() {
    let mut bench = Bench::new();
    let several = || JoinGroup { protocols: protocols(&["range", "sticky"]), ..join("") };
    let old = || JoinGroup { member_id_required: false, ..several() };
    let callers = [bench.join(old()), bench.join(old())];
    bench.settle();
    let ids = callers.map(|caller| bench.joined(caller).member);
    bench.sync_all(&ids, 1);
    let again = JoinGroup { member: ids[1].clone(), ..several() };
    let caller = bench.join(again.clone());
    assert_eq!(bench.joined(caller).generation, 1, "unchanged before");
    bench.reload();
    let caller = bench.join(again);
    assert_eq!((bench.take(caller), bench.state()), (None, GroupState::PreparingRebalance));
}

#[test]
fn a_group_that_is_too_large_after_a_reload_is_moved() {
    let config = CoordinatorConfig {
        initial_rebalance_delay: Duration::ZERO,
        ..CoordinatorConfig::default()
    };
    let mut bench = Bench::with(config.clone());
    let ids = bench.stable(2);
    bench.coordinator.configure(CoordinatorConfig { max_group_size: 1, ..config });
    bench.reload();
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::RebalanceInProgress);
}
