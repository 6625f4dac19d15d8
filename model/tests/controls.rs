//! Each check of the search is seen to fail: something outside of the machine is broken on
//! purpose, and exactly the property that says so is violated.

use handover_model::explore::{Counterexample, search};
use handover_model::system::{Assigns, Property, Sabotage, Setup, Style};

/// Searches a broken system, and expects the counterexample to happen again when it is replayed.
fn caught(sabotage: Sabotage, setup: Setup, property: Property) -> Box<Counterexample> {
    let setup = Setup { sabotage: Some(sabotage), ..setup };
    let found = search(&setup).expect_err("a broken system must be caught");
    assert_eq!(found.violation.property, property, "{found}");
    match property {
        Property::GoalReachable | Property::GoalReached => assert_eq!(found.replay(), Ok(())),
        _ => assert_eq!(found.replay(), Err(found.violation.clone())),
    }
    assert!(found.to_string().contains("──▶ broker   JoinGroup"), "the diagram shows the run");
    found
}

/// The second member joins, so that the first hands over.
const PAIR: Setup = Setup { name: "control", ..Setup::TWO_MEMBERS };
/// The application waits for its commits.
const BLOCKING: Setup = Setup { style: Style::Blocking, records: 2, ..PAIR };

#[test]
fn two_owners_of_a_partition() {
    caught(Sabotage::AssignsToAll, PAIR, Property::OneOwner);
}

#[test]
fn a_commit_for_somebody_else() {
    let setup = Setup { records: 1, ..BLOCKING };
    caught(Sabotage::CommitsForOthers, setup, Property::OneCommitter);
}

#[test]
fn a_commit_that_moves_back() {
    caught(Sabotage::CommitsBackwards, BLOCKING, Property::NoRewind);
}

#[test]
fn a_call_that_resolves_twice() {
    caught(Sabotage::ResolvesTwice, BLOCKING, Property::TicketOnce);
}

#[test]
fn a_call_that_is_open_after_the_close() {
    let setup = Setup { closes: true, ..BLOCKING };
    caught(Sabotage::ForgetsOutcomes, setup, Property::TicketOnce);
}

#[test]
fn an_outcome_that_is_not_true() {
    caught(Sabotage::CallsCommittedWithdrawn, BLOCKING, Property::HonestOutcome);
}

#[test]
fn a_lease_whose_end_is_not_applied() {
    caught(Sabotage::ForgetsTheEnd, PAIR, Property::LeaseOnce);
}

#[test]
fn a_hand_over_under_a_batch() {
    caught(Sabotage::DrainsTooEarly, PAIR, Property::DrainFirst);
}

#[test]
fn a_hand_over_before_its_commit() {
    caught(Sabotage::LosesMarks, PAIR, Property::MarksCovered);
}

#[test]
fn a_record_consumed_after_its_hand_over() {
    caught(Sabotage::StartsAtTheBeginning, PAIR, Property::NothingTwice);
}

#[test]
fn a_request_under_an_old_identity() {
    caught(Sabotage::BeatsForTheDead, PAIR, Property::OwnIdentity);
}

#[test]
fn two_requests_on_a_lane() {
    caught(Sabotage::WritesTwice, PAIR, Property::OneRequest);
}

#[test]
fn a_close_that_sleeps_through_its_deadline() {
    let mut setup = Setup { closes: true, ..PAIR };
    setup.timing.close = Some(2);
    caught(Sabotage::SleepsThroughClose, setup, Property::CloseBounded);
}

#[test]
fn a_straggler_that_nobody_mends() {
    let mut setup = Setup { settled: 1, ..BLOCKING };
    (setup.faults.cuts, setup.faults.stragglers) = (1, 1);
    caught(Sabotage::CallsLostUnsent, setup, Property::Mended);
}

#[test]
fn an_assertion_of_the_machine() {
    let setup = Setup { members: 1, partitions: 2, ..BLOCKING };
    caught(Sabotage::ReusesTickets, setup, Property::NoPanic);
}

#[test]
fn a_goal_out_of_reach() {
    caught(Sabotage::DropsCommitAnswers, BLOCKING, Property::GoalReachable);
}

#[test]
fn a_fair_run_that_avoids_the_goal() {
    let setup = Setup { members: 1, assignor: Assigns::Later(0), ..PAIR };
    let found = caught(Sabotage::AssignorMayFail, setup, Property::GoalReached);
    assert!(!found.round.is_empty(), "the round is shown");
}
