//! A network taken apart, for a search that keeps equal parts once.

use alloc::vec::Vec;

use handover_machine::{Identities, Request, Response, Time};

use super::{Faults, Line, Network, Stage, connection::Connection, index};
use crate::Coordinator;

/// What a [`Network`] consists of. Two networks of equal parts are equal.
///
/// ```
/// use handover_world::{Coordinator, CoordinatorConfig, Faults, Network};
///
/// let coordinator = Coordinator::new(CoordinatorConfig::default());
/// let network = Network::new(coordinator, 2, Faults::default());
/// let parts = network.clone().into_parts();
/// assert_eq!(parts.connections.len(), 6);
/// assert_eq!(Network::from_parts(parts), network);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Parts {
    /// The coordinator.
    pub coordinator: Coordinator,
    /// Of member m the lanes in order, from 3 m.
    pub connections: Vec<Connection>,
    /// The rest.
    pub outside: Outside,
}

/// What is on no connection: requests of closed ones, and the faults that may still happen.
///
/// ```
/// use handover_world::Outside;
/// assert_eq!(Outside::default().strays().count(), 0);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Outside {
    strays: Vec<(usize, Request)>,
    faults: Faults,
}

impl Outside {
    /// Requests of closed connections that the broker will still apply, and who wrote them.
    pub fn strays(&self) -> impl Iterator<Item = (usize, &Request)> {
        self.strays.iter().map(|(member, request)| (*member, request))
    }

    /// What may still go wrong.
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// Shows all member ids and generations in it.
    pub fn visit(&mut self, visitor: &mut dyn Identities) {
        self.strays.iter_mut().for_each(|(_, request)| request.visit(visitor));
    }
}

impl Network {
    /// Takes the network apart.
    pub fn into_parts(self) -> Parts {
        let Network { coordinator, connections, strays, faults } = self;
        Parts { coordinator, connections, outside: Outside { strays, faults } }
    }

    /// Puts a network together again.
    pub fn from_parts(parts: Parts) -> Network {
        let Outside { strays, faults } = parts.outside;
        let Parts { coordinator, connections, .. } = parts;
        Network { coordinator, connections, strays, faults }
    }

    /// A connection, for invariants; none of a member that is not there.
    pub fn connection(&self, line: Line) -> Option<&Connection> {
        self.connections.get(index(line))
    }

    /// Requests of closed connections that the broker will still apply, and who wrote them.
    pub fn strays(&self) -> impl Iterator<Item = (usize, &Request)> {
        self.strays.iter().map(|(member, request)| (*member, request))
    }
}

impl Connection {
    /// Whether nothing is on it and nothing waits for it.
    pub fn is_idle(&self) -> bool {
        self.flight.is_none() && self.queue.is_empty()
    }

    /// The request that is written and not read by the broker, unless it is stuck.
    pub fn request(&self) -> Option<&Request> {
        match &self.flight.as_ref().filter(|flight| !flight.stalled)?.stage {
            Stage::Written(request) => Some(request),
            Stage::Parked | Stage::Answered(_) => None,
        }
    }

    /// The answer that is written and not read by the member, unless it is stuck.
    pub fn response(&self) -> Option<&Response> {
        match &self.flight.as_ref().filter(|flight| !flight.stalled)?.stage {
            Stage::Answered(response) => Some(response),
            Stage::Written(_) | Stage::Parked => None,
        }
    }

    /// When the member next gives something up; `NEVER` if nothing is on its way.
    pub fn next_wake(&self) -> Time {
        self.deadline()
    }

    /// Moves the clock's zero to `by`: see [`Coordinator::rebase`].
    pub fn rebase(&mut self, by: Time) {
        let by = by.since(Time::ZERO);
        let flight = self.flight.iter_mut().map(|flight| &mut flight.deadline);
        let queued = self.queue.iter_mut().map(|queued| &mut queued.deadline);
        flight.chain(queued).for_each(|at| *at = at.saturating_sub(by));
    }

    /// Shows all member ids and generations on it.
    pub fn visit(&mut self, visitor: &mut dyn Identities) {
        match self.flight.as_mut().map(|flight| &mut flight.stage) {
            Some(Stage::Written(request)) => request.visit(visitor),
            Some(Stage::Answered(response)) => response.visit(visitor),
            Some(Stage::Parked) | None => {}
        }
        self.queue.iter_mut().for_each(|queued| queued.request.visit(visitor));
    }
}
