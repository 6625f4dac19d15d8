//! What is broken on purpose, so that a check is seen to fail. All of it is outside of the
//! machine: a driver, a shared memory or an assignor that does not keep its contract.

use handover_machine::{
    Call, Input, LeaseChange, LeaseId, Outcome, PartitionOutcome, Plan, Request, Start, TicketId,
    TopicPartition, Unanswered, assign::Assignment,
};

use super::setup::{Sabotage, Setup};

pub(super) fn assign_to_all(setup: &Setup, plan: &mut Plan) {
    if setup.sabotage == Some(Sabotage::AssignsToAll) {
        let all = (0..setup.partitions as i32).map(|p| TopicPartition::new(Setup::TOPIC, p));
        let everything = Assignment { partitions: all.collect(), user_data: Vec::new() }.encode();
        plan.assignments.iter_mut().for_each(|(_, bytes)| bytes.clone_from(&everything));
    }
}

/// The outcomes of which the application is told instead of one.
pub(super) fn outcomes(setup: &Setup, outcome: Outcome) -> Vec<Outcome> {
    match (setup.sabotage, outcome) {
        (Some(Sabotage::ResolvesTwice), outcome @ Outcome::Commit(_)) => {
            vec![outcome.clone(), outcome]
        }
        (Some(Sabotage::ForgetsOutcomes), Outcome::Commit(_)) => Vec::new(),
        (Some(Sabotage::CallsCommittedWithdrawn), Outcome::Commit(mut outcomes)) => {
            outcomes.iter_mut().for_each(|(_, outcome)| *outcome = PartitionOutcome::Withdrawn);
            vec![Outcome::Commit(outcomes)]
        }
        (_, outcome) => vec![outcome],
    }
}

/// The requests that are written instead of one. `last` is the last commit that was.
pub(super) fn requests(
    setup: &Setup,
    request: Request,
    last: &mut Option<Request>,
) -> Vec<Request> {
    match (setup.sabotage, request) {
        (Some(Sabotage::WritesTwice), request @ Request::Heartbeat(_)) => {
            vec![request.clone(), request]
        }
        (Some(Sabotage::BeatsForTheDead), Request::Heartbeat(mut beat)) => {
            beat.identity.generation -= 1;
            vec![Request::Heartbeat(beat)]
        }
        (Some(Sabotage::CommitsBackwards), Request::OffsetCommit(mut commit)) => {
            let before = last.replace(Request::OffsetCommit(commit.clone()));
            if let Some(Request::OffsetCommit(before)) = before {
                commit.offsets = before.offsets;
                commit.offsets.iter_mut().for_each(|offset| offset.offset -= 1);
            }
            vec![Request::OffsetCommit(commit)]
        }
        (Some(Sabotage::CommitsForOthers), request @ Request::OffsetCommit(_)) => {
            *last = Some(request.clone());
            vec![request]
        }
        (Some(Sabotage::CommitsForOthers), Request::Heartbeat(beat)) => {
            // Not before the group has moved on, so that the partition may be another's.
            let mut stale = last.take_if(|last| match last {
                Request::OffsetCommit(commit) => commit.identity != beat.identity,
                _ => false,
            });
            if let Some(Request::OffsetCommit(commit)) = &mut stale {
                commit.identity = beat.identity.clone();
            }
            stale.into_iter().chain([Request::Heartbeat(beat)]).collect()
        }
        (_, request) => vec![request],
    }
}

/// Whether the shared memory does not hear of a change.
pub(super) fn misses(setup: &Setup, change: LeaseChange) -> bool {
    setup.sabotage == Some(Sabotage::ForgetsTheEnd) && change == LeaseChange::End
}

/// What the machine is told instead.
pub(super) fn told(setup: &Setup, input: Input) -> Input {
    match (setup.sabotage, input) {
        (Some(Sabotage::LosesMarks), Input::Drained { lease, .. }) => {
            Input::Drained { lease, mark: None }
        }
        (Some(Sabotage::CallsLostUnsent), Input::Answer { id, answer: Err(_) }) => {
            Input::Answer { id, answer: Err(Unanswered::NotSent) }
        }
        (Some(Sabotage::ReusesTickets), Input::Call { call: call @ Call::Commit { .. }, .. }) => {
            Input::Call { ticket: TicketId(0), call }
        }
        (_, input) => input,
    }
}

/// Where a lease begins instead.
pub(super) fn start(setup: &Setup, start: Start) -> Start {
    match setup.sabotage {
        Some(Sabotage::StartsAtTheBeginning) => Start::Reset,
        _ => start,
    }
}

/// What the shared memory says of a lease that is told to end while it is held.
pub(super) fn early(setup: &Setup, lease: LeaseId, change: LeaseChange) -> Option<Input> {
    let revoked = matches!(change, LeaseChange::Revoke { .. });
    let early = revoked && setup.sabotage == Some(Sabotage::DrainsTooEarly);
    early.then_some(Input::Drained { lease, mark: None })
}
