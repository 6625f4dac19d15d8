//! The closed system: members, their applications, the network and the coordinator, with all that
//! may happen next. The machine and the coordinator are those that ship.
//!
//! Time is discrete and relative: `now` is zero in every state, and to advance is to move all
//! deadlines closer. It passes only while no message can arrive, or at the cost of a delay.

mod app;
mod history;
mod label;
mod member;
mod naming;
mod parts;
mod sabotage;
mod setup;
mod view;
mod violation;

use std::panic::{AssertUnwindSafe, catch_unwind};

use handover_machine::{Output, Phase, Request, RequestId, Response, Time};
use handover_world::{Coordinator, Fault, GroupState, Line, Network, Step};

pub use app::Deed;
pub use label::{Label, Unanswer};
pub use member::{Member, Move};
pub use parts::{Part, Site};
pub use setup::{Assigns, NO_FAULTS, Sabotage, Setup, Style, Timing};
pub use violation::{Property, Violation};

pub(crate) use history::History;
pub(crate) use naming::{Mentions, Naming};
pub(crate) use view::{ConnectionView, CoordinatorView, MemberView, OutsideView, View};

use app::Stage;
use history::Accepted;
use member::Effects;

/// A system in one of its states.
///
/// ```
/// use handover_model::system::{Action, Setup, System};
///
/// let mut system = System::new(&Setup::TWO_MEMBERS);
/// let first = system.actions()[0];
/// system.apply(first).unwrap();
/// assert_ne!(system, System::new(&Setup::TWO_MEMBERS));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct System<'s> {
    setup: &'s Setup,
    members: Vec<Member>,
    network: Network,
    history: History,
}

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// A member does something of its own accord.
    Member(usize, Move),
    /// A member dies and starts anew; costs one of the crashes.
    Crash(usize),
    /// Something happens on the network.
    Network(Step),
    /// Time passes until something more may happen.
    Advance,
    /// Time passes although a message could arrive; costs one of the delays.
    Delay,
}

/// What came of an action, for people and for the coverage.
#[derive(Clone, Default, Debug)]
pub struct Happened {
    /// What the machines took in, each in its phase.
    pub labels: Vec<(Phase, Label)>,
    /// What a machine gave out.
    pub outputs: Vec<Output>,
    /// How much time passed.
    pub passed: Time,
}

impl<'s> System<'s> {
    /// The initial state.
    pub fn new(setup: &'s Setup) -> System<'s> {
        let coordinator = Coordinator::new(setup.coordinator());
        let mut system = System {
            setup,
            members: (0..setup.members).map(|index| Member::new(setup, index)).collect(),
            network: Network::new(coordinator, setup.members, setup.faults),
            history: History::new(setup),
        };
        for member in 0..setup.settled {
            system.settle(Action::Member(member, Move::Do(Deed::Subscribe)));
        }
        system
    }

    /// What it consists of.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The connections and the coordinator.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// All that may happen next.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions: Vec<Action> =
            self.network.steps(Time::ZERO).map(Action::Network).collect();
        for (index, member) in self.members.iter().enumerate() {
            actions.extend(member.moves(self.setup).into_iter().map(|m| Action::Member(index, m)));
        }
        let alive = |(_, member): &(usize, &Member)| member.app.stage != Stage::Away;
        if self.history.crashes > 0 {
            let alive = self.members.iter().enumerate().filter(alive);
            actions.extend(alive.map(|(member, _)| Action::Crash(member)));
        }
        for (action, delay) in [(Action::Advance, false), (Action::Delay, true)] {
            actions.extend(self.span(delay).map(|_| action));
        }
        actions
    }

    /// Lets one of the [`actions`](System::actions) happen, and checks what must hold after it.
    pub fn apply(&mut self, action: Action) -> Result<Happened, Violation> {
        let happened = self.happen(action)?;
        self.rename();
        self.check()?;
        Ok(happened)
    }

    /// As [`apply`](System::apply), without new names and without the invariants that concern the
    /// whole system. A panic on the way is a violation too.
    pub(crate) fn happen(&mut self, action: Action) -> Result<Happened, Violation> {
        catch_unwind(AssertUnwindSafe(|| self.dispatch(action))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| String::from(*s)));
            Err(Violation::new(Property::NoPanic, text.unwrap_or_default()))
        })
    }

    /// Whether nothing is under way: see [`Property::GoalReachable`].
    pub fn is_goal(&self) -> bool {
        self.view(|view| view.is_goal())
    }

    /// What must hold of the whole system.
    pub fn check(&self) -> Result<(), Violation> {
        self.view(|view| view.check(self.setup))
    }

    /// Lets an action happen, and then what must until nothing is under way.
    fn settle(&mut self, action: Action) {
        let mut next = Some(action);
        while let Some(action) = next {
            let applied = self.apply(action);
            debug_assert!(applied.is_ok(), "{action:?} while settling: {applied:?}");
            let must = |action: &Action| action.is_progress();
            next = (!self.is_goal()).then(|| self.actions().into_iter().find(must)).flatten();
        }
    }

    fn dispatch(&mut self, action: Action) -> Result<Happened, Violation> {
        match action {
            Action::Member(member, action) => {
                let effects = self.members[member].act(self.setup, action)?;
                self.carry_out(member, effects)
            }
            Action::Crash(member) => Ok(self.crash(member)),
            Action::Network(step) => self.step(step),
            Action::Advance => self.pass(false),
            Action::Delay => self.pass(true),
        }
    }

    fn carry_out(&mut self, member: usize, effects: Effects) -> Result<Happened, Violation> {
        for (lane, request, timeout) in effects.sends {
            let line = Line { member, lane };
            if !self.network.connection(line).is_some_and(|connection| connection.is_idle()) {
                let what = format!("{request:?} is written on {line:?}, which is not free");
                return Err(Violation::new(Property::OneRequest, what));
            }
            let id = RequestId(lane as u64);
            self.network.send(Time::ZERO, member, lane, id, request, timeout);
        }
        for fact in effects.facts {
            self.history.saw(member, fact)?;
        }
        let Effects { labels, outputs, .. } = effects;
        Ok(Happened { labels, outputs, passed: Time::ZERO })
    }

    fn step(&mut self, step: Step) -> Result<Happened, Violation> {
        let commit = self.commit(step);
        let before = self.network.coordinator().clone();
        let answer = self.network.apply(Time::ZERO, step);
        if let Some((member, line, request)) = commit {
            self.look_at_commit(&before, member, line, &request)?;
        }
        self.look_at_plan(&before);
        match answer {
            Some(answer) => {
                let member = answer.member;
                let setup = self.setup;
                let effects = self.members[member].answered(setup, answer.id, answer.result)?;
                self.carry_out(member, effects)
            }
            None => Ok(Happened::default()),
        }
    }

    /// The commit that the broker reads in a step: whose, and on which connection if one is left.
    fn commit(&self, step: Step) -> Option<(usize, Option<Line>, Request)> {
        let (member, line, request) = match step {
            Step::Deliver(line) | Step::Fault(Fault::LateWrite(line)) => {
                (line.member, Some(line), self.network.connection(line)?.request()?.clone())
            }
            Step::Stray(stray) => {
                let (member, request) = self.network.strays().nth(stray)?;
                (member, None, request.clone())
            }
            _ => return None,
        };
        matches!(request, Request::OffsetCommit(_)).then_some((member, line, request))
    }

    /// A commit was accepted if it was answered so, or if it shows.
    fn look_at_commit(
        &mut self,
        before: &Coordinator,
        member: usize,
        line: Option<Line>,
        request: &Request,
    ) -> Result<(), Violation> {
        let Request::OffsetCommit(commit) = request else { return Ok(()) };
        let connection = line.and_then(|line| self.network.connection(line));
        let answer = connection.and_then(|connection| connection.response()).cloned();
        for wanted in &commit.offsets {
            let offset = |coordinator: &Coordinator| {
                let mut offsets = coordinator.offsets(Setup::GROUP);
                let found = offsets.find(|(partition, _)| **partition == wanted.partition);
                found.map_or(-1, |(_, committed)| committed.offset)
            };
            let (before, after) = (offset(before), offset(self.network.coordinator()));
            let answered = match &answer {
                Some(Response::OffsetCommit(done)) => done
                    .partitions
                    .iter()
                    .any(|(p, error)| *p == wanted.partition && error.is_none()),
                _ => false,
            };
            if answered || after != before {
                self.history.accepted(Accepted {
                    member,
                    partition: wanted.partition.partition,
                    before,
                    offset: wanted.offset,
                    stray: line.is_none(),
                })?;
            }
        }
        Ok(())
    }

    /// A plan is taken in the step in which the group becomes stable.
    fn look_at_plan(&mut self, before: &Coordinator) {
        let completing = |coordinator: &Coordinator| {
            let group = coordinator.describe(Setup::GROUP);
            group.is_ok_and(|group| group.state == GroupState::CompletingRebalance)
        };
        if completing(before) && !completing(self.network.coordinator()) {
            for (partition, member) in view::plan(&self.network, self.members.len()) {
                self.history.planned(partition, member);
            }
        }
    }

    fn pass(&mut self, delay: bool) -> Result<Happened, Violation> {
        let Some(passed) = self.span(delay) else { return Ok(Happened::default()) };
        self.view(|view| view.check_span(passed))?;
        self.history.delays -= u8::from(delay);
        self.members.iter_mut().for_each(|member| member.rebase(passed));
        self.network.rebase(passed);
        let mut happened = Happened { passed, ..Happened::default() };
        for member in 0..self.members.len() {
            let effects = self.members[member].polled(self.setup)?;
            let Happened { labels, outputs, .. } = self.carry_out(member, effects)?;
            happened.labels.extend(labels);
            happened.outputs.extend(outputs);
        }
        Ok(happened)
    }

    /// A member dies with all that it holds, and starts anew; its connections are closed.
    fn crash(&mut self, member: usize) -> Happened {
        self.history.crashed(member);
        self.network.abandon(member);
        self.members[member] = Member::new(self.setup, member);
        Happened::default()
    }

    fn span(&self, delay: bool) -> Option<Time> {
        self.view(|view| view.span(delay))
    }

    fn view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let members: Vec<MemberView> = self.members.iter().map(MemberView::of).collect();
        let lines = self.lines();
        let connections: Vec<ConnectionView> = lines
            .filter_map(|line| self.network.connection(line).map(ConnectionView::of))
            .collect();
        look(&View {
            members: &members.iter().collect::<Vec<_>>(),
            connections: &connections.iter().collect::<Vec<_>>(),
            coordinator: &CoordinatorView::of(self.setup, self.network.coordinator()),
            history: &self.history,
        })
    }
}

impl Action {
    /// Whether it happens in the end if it stays possible: not a fault, and nothing that an
    /// application may leave undone.
    pub fn is_progress(&self) -> bool {
        match self {
            Action::Member(_, action) => action.is_duty(),
            Action::Network(step) => !step.is_fault(),
            Action::Advance => true,
            Action::Crash(_) | Action::Delay => false,
        }
    }
}
