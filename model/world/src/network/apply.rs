//! What each step does.

use core::mem;

use handover_machine::{
    ErrorCode, FoundCoordinator, OffsetCommitted, Request, RequestId, Response, Time, Unanswered,
};

use super::{Answer, Fault, Line, NOBODY, Network, Stage, Step, index, line};
use crate::{Caller, Client};

impl Network {
    /// Lets one of the [`steps`](Network::steps) happen. What comes of it reaches at most one
    /// member. A step that can't happen now changes nothing.
    pub fn apply(&mut self, now: Time, step: Step) -> Option<Answer> {
        match step {
            Step::Deliver(line) => self.deliver(now, line),
            Step::Answer(line) => return self.answer(line),
            Step::TimeOut { line, lingers } => return self.time_out(now, line, lingers),
            Step::Stray(stray) => self.apply_stray(now, stray),
            Step::Tick => self.coordinator.wake(now),
            Step::StartLoad | Step::Load if self.recovery() != Some(step) => {}
            Step::StartLoad => self.coordinator.start_load(),
            Step::Load => self.coordinator.load(now),
            Step::Fault(fault) => {
                self.possible(&fault).then_some(())?;
                self.faults = self.faults.less(&fault)?;
                return self.fail(now, fault);
            }
        }
        self.collect();
        None
    }

    fn fail(&mut self, now: Time, fault: Fault) -> Option<Answer> {
        match fault {
            Fault::Refuse(line) => return self.lose(line, false, Unanswered::NotSent),
            Fault::Cut { line, lingers } => return self.lose(line, lingers, Unanswered::Lost),
            Fault::Stall(line) => {
                let connection = self.connections.get_mut(index(line))?;
                connection.flight.as_mut()?.stalled = true;
            }
            Fault::LateWrite(line) => self.deliver_late(now, line),
            Fault::Reload => self.coordinator.reload(now),
            Fault::Unload => self.coordinator.unload(),
        }
        self.collect();
        None
    }

    /// The broker reads the request of a connection.
    fn deliver(&mut self, now: Time, line: Line) {
        let found = self.find();
        let Some(connection) = self.connections.get_mut(index(line)) else { return };
        let Some(flight) = connection.moving() else { return };
        match mem::replace(&mut flight.stage, Stage::Parked) {
            Stage::Written(Request::FindCoordinator(_)) => {
                flight.stage = Stage::Answered(Response::FindCoordinator(found));
            }
            Stage::Written(request) => {
                let client = Client::new(Network::client_id(line.member), "127.0.0.1");
                self.coordinator.handle(now, caller(line), &client, request);
            }
            other => flight.stage = other,
        }
    }

    /// The broker applies a commit and does not know in time whether its replicas have it.
    fn deliver_late(&mut self, now: Time, line: Line) {
        self.deliver(now, line);
        self.collect();
        let flight = self.connections[index(line)].flight.as_mut();
        if let Some(Stage::Answered(Response::OffsetCommit(OffsetCommitted { partitions }))) =
            flight.map(|flight| &mut flight.stage)
        {
            for (_, error) in partitions.iter_mut().filter(|(_, error)| error.is_none()) {
                *error = ErrorCode::CoordinatorNotAvailable;
            }
        }
    }

    /// Nobody knows a coordinator while none is there; one that still loads is known.
    fn find(&self) -> FoundCoordinator {
        match self.coordinator.available() {
            Err(ErrorCode::NotCoordinator) => {
                FoundCoordinator { error: ErrorCode::CoordinatorNotAvailable, node: None }
            }
            _ => FoundCoordinator { error: ErrorCode::None, node: Some(Network::node()) },
        }
    }

    fn answer(&mut self, line: Line) -> Option<Answer> {
        let connection = self.connections.get_mut(index(line))?;
        let flight = connection.moving()?;
        let Stage::Answered(_) = flight.stage else { return None };
        let flight = connection.flight.take()?;
        connection.advance();
        let Stage::Answered(response) = flight.stage else { return None };
        Some(Answer { member: line.member, id: flight.id, result: Ok(response) })
    }

    /// The member gives up what is overdue: the request on its way, and the connection with it,
    /// or one that never got its turn.
    fn time_out(&mut self, now: Time, line: Line, lingers: bool) -> Option<Answer> {
        let connection = self.connections.get_mut(index(line))?;
        if connection.flight.as_ref().is_some_and(|flight| flight.deadline <= now) {
            if lingers {
                connection.overdue_unread(now).then_some(())?;
                self.faults = self.faults.straggler()?;
            }
            return self.lose(line, lingers, Unanswered::Lost);
        }
        let overdue = connection.queue.iter().position(|queued| queued.deadline <= now)?;
        let queued = connection.queue.remove(overdue)?;
        Some(Answer { member: line.member, id: queued.id, result: Err(Unanswered::NotSent) })
    }

    /// Closes a connection and says of its request that there is no answer.
    fn lose(&mut self, line: Line, lingers: bool, why: Unanswered) -> Option<Answer> {
        let id = self.close(line, lingers)?;
        Some(Answer { member: line.member, id, result: Err(why) })
    }

    /// Closes a connection. What the broker has parked stays parked there (SPEC G2): it does
    /// not look at a connection while it serves it.
    pub(super) fn close(&mut self, line: Line, lingers: bool) -> Option<RequestId> {
        let connection = self.connections.get_mut(index(line))?;
        let flight = connection.flight.take()?;
        connection.advance();
        match flight.stage {
            Stage::Written(request) if lingers => self.strays.push((line.member, request)),
            Stage::Parked => self
                .coordinator
                .rename_callers(|other| if other == caller(line) { NOBODY } else { other }),
            Stage::Written(_) | Stage::Answered(_) => {}
        }
        Some(flight.id)
    }

    fn apply_stray(&mut self, now: Time, stray: usize) {
        if stray < self.strays.len() {
            let (member, request) = self.strays.remove(stray);
            let client = Client::new(Network::client_id(member), "127.0.0.1");
            self.coordinator.handle(now, NOBODY, &client, request);
        }
    }

    /// Puts the coordinator's answers on their connections. A stalled one takes its answer too;
    /// it just does not arrive.
    fn collect(&mut self) {
        while let Some((caller, response)) = self.coordinator.poll_answer() {
            let at = usize::try_from(caller.0).unwrap_or(usize::MAX);
            let connection = self.connections.get_mut(at);
            if let Some(flight) = connection.and_then(|connection| connection.flight.as_mut()) {
                debug_assert_eq!(flight.stage, Stage::Parked, "{:?} is answered twice", line(at));
                flight.stage = Stage::Answered(response);
            }
        }
    }
}

fn caller(line: Line) -> Caller {
    Caller(index(line) as u64)
}
