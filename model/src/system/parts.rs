//! A system taken apart, and the places at which things happen to few of its parts.
//!
//! A search keeps each part once and a state as the numbers of its parts. What happens at a
//! [`Site`] depends on the parts in its [scope](Site::scope) and changes no others, so it is
//! computed once for each combination of them and not for each state.

use handover_machine::{Lane, Time};
use handover_world::{Connection, Coordinator, Fault, Line, Network, Outside, Parts, Step};

use super::{Action, History, Member, Setup, System, View};

/// One part of a system.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// A member with its application.
    Member(Box<Member>),
    /// One of its connections.
    Connection(Box<Connection>),
    /// The coordinator.
    Coordinator(Box<Coordinator>),
    /// What is on no connection.
    Outside(Outside),
    /// What only the invariants know.
    History(History),
}

/// A place at which something happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Site {
    /// A member's own moves.
    Member(usize),
    /// The broker reads a request.
    Request(Line),
    /// A member reads an answer.
    Answer(Line),
    /// A connection breaks, or its member gives up.
    Trouble(Line),
    /// A member dies.
    Crash(usize),
    /// The coordinator's timers, its leaving and its coming back.
    Coordinator,
    /// Requests of closed connections.
    Strays,
    /// Time passes.
    Clock,
}

impl Site {
    /// All of a system with so many members.
    pub fn all(members: usize) -> Vec<Site> {
        let mut sites: Vec<Site> = Vec::new();
        for line in lines(members) {
            sites.extend([Site::Request(line), Site::Answer(line), Site::Trouble(line)]);
        }
        sites.extend((0..members).flat_map(|member| [Site::Member(member), Site::Crash(member)]));
        sites.extend([Site::Coordinator, Site::Strays, Site::Clock]);
        sites
    }

    /// Where an action happens.
    pub fn of(action: Action) -> Site {
        match action {
            Action::Member(member, _) => Site::Member(member),
            Action::Crash(member) => Site::Crash(member),
            Action::Advance | Action::Delay => Site::Clock,
            Action::Network(step) => match step {
                Step::Deliver(line) => Site::Request(line),
                Step::Answer(line) => Site::Answer(line),
                Step::TimeOut { line, .. } => Site::Trouble(line),
                Step::Stray(_) => Site::Strays,
                Step::Tick | Step::StartLoad | Step::Load => Site::Coordinator,
                Step::Fault(Fault::Reload | Fault::Unload) => Site::Coordinator,
                Step::Fault(
                    Fault::Refuse(line)
                    | Fault::Cut { line, .. }
                    | Fault::Stall(line)
                    | Fault::LateWrite(line),
                ) => Site::Trouble(line),
            },
        }
    }

    /// The parts that matter to what happens here, and that it may change.
    pub fn scope(self, members: usize) -> Vec<usize> {
        let connection = |line: Line| members + line.member * Lane::ALL.len() + line.lane as usize;
        let own = |member: usize| Lane::ALL.map(|lane| connection(Line { member, lane }));
        let (coordinator, outside, history) = (4 * members, 4 * members + 1, 4 * members + 2);
        // The coordinator answers what is parked, which is on these.
        let parked = (0..members).map(|member| connection(Line { member, lane: Lane::Join }));
        let mut scope: Vec<usize> = vec![history];
        match self {
            Site::Member(member) | Site::Answer(Line { member, .. }) => {
                scope.push(member);
                scope.extend(own(member));
            }
            Site::Request(line) => {
                scope.extend([connection(line), coordinator]);
                scope.extend(parked);
            }
            Site::Trouble(Line { member, .. }) | Site::Crash(member) => {
                scope.extend([member, coordinator, outside]);
                scope.extend(own(member));
                scope.extend(parked);
            }
            Site::Coordinator | Site::Strays => {
                scope.extend([coordinator, outside]);
                scope.extend(parked);
            }
            Site::Clock => scope.extend(0..history),
        }
        scope.sort_unstable();
        scope.dedup();
        scope
    }

    /// Whether anything can happen here. Quick, and never wrongly no.
    pub(crate) fn is_live(self, view: &View<'_>, outside: &super::OutsideView) -> bool {
        let connection =
            |line: Line| view.connections[line.member * Lane::ALL.len() + line.lane as usize];
        match self {
            Site::Member(_) => true,
            Site::Crash(_) => view.history.crashes > 0,
            Site::Request(line) => connection(line).written,
            Site::Answer(line) => connection(line).answered,
            Site::Trouble(line) => {
                let faulty = outside.faults && !connection(line).idle;
                faulty || connection(line).next == Time::ZERO
            }
            Site::Coordinator => {
                let due = view.coordinator.next == Time::ZERO;
                due || outside.faults || !view.coordinator.available
            }
            Site::Strays => outside.strays > 0,
            Site::Clock => view.span(false).is_some() || view.span(true).is_some(),
        }
    }
}

impl<'s> System<'s> {
    /// Takes the system apart: members, connections, coordinator, outside, history.
    pub fn into_parts(self) -> Vec<Part> {
        let Parts { coordinator, connections, outside } = self.network.into_parts();
        let members = self.members.into_iter().map(|member| Part::Member(Box::new(member)));
        let connections = connections.into_iter().map(|c| Part::Connection(Box::new(c)));
        let rest = [
            Part::Coordinator(Box::new(coordinator)),
            Part::Outside(outside),
            Part::History(self.history),
        ];
        members.chain(connections).chain(rest).collect()
    }

    /// Puts a system together from the parts that [`into_parts`](System::into_parts) gave.
    ///
    /// # Panics
    ///
    /// If a kind of part is missing.
    pub fn from_parts<'p>(
        setup: &'s Setup,
        parts: impl IntoIterator<Item = &'p Part>,
    ) -> System<'s> {
        let (mut members, mut connections) = (Vec::new(), Vec::new());
        let (mut coordinator, mut outside, mut history) = (None, None, None);
        for part in parts {
            match part {
                Part::Member(member) => members.push(Member::clone(member)),
                Part::Connection(connection) => connections.push(Connection::clone(connection)),
                Part::Coordinator(found) => coordinator = Some(Coordinator::clone(found)),
                Part::Outside(found) => outside = Some(found.clone()),
                Part::History(found) => history = Some(found.clone()),
            }
        }
        let (Some(coordinator), Some(outside), Some(history)) = (coordinator, outside, history)
        else {
            panic!("a system has a coordinator, an outside and a history");
        };
        let network = Network::from_parts(Parts { coordinator, connections, outside });
        System { setup, members, network, history }
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = Line> + use<> {
        lines(self.members.len())
    }
}

fn lines(members: usize) -> impl Iterator<Item = Line> {
    (0..members).flat_map(|member| Lane::ALL.map(|lane| Line { member, lane }))
}
