//! What the invariants, the goal and the clock need to see of each part of a system.
//!
//! A part is looked at once, however many states it is a part of.

use handover_machine::{ErrorCode, Name, Phase, Time, assign::Assignment};
use handover_world::{Connection, Coordinator, Faults, GroupState, Network, Outside};

use super::app::{Stage, Word};
use super::history::History;
use super::member::Member;
use super::setup::Setup;
use super::violation::{Property, Violation};

/// A member, from afar.
#[derive(Clone, Debug)]
pub(crate) struct MemberView {
    id: Name,
    /// The partitions of its leases that have not ended.
    held: Vec<i32>,
    /// Those of them from which it may deliver.
    ready: Vec<i32>,
    subscribed: bool,
    /// It does nothing that has an end.
    settled: bool,
    /// Its assignor is at work.
    assigning: bool,
    close_by: Time,
    timer: (Time, Time),
}

/// A connection, from afar.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionView {
    /// Its request waits for the broker.
    pub(crate) written: bool,
    /// Its answer waits for the member.
    pub(crate) answered: bool,
    pub(crate) idle: bool,
    pub(crate) next: Time,
}

/// The coordinator, from afar.
#[derive(Clone, Debug)]
pub(crate) struct CoordinatorView {
    /// The ids that it counts as members.
    members: Vec<Name>,
    stable: bool,
    pub(crate) available: bool,
    /// By partition; -1 if there is none.
    committed: Vec<i64>,
    pub(crate) next: Time,
}

/// What is on no connection, from afar.
#[derive(Clone, Debug)]
pub(crate) struct OutsideView {
    pub(crate) strays: usize,
    pub(crate) faults: bool,
}

/// All parts of a system, from afar.
pub(crate) struct View<'a> {
    pub(crate) members: &'a [&'a MemberView],
    pub(crate) connections: &'a [&'a ConnectionView],
    pub(crate) coordinator: &'a CoordinatorView,
    pub(crate) history: &'a History,
}

impl MemberView {
    pub(crate) fn of(member: &Member) -> MemberView {
        let status = member.machine.status();
        let app = &member.app;
        let live = app.leases.iter().filter(|lease| lease.is_live());
        let ready = live.clone().filter(|l| l.word == Word::Active && l.position.is_some());
        let steady = match app.stage {
            Stage::Away => status.phase == Phase::Idle,
            Stage::Closed => true,
            Stage::Closing(_) => false,
            Stage::Subscribed => {
                status.phase == Phase::Stable
                    && app.delivering
                    && app.is_present()
                    && app.leases.iter().all(|lease| lease.word == Word::Active || lease.hold)
            }
        };
        MemberView {
            id: status.identity.member,
            held: live.map(|lease| lease.partition).collect(),
            ready: ready.map(|lease| lease.partition).collect(),
            subscribed: app.stage == Stage::Subscribed,
            settled: steady && app.tickets.is_empty(),
            assigning: member.plan.is_some(),
            close_by: match app.stage {
                Stage::Closing(by) => by,
                _ => Time::NEVER,
            },
            timer: member.timer,
        }
    }
}

impl ConnectionView {
    pub(crate) fn of(connection: &Connection) -> ConnectionView {
        ConnectionView {
            written: connection.request().is_some(),
            answered: connection.response().is_some(),
            idle: connection.is_idle(),
            next: connection.next_wake(),
        }
    }
}

impl CoordinatorView {
    pub(crate) fn of(setup: &Setup, coordinator: &Coordinator) -> CoordinatorView {
        let group = coordinator.describe(Setup::GROUP);
        let available =
            !matches!(group, Err(ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator));
        let mut committed = vec![-1; setup.partitions as usize];
        for (partition, offset) in coordinator.offsets(Setup::GROUP) {
            committed[partition.partition as usize] = offset.offset;
        }
        let group = group.ok();
        let members = group.iter().flat_map(|group| &group.members);
        CoordinatorView {
            members: members.map(|member| member.member.clone()).collect(),
            stable: group.as_ref().is_some_and(|group| group.state == GroupState::Stable),
            available,
            committed,
            next: coordinator.next_wake(),
        }
    }
}

impl OutsideView {
    pub(crate) fn of(outside: &Outside) -> OutsideView {
        let faults = outside.faults() != Faults::default();
        OutsideView { strays: outside.strays().count(), faults }
    }
}

impl View<'_> {
    /// SPEC P15: the broker does not check who owns a partition, so the members must be right.
    pub(crate) fn check(&self, setup: &Setup) -> Result<(), Violation> {
        for partition in 0..setup.partitions as i32 {
            let counted = |m: &&&MemberView| self.coordinator.members.contains(&m.id);
            let holds = |m: &&&MemberView| m.held.contains(&partition);
            let owners: Vec<&Name> =
                self.members.iter().filter(counted).filter(holds).map(|m| &m.id).collect();
            if owners.len() > 1 {
                let what = format!("partition {partition} is held by {owners:?}");
                return Err(Violation::new(Property::OneOwner, what));
            }
        }
        Ok(())
    }

    /// Nothing is under way, every partition is delivered by one member that wants to, and what
    /// is committed is what was acknowledged last.
    pub(crate) fn is_goal(&self) -> bool {
        let mut partitions = self.coordinator.committed.iter().enumerate();
        self.members.iter().all(|member| member.settled)
            && self.coordinator.available
            && partitions.all(|(p, committed)| {
                self.history.stands(p as i32, *committed) && self.is_delivered(p as i32)
            })
    }

    fn is_delivered(&self, partition: i32) -> bool {
        let mut subscribed = self.members.iter().filter(|member| member.subscribed).peekable();
        let alive = subscribed.peek().is_some();
        let owners = subscribed.filter(|member| member.ready.contains(&partition)).count();
        !alive || (owners == 1 && self.coordinator.stable)
    }

    /// How far time may go: to the next moment at which something may happen, unless something
    /// must happen first. With a delay, messages need not.
    pub(crate) fn span(&self, delay: bool) -> Option<Time> {
        let moving = self.connections.iter().any(|c| c.written || c.answered)
            || self.members.iter().any(|member| member.assigning);
        if moving != delay || (delay && self.history.delays == 0) {
            return None;
        }
        let timers = self.members.iter().flat_map(|member| [member.timer.0, member.timer.1]);
        let due = self.members.iter().any(|member| member.timer.1 == Time::ZERO);
        let network = self.connections.iter().map(|connection| connection.next);
        let network = network.fold(self.coordinator.next, Time::min);
        if due || network == Time::ZERO {
            return None;
        }
        let ahead = timers.filter(|at| *at > Time::ZERO).fold(network, Time::min);
        (ahead < Time::NEVER).then_some(ahead)
    }

    /// SPEC P10.
    pub(crate) fn check_span(&self, span: Time) -> Result<(), Violation> {
        match self.members.iter().position(|member| member.close_by < span) {
            Some(member) => {
                let what = format!("member {member} does not wake at the deadline of its close");
                Err(Violation::new(Property::CloseBounded, what))
            }
            None => Ok(()),
        }
    }
}

/// The partitions of the plan that the coordinator holds, and whose they are.
pub(super) fn plan(network: &Network, members: usize) -> Vec<(i32, usize)> {
    let Ok(group) = network.coordinator().describe(Setup::GROUP) else { return Vec::new() };
    let mut plan = Vec::new();
    for described in group.members {
        let member = (0..members).find(|m| Network::client_id(*m) == described.client);
        let assignment = Assignment::decode(&described.assignment);
        if let (Some(member), Ok(assignment)) = (member, assignment) {
            plan.extend(assignment.partitions.iter().map(|p| (p.partition, member)));
        }
    }
    plan
}
