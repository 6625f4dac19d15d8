//! The application of one member, and the shared memory between it and the driver: which leases
//! it sees, what it holds, which calls it waits for.

use handover_machine::{
    Call, CloseOptions, CommitEntry, CommitTarget, Input, LeaseChange, LeaseId, Mark, Names,
    Outcome, PartitionOutcome, Start, TicketId, Time, TopicPartition,
};

use super::history::Fact;
use super::setup::{Setup, Style, span};
use super::violation::{Property, Violation};

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct App {
    pub(super) stage: Stage,
    pub(super) leases: Vec<Held>,
    pub(super) tickets: Vec<Ticket>,
    next_ticket: u64,
    /// How often it may still do each of these.
    cancels: u8,
    rejoins: u8,
    unsubscribes: u8,
    absences: u8,
    /// It does not poll for a while.
    absent: bool,
    /// Whether the member delivers at all.
    pub(super) delivering: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Stage {
    /// Has not subscribed.
    Away,
    Subscribed,
    /// Closing until then, at the latest.
    Closing(Time),
    Closed,
}

/// A lease as the application sees it, from its grant until its end is told and its batch is
/// dropped.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Held {
    pub(super) id: LeaseId,
    pub(super) partition: i32,
    pub(super) word: Word,
    /// Whether the event of its grant came.
    announced: bool,
    /// Whether the event of its end came.
    end_told: bool,
    /// The next record to deliver, once it is known.
    pub(super) position: Option<i64>,
    /// Everything below is done: the mark.
    pub(super) done: Option<i64>,
    /// A batch of one record is out: the one before `position`.
    pub(super) hold: bool,
    /// Everything below was asked to be committed.
    asked: Option<i64>,
}

/// A lease's state in shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Word {
    Active,
    Revoking,
    HandedOver,
    Lost,
}

/// A call that has no outcome.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ticket {
    pub(super) id: TicketId,
    pub(super) what: Asked,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Asked {
    Done,
    Commit {
        lease: LeaseId,
        partition: i32,
        offset: i64,
        /// The lease lived and nobody had asked for it, so an outcome is of this call alone.
        first: bool,
    },
    Close,
}

/// Something that an application does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Deed {
    /// It subscribes.
    Subscribe,
    /// It polls a batch of one record, and holds its lease.
    Take(LeaseId),
    /// It is done with its batch, marks it if it is of those that mark, and lets go.
    Finish(LeaseId),
    /// It commits its batch and waits.
    Commit(LeaseId),
    /// It waits no longer.
    Cancel(TicketId),
    /// It asks for a rebalance.
    Rejoin,
    /// It unsubscribes.
    Unsubscribe,
    /// It stops polling.
    Tarry,
    /// It polls again.
    Return,
    /// It closes.
    Close,
}

impl Deed {
    /// Whether it owes this to the group, so that it happens in the end.
    pub fn is_duty(self) -> bool {
        matches!(self, Deed::Finish(_) | Deed::Return)
    }
}

impl Held {
    fn new(id: LeaseId, partition: i32) -> Held {
        Held {
            id,
            partition,
            word: Word::Active,
            announced: false,
            end_told: false,
            position: None,
            done: None,
            hold: false,
            asked: None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.word, Word::Active | Word::Revoking)
    }

    fn mark(&self) -> Option<Mark> {
        self.done.map(Mark::at)
    }

    fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(Setup::TOPIC, self.partition)
    }
}

impl App {
    pub(super) fn new(setup: &Setup) -> App {
        App {
            stage: Stage::Away,
            leases: Vec::new(),
            tickets: Vec::new(),
            next_ticket: 0,
            cancels: setup.cancels,
            rejoins: setup.rejoins,
            unsubscribes: setup.unsubscribes,
            absences: setup.absences,
            absent: false,
            delivering: true,
        }
    }

    /// What it may do now.
    pub(super) fn deeds(&self, setup: &Setup) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if self.stage == Stage::Away {
            deeds.push(Deed::Subscribe);
        }
        let open = self.stage == Stage::Subscribed && self.delivering && !self.absent;
        for lease in &self.leases {
            let left = lease.position.is_some_and(|position| position < setup.records);
            if open && left && lease.word == Word::Active && !lease.hold {
                deeds.push(Deed::Take(lease.id));
            }
            if lease.hold && !self.awaits_commit(lease.id) {
                deeds.push(Deed::Finish(lease.id));
                if setup.style == Style::Blocking && lease.done != lease.position {
                    deeds.push(Deed::Commit(lease.id));
                }
            }
        }
        if self.cancels > 0 {
            let commits = self.tickets.iter().filter(|t| matches!(t.what, Asked::Commit { .. }));
            deeds.extend(commits.map(|ticket| Deed::Cancel(ticket.id)));
        }
        if self.absent {
            deeds.push(Deed::Return);
        }
        if self.stage == Stage::Subscribed {
            let whims = [
                (setup.closes, Deed::Close),
                (self.rejoins > 0, Deed::Rejoin),
                (self.unsubscribes > 0, Deed::Unsubscribe),
                (self.absences > 0 && !self.absent, Deed::Tarry),
            ];
            deeds.extend(whims.iter().filter(|(may, _)| *may).map(|(_, deed)| *deed));
        }
        deeds
    }

    pub(super) fn is_present(&self) -> bool {
        !self.absent
    }

    fn awaits_commit(&self, of: LeaseId) -> bool {
        self.tickets.iter().any(|t| matches!(t.what, Asked::Commit { lease, .. } if lease == of))
    }

    /// Does something, and says what the machine is told of it.
    pub(super) fn act(&mut self, setup: &Setup, deed: Deed) -> Option<Input> {
        match deed {
            Deed::Subscribe => {
                self.stage = Stage::Subscribed;
                Some(self.call(Asked::Done, Call::Subscribe(vec![Setup::TOPIC.into()])))
            }
            Deed::Take(id) => {
                let lease = self.lease_mut(id)?;
                lease.hold = true;
                lease.position = lease.position.map(|position| position + 1);
                None
            }
            Deed::Finish(id) => self.finish(setup, id),
            Deed::Commit(id) => {
                let lease = self.lease_mut(id)?;
                let (partition, offset) = (lease.partition, lease.position?);
                let entry = CommitEntry {
                    target: CommitTarget::Lease(id, lease.topic_partition()),
                    mark: Mark::at(offset),
                    metadata: None,
                    rewind: false,
                };
                let first = lease.is_live() && lease.asked < Some(offset);
                lease.asked = lease.asked.max(Some(offset));
                let timeout = span(setup.timing.commit);
                let asked = Asked::Commit { lease: id, partition, offset, first };
                Some(self.call(asked, Call::Commit { entries: vec![entry], timeout }))
            }
            Deed::Cancel(ticket) => {
                self.cancels -= 1;
                Some(Input::Cancel(ticket))
            }
            Deed::Rejoin => {
                self.rejoins -= 1;
                Some(self.call(Asked::Done, Call::Rejoin { reason: "asked for".into() }))
            }
            Deed::Unsubscribe => {
                self.unsubscribes -= 1;
                self.stage = Stage::Away;
                Some(self.call(Asked::Done, Call::Subscribe(Vec::new())))
            }
            Deed::Tarry => {
                self.absences -= 1;
                self.absent = true;
                None
            }
            Deed::Return => {
                self.absent = false;
                Some(Input::Polled)
            }
            Deed::Close => {
                let deadline = span(setup.timing.close);
                self.stage = Stage::Closing(Time::ZERO + deadline);
                let options = CloseOptions { deadline, ..CloseOptions::default() };
                Some(self.call(Asked::Close, Call::Close(options)))
            }
        }
    }

    fn call(&mut self, what: Asked, call: Call) -> Input {
        let id = TicketId(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.push(Ticket { id, what });
        Input::Call { ticket: id, call }
    }

    /// Lets go of a batch. What was not done goes back.
    fn finish(&mut self, setup: &Setup, id: LeaseId) -> Option<Input> {
        let lease = self.lease_mut(id)?;
        lease.hold = false;
        match setup.style {
            Style::Auto => lease.done = lease.position,
            Style::Blocking if lease.done != lease.position => {
                lease.position = lease.position.map(|position| position - 1);
            }
            Style::Blocking => {}
        }
        let (revoking, mark) = (lease.word == Word::Revoking, lease.mark());
        self.forget_past();
        revoking.then_some(Input::Drained { lease: id, mark })
    }

    pub(super) fn granted(&mut self, id: LeaseId, partition: i32) -> Result<(), Violation> {
        let twin =
            self.leases.iter().find(|l| l.id == id || l.is_live() && l.partition == partition);
        if let Some(twin) = twin {
            let what = format!("{id:?} of partition {partition} was granted beside {twin:?}");
            return Err(Violation::new(Property::LeaseOnce, what));
        }
        self.leases.push(Held::new(id, partition));
        Ok(())
    }

    /// Applies a change to the lease's word. What is drained already says so.
    pub(super) fn changed(
        &mut self,
        id: LeaseId,
        change: LeaseChange,
    ) -> Result<(Option<Fact>, Option<Input>), Violation> {
        let lease = self.live(id)?;
        match change {
            LeaseChange::Revoke { .. } => {
                lease.word = Word::Revoking;
                let drained =
                    (!lease.hold).then_some(Input::Drained { lease: id, mark: lease.mark() });
                Ok((Some(Fact::Revoking(lease.partition)), drained))
            }
            LeaseChange::End if lease.word != Word::Revoking || lease.hold => {
                let what = format!("{lease:?} was handed over");
                Err(Violation::new(Property::DrainFirst, what))
            }
            LeaseChange::End => {
                lease.word = Word::HandedOver;
                Ok((Some(Fact::HandedOver(lease.partition, lease.done)), None))
            }
            LeaseChange::Lose(_) => {
                lease.word = Word::Lost;
                Ok((Some(Fact::Lost(lease.partition)), None))
            }
        }
    }

    pub(super) fn starts(&mut self, id: LeaseId, start: Start) -> Result<Fact, Violation> {
        let lease = self.live(id)?;
        let at = match start {
            Start::Committed(mark) => mark.offset,
            Start::Reset | Start::Seek(_) => 0,
        };
        lease.position = Some(at);
        Ok(Fact::Starts(lease.partition, at))
    }

    pub(super) fn told_of_grant(&mut self, id: LeaseId) -> Result<(), Violation> {
        match self.live(id)? {
            lease if lease.announced => {
                Err(Violation::new(Property::LeaseOnce, format!("{lease:?} was announced twice")))
            }
            lease => {
                lease.announced = true;
                Ok(())
            }
        }
    }

    pub(super) fn told_of_end(&mut self, id: LeaseId, end: Word) -> Result<(), Violation> {
        let lease = self.lease_mut(id).filter(|lease| lease.word == end && !lease.end_told);
        let Some(lease) = lease else {
            let what = format!("{id:?} was told to be {end:?} among {:?}", self.leases);
            return Err(Violation::new(Property::LeaseOnce, what));
        };
        lease.end_told = true;
        self.forget_past();
        Ok(())
    }

    pub(super) fn marks(&self) -> Vec<(LeaseId, Mark)> {
        let live = self.leases.iter().filter(|lease| lease.is_live());
        live.filter_map(|lease| Some((lease.id, lease.mark()?))).collect()
    }

    pub(super) fn resolved(
        &mut self,
        ticket: TicketId,
        outcome: &Outcome,
    ) -> Result<Option<Fact>, Violation> {
        let Some(place) = self.tickets.iter().position(|open| open.id == ticket) else {
            let what = format!("{ticket:?} resolved to {outcome:?} and is not open");
            return Err(Violation::new(Property::TicketOnce, what));
        };
        let Ticket { what, .. } = self.tickets.remove(place);
        match (what, outcome) {
            (Asked::Done, Outcome::Done) => Ok(None),
            (Asked::Close, Outcome::Closed(_)) => {
                self.stage = Stage::Closed;
                Ok(None)
            }
            (Asked::Commit { lease, partition, offset, first }, Outcome::Commit(outcomes)) => {
                let fact = self.committed(lease, partition, offset, outcomes)?;
                let certain = first || matches!(fact, Fact::Told(_, _, o) if o.is_committed());
                Ok(certain.then_some(fact))
            }
            (asked, outcome) => {
                let what = format!("{asked:?} came to {outcome:?}");
                Err(Violation::new(Property::TicketOnce, what))
            }
        }
    }

    fn committed(
        &mut self,
        id: LeaseId,
        partition: i32,
        offset: i64,
        outcomes: &[(TopicPartition, PartitionOutcome)],
    ) -> Result<Fact, Violation> {
        let [(of, outcome)] = outcomes else {
            let what = format!("one entry came to {outcomes:?}");
            return Err(Violation::new(Property::TicketOnce, what));
        };
        if of.partition != partition {
            let what = format!("a commit of partition {partition} came to one of {of}");
            return Err(Violation::new(Property::HonestOutcome, what));
        }
        if let (true, Some(lease)) = (outcome.is_committed(), self.lease_mut(id)) {
            lease.done = lease.done.max(Some(offset));
        }
        Ok(Fact::Told(partition, offset, *outcome))
    }

    /// After the close nothing is open and nothing is held.
    pub(super) fn check_closed(&self) -> Result<(), Violation> {
        if self.stage != Stage::Closed {
            return Ok(());
        }
        if let Some(ticket) = self.tickets.first() {
            let what = format!("{ticket:?} is open after the close");
            return Err(Violation::new(Property::TicketOnce, what));
        }
        match self.leases.iter().find(|lease| lease.is_live() || !lease.end_told) {
            Some(lease) => {
                let what = format!("{lease:?} is there after the close");
                Err(Violation::new(Property::LeaseOnce, what))
            }
            None => Ok(()),
        }
    }

    pub(super) fn speak(&self, names: &mut Names) {
        self.leases.iter().for_each(|lease| names.speak_of_lease(lease.id));
        for ticket in &self.tickets {
            names.speak_of_ticket(ticket.id);
            if let Asked::Commit { lease, .. } = ticket.what {
                names.speak_of_lease(lease);
            }
        }
    }

    pub(super) fn rename(&mut self, names: &Names) {
        self.leases.iter_mut().for_each(|lease| lease.id = names.lease(lease.id));
        for ticket in &mut self.tickets {
            ticket.id = names.ticket(ticket.id);
            if let Asked::Commit { lease, .. } = &mut ticket.what {
                *lease = names.lease(*lease);
            }
        }
        self.next_ticket = names.ticket(TicketId(self.next_ticket)).0;
    }

    pub(super) fn rebase(&mut self, by: Time) {
        if let Stage::Closing(at) = &mut self.stage {
            *at = at.saturating_sub(by.since(Time::ZERO));
        }
    }

    fn live(&mut self, id: LeaseId) -> Result<&mut Held, Violation> {
        let place = self.leases.iter().position(|lease| lease.id == id && lease.is_live());
        match place {
            Some(place) => Ok(&mut self.leases[place]),
            None => {
                let what = format!("{id:?} changes and is not among {:?}", self.leases);
                Err(Violation::new(Property::LeaseOnce, what))
            }
        }
    }

    pub(super) fn lease_mut(&mut self, id: LeaseId) -> Option<&mut Held> {
        self.leases.iter_mut().find(|lease| lease.id == id)
    }

    fn forget_past(&mut self) {
        self.leases.retain(|lease| lease.is_live() || !lease.end_told || lease.hold);
    }
}
