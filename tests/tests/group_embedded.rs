//! Groups of our consumers on the embedded broker.

use handover_tests::bed::{Bed, Outcome};
use handover_tests::scenes;
use handover_tokio::machine::Assignor;

#[test]
fn members_come_and_go_with_range() -> Outcome {
    scenes::members_come_and_go(&Bed::embedded(3)?, &Assignor::range())
}

#[test]
fn members_come_and_go_with_cooperative_sticky() -> Outcome {
    scenes::members_come_and_go(&Bed::embedded(3)?, &Assignor::cooperative_sticky())
}

#[test]
fn commits_are_cancelled_in_rebalances() -> Outcome {
    scenes::commits_cancelled_in_rebalances(&Bed::embedded(3)?, 50)
}

#[test]
fn members_are_closed_in_any_state() -> Outcome {
    scenes::members_are_closed_in_any_state(&Bed::embedded(3)?)
}

#[test]
fn a_killed_member_is_replaced() -> Outcome {
    scenes::a_killed_member_is_replaced(&Bed::embedded(3)?)
}

#[test]
fn the_coordinator_moves() -> Outcome {
    scenes::the_coordinator_moves(&Bed::embedded(3)?)
}

#[test]
fn connections_break_at_commits() -> Outcome {
    scenes::connections_break_at_commits(&Bed::embedded(3)?)
}

#[test]
fn the_coordinator_answers_with_errors() -> Outcome {
    scenes::the_coordinator_answers_with_errors(&Bed::embedded(3)?)
}
