//! Coordinators that behave alike are equal once their clocks and their callers are.

use std::time::Duration;

use handover_machine::Time;
use handover_world::{Caller, Coordinator, GroupState};

use crate::bench::{Bench, join};

/// The coordinator after `script`, begun at `start`, seen from the moment at which it ends.
fn at(start: u64, script: fn(&mut Bench)) -> Coordinator {
    let mut bench = Bench::new();
    bench.now = Time::from_millis(start);
    script(&mut bench);
    bench.coordinator.rebase(bench.now);
    bench.coordinator
}

/// With a session, a pending id and the join timer.
fn preparing(bench: &mut Bench) {
    let ids = bench.stable(2);
    bench.join(join(""));
    bench.join(join(&ids[0]));
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
}

/// With the timer of the members that have not synced.
fn completing(bench: &mut Bench) {
    let ids = bench.stable(2);
    bench.rejoin_all(&ids);
    bench.sync(&ids[1], 2, &[]);
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
}

#[test]
fn the_same_script_at_another_time_ends_in_the_same_state() {
    for script in [preparing, completing] {
        let (early, late) = (at(0, script), at(777_000, script));
        assert_eq!(early, late);
        assert_ne!(early.next_wake(), Time::ZERO);
    }
}

#[test]
fn a_deadline_that_has_passed_is_at_zero() {
    let mut late = at(0, preparing);
    late.rebase(Time::from_millis(1_000_000));
    assert_eq!(late.next_wake(), Time::ZERO);
}

#[test]
fn what_never_comes_still_never_comes() {
    let mut empty = at(0, |bench| bench.commit_group("aside"));
    empty.rebase(Time::from_millis(5));
    assert_eq!(empty.next_wake(), Time::NEVER);
}

#[test]
fn callers_are_answered_under_their_new_names() {
    for script in [preparing, completing] {
        let mut bench = Bench::new();
        script(&mut bench);
        let parked: Vec<Caller> = bench.coordinator.parked().collect();
        assert_eq!(parked.len(), 1);
        bench.coordinator.rename_callers(|caller| Caller(caller.0 + 1_000));
        bench.coordinator.unload();
        bench.coordinator.rename_callers(|caller| Caller(caller.0 + 1_000));
        bench.collect();
        assert!(bench.take(Caller(parked[0].0 + 2_000)).is_some());
    }
}

#[test]
fn a_later_moment_is_another_state() {
    let mut bench = Bench::new();
    bench.stable(1);
    let (mut now, mut later) = (bench.coordinator.clone(), bench.coordinator);
    now.rebase(bench.now);
    later.rebase(bench.now + Duration::from_millis(1));
    assert_ne!(now, later);
}
