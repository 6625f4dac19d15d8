//! What one lease has committed and wants committed.

use alloc::collections::VecDeque;

use super::entry::{Bid, Entry, Owner};
use super::flight::{self, Line};
use super::tickets::Tickets;
use super::verdict::Verdict;
use crate::clock::Backoff;
use crate::{ErrorCode, LeaseEnd, LeaseId, Mark, Names, PartitionOutcome, TopicPartition};

/// See the module.
///
/// The queue holds the open entries in call order. A *run* is what lies between two rewinds:
/// within a run the highest offset stands for all, and a run is not sent before the one ahead of
/// it is through (SPEC C2, C4). The entries that are out are always the head of the first run.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Account {
    partition: TopicPartition,
    queue: VecDeque<Entry>,
    /// A rewind asked after the last entry of the queue.
    rewind: Option<i64>,
    /// What the coordinator last acknowledged, or had when the lease began.
    pub(super) acked: Option<Mark>,
    /// An entry below it needs no request. It is what was acknowledged, lowered by rewinds.
    floor: Option<i64>,
    /// The last bid that was or may have been applied: what a straggler must not undo.
    standing: Option<Bid>,
    /// `standing` is of the run before a rewind: an offset down to this one may take its place.
    rewound: Option<i64>,
    /// The account has a line in the request that is out.
    pub(super) in_flight: bool,
    /// A request for it may still be on its way on a connection that is gone.
    straggler: bool,
    /// `standing` is to be committed again.
    mend: bool,
    /// Delays this account alone: its partition is not known to the coordinator.
    pub(super) backoff: Backoff,
    /// Nothing is sent any more; the account waits for its last answer.
    pub(super) ended: Option<LeaseEnd>,
    /// What the last resolved entry came to, if it was not acknowledged.
    failure: Option<PartitionOutcome>,
}

impl Account {
    pub(super) fn new(partition: TopicPartition) -> Account {
        Account {
            partition,
            queue: VecDeque::new(),
            rewind: None,
            acked: None,
            floor: None,
            standing: None,
            rewound: None,
            in_flight: false,
            straggler: false,
            mend: false,
            backoff: Backoff::NONE,
            ended: None,
            failure: None,
        }
    }

    /// OffsetFetch's answer. A commit or a rewind under this lease knows better.
    pub(super) fn fetched(&mut self, bid: Bid, tickets: &mut Tickets) {
        if self.ended.is_some() || self.acked.is_some() {
            return;
        }
        self.acked = Some(bid.mark);
        if self.rewound.is_some() {
            return;
        }
        self.floor = Some(bid.mark.offset);
        if self.standing.as_ref().is_none_or(|s| s.mark.offset <= bid.mark.offset) {
            self.standing = Some(bid);
        }
        self.settle(tickets);
    }

    pub(super) fn rewind(&mut self, to: i64) {
        let above = |offset: i64| offset > to;
        let lowers = self.floor.is_none_or(above)
            || self.standing.as_ref().is_some_and(|s| above(s.mark.offset))
            || self.queue.iter().any(|e| above(e.bid.mark.offset));
        if self.ended.is_some() || !lowers {
            return;
        }
        match self.queue.is_empty() {
            true => self.begin_run(to),
            false => self.rewind = lower(self.rewind, Some(to)),
        }
    }

    pub(super) fn push(&mut self, mut entry: Entry, tickets: &mut Tickets) {
        entry.rewind = lower(self.rewind.take(), entry.rewind);
        let covered = self.covered()(&entry).is_some();
        self.queue.push_back(entry);
        // Nothing changes for the entries ahead: most calls cost no walk over the queue.
        if covered || self.queue.len() == 1 {
            self.settle(tickets);
        }
    }

    pub(super) fn mark(&mut self, mark: Mark, tickets: &mut Tickets) {
        if self.ended.is_some() {
            return;
        }
        let run = match self.rewind {
            Some(_) => self.queue.len(),
            None => self.queue.iter().rposition(|e| e.rewind.is_some()).unwrap_or(0),
        };
        let unsent = |e: &&mut Entry| e.owner == Owner::Mark && !e.sending;
        if let Some(earlier) = self.queue.range_mut(run..).find(unsent) {
            // One unsent mark for each run: marks come for ever, also while nothing can be sent.
            earlier.bid.mark = mark.max(earlier.bid.mark);
            return;
        }
        let bid = Bid { mark, metadata: None };
        self.push(Entry::new(Owner::Mark, bid, None), tickets);
    }

    /// The caller gave up. A rewind that stood before the entry is handed to the next.
    pub(super) fn withdraw(&mut self, owner: Owner, tickets: &mut Tickets) {
        let Some(place) = self.queue.iter().position(|e| e.owner == owner) else { return };
        let outcome = self.queue[place].outcome(PartitionOutcome::Withdrawn);
        self.failure = Some(outcome);
        tickets.settle(owner, outcome);
        if self.queue[place].sending {
            self.queue[place].owner = Owner::Nobody;
            return;
        }
        let rewind = self.queue.remove(place).and_then(|entry| entry.rewind);
        let next = self.queue.get_mut(place).map_or(&mut self.rewind, |next| &mut next.rewind);
        *next = lower(*next, rewind);
        self.settle(tickets);
    }

    pub(super) fn mend(&mut self) {
        self.mend |= self.straggler && self.standing.is_some();
    }

    pub(super) fn end(&mut self, how: LeaseEnd, tickets: &mut Tickets) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(how);
        let fenced = PartitionOutcome::Fenced(how);
        self.resolve(tickets, |e| (!e.sending).then(|| e.outcome(fenced)));
    }

    pub(super) fn close_off(&mut self, tickets: &mut Tickets) {
        self.resolve(tickets, |e| Some(e.outcome(PartitionOutcome::Withdrawn)));
        self.in_flight = false;
        self.mend = false;
        self.settle(tickets);
    }

    /// Whether a request should carry this account.
    pub(super) fn wants(&self) -> bool {
        !self.in_flight && self.ended.is_none() && (self.mend || !self.queue.is_empty())
    }

    /// Whether nothing is left to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() && !self.in_flight
    }

    pub(super) fn is_outstanding(&self) -> bool {
        self.in_flight || self.mend || self.queue.iter().any(|e| e.refused.is_none())
    }

    pub(super) fn last_failure(&self) -> Option<PartitionOutcome> {
        match self.queue.back() {
            Some(last) => Some(last.outcome(PartitionOutcome::Withdrawn)),
            None => self.failure,
        }
    }

    /// How much room the account needs in a request.
    pub(super) fn size(&self) -> Option<usize> {
        self.bid().map(|(bid, _)| flight::size(&self.partition, bid))
    }

    /// Puts the first run into the request that goes now.
    pub(super) fn send(&mut self, lease: LeaseId) -> Option<Line> {
        let (bid, in_run) = self.bid()?;
        let (bid, run) = (bid.clone(), self.run());
        for entry in self.queue.iter_mut().take(run) {
            entry.sending = true;
        }
        self.in_flight = true;
        let mends = core::mem::take(&mut self.mend);
        Some(Line { lease, partition: self.partition.clone(), bid, in_run, mends })
    }

    pub(super) fn answered(&mut self, line: Line, verdict: Verdict, tickets: &mut Tickets) {
        self.in_flight = false;
        let mends = line.mends && !matches!(verdict, Verdict::Committed | Verdict::Refused(_));
        match verdict {
            Verdict::Committed => self.acknowledge(line, tickets),
            Verdict::InDoubt | Verdict::Lost => {
                self.straggler |= verdict == Verdict::Lost;
                self.rewound = self.rewound.filter(|_| !line.in_run);
                self.standing = Some(line.bid);
                self.keep(|entry| entry.in_doubt = true);
            }
            Verdict::NotApplied => self.keep(|_| {}),
            Verdict::UnknownPartition(error) => self.keep(|entry| entry.refused = Some(error)),
            Verdict::RefusedBid(error) | Verdict::TooLarge(error) => {
                // The entries that it covered have other notes, and go by themselves.
                self.refuse(error, tickets, |entry| entry.bid == line.bid);
                if self.standing.as_ref() == Some(&line.bid) {
                    // Its offset may stand nevertheless. Without the note it is not refused.
                    self.standing = line.bid.without_note();
                }
            }
            Verdict::Refused(error) | Verdict::Fault(error) => {
                self.refuse(error, tickets, |_| true);
            }
        }
        self.mend |= mends && self.standing.is_some();
        match self.ended {
            Some(how) => {
                self.resolve(tickets, |e| Some(e.outcome(PartitionOutcome::Fenced(how))));
            }
            None => self.settle(tickets),
        }
    }

    pub(super) fn rename(&mut self, names: &Names) {
        for entry in &mut self.queue {
            if let Owner::Ticket(ticket, _) = &mut entry.owner {
                *ticket = names.ticket(*ticket);
            }
        }
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = Owner> {
        self.queue.iter().map(|entry| entry.owner)
    }

    pub(super) fn invariants(&self) {
        let out = self.queue.iter().take_while(|e| e.sending).count();
        let first = self.queue.front();
        debug_assert!(self.queue.iter().skip(out).all(|e| !e.sending), "what is out leads");
        debug_assert!(out == 0 || self.in_flight, "entries are out with their account only");
        debug_assert!(out <= self.run(), "what is out is of one run");
        debug_assert!(self.queue.iter().all(|e| e.sending || e.owner != Owner::Nobody));
        debug_assert!(first.is_none_or(|e| e.rewind.is_none()), "the first run has begun");
        debug_assert!(self.rewind.is_none() || first.is_some(), "else it has begun");
        debug_assert!(self.ended.is_none() || self.queue.len() == out, "ended: only what is out");
        debug_assert!(self.floor <= self.acked.map(|mark| mark.offset), "a floor is acknowledged");
        debug_assert!(
            self.rewound.is_some()
                || self.standing.as_ref().is_none_or(|s| self.floor <= Some(s.mark.offset)),
            "what stands is not below the floor"
        );
    }

    /// How many entries the first run has.
    fn run(&self) -> usize {
        self.queue.iter().take_while(|entry| entry.rewind.is_none()).count()
    }

    /// What would be sent, and whether it is the run's own: the highest of the first run and of
    /// what may stand already, the later one of equals. A rewind lets go of what stands, for
    /// offsets that go down to where it went and no further.
    fn bid(&self) -> Option<(&Bid, bool)> {
        let asked = self.queue.iter().take(self.run()).map(|entry| &entry.bid);
        let asked = asked.max_by_key(|bid| bid.mark.offset);
        let meant = |to| asked.is_some_and(|bid| bid.mark.offset >= to);
        let standing = self.standing.as_ref().filter(|_| !self.rewound.is_some_and(meant));
        let bid = standing.into_iter().chain(asked).max_by_key(|bid| bid.mark.offset)?;
        Some((bid, asked.is_some_and(|asked| self.rewound.is_none() || asked == bid)))
    }

    fn begin_run(&mut self, to: i64) {
        self.floor = self.floor.map(|floor| floor.min(to));
        self.rewound = lower(self.rewound, Some(to));
    }

    /// Begins the next run where the one before is through, and resolves what the floor covers
    /// (SPEC C4).
    fn settle(&mut self, tickets: &mut Tickets) {
        loop {
            let next = self.queue.front_mut().map_or(&mut self.rewind, |e| &mut e.rewind);
            if let Some(to) = next.take() {
                self.begin_run(to);
            }
            let open = self.queue.len();
            let (mut ahead, covered) = (self.run(), self.covered());
            self.resolve(tickets, |entry| {
                let in_run = ahead > 0;
                ahead = ahead.saturating_sub(1);
                if in_run { covered(entry) } else { None }
            });
            if self.queue.len() == open {
                return;
            }
        }
    }

    /// What an entry comes to that needs no request. A mark never commits the floor again.
    fn covered(&self) -> impl Fn(&Entry) -> Option<PartitionOutcome> + use<> {
        let (floor, acked) = (self.floor, self.acked);
        move |entry| {
            let (floor, Mark { offset: at, .. }) = (floor?, acked?);
            let offset = entry.bid.mark.offset;
            let below = offset < floor || (offset == floor && entry.owner == Owner::Mark);
            (below && !entry.sending).then_some(PartitionOutcome::Committed { at })
        }
    }

    fn acknowledge(&mut self, line: Line, tickets: &mut Tickets) {
        let at = line.bid.mark.offset;
        self.acked = Some(line.bid.mark);
        self.standing = Some(line.bid);
        // What is of the run before a rewind is no floor for the run after it.
        self.rewound = self.rewound.filter(|_| !line.in_run);
        self.floor = self.rewound.map_or(Some(at), |to| Some(to.min(at)));
        self.resolve(tickets, |e| e.sending.then_some(PartitionOutcome::Committed { at }));
    }

    /// What was out goes again, unless nobody waits for it.
    fn keep(&mut self, note: impl Fn(&mut Entry)) {
        for entry in self.queue.iter_mut().filter(|entry| entry.sending) {
            entry.sending = false;
            entry.refused = None;
            note(entry);
        }
        self.queue.retain(|entry| entry.owner != Owner::Nobody);
    }

    /// Those that `whom` names are refused; the others that were out go again.
    fn refuse(&mut self, error: ErrorCode, tickets: &mut Tickets, whom: impl Fn(&Entry) -> bool) {
        self.resolve(tickets, |entry| {
            let doubt = entry.in_doubt.then_some(PartitionOutcome::Unknown);
            let outcome = doubt.unwrap_or(PartitionOutcome::Rejected(error));
            (entry.sending && whom(entry)).then_some(outcome)
        });
        self.keep(|_| {});
    }

    /// Takes the entries out of the queue that come to something.
    fn resolve(
        &mut self,
        tickets: &mut Tickets,
        mut come_to: impl FnMut(&Entry) -> Option<PartitionOutcome>,
    ) {
        let failure = &mut self.failure;
        self.queue.retain(|entry| {
            let Some(outcome) = come_to(entry) else { return true };
            *failure = Some(outcome).filter(|outcome| !outcome.is_committed());
            tickets.settle(entry.owner, outcome);
            false
        });
    }
}

/// The lower of two rewinds, where there are two.
fn lower(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
