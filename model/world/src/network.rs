//! The connections between members and their coordinator, and what goes wrong on them.
//!
//! A network of connections, not of datagrams: each is first in, first out both ways, and has one
//! request at the broker at a time, so a parked JoinGroup holds up its own lane and no other
//! (SPEC G1). Faults have budgets; without any left, everything that was sent is answered.

mod apply;
mod connection;
mod parts;
mod step;

use alloc::{format, vec::Vec};
use core::time::Duration;

use handover_machine::{
    ErrorCode, Lane, Name, Node, Request, RequestId, Response, Time, Unanswered,
};

use crate::{Caller, Coordinator};
use connection::Stage;

pub use connection::Connection;
pub use parts::{Outside, Parts};
pub use step::{Fault, Faults, Line, Step};

/// A coordinator, its members' connections, and the faults that may still happen.
///
/// The user chooses among [`steps`](Network::steps) and plays the clock: an exhaustive search
/// tries them all, a simulation draws one.
///
/// ```
/// use handover_machine::{FindCoordinator, Lane, Request, RequestId, Response, Time};
/// use handover_world::{Coordinator, CoordinatorConfig, Faults, Network};
/// use std::time::Duration;
///
/// let coordinator = Coordinator::new(CoordinatorConfig::default());
/// let mut network = Network::new(coordinator, 1, Faults::default());
/// let find = Request::FindCoordinator(FindCoordinator { group: "orders".into() });
/// network.send(Time::ZERO, 0, Lane::Control, RequestId(1), find, Duration::from_secs(30));
///
/// let mut answer = None;
/// while let Some(step) = network.steps(Time::ZERO).next() {
///     answer = network.apply(Time::ZERO, step);
/// }
/// let answer = answer.unwrap();
/// assert_eq!((answer.member, answer.id), (0, RequestId(1)));
/// assert!(matches!(answer.result, Ok(Response::FindCoordinator(_))));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    coordinator: Coordinator,
    /// Of member m the lanes in order, from 3 m.
    connections: Vec<Connection>,
    /// Requests of closed connections that the broker will still apply, and who wrote them.
    strays: Vec<(usize, Request)>,
    faults: Faults,
}

/// What became of a request.
///
/// ```
/// # use handover_world::Answer;
/// # use handover_machine::{Input, RequestId};
/// fn input(answer: Answer) -> Input {
///     Input::Answer { id: answer.id, answer: answer.result }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Answer {
    /// Who sent it.
    pub member: usize,
    /// Which.
    pub id: RequestId,
    /// The response, or why there is none.
    pub result: Result<Response, Unanswered>,
}

/// Waits for the answers that nobody reads: those to requests of closed connections.
const NOBODY: Caller = Caller(u64::MAX);

impl Network {
    /// Connects `members` members to a coordinator.
    pub fn new(coordinator: Coordinator, members: usize, faults: Faults) -> Network {
        let connections = (0..members * Lane::ALL.len()).map(|_| Connection::default());
        Network { coordinator, connections: connections.collect(), strays: Vec::new(), faults }
    }

    /// The coordinator, for invariants.
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// The coordinator, for administrators.
    pub fn coordinator_mut(&mut self) -> &mut Coordinator {
        &mut self.coordinator
    }

    /// What may still go wrong.
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// The broker that FindCoordinator names.
    pub fn node() -> Node {
        Node { id: 0, host: "broker".into(), port: 9092 }
    }

    /// The client id under which a member's requests come.
    pub fn client_id(member: usize) -> Name {
        format!("client-{member}").into()
    }

    /// Takes a member's request: a [`Output::Send`](handover_machine::Output::Send). It gets
    /// exactly one [`Answer`], in the order of its lane. A member that is not there is ignored.
    pub fn send(
        &mut self,
        now: Time,
        member: usize,
        lane: Lane,
        id: RequestId,
        request: Request,
        timeout: Duration,
    ) {
        let index = index(Line { member, lane });
        if let Some(connection) = self.connections.get_mut(index) {
            connection.send(id, now + timeout, request);
        }
    }

    /// A member dies or is dropped: its connections are closed, what it had written is still
    /// applied, and no answer comes any more.
    pub fn abandon(&mut self, member: usize) {
        for lane in Lane::ALL {
            let line = Line { member, lane };
            if let Some(connection) = self.connections.get_mut(index(line)) {
                connection.queue.clear();
                self.close(line, true);
            }
        }
    }

    /// The next moment at which [`Step::Tick`] or [`Step::TimeOut`] becomes possible.
    pub fn next_wake(&self) -> Time {
        let deadlines = self.connections.iter().map(Connection::deadline);
        deadlines.fold(self.coordinator.next_wake(), Time::min)
    }

    /// All that can happen at this moment, progress before faults.
    pub fn steps(&self, now: Time) -> impl Iterator<Item = Step> + use<> {
        let mut steps = Vec::new();
        let lines = || (0..self.connections.len()).map(line);
        lines().for_each(|line| self.progress_on(line, now, &mut steps));
        steps.extend((0..self.strays.len()).map(Step::Stray));
        if self.coordinator.next_wake() <= now {
            steps.push(Step::Tick);
        }
        steps.extend(self.recovery());
        if self.faults.straggler().is_some() {
            let overdue = lines().filter(|l| self.connections[index(*l)].overdue_unread(now));
            steps.extend(overdue.map(|line| Step::TimeOut { line, lingers: true }));
        }
        let mut faults = Vec::new();
        if self.faults != Faults::default() {
            lines().for_each(|line| self.faults_on(line, &mut faults));
            faults.extend([Fault::Reload, Fault::Unload].into_iter().filter(|f| self.possible(f)));
            faults.retain(|fault| self.faults.allow(fault));
        }
        steps.extend(faults.into_iter().map(Step::Fault));
        steps.into_iter()
    }

    fn progress_on(&self, line: Line, now: Time, steps: &mut Vec<Step>) {
        let connection = &self.connections[index(line)];
        if let Some(flight) = connection.flight.as_ref().filter(|flight| !flight.stalled) {
            match flight.stage {
                Stage::Written(_) => steps.push(Step::Deliver(line)),
                Stage::Parked => {}
                Stage::Answered(_) => steps.push(Step::Answer(line)),
            }
        }
        if connection.deadline() <= now {
            steps.push(Step::TimeOut { line, lingers: false });
        }
    }

    fn recovery(&self) -> Option<Step> {
        match self.coordinator.available() {
            Ok(()) => None,
            Err(ErrorCode::CoordinatorLoadInProgress) => Some(Step::Load),
            Err(_) => Some(Step::StartLoad),
        }
    }

    fn possible(&self, fault: &Fault) -> bool {
        let line = match fault {
            Fault::Reload | Fault::Unload => return self.coordinator.available().is_ok(),
            Fault::Refuse(line) | Fault::Stall(line) | Fault::LateWrite(line) => line,
            Fault::Cut { line, .. } => line,
        };
        let mut faults = Vec::new();
        self.faults_on(*line, &mut faults);
        faults.contains(fault)
    }

    /// What can go wrong on a connection. A stalled one has gone wrong already.
    fn faults_on(&self, line: Line, faults: &mut Vec<Fault>) {
        let flight = self.connections.get(index(line)).and_then(|c| c.flight.as_ref());
        let Some(flight) = flight.filter(|flight| !flight.stalled) else { return };
        faults.push(Fault::Cut { line, lingers: false });
        match &flight.stage {
            Stage::Written(request) => {
                faults.push(Fault::Cut { line, lingers: true });
                faults.push(Fault::Refuse(line));
                faults.push(Fault::Stall(line));
                if matches!(request, Request::OffsetCommit(_)) {
                    faults.push(Fault::LateWrite(line));
                }
            }
            // A stall here is the same as one of the answer.
            Stage::Parked => {}
            Stage::Answered(_) => faults.push(Fault::Stall(line)),
        }
    }

    /// Moves the clock's zero to `by`: see [`Coordinator::rebase`].
    pub fn rebase(&mut self, by: Time) {
        self.coordinator.rebase(by);
        self.connections.iter_mut().for_each(|connection| connection.rebase(by));
    }

    /// Gives a member's requests other names, so that states which differ by them alone are one.
    pub fn rename_requests(&mut self, member: usize, name: impl Fn(RequestId) -> RequestId) {
        let lanes = Lane::ALL.map(|lane| index(Line { member, lane }));
        for at in lanes {
            let Some(connection) = self.connections.get_mut(at) else { continue };
            let flight = connection.flight.iter_mut().map(|flight| &mut flight.id);
            let queued = connection.queue.iter_mut().map(|queued| &mut queued.id);
            flight.chain(queued).for_each(|id| *id = name(*id));
        }
    }
}

/// The place of a connection, which is also the caller of its requests: so callers are the same
/// in states that are the same.
fn index(line: Line) -> usize {
    line.member * Lane::ALL.len() + line.lane as usize
}

fn line(index: usize) -> Line {
    let lanes = Lane::ALL.len();
    Line { member: index / lanes, lane: Lane::ALL[index % lanes] }
}
