//! One deterministic run of the closed system: two members join, one consumes, commits and
//! leaves, and the other goes on where it stopped.

#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping")]

use handover_model::system::{Action, Deed, Move, Setup, System};
use handover_world::GroupState;

/// Lets happen what must until nothing is under way.
fn settle(system: &mut System<'_>) {
    for _ in 0..1_000 {
        if system.is_goal() {
            return;
        }
        let actions = system.actions();
        let next = actions.iter().find(|action| action.is_progress());
        system.apply(*next.expect("something can happen")).unwrap();
    }
    panic!("not settled after a thousand steps: {system:#?}");
}

fn act(system: &mut System<'_>, member: usize, fits: impl Fn(&Deed) -> bool) {
    let actions = system.actions();
    let deed = actions.iter().find(|action| {
        matches!(action, Action::Member(who, Move::Do(deed)) if *who == member && fits(deed))
    });
    system.apply(*deed.expect("the application may do that")).unwrap();
}

fn committed(system: &System<'_>) -> Vec<i64> {
    system.network().coordinator().offsets("g").map(|(_, committed)| committed.offset).collect()
}

fn join_consume_and_hand_over(setup: &Setup) {
    let mut system = System::new(setup);
    act(&mut system, 0, |deed| *deed == Deed::Subscribe);
    settle(&mut system);
    act(&mut system, 1, |deed| *deed == Deed::Subscribe);
    settle(&mut system);
    let group = system.network().coordinator().describe("g").unwrap();
    assert_eq!((group.state, group.members.len()), (GroupState::Stable, 2));
    assert_eq!(committed(&system), []);

    act(&mut system, 0, |deed| matches!(deed, Deed::Take(_)));
    act(&mut system, 0, |deed| matches!(deed, Deed::Finish(_)));
    act(&mut system, 0, |deed| *deed == Deed::Close);
    settle(&mut system);
    let group = system.network().coordinator().describe("g").unwrap();
    assert_eq!((group.state, group.members.len()), (GroupState::Stable, 1));
    assert_eq!(committed(&system), [1]);

    act(&mut system, 1, |deed| matches!(deed, Deed::Take(_)));
    act(&mut system, 1, |deed| matches!(deed, Deed::Finish(_)));
    act(&mut system, 1, |deed| *deed == Deed::Close);
    settle(&mut system);
    let group = system.network().coordinator().describe("g").unwrap();
    assert_eq!((group.state, group.members.len()), (GroupState::Empty, 0));
    assert_eq!(committed(&system), [2]);
}

const TWO_RECORDS: Setup = Setup { records: 2, closes: true, ..Setup::TWO_MEMBERS };

#[test]
fn eager_members_hand_over_and_go_on_where_the_other_stopped() {
    join_consume_and_hand_over(&TWO_RECORDS);
}

#[test]
fn cooperative_members_hand_over_and_go_on_where_the_other_stopped() {
    join_consume_and_hand_over(&Setup { cooperative: true, ..TWO_RECORDS });
}
