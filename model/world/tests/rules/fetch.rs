//! OffsetFetch, and the offsets that administrators delete.

use handover_machine::{
    ErrorCode, FetchedOffset, JoinGroup, OffsetFetch, Request, Response, TopicPartition,
};

use crate::bench::{Bench, GROUP, identity, join, to_commit};

fn fetch(bench: &mut Bench, partitions: Option<&[i32]>) -> Vec<FetchedOffset> {
    let t = |p: &i32| TopicPartition::new("t", *p);
    let caller = bench.ask(Request::OffsetFetch(OffsetFetch {
        group: GROUP.into(),
        partitions: partitions.map(|all| all.iter().map(t).collect()),
        require_stable: true,
    }));
    match bench.take(caller) {
        Some(Response::OffsetFetch(fetched)) => {
            assert_eq!(fetched.error, ErrorCode::None);
            fetched.offsets
        }
        other => panic!("OffsetFetch is answered {other:?}"),
    }
}

fn fetched(partition: i32, offset: i64, leader_epoch: i32, note: &str) -> FetchedOffset {
    FetchedOffset {
        partition: TopicPartition::new("t", partition),
        offset,
        leader_epoch,
        metadata: Some(note.into()),
        error: ErrorCode::None,
    }
}

#[test]
fn what_was_never_committed_is_at_minus_one() {
    let mut bench = Bench::new();
    assert_eq!(fetch(&mut bench, Some(&[3])), [fetched(3, -1, -1, "")], "no group");
    assert_eq!(fetch(&mut bench, None), []);
    bench.stable(1);
    assert_eq!(fetch(&mut bench, Some(&[3])), [fetched(3, -1, -1, "")]);
}

#[test]
fn committed_offsets_come_back_as_asked_or_all() {
    let mut bench = Bench::new();
    let mut first = to_commit(0, 5, Some("note"));
    first.leader_epoch = 7;
    bench.commit_all(identity("", -1), vec![to_commit(2, 6, None), first]);
    let (zero, two) = (fetched(0, 5, 7, "note"), fetched(2, 6, -1, ""));
    assert_eq!(fetch(&mut bench, Some(&[2, 0])), [two.clone(), zero.clone()]);
    assert_eq!(fetch(&mut bench, None), [zero, two]);
}

#[test]
fn offsets_of_subscribed_topics_are_not_deleted() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let mut other = to_commit(0, 9, None);
    other.partition = TopicPartition::new("old", 0);
    bench.commit_all(identity(&ids[0], 1), vec![to_commit(0, 5, None), other.clone()]);
    let asked = [TopicPartition::new("t", 0), other.partition.clone()];
    let deleted = bench.coordinator.delete_offsets(GROUP, &asked).unwrap();
    let errors: Vec<ErrorCode> = deleted.iter().map(|(_, error)| *error).collect();
    assert_eq!(errors, [ErrorCode::GroupSubscribedToTopic, ErrorCode::None]);
    assert_eq!(bench.coordinator.offsets(GROUP).count(), 1);

    bench.leave(&[(&ids[0], None)]);
    let deleted = bench.coordinator.delete_offsets(GROUP, &asked[..1]).unwrap();
    assert_eq!(deleted[0].1, ErrorCode::None, "nobody subscribes it now");
    assert_eq!(bench.committed(), None);
    let unknown = bench.coordinator.delete_offsets("unknown", &asked);
    assert_eq!(unknown, Err(ErrorCode::GroupIdNotFound));
    assert_eq!(bench.coordinator.delete_offsets("", &asked), Err(ErrorCode::InvalidGroupId));
}

#[test]
fn a_group_of_no_consumers_keeps_all_its_offsets_while_it_has_members() {
    let mut bench = Bench::new();
    let connect = JoinGroup { protocol_type: "connect".into(), ..join("") };
    let caller = bench.join(JoinGroup { member_id_required: false, ..connect });
    bench.settle();
    let id = bench.joined(caller).member;
    bench.sync_all(std::slice::from_ref(&id), 1);
    bench.commit(&id, 1, 5);
    let asked = [TopicPartition::new("t", 0)];
    let refused = bench.coordinator.delete_offsets(GROUP, &asked);
    assert_eq!(refused, Err(ErrorCode::NonEmptyGroup));
    bench.leave(&[(&id, None)]);
    let deleted = bench.coordinator.delete_offsets(GROUP, &asked);
    assert_eq!(deleted, Ok(vec![(asked[0].clone(), ErrorCode::None)]));
    assert_eq!(bench.committed(), None);
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut bench = Bench::new();
    bench.commit_all(identity("", -1), vec![to_commit(0, 5, None), to_commit(1, 6, None)]);
    bench.coordinator.forget_topic("other");
    assert_eq!(bench.coordinator.offsets(GROUP).count(), 2);
    bench.coordinator.forget_topic("t");
    assert_eq!(bench.coordinator.offsets(GROUP).count(), 0);
}
