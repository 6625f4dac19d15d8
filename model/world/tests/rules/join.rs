//! JoinGroup: who is let in, under which id, and what a member gets that joins again.

use std::{slice::from_ref, time::Duration};

use handover_machine::{ErrorCode, JoinGroup, Name};
use handover_world::{CoordinatorConfig, GroupState};

use crate::bench::{Bench, REBALANCE, SESSION, join, protocols, static_join};

#[test]
fn a_newcomer_is_told_its_id_and_is_in_when_it_comes_back_with_it() {
    let mut bench = Bench::new();
    let first = bench.join(join(""));
    let told = bench.joined(first);
    assert_eq!(told.error, ErrorCode::MemberIdRequired);
    assert_eq!((told.generation, told.skip_assignment, told.members.len()), (-1, false, 0));
    assert!(told.member.starts_with("client-"), "{}", told.member);
    assert_eq!((bench.state(), bench.describe().members.len()), (GroupState::Empty, 0));

    let second = bench.join(join(&told.member));
    bench.settle();
    let joined = bench.joined(second);
    assert_eq!((joined.error, joined.generation), (ErrorCode::None, 1));
    assert_eq!((&joined.member, &joined.leader), (&told.member, &told.member));
    assert_eq!(joined.protocol.as_deref(), Some("range"));
    assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(joined.members.len(), 1, "the leader sees everybody");
    assert!(!joined.skip_assignment);
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
}

#[test]
fn an_old_client_is_in_at_once() {
    let mut bench = Bench::new();
    let caller = bench.join(JoinGroup { member_id_required: false, ..join("") });
    bench.settle();
    assert_eq!(bench.joined(caller).generation, 1);
}

#[test]
fn two_newcomers_never_get_the_same_id() {
    let mut bench = Bench::new();
    let first = bench.join(join(""));
    let first = bench.joined(first).member;
    bench.reload();
    let second = bench.join(join(""));
    assert_ne!(first, bench.joined(second).member);
}

#[test]
fn an_unknown_id_is_refused_with_and_without_a_group() {
    let mut bench = Bench::new();
    assert_eq!(bench.join_error(join("nobody")), ErrorCode::UnknownMemberId);
    assert_eq!(bench.state(), GroupState::Dead, "such a join makes no group");
    bench.stable(1);
    assert_eq!(bench.join_error(join("nobody")), ErrorCode::UnknownMemberId);
}

/// [ran] One unused id held a group for its whole session timeout.
#[test]
fn an_id_that_never_came_back_holds_the_group_for_its_session() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let lost = bench.join(join(""));
    bench.joined(lost);
    let leader = bench.join(join(&ids[0]));
    bench.pass(SESSION as u64 - 1);
    assert_eq!(bench.beat(&ids[0], 1), ErrorCode::RebalanceInProgress);
    assert_eq!(bench.take(leader), None, "the rebalance waits for the id");
    bench.pass(1);
    assert_eq!(bench.joined(leader).generation, 2);
}

#[test]
fn the_first_that_is_in_leads() {
    for static_first in [true, false] {
        let mut bench = Bench::new();
        let mut dynamic = JoinGroup { member_id_required: false, ..join("") };
        let mut fixed = static_join("", "i");
        if static_first {
            std::mem::swap(&mut dynamic, &mut fixed);
        }
        let callers = [bench.join(dynamic), bench.join(fixed)];
        bench.settle();
        let [first, second] = callers.map(|caller| bench.joined(caller));
        assert_eq!((&first.leader, &second.leader), (&first.member, &first.member));
        assert_eq!((first.members.len(), second.members.len()), (2, 0));
    }
}

#[test]
fn protocols_must_have_one_in_common_and_a_type() {
    let mut bench = Bench::new();
    let inconsistent = ErrorCode::InconsistentGroupProtocol;
    assert_eq!(bench.join_error(JoinGroup { protocols: vec![], ..join("") }), inconsistent);
    assert_eq!(bench.join_error(JoinGroup { protocol_type: "".into(), ..join("") }), inconsistent);
    bench.stable(1);
    let other = JoinGroup { protocols: protocols(&["sticky"]), ..join("") };
    assert_eq!(bench.join_error(other), inconsistent);
    let connect = JoinGroup { protocol_type: "connect".into(), ..join("") };
    assert_eq!(bench.join_error(connect), inconsistent);
}

#[test]
fn the_session_timeout_has_bounds() {
    let mut bench = Bench::new();
    for (timeout, error) in [
        (5_999, ErrorCode::InvalidSessionTimeout),
        (6_000, ErrorCode::MemberIdRequired),
        (1_800_000, ErrorCode::MemberIdRequired),
        (1_800_001, ErrorCode::InvalidSessionTimeout),
        (-1, ErrorCode::InvalidSessionTimeout),
    ] {
        let request = JoinGroup { session_timeout_ms: timeout, ..join("") };
        assert_eq!(bench.join_error(request), error, "{timeout} ms");
    }
}

#[test]
fn a_full_group_refuses_newcomers_and_keeps_its_members() {
    let config = CoordinatorConfig { max_group_size: 2, ..CoordinatorConfig::default() };
    let mut bench =
        Bench::with(CoordinatorConfig { initial_rebalance_delay: Duration::ZERO, ..config });
    let ids = bench.stable(2);
    assert_eq!(bench.join_error(join("")), ErrorCode::GroupMaxSizeReached);

    // Of those that wait in a rebalance, no more than two have room; a third is put out.
    let leader = bench.join(join(&ids[0]));
    let newcomer = bench.join(join(""));
    let newcomer = bench.joined(newcomer).member;
    let second = bench.join(join(&newcomer));
    assert_eq!(bench.join_error(join(&ids[1])), ErrorCode::GroupMaxSizeReached);
    assert_eq!(bench.take(leader), None, "Kafka does not look whether it was the last");
    bench.pass(REBALANCE as u64);
    assert_eq!(bench.joined(leader).generation, 2);
    assert_eq!(bench.joined(second).generation, 2);
    assert_eq!(bench.beat(&ids[1], 2), ErrorCode::UnknownMemberId);
}

#[test]
fn the_protocol_is_the_one_that_most_put_first_among_those_of_all() {
    let mut bench = Bench::new();
    let offers: [&[&str]; 3] =
        [&["sticky", "range", "roundrobin"], &["roundrobin", "range"], &["range", "roundrobin"]];
    let mut callers = vec![];
    for offer in offers {
        let request = JoinGroup { member_id_required: false, ..join("") };
        callers.push(bench.join(JoinGroup { protocols: protocols(offer), ..request }));
    }
    bench.settle();
    for caller in callers {
        assert_eq!(bench.joined(caller).protocol.as_deref(), Some("range"));
    }
}

/// What a Java program that counts in a `HashMap` and takes the `max` prints.
#[test]
fn a_tie_of_votes_is_broken_as_javas_hash_table_breaks_it() {
    for (one, other, chosen) in [
        ("range", "roundrobin", "range"),
        ("range", "sticky", "sticky"),
        ("range", "cooperative-sticky", "range"),
        ("roundrobin", "sticky", "sticky"),
        ("roundrobin", "cooperative-sticky", "roundrobin"),
        ("sticky", "cooperative-sticky", "sticky"),
    ] {
        for offers in [[one, other], [other, one]] {
            let mut bench = Bench::new();
            let mut reversed = offers;
            reversed.reverse();
            let callers = [offers, reversed].map(|offer| {
                let request = JoinGroup { member_id_required: false, ..join("") };
                bench.join(JoinGroup { protocols: protocols(&offer), ..request })
            });
            bench.settle();
            for caller in callers {
                assert_eq!(bench.joined(caller).protocol.as_deref(), Some(chosen));
            }
        }
    }
}

#[test]
fn an_unchanged_follower_of_a_stable_group_gets_the_generation_back() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let caller = bench.join(join(&ids[1]));
    let joined = bench.joined(caller);
    assert_eq!((joined.generation, joined.leader), (1, ids[0].clone()));
    assert!(joined.members.is_empty());
    assert_eq!(bench.state(), GroupState::Stable);
}

#[test]
fn a_leader_or_a_changed_follower_moves_a_stable_group() {
    let leader: fn(&[Name]) -> JoinGroup = |ids| join(&ids[0]);
    let follower: fn(&[Name]) -> JoinGroup =
        |ids| JoinGroup { protocols: protocols(&["range", "sticky"]), ..join(&ids[1]) };
    for request in [leader, follower] {
        let mut bench = Bench::new();
        let ids = bench.stable(2);
        let caller = bench.join(request(&ids));
        assert_eq!(bench.take(caller), None);
        assert_eq!(bench.state(), GroupState::PreparingRebalance);
    }
}

#[test]
fn in_completing_an_unchanged_member_gets_its_answer_again() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    for (id, members) in [(&ids[0], 2), (&ids[1], 0)] {
        let caller = bench.join(join(id));
        let again = bench.joined(caller);
        assert_eq!((again.generation, again.members.len()), (2, members));
    }
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
}

#[test]
fn in_completing_a_changed_member_begins_another_rebalance() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    let parked = bench.sync(&ids[1], 2, &[]);
    let changed = JoinGroup { protocols: protocols(&["range", "sticky"]), ..join(&ids[0]) };
    let caller = bench.join(changed);
    assert_eq!(bench.take(caller), None);
    assert_eq!(bench.synced(parked).error, ErrorCode::RebalanceInProgress);
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_join_sent_twice_is_answered_once_to_the_second() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let first = bench.join(join(&ids[0]));
    let second = bench.join(join(&ids[0]));
    assert_eq!(bench.coordinator.parked().collect::<Vec<_>>(), [second]);
    bench.join(join(&ids[1]));
    assert_eq!(bench.joined(second).generation, 2);
    assert_eq!(bench.take(first), None);
}

#[test]
fn a_client_that_died_in_its_first_join_is_removed_after_five_minutes() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let (newcomer, parked) = bench.enter();
    for _ in 0..299 {
        // The old member beats but does not rejoin: it has a long rebalance timeout.
        bench.pass(1_000);
        if bench.describe().generation > 1 {
            break;
        }
        bench.beat(&ids[0], 1);
    }
    assert_eq!(bench.describe().generation, 2, "the rebalance timeout is shorter than that");
    assert_eq!(bench.joined(parked).leader, newcomer);

    let long = JoinGroup { rebalance_timeout_ms: 900_000, ..join(&newcomer) };
    bench.sync_all(from_ref(&newcomer), 2);
    let leader = bench.join(long);
    let joined = bench.joined(leader).generation;
    bench.sync_all(from_ref(&newcomer), joined);
    let (_, parked) = bench.enter();
    let died = bench.now;
    for _ in 0..299 {
        bench.pass(1_000);
        bench.beat(&newcomer, joined);
        assert_eq!(bench.take(parked), None);
    }
    bench.pass(1_000);
    assert_eq!(bench.now.since(died), Duration::from_secs(300));
    assert_eq!(bench.joined(parked).error, ErrorCode::UnknownMemberId);
}
