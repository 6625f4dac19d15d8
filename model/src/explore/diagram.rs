//! A run as text: one line for each step, in the words of the protocol.

use std::fmt;

use handover_machine::{Event, LeaseChange, Notice, Outcome, Output, Request, Response, Start};
use handover_world::{Fault, Line, Step};

use crate::system::{Action, Happened, Move, Setup, System};

pub(super) fn heading(f: &mut fmt::Formatter<'_>, setup: &Setup) -> fmt::Result {
    writeln!(f, "step    ms  {} members, {} settled before", setup.members, setup.settled)
}

/// Writes what an action does, lets it happen, and gives how much time passed.
pub(super) fn line(
    f: &mut fmt::Formatter<'_>,
    system: &mut System<'_>,
    step: usize,
    now: u64,
    action: Action,
) -> Result<u64, fmt::Error> {
    let what = words(system, action);
    // Under the names that the coordinator gives, which never come again.
    let happened = system.happen(action).and_then(|done| system.check().map(|()| done));
    writeln!(f, "{step:4} {now:5}  {what}")?;
    match happened {
        Ok(Happened { outputs, passed, .. }) => {
            for output in outputs.iter().filter_map(output) {
                writeln!(f, "              {output}")?;
            }
            Ok(passed.as_millis())
        }
        Err(violation) => {
            writeln!(f, "              {violation}")?;
            Ok(0)
        }
    }
}

fn words(system: &System<'_>, action: Action) -> String {
    match action {
        Action::Member(member, Move::Wake) => format!("m{member}: its timer fires"),
        Action::Member(member, Move::Plan) => format!("m{member}: its assignor has a plan"),
        Action::Member(member, Move::FailPlan) => format!("m{member}: its assignor fails"),
        Action::Member(member, Move::Do(deed)) => {
            format!("m{member}: the application does {deed:?}")
        }
        Action::Crash(member) => format!("m{member}: dies and starts anew"),
        Action::Advance => String::from("time passes"),
        Action::Delay => String::from("time passes while messages are on their way"),
        Action::Network(step) => network(system, step),
    }
}

fn network(system: &System<'_>, step: Step) -> String {
    let asked = |line: Line| {
        let request = system.network().connection(line).and_then(|c| c.request());
        request.map_or_else(|| String::from("a request"), request_words)
    };
    match step {
        Step::Deliver(line) => format!("m{} ──▶ broker   {}", line.member, asked(line)),
        Step::Answer(line) => {
            let response = system.network().connection(line).and_then(|c| c.response());
            format!("m{} ◀── broker   {}", line.member, response.map_or_else(String::new, answer))
        }
        Step::TimeOut { line, lingers } => {
            let how = if lingers { ", which the broker has yet to read" } else { "" };
            format!("m{} ──✕          gives up its {:?} request{how}", line.member, line.lane)
        }
        Step::Stray(stray) => match system.network().strays().nth(stray) {
            Some((member, request)) => {
                format!("m{member} ┄┄▶ broker   {}, late", request_words(request))
            }
            None => String::from("nothing"),
        },
        Step::Tick => String::from("           broker   its timers fire"),
        Step::StartLoad => String::from("           broker   begins to load the group"),
        Step::Load => String::from("           broker   has loaded the group"),
        Step::Fault(fault) => match fault {
            Fault::Cut { line, lingers } => {
                let how = if lingers { ", and lingers" } else { "" };
                format!("m{} ──✕          the {:?} connection is cut{how}", line.member, line.lane)
            }
            Fault::Refuse(line) => {
                format!("m{} ──✕          {} does not leave", line.member, asked(line))
            }
            Fault::Stall(line) => {
                format!("m{} ──…          the {:?} connection stalls", line.member, line.lane)
            }
            Fault::LateWrite(line) => {
                format!("m{} ──▶ broker   {}, replicated too late", line.member, asked(line))
            }
            Fault::Reload => String::from("           broker   reloads the group"),
            Fault::Unload => String::from("           broker   unloads the group"),
        },
    }
}

fn request_words(request: &Request) -> String {
    match request {
        Request::FindCoordinator(_) => String::from("FindCoordinator"),
        Request::JoinGroup(join) => format!("JoinGroup of {:?}", &*join.member),
        Request::SyncGroup(sync) => {
            let plan = if sync.assignments.is_empty() { "" } else { " with the plan" };
            format!(
                "SyncGroup of {:?}, generation {}{plan}",
                &*sync.identity.member, sync.identity.generation
            )
        }
        Request::Heartbeat(beat) => {
            format!(
                "Heartbeat of {:?}, generation {}",
                &*beat.identity.member, beat.identity.generation
            )
        }
        Request::LeaveGroup(leave) => {
            let ids: Vec<&str> = leave.members.iter().map(|leaver| &*leaver.member).collect();
            format!("LeaveGroup of {ids:?}")
        }
        Request::OffsetCommit(commit) => {
            let offsets: Vec<String> =
                commit.offsets.iter().map(|o| format!("{} at {}", o.partition, o.offset)).collect();
            format!(
                "OffsetCommit of {:?}, generation {}: {}",
                &*commit.identity.member,
                commit.identity.generation,
                offsets.join(", ")
            )
        }
        Request::OffsetFetch(fetch) => format!("OffsetFetch of {:?}", fetch.partitions),
    }
}

fn answer(response: &Response) -> String {
    match response {
        Response::FindCoordinator(found) => format!("FindCoordinator: {}", found.error),
        Response::JoinGroup(joined) => {
            let lead = if joined.members.is_empty() { "" } else { ", to lead" };
            format!(
                "JoinGroup: {}, {:?}, generation {}{lead}",
                joined.error, &*joined.member, joined.generation
            )
        }
        Response::SyncGroup(synced) => {
            let assignment = handover_machine::assign::Assignment::decode(&synced.assignment);
            let assigned = assignment.map(|a| a.partitions).unwrap_or_default();
            format!("SyncGroup: {}, {assigned:?}", synced.error)
        }
        Response::Heartbeat(error) => format!("Heartbeat: {error}"),
        Response::LeaveGroup(left) => format!("LeaveGroup: {:?}", left.members),
        Response::OffsetCommit(done) => {
            let errors: Vec<String> =
                done.partitions.iter().map(|(p, error)| format!("{p} {error}")).collect();
            format!("OffsetCommit: {}", errors.join(", "))
        }
        Response::OffsetFetch(fetched) => {
            let offsets: Vec<String> =
                fetched.offsets.iter().map(|o| format!("{} {}", o.partition, o.offset)).collect();
            format!("OffsetFetch: {} {}", fetched.error, offsets.join(", "))
        }
    }
}

fn output(output: &Output) -> Option<String> {
    match output {
        Output::Send { request, .. } => Some(format!("writes {}", request_words(request))),
        Output::Wake { .. } | Output::ReadMarks | Output::Assign { .. } => None,
        Output::Grant { lease, partition } => Some(format!("grants {lease:?} of {partition}")),
        Output::Lease(lease, LeaseChange::Revoke { by }) => {
            Some(format!("revokes {lease:?} within {by:?}"))
        }
        Output::Lease(lease, LeaseChange::End) => Some(format!("hands {lease:?} over")),
        Output::Lease(lease, LeaseChange::Lose(reason)) => {
            Some(format!("loses {lease:?}: {reason}"))
        }
        Output::Position { lease, start: Start::Committed(mark) } => {
            Some(format!("{lease:?} begins at {}", mark.offset))
        }
        Output::Position { lease, .. } => Some(format!("{lease:?} begins at the beginning")),
        Output::Deliver(deliver) => Some(format!("delivers: {deliver}")),
        Output::Event(Event::Fatal(fatal)) => Some(format!("fails: {fatal}")),
        Output::Event(_) => None,
        Output::Notice(Notice::Retrying { api, cause }) => {
            Some(format!("tries {api:?} again: {cause:?}"))
        }
        Output::Notice(notice) => Some(format!("notes {notice:?}")),
        Output::Resolve { ticket, outcome: Outcome::Commit(outcomes) } => {
            let outcomes: Vec<String> =
                outcomes.iter().map(|(p, outcome)| format!("{p} {outcome}")).collect();
            Some(format!("{ticket:?}: {}", outcomes.join(", ")))
        }
        Output::Resolve { ticket, outcome } => Some(format!("{ticket:?}: {outcome:?}")),
    }
}
