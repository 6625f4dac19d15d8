//! A broker that is not the coordinator, or not yet; and what administrators see and do.

use handover_machine::{
    ErrorCode, FindCoordinator, JoinGroup, Left, OffsetFetch, OffsetsFetched, Request, Response,
};
use handover_world::{GroupListing, GroupState};

use crate::bench::{Bench, GROUP, join};

#[test]
fn a_broker_that_is_not_the_coordinator_says_so_to_all() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let (_, parked) = bench.enter();
    bench.coordinator.unload();
    bench.collect();
    assert_eq!(bench.joined(parked).error, ErrorCode::NotCoordinator);
    let not = ErrorCode::NotCoordinator;
    assert_eq!(bench.beat(&ids[0], 1), not);
    assert_eq!(bench.commit(&ids[0], 1, 5), not);
    assert_eq!(bench.join_error(join("")), not);
    let caller = bench.sync(&ids[0], 1, &[]);
    assert_eq!(bench.synced(caller).error, not);
    let fetch = OffsetFetch { group: GROUP.into(), partitions: None, require_stable: true };
    let caller = bench.ask(Request::OffsetFetch(fetch));
    let refused = OffsetsFetched { error: not, offsets: vec![] };
    assert_eq!(bench.take(caller), Some(Response::OffsetFetch(refused)));
    assert_eq!(bench.coordinator.describe(GROUP), Err(not));
    assert_eq!(bench.coordinator.list(), Err(not));
    assert_eq!(bench.coordinator.delete_group(GROUP), Err(not));
    assert_eq!(bench.coordinator.delete_offsets(GROUP, &[]), Err(not));

    bench.coordinator.load(bench.now);
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::None, "generation 1 was written down");
}

#[test]
fn one_that_loads_says_so_but_lets_members_beat() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    bench.coordinator.unload();
    bench.coordinator.start_load();
    let loading = ErrorCode::CoordinatorLoadInProgress;
    assert_eq!(bench.commit(&ids[0], 1, 5), loading);
    assert_eq!(bench.join_error(join("")), loading);
    assert_eq!(bench.beat("anybody at all", 77), ErrorCode::None);
}

#[test]
fn members_must_name_a_group() {
    let mut bench = Bench::new();
    let invalid = ErrorCode::InvalidGroupId;
    assert_eq!(bench.join_error(JoinGroup { group: "".into(), ..join("") }), invalid);
    let leave = handover_machine::LeaveGroup { group: "".into(), members: vec![] };
    let caller = bench.ask(Request::LeaveGroup(leave));
    let refused = Response::LeaveGroup(Left { error: invalid, members: vec![] });
    assert_eq!(bench.take(caller), Some(refused));
}

#[test]
fn find_coordinator_is_not_a_coordinators_to_answer() {
    let mut bench = Bench::new();
    let find = FindCoordinator { group: GROUP.into() };
    let caller = bench.ask(Request::FindCoordinator(find));
    match bench.take(caller) {
        Some(Response::FindCoordinator(found)) => {
            assert_eq!((found.error, found.node), (ErrorCode::CoordinatorNotAvailable, None));
        }
        other => panic!("FindCoordinator is answered {other:?}"),
    }
}

#[test]
fn groups_are_listed_and_described() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.commit_group("aside");
    let listing = |group: &str, protocol_type: &str, state| GroupListing {
        group: group.into(),
        protocol_type: protocol_type.into(),
        state,
    };
    let simple = listing("aside", "", GroupState::Empty);
    let full = listing(GROUP, "consumer", GroupState::Stable);
    assert_eq!(bench.coordinator.list(), Ok(vec![simple, full]));

    let group = bench.describe();
    assert_eq!((&*group.protocol_type, &*group.protocol), ("consumer", "range"));
    assert_eq!(group.members.len(), 2);
    let member = &group.members[1];
    assert_eq!((&member.member, &*member.client, &*member.host), (&ids[1], "client", "host"));
    assert_eq!(member.assignment, b"1");
    assert_eq!(member.metadata, join("").protocols[0].metadata);

    bench.join(join(&ids[0]));
    let group = bench.describe();
    assert_eq!((&*group.protocol, group.state), ("", GroupState::PreparingRebalance));
    assert!(group.members.iter().all(|member| member.metadata.is_empty()));
}

#[test]
fn only_an_empty_group_can_be_deleted_and_its_offsets_go_with_it() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    bench.commit(&ids[0], 1, 5);
    assert_eq!(bench.coordinator.delete_group(GROUP), Err(ErrorCode::NonEmptyGroup));
    bench.leave(&[(&ids[0], None)]);
    assert_eq!(bench.coordinator.delete_group(GROUP), Ok(()));
    assert_eq!((bench.state(), bench.committed()), (GroupState::Dead, None));
    assert_eq!(bench.coordinator.delete_group(GROUP), Err(ErrorCode::GroupIdNotFound));
    bench.reload();
    assert_eq!(bench.state(), GroupState::Dead);
}
