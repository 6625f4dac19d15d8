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
