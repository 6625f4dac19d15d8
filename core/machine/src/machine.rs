//! The machine: its state, its two verbs, and the order in which it does things.
//!
//! What is to be done next is derived from the state after each input (`advance`) and never
//! remembered in a flag: an input that finds a lane busy or the coordinator unknown needs no
//! note to itself, since whatever frees the lane is an input too and derives it again. That rules
//! out the lost wake-up and the stuck flag (SPEC P12).

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec::Vec,
};

use crate::clock::{Backoff, Tick, Window};
use crate::closing::Closing;
use crate::commits::Ledger;
use crate::heartbeat::Beat;
use crate::lanes::Lanes;
use crate::leases::Leases;
use crate::membership::{Member, Round, Want};
use crate::offsets::Offsets;
use crate::{
    CloseReport, Config, Event, Input, LeaseStatus, Name, Node, Notice, Outcome, Output, Phase,
    Status, TicketId, Time, Versions,
};

/// A member of a consumer group, or a consumer of partitions assigned by hand.
///
/// Methods are of two kinds. **Inputs**: [`handle`](Machine::handle) is told what happened.
/// **Outputs**: [`poll_output`](Machine::poll_output) tells what to do; call it until it gives
/// `None` after every input, and carry the outputs out in order. [`status`](Machine::status) and
/// its kin only look.
///
/// `now` may never go back from one input to the next.
///
/// ```
/// use handover_machine::{Call, Config, Input, Lane, Machine, Output, Request, TicketId, Time};
///
/// let mut machine = Machine::new(Config::new("orders"));
/// let call = Call::Subscribe(vec!["orders".into()]);
/// machine.handle(Time::ZERO, Input::Call { ticket: TicketId(1), call });
///
/// let outputs: Vec<Output> = std::iter::from_fn(|| machine.poll_output()).collect();
/// assert!(outputs.iter().any(|output| matches!(
///     output,
///     Output::Send { lane: Lane::Control, request: Request::FindCoordinator(_), .. }
/// )));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Machine {
    pub(crate) config: Arc<Config>,
    pub(crate) phase: Phase,
    pub(crate) want: Want,
    pub(crate) member: Member,
    pub(crate) round: Round,
    /// Counts from which the cluster's metadata says a topic has how many partitions.
    pub(crate) topics: BTreeMap<Name, u32>,
    /// Why a rebalance is wanted, in the words for the coordinator; taken when one begins.
    pub(crate) rejoin: Option<Name>,
    pub(crate) joining: Backoff,
    pub(crate) coordinator: Option<Node>,
    pub(crate) discovery: Backoff,
    pub(crate) versions: Versions,
    pub(crate) lanes: Lanes,
    pub(crate) beat: Beat,
    /// The application did not poll in time; it is no member until it does.
    pub(crate) absent: bool,
    /// Until when the application must poll, or be seen to wait in a poll.
    pub(crate) poll_by: Time,
    pub(crate) leases: Leases,
    pub(crate) ledger: Ledger,
    pub(crate) offsets: Offsets,
    /// When marks are committed next.
    pub(crate) auto_commit: Time,
    pub(crate) closing: Option<Closing>,
    pub(crate) closed: Option<CloseReport>,
    /// The window that the driver was told last.
    wake: Window,
    out: VecDeque<Output>,
    revision: u64,
}

impl Machine {
    /// A machine that is no member yet.
    ///
    /// The settings must be [valid](Config::validate); with others the machine does what they
    /// say, which the broker may refuse.
    pub fn new(config: Config) -> Machine {
        let ledger = Ledger::new(config.retry_backoff);
        Machine {
            config: Arc::new(config),
            phase: Phase::Idle,
            want: Want::Nothing,
            member: Member::nobody(),
            round: Round::default(),
            topics: BTreeMap::new(),
            rejoin: None,
            joining: Backoff::NONE,
            coordinator: None,
            discovery: Backoff::NONE,
            versions: Versions::default(),
            lanes: Lanes::default(),
            beat: Beat::default(),
            absent: false,
            poll_by: Time::ZERO,
            leases: Leases::default(),
            ledger,
            offsets: Offsets::default(),
            auto_commit: Time::NEVER,
            closing: None,
            closed: None,
            wake: Window::NEVER,
            out: VecDeque::new(),
            revision: 0,
        }
    }

    /// Takes in what happened at `now`. Afterwards drain [`poll_output`](Machine::poll_output).
    pub fn handle(&mut self, now: Time, input: Input) {
        let tick = Tick { now, woken: matches!(input, Input::Wake) };
        if self.is_closed() {
            self.refuse(input);
            return;
        }
        match input {
            // The driver's timer is spent: whatever is awaited next must be told again.
            Input::Wake => self.wake = Window::NEVER,
            Input::Answer { id, answer } => self.answered(now, id, answer),
            Input::Versions(versions) => self.versions = versions,
            Input::Topics(topics) => self.topics = topics,
            Input::Assigned { round, plan } => self.assigned(now, round, plan),
            Input::Polled => self.polled_at(now),
            Input::Drained { lease, mark } => self.drained(lease, mark),
            Input::Marks(marks) => self.marks_read(marks),
            Input::Moved { lease, to } => self.moved(lease, to),
            Input::Call { ticket, call } => self.call(now, ticket, call),
            Input::Cancel(ticket) => self.cancel(ticket),
        }
        self.advance(tick);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Whether the member was closed: every call has its outcome and none will come any more.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// A number that changes whenever [`status`](Machine::status) may have changed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What the member is doing.
    pub fn status(&self) -> Status {
        Status {
            group: self.config.group.clone(),
            identity: self.identity(),
            phase: self.phase,
            leader: self.round.leader,
            protocol: self.round.protocol.clone(),
            coordinator: self.coordinator.clone(),
            leases: self
                .leases
                .iter()
                .map(|lease| LeaseStatus {
                    lease: lease.id,
                    partition: lease.partition.clone(),
                    waiting: lease.waiting(),
                    committed: self.ledger.committed(lease.id).map(|mark| mark.offset),
                })
                .collect(),
        }
    }

    /// Does everything that the state allows, until it allows nothing more.
    ///
    /// Upstream first, so that one pass mostly does: what ends lets join, what joins lets beat.
    fn advance(&mut self, tick: Tick) {
        loop {
            let before = self.revision;
            self.expire(tick);
            self.step_leases(tick);
            // Before whatever else a member does: who can leave neither syncs nor beats.
            self.step_leave(tick);
            self.step_membership(tick);
            self.step_discovery(tick);
            self.step_heartbeat(tick);
            self.step_commits(tick);
            self.step_close(tick);
            if self.revision == before {
                break;
            }
        }
        self.resolve_commits();
        self.schedule(tick);
        self.assert_invariants();
    }

    /// Everything whose time is simply over.
    fn expire(&mut self, tick: Tick) {
        self.expire_session(tick.now);
        self.expire_poll_interval(tick.now);
        self.expire_auto_commit(tick.now);
        self.ledger.expire(tick);
        self.expire_lookups(tick.now);
        for backoff in [&mut self.joining, &mut self.discovery, self.offsets.backoff_mut()] {
            backoff.settle(tick);
        }
        self.beat.settle(tick);
    }

    /// Tells the driver when to come back.
    ///
    /// A moment that has come and still stands is blocked by something else - a busy lane, an
    /// unknown coordinator - whose end is an input of its own, so it is not waited for.
    fn schedule(&mut self, tick: Tick) {
        let next = self
            .windows()
            .into_iter()
            .filter(|window| !window.is_due(tick))
            .fold(Window::NEVER, Window::sooner);
        if next != self.wake {
            self.wake = next;
            self.out.push_back(Output::Wake { earliest: next.earliest, latest: next.latest });
        }
    }

    fn windows(&self) -> Vec<Window> {
        if self.is_closed() {
            return Vec::new();
        }
        let mut windows = Vec::with_capacity(12);
        windows.extend(self.ledger.windows());
        windows.extend(self.lease_windows());
        windows.extend(self.membership_windows());
        windows.extend(self.heartbeat_windows());
        windows.extend(self.offset_windows());
        windows.extend(self.closing_windows());
        windows
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.changed();
        }
    }

    /// The state moved on: look once more what it allows, and publish it.
    pub(crate) fn changed(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// For the canonical form: how often the state changed is no part of it.
    pub(crate) fn forget_revision(&mut self) {
        self.revision = 0;
    }

    /// For the canonical form: the driver's timer is what `schedule` told, and follows from the
    /// rest. The next input tells it again.
    pub(crate) fn forget_wake(&mut self) {
        self.wake = Window::NEVER;
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.push(Output::Notice(notice));
    }

    pub(crate) fn resolve(&mut self, ticket: TicketId, outcome: Outcome) {
        self.push(Output::Resolve { ticket, outcome });
    }

    fn resolve_commits(&mut self) {
        while let Some((ticket, outcomes)) = self.ledger.poll_resolved() {
            self.resolve(ticket, Outcome::Commit(outcomes));
        }
    }

    /// What must hold after every input (SPEC I1 to I4).
    fn assert_invariants(&self) {
        if cfg!(debug_assertions) {
            self.leases.assert_invariants();
            self.ledger.invariants();
            let member = self.member.generation >= 0;
            debug_assert!(
                member || !matches!(self.phase, Phase::Assigning | Phase::Syncing | Phase::Stable),
                "{} without a generation",
                self.phase
            );
            debug_assert!(
                member || self.leases.iter().all(|lease| lease.by_hand),
                "leases of no generation: {:?}",
                self.leases
            );
            debug_assert!(!self.is_closed() || self.leases.is_empty(), "closed with leases");
        }
    }
}
