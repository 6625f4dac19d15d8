//! One member: the shipped machine, its application, and between them a driver without threads.

use std::collections::VecDeque;
use std::time::Duration;

use handover_machine::{
    AssignFailure, Event, Identities, Input, Lane, Machine, Names, Output, Phase, Plan, Request,
    RequestId, Response, Time, Unanswered, assign,
};

use super::app::{App, Deed, Stage, Word};
use super::history::Fact;
use super::label::{Label, label};
use super::sabotage;
use super::setup::{Assigns, Sabotage, Setup};
use super::violation::{Property, Violation};

/// See the module. Between two steps the machine is canonical: `now` is zero, a request that is
/// out is called by the number of its lane, and nothing else has a name that could be lower.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    pub(super) machine: Machine,
    /// When the driver's timer fires: not before the one, not after the other.
    pub(super) timer: (Time, Time),
    pub(super) app: App,
    /// The plan that the machine asked for, while the assignor takes its time, and how often it
    /// may still fail.
    pub(super) plan: Option<Plan>,
    failures: u8,
    /// For sabotage: the last commit that was written.
    written: Option<Request>,
}

/// Something that a member does of its own accord.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Move {
    /// The driver's timer fires.
    Wake,
    /// The assignor has its plan.
    Plan,
    /// The assignor fails.
    FailPlan,
    /// The application does something.
    Do(Deed),
}

impl Move {
    /// Whether it happens in the end if it can.
    pub fn is_duty(self) -> bool {
        match self {
            Move::Wake | Move::Plan => true,
            Move::FailPlan => false,
            Move::Do(deed) => deed.is_duty(),
        }
    }
}

/// What one step of a member brings about outside of it.
#[derive(Clone, Default, Debug)]
pub(super) struct Effects {
    pub(super) sends: Vec<(Lane, Request, Duration)>,
    pub(super) facts: Vec<Fact>,
    /// All that the machine took in, with the phase in which it was, for the coverage.
    pub(super) labels: Vec<(Phase, Label)>,
    /// All that the machine gave out, for the diagram.
    pub(super) outputs: Vec<Output>,
}

const NEVER: (Time, Time) = (Time::NEVER, Time::NEVER);

impl Member {
    pub(super) fn new(setup: &Setup, index: usize) -> Member {
        let failures = match setup.assignor {
            Assigns::AtOnce => 0,
            Assigns::Later(failures) => failures,
        };
        Member {
            machine: Machine::new(setup.machine(index)).renamed(&mut Names::default()),
            timer: NEVER,
            app: App::new(setup),
            plan: None,
            failures,
            written: None,
        }
    }

    /// All that it may do now.
    pub(super) fn moves(&self, setup: &Setup) -> Vec<Move> {
        let mut moves = Vec::new();
        if self.timer.0 == Time::ZERO {
            moves.push(Move::Wake);
        }
        if self.plan.is_some() {
            moves.push(Move::Plan);
            if self.failures > 0 || setup.sabotage == Some(Sabotage::AssignorMayFail) {
                moves.push(Move::FailPlan);
            }
        }
        moves.extend(self.app.deeds(setup).into_iter().map(Move::Do));
        moves
    }

    pub(super) fn act(&mut self, setup: &Setup, action: Move) -> Result<Effects, Violation> {
        let input = match action {
            Move::Wake => Some(Input::Wake),
            Move::Plan => self.planned(true),
            Move::FailPlan => {
                self.failures = self.failures.saturating_sub(1);
                self.planned(false)
            }
            Move::Do(deed) => self.app.act(setup, deed),
        };
        self.step(setup, input)
    }

    /// The canonical machine has asked for plan 0, if it still waits for one.
    fn planned(&mut self, made: bool) -> Option<Input> {
        let plan = self.plan.take()?;
        let plan = if made { Ok(plan) } else { Err(AssignFailure::Abandoned) };
        Some(Input::Assigned { round: 0, plan })
    }

    /// Time passed, and the application polls unless it is absent.
    pub(super) fn polled(&mut self, setup: &Setup) -> Result<Effects, Violation> {
        let polls = setup.timing.poll.is_some() && self.app.is_present();
        self.step(setup, polls.then_some(Input::Polled))
    }

    /// A request was answered, or never will be.
    pub(super) fn answered(
        &mut self,
        setup: &Setup,
        id: RequestId,
        answer: Result<Response, Unanswered>,
    ) -> Result<Effects, Violation> {
        let commit = matches!(answer, Ok(Response::OffsetCommit(_)));
        if commit && setup.sabotage == Some(Sabotage::DropsCommitAnswers) {
            return Ok(Effects::default());
        }
        self.step(setup, Some(Input::Answer { id, answer }))
    }

    /// Shows all member ids and generations that it keeps.
    pub(super) fn visit(&mut self, visitor: &mut dyn Identities) {
        self.machine.visit(visitor);
        self.plan.iter_mut().flat_map(|plan| &mut plan.assignments).for_each(|(member, _)| {
            visitor.member(member);
        });
        self.written.iter_mut().for_each(|request| request.visit(visitor));
    }

    /// Time passes.
    pub(super) fn rebase(&mut self, by: Time) {
        let span = by.since(Time::ZERO);
        self.machine = self.machine.canonical(by);
        self.timer = (self.timer.0.saturating_sub(span), self.timer.1.saturating_sub(span));
        self.app.rebase(by);
    }

    fn step(&mut self, setup: &Setup, input: Option<Input>) -> Result<Effects, Violation> {
        let mut effects = Effects::default();
        if input.is_some() {
            // The canonical machine has forgotten what it told the driver, so it tells it again.
            self.timer = NEVER;
        }
        let mut inputs: VecDeque<Input> = input.into_iter().collect();
        while let Some(input) = inputs.pop_front() {
            effects.labels.push((self.machine.status().phase, label(&input)));
            self.machine.handle(Time::ZERO, sabotage::told(setup, input));
            while let Some(output) = self.machine.poll_output() {
                effects.outputs.push(output.clone());
                inputs.extend(self.carry_out(setup, output, &mut effects)?);
            }
        }
        self.app.check_closed()?;
        self.settle();
        Ok(effects)
    }

    fn settle(&mut self) {
        let mut names = Names::default();
        self.app.speak(&mut names);
        self.machine = self.machine.canonical(Time::ZERO).renamed(&mut names);
        self.app.rename(&names);
    }

    /// Does what the machine says, and gives what the machine is to be told of it.
    fn carry_out(
        &mut self,
        setup: &Setup,
        output: Output,
        effects: &mut Effects,
    ) -> Result<Option<Input>, Violation> {
        match output {
            Output::Send { lane, timeout, request, .. } => {
                self.send(setup, lane, timeout, request, effects)?;
            }
            Output::Wake { earliest, latest } => {
                let closing = !matches!(self.app.stage, Stage::Away | Stage::Subscribed);
                let asleep = closing && setup.sabotage == Some(Sabotage::SleepsThroughClose);
                self.timer = if asleep { NEVER } else { (earliest, latest) };
            }
            Output::Grant { lease, partition } => self.app.granted(lease, partition.partition)?,
            Output::Lease(lease, change) => {
                if !sabotage::misses(setup, change) {
                    let (fact, input) = self.app.changed(lease, change)?;
                    effects.facts.extend(fact);
                    return Ok(input.or_else(|| sabotage::early(setup, lease, change)));
                }
            }
            Output::Position { lease, start } => {
                let start = sabotage::start(setup, start);
                effects.facts.push(self.app.starts(lease, start)?);
            }
            Output::Deliver(deliver) => self.app.delivering = deliver,
            Output::ReadMarks => return Ok(Some(Input::Marks(self.app.marks()))),
            Output::Event(event) => self.tell(event)?,
            Output::Notice(_) => {}
            Output::Assign { round, protocol, members } => {
                let topics = [(Setup::TOPIC.into(), setup.partitions)].into();
                let mut plan = assign::plan(&protocol, &members, &topics);
                plan.iter_mut().for_each(|plan| sabotage::assign_to_all(setup, plan));
                match setup.assignor {
                    Assigns::AtOnce => return Ok(Some(Input::Assigned { round, plan })),
                    Assigns::Later(_) => self.plan = plan.ok(),
                }
            }
            Output::Resolve { ticket, outcome } => {
                for outcome in sabotage::outcomes(setup, outcome) {
                    effects.facts.extend(self.app.resolved(ticket, &outcome)?);
                }
            }
        }
        Ok(None)
    }

    fn send(
        &mut self,
        setup: &Setup,
        lane: Lane,
        timeout: Duration,
        request: Request,
        effects: &mut Effects,
    ) -> Result<(), Violation> {
        for request in sabotage::requests(setup, request, &mut self.written) {
            self.check_identity(&request)?;
            let commit = matches!(request, Request::OffsetCommit(_));
            let lane = if commit { Lane::Commit } else { lane };
            effects.sends.push((lane, request, timeout));
        }
        Ok(())
    }

    /// SPEC P15: what is sent is sent as who we are.
    fn check_identity(&self, request: &Request) -> Result<(), Violation> {
        let ours = self.machine.status().identity;
        let same = match request {
            Request::JoinGroup(r) => r.member == ours.member,
            Request::SyncGroup(r) => r.identity == ours,
            Request::Heartbeat(r) => r.identity == ours,
            Request::OffsetCommit(r) => r.identity == ours,
            Request::LeaveGroup(r) => r.members.iter().all(|leaver| leaver.member == ours.member),
            Request::FindCoordinator(_) | Request::OffsetFetch(_) => true,
        };
        // A closed machine has none any more; what it wrote in its last step it wrote as a member.
        match same || self.machine.is_closed() {
            true => Ok(()),
            false => {
                let what = format!("{request:?} is sent by {ours:?}");
                Err(Violation::new(Property::OwnIdentity, what))
            }
        }
    }

    fn tell(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Assigned { leases, .. } => {
                leases.into_iter().try_for_each(|(lease, _)| self.app.told_of_grant(lease))
            }
            Event::Revoked { leases } => {
                leases.into_iter().try_for_each(|l| self.app.told_of_end(l, Word::HandedOver))
            }
            Event::Lost { leases, .. } => {
                leases.into_iter().try_for_each(|l| self.app.told_of_end(l, Word::Lost))
            }
            _ => Ok(()),
        }
    }
}
