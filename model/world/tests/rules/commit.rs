//! OffsetCommit: which states take it, from whom, and how much of it.

use handover_machine::{ErrorCode, Identity, JoinGroup, TopicPartition};
use handover_world::{Client, CoordinatorConfig, GroupState};

use crate::bench::{Bench, GROUP, identity, join, static_identity, static_join, to_commit};

fn nobody() -> Identity {
    identity("", -1)
}

/// [ran] PreparingRebalance accepts the current generation, also while the sender's own
/// JoinGroup is parked.
#[test]
fn a_preparing_rebalance_takes_commits_of_the_current_generation() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let parked = bench.join(join(&ids[0]));
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    assert_eq!(bench.commit(&ids[0], 1, 5), ErrorCode::None);
    assert_eq!(bench.commit(&ids[1], 1, 6), ErrorCode::None);
    assert_eq!(bench.take(parked), None);
    assert_eq!(bench.committed(), Some(6));
}

/// [ran] Only CompletingRebalance answers REBALANCE_IN_PROGRESS.
#[test]
fn a_completing_rebalance_takes_none() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    assert_eq!(bench.commit(&ids[0], 2, 5), ErrorCode::RebalanceInProgress);
    assert_eq!(bench.commit(&ids[0], 1, 5), ErrorCode::IllegalGeneration);
    assert_eq!(bench.committed(), None);
    bench.sync_all(&ids, 2);
    assert_eq!(bench.commit(&ids[0], 2, 5), ErrorCode::None);
}

/// [ran] A partition that the new assignment takes away may still be committed under the new
/// generation, in Stable and in the rebalance that follows.
#[test]
fn what_the_new_assignment_takes_away_may_be_committed_under_the_new_generation() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    let parked = bench.sync(&ids[1], 2, &[]);
    bench.sync(&ids[0], 2, &[(&ids[1], "partition 0")]);
    assert_eq!(bench.synced(parked).assignment, b"partition 0");
    assert_eq!(bench.commit(&ids[0], 2, 5), ErrorCode::None, "in Stable");
    bench.join(join(&ids[0]));
    assert_eq!(bench.commit(&ids[0], 2, 6), ErrorCode::None, "in PreparingRebalance");
    assert_eq!(bench.committed(), Some(6));
}

/// [ran] A commit at the current generation for somebody else's partition is accepted.
#[test]
fn nobody_asks_who_owns_a_partition() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    assert_eq!(bench.commit(&ids[0], 1, 100), ErrorCode::None);
    assert_eq!(bench.commit(&ids[1], 1, 3), ErrorCode::None);
    assert_eq!(bench.committed(), Some(3), "nor whether the offset goes back");
}

#[test]
fn the_sender_must_be_a_member_of_this_generation() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!(bench.commit("nobody", 1, 5), unknown);
    assert_eq!(bench.commit("", 1, 5), unknown);
    assert_eq!(bench.commit(&ids[0], 0, 5), ErrorCode::IllegalGeneration);
    assert_eq!(bench.commit(&ids[0], 2, 5), ErrorCode::IllegalGeneration);
    assert_eq!(bench.commit(&ids[0], -1, 5), ErrorCode::IllegalGeneration);
    assert_eq!(bench.commit_as(static_identity(&ids[0], 1, "i"), 5), unknown);
    assert_eq!(bench.committed(), None);
}

#[test]
fn outside_any_generation_only_an_empty_group_takes_commits() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit_as(nobody(), 5), ErrorCode::None, "a group that was not there");
    assert_eq!((bench.state(), bench.committed()), (GroupState::Empty, Some(5)));
    assert_eq!(bench.commit_as(nobody(), 6), ErrorCode::None, "an empty one");
    assert_eq!(bench.commit("anybody", 0, 7), ErrorCode::UnknownMemberId);

    let ids = bench.stable(1);
    assert_eq!(bench.commit_as(nobody(), 7), ErrorCode::UnknownMemberId);
    bench.leave(&[(&ids[0], None)]);
    assert_eq!(bench.commit_as(nobody(), 8), ErrorCode::None);
    assert_eq!(bench.commit(&ids[0], 1, 9), ErrorCode::UnknownMemberId);
    assert_eq!(bench.committed(), Some(8));
}

#[test]
fn a_member_of_a_group_that_is_not_there_is_told_so_in_its_versions_words() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit("m", 3, 5), ErrorCode::GroupIdNotFound);
    assert_eq!(bench.commit("m", 0, 5), ErrorCode::GroupIdNotFound, "0 is a generation");
    bench.client = Client { version: 8, ..bench.client.clone() };
    assert_eq!(bench.commit("m", 3, 5), ErrorCode::IllegalGeneration);
    assert_eq!(bench.state(), GroupState::Dead);
}

#[test]
fn a_static_member_commits_under_its_instance() {
    let mut bench = Bench::new();
    let caller = bench.join(static_join("", "i"));
    bench.settle();
    let id = bench.joined(caller).member;
    bench.sync_all(std::slice::from_ref(&id), 1);
    assert_eq!(bench.commit_as(static_identity(&id, 1, "i"), 5), ErrorCode::None);
    assert_eq!(bench.commit(&id, 1, 6), ErrorCode::None, "or without it");
}

#[test]
fn metadata_may_be_so_long_and_no_longer() {
    let mut bench = Bench::new();
    let (fits, too_long) = ("x".repeat(4_096), "x".repeat(4_097));
    let errors = bench.commit_all(
        nobody(),
        vec![to_commit(0, 1, Some(&fits)), to_commit(1, 2, Some(&too_long)), to_commit(2, 3, None)],
    );
    assert_eq!(errors, [ErrorCode::None, ErrorCode::OffsetMetadataTooLarge, ErrorCode::None]);
    let kept: Vec<i32> = bench.coordinator.offsets(GROUP).map(|(p, _)| p.partition).collect();
    assert_eq!(kept, [0, 2]);
}

/// [ran] 300 partitions with 4 000 B of metadata each get UNKNOWN_SERVER_ERROR for all.
#[test]
fn a_commit_is_one_batch_or_nothing() {
    let mut bench = Bench::new();
    let note = "x".repeat(4_000);
    let all = |count| (0..count).map(|p| to_commit(p, 1, Some(&note))).collect::<Vec<_>>();
    let errors = bench.commit_all(nobody(), all(300));
    assert_eq!(errors, vec![ErrorCode::UnknownServerError; 300]);
    assert_eq!(bench.coordinator.offsets(GROUP).count(), 0);
    assert_eq!(bench.commit_all(nobody(), all(250)), vec![ErrorCode::None; 250]);
}

#[test]
fn a_commit_fills_its_batch_to_the_last_byte() {
    for (commit_batch_max, error) in [(131, ErrorCode::None), (130, ErrorCode::UnknownServerError)]
    {
        let config = CoordinatorConfig { commit_batch_max, ..CoordinatorConfig::default() };
        let mut bench = Bench::with(config);
        // 61 for the batch, 10 for the record, 10 for the key with "orders" and "t", 43 for the value.
        assert_eq!(bench.commit_as(nobody(), 5), error);
        let note = vec![to_commit(0, 5, Some("x"))];
        assert_eq!(bench.commit_all(nobody(), note), [ErrorCode::UnknownServerError]);
    }
}

#[test]
fn an_error_of_the_request_is_told_of_each_partition() {
    let config = CoordinatorConfig { max_group_size: 1, ..CoordinatorConfig::default() };
    let mut bench = Bench::with(config);
    let caller = bench.join(JoinGroup { member_id_required: false, ..join("") });
    bench.pass(3_000);
    let id = bench.joined(caller).member;
    let both = vec![to_commit(0, 1, None), to_commit(1, 2, None)];
    let errors = bench.commit_all(identity(&id, 1), both);
    assert_eq!(errors, [ErrorCode::RebalanceInProgress; 2]);
    let tp = TopicPartition::new("t", 0);
    assert!(bench.coordinator.offsets(GROUP).all(|(p, _)| *p != tp));
}
