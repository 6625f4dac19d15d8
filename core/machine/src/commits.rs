//! The commit ledger: every offset that was asked to be committed, until it is known what became
//! of it.
//!
//! The broker does not check who owns a partition and an OffsetCommit carries no sequence number,
//! so order and ownership are kept here and nowhere else:
//!
//! - One request is out at a time, and it carries for each lease the highest offset since the last
//!   rewind (SPEC C2). What is asked meanwhile waits for its answer.
//! - A lease that ended is never sent for again (SPEC C6).
//! - A request that may have been applied is never called rejected or fenced (SPEC C5).
//!
//! The ledger knows no identity and no join state: the machine calls [`Ledger::next`] when a commit
//! may go, stamps its identity on it, and does what the [`CommitEffect`] of the answer says.

mod account;
mod entry;
mod flight;
mod tickets;
mod verdict;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::{mem, time::Duration};

use crate::clock::{Backoff, Tick, Window};
use crate::{
    ErrorCode, LeaseEnd, LeaseId, Mark, Name, Names, OffsetToCommit, PartitionOutcome, TicketId,
    Time, TopicPartition, Unanswered,
};
use account::Account;
use entry::{Bid, Entry, Owner};
use flight::{Flight, Judged, MOST_BYTES};
use tickets::Tickets;
use verdict::Verdict;

pub(crate) use verdict::{CommitEffect, Verdict as CommitVerdict, judge_commit};

/// One entry of a commit call, after the machine looked its lease up.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ResolvedEntry {
    pub(crate) partition: TopicPartition,
    /// The lease, or how it ended: then the entry is fenced at once.
    pub(crate) lease: Result<LeaseId, LeaseEnd>,
    pub(crate) mark: Mark,
    pub(crate) metadata: Option<Name>,
    /// Whether an offset below the highest committed one is meant (SPEC C4).
    pub(crate) rewind: bool,
}

/// See the module. Every method leaves the state that [`Ledger::invariants`] describes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Ledger {
    /// One for each live lease, and for each ended one whose last request is unanswered.
    accounts: BTreeMap<LeaseId, Account>,
    /// The leases that have something to send and are not in the request that is out. Derived
    /// from `accounts` by [`Ledger::with`], so that a step costs nothing for idle leases.
    waiting: BTreeSet<LeaseId>,
    tickets: Tickets,
    /// The request that is out.
    flight: Option<Flight>,
    /// The first and the longest wait after a failure.
    retry_backoff: (Duration, Duration),
    /// After a request that failed as a whole.
    backoff: Backoff,
    /// How many bytes the next request may have: less for a while after a size error (SPEC C7).
    budget: usize,
    /// Where the next request begins, so that one cut for its size starves nobody.
    resume: LeaseId,
}

impl Ledger {
    pub(crate) fn new(retry_backoff: (Duration, Duration)) -> Ledger {
        Ledger {
            accounts: BTreeMap::new(),
            waiting: BTreeSet::new(),
            tickets: Tickets::default(),
            flight: None,
            retry_backoff,
            backoff: Backoff::NONE,
            budget: MOST_BYTES,
            resume: LeaseId(0),
        }
    }

    /// A lease was granted. What is committed for it is not known yet.
    pub(crate) fn open(&mut self, lease: LeaseId, partition: TopicPartition) {
        debug_assert!(!self.accounts.contains_key(&lease), "{lease:?} is never reused");
        self.accounts.insert(lease, Account::new(partition));
    }

    /// OffsetFetch said what is committed: the first floor. The note is kept to be committed
    /// again with the offset. Ignored where a commit or a rewind of this lease came first.
    pub(crate) fn acknowledged(&mut self, lease: LeaseId, mark: Mark, metadata: Option<Name>) {
        let bid = Bid { mark, metadata };
        self.with(lease, |account, tickets| account.fetched(bid, tickets));
    }

    /// A seek back, an offset reset or a truncation: commits from now on may go down to `to`
    /// (SPEC C4). Those asked before keep their order.
    pub(crate) fn rewind(&mut self, lease: LeaseId, to: i64) {
        self.with(lease, |account, _| account.rewind(to));
    }

    /// A call. Its ticket resolves exactly once, with one outcome for each entry (SPEC C1).
    pub(crate) fn commit(
        &mut self,
        now: Time,
        ticket: TicketId,
        entries: Vec<ResolvedEntry>,
        deadline: Time,
    ) {
        self.tickets.open(ticket, &entries, deadline);
        for (slot, entry) in entries.into_iter().enumerate() {
            let owner = Owner::Ticket(ticket, slot);
            match entry.lease.and_then(|lease| self.live(lease)) {
                Ok(lease) => {
                    let rewind = entry.rewind.then_some(entry.mark.offset);
                    let bid = Bid { mark: entry.mark, metadata: entry.metadata };
                    let entry = Entry::new(owner, bid, rewind);
                    self.with(lease, |account, tickets| account.push(entry, tickets));
                }
                Err(end) => self.tickets.settle(owner, PartitionOutcome::Fenced(end)),
            }
        }
        self.expire_calls(now);
    }

    /// Auto-commit or a hand-over: as a call without ticket and deadline, for as long as the lease
    /// lives. A later mark takes the place of an unsent one.
    pub(crate) fn mark(&mut self, lease: LeaseId, mark: Mark) {
        self.with(lease, |account, tickets| account.mark(mark, tickets));
    }

    /// The caller no longer waits (SPEC C10). The ticket resolves at once, what was not sent is
    /// withdrawn. What is out stays in order and is not sent a second time.
    pub(crate) fn cancel(&mut self, ticket: TicketId) {
        for (slot, lease) in self.tickets.unsettled(ticket) {
            let owner = Owner::Ticket(ticket, slot);
            self.with(lease, |account, tickets| account.withdraw(owner, tickets));
        }
    }

    /// The lease ended: nothing is sent for it from now on (SPEC C6). What is out waits for its
    /// answer, everything else resolves here.
    pub(crate) fn end(&mut self, lease: LeaseId, how: LeaseEnd) {
        self.with(lease, |account, tickets| account.end(how, tickets));
    }

    /// After a reconnect that followed a lost answer, before a hand-over and before a close:
    /// commits once more what stands for each lease whose request may still be on its way on a
    /// connection that is gone (SPEC C8).
    pub(crate) fn mend(&mut self) {
        for (lease, account) in &mut self.accounts {
            account.mend();
            if account.wants() {
                self.waiting.insert(*lease);
            }
        }
    }

    /// The merged request, if one may go now. It is out from here on, until
    /// [`answered`](Ledger::answered).
    pub(crate) fn next(&mut self, tick: Tick) -> Option<Vec<OffsetToCommit>> {
        if self.flight.is_some() || !self.backoff.is_over(tick) {
            return None;
        }
        let mut flight = Flight::default();
        let mut cut = None;
        for &lease in self.waiting.range(self.resume..).chain(self.waiting.range(..self.resume)) {
            let Some(account) = self.accounts.get_mut(&lease) else { continue };
            if !account.backoff.is_over(tick) {
                continue;
            }
            let Some(size) = account.size() else { continue };
            if !flight.lines.is_empty() && flight.bytes + size > self.budget {
                cut = Some(lease);
                break;
            }
            flight.bytes += size;
            flight.lines.extend(account.send(lease));
        }
        if flight.lines.is_empty() {
            return None;
        }
        for line in &flight.lines {
            self.waiting.remove(&line.lease);
        }
        self.resume = cut.unwrap_or(LeaseId(0));
        let request = flight.lines.iter().map(|line| line.offset()).collect();
        self.flight = Some(flight);
        Some(request)
    }

    /// What became of the request that was out, and what the membership has to do about it: the
    /// worst of all its partitions. Without a request that is out it says nothing.
    pub(crate) fn answered(
        &mut self,
        now: Time,
        answer: Result<Vec<(TopicPartition, ErrorCode)>, Unanswered>,
    ) -> CommitEffect {
        let Some(flight) = self.flight.take() else { return CommitEffect::Nothing };
        let judged = flight.judge(answer);
        self.pace(now, &judged);
        let retry_backoff = self.retry_backoff;
        for (line, verdict) in judged.lines {
            self.with(line.lease, |account, tickets| {
                match verdict {
                    Verdict::UnknownPartition(_) => account.backoff.failed(now, retry_backoff),
                    _ => account.backoff.succeeded(),
                }
                account.answered(line, verdict, tickets);
            });
        }
        judged.effect
    }

    /// Whether something of the lease is unsent or unanswered, so that a hand-over waits for it.
    /// A partition that the coordinator said it does not know is not waited for (SPEC C9).
    pub(crate) fn outstanding(&self, lease: LeaseId) -> bool {
        self.accounts.get(&lease).is_some_and(Account::is_outstanding)
    }

    /// What is over by now: deadlines (SPEC C10) and backoffs.
    pub(crate) fn expire(&mut self, tick: Tick) {
        self.expire_calls(tick.now);
        self.backoff.settle(tick);
        for lease in &self.waiting {
            if let Some(account) = self.accounts.get_mut(lease) {
                account.backoff.settle(tick);
            }
        }
    }

    /// When the ledger wants to be asked again: the next deadline, the end of a backoff.
    pub(crate) fn windows(&self) -> [Window; 2] {
        [Window::at(self.tickets.next_deadline()), self.retry_window()]
    }

    /// The next call that came to its end.
    pub(crate) fn poll_resolved(
        &mut self,
    ) -> Option<(TicketId, Vec<(TopicPartition, PartitionOutcome)>)> {
        self.tickets.poll_resolved()
    }

    /// What the coordinator last acknowledged or said it had.
    pub(crate) fn committed(&self, lease: LeaseId) -> Option<Mark> {
        self.accounts.get(&lease)?.acked
    }

    /// What the lease's last commit or mark would come to if the lease ended now; `None` if it
    /// was acknowledged. To be read before [`end`](Ledger::end), for the report of a close.
    pub(crate) fn last_failure(&self, lease: LeaseId) -> Option<PartitionOutcome> {
        self.accounts.get(&lease)?.last_failure()
    }

    /// Whether a request is out.
    pub(crate) fn in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Closing is over: everything open resolves, and no answer is awaited any more.
    pub(crate) fn close_off(&mut self) {
        self.flight = None;
        let leases: Vec<LeaseId> = self.accounts.keys().copied().collect();
        for lease in leases {
            self.with(lease, Account::close_off);
        }
    }

    /// For the search: the state as it would be had the clock started `by` later.
    pub(crate) fn rebase(&mut self, by: Time) {
        self.tickets.rebase(by);
        self.backoff.rebase(by);
        for account in self.accounts.values_mut() {
            account.backoff.rebase(by);
        }
    }

    /// For the search: see [`Machine::renamed`](crate::Machine::renamed).
    pub(crate) fn speak(&self, names: &mut Names) {
        self.accounts.keys().for_each(|lease| names.speak_of_lease(*lease));
        self.tickets.speak(names);
    }

    /// For the search: see [`Machine::renamed`](crate::Machine::renamed).
    pub(crate) fn rename(&mut self, names: &Names) {
        let accounts = mem::take(&mut self.accounts).into_iter();
        self.accounts = accounts
            .map(|(lease, mut account)| {
                account.rename(names);
                (names.lease(lease), account)
            })
            .collect();
        self.waiting = self.waiting.iter().map(|lease| names.lease(*lease)).collect();
        for line in self.flight.iter_mut().flat_map(|flight| &mut flight.lines) {
            line.lease = names.lease(line.lease);
        }
        self.resume = names.lease(self.resume);
        self.tickets.rename(names);
    }

    /// What holds between any two calls. Checks in debug builds only.
    pub(crate) fn invariants(&self) {
        let mut owners = Vec::new();
        for (lease, account) in &self.accounts {
            account.invariants();
            let out =
                self.flight.as_ref().is_some_and(|f| f.lines.iter().any(|l| l.lease == *lease));
            debug_assert_eq!(account.in_flight, out, "{lease:?} is out exactly if its line is");
            debug_assert_eq!(account.wants(), self.waiting.contains(lease), "{lease:?} waits");
            debug_assert!(!account.is_over(), "{lease:?} ended and has nothing to wait for");
            owners.extend(account.owners());
        }
        debug_assert!(self.waiting.iter().all(|lease| self.accounts.contains_key(lease)));
        debug_assert!((1..=MOST_BYTES).contains(&self.budget), "a request has room for something");
        self.tickets.invariants(owners);
    }

    fn live(&self, lease: LeaseId) -> Result<LeaseId, LeaseEnd> {
        match self.accounts.get(&lease) {
            Some(account) => account.ended.map_or(Ok(lease), Err),
            None => Err(LeaseEnd::NotHeld),
        }
    }

    /// Every change of an account goes through here: it keeps `waiting` true and drops the
    /// account of an ended lease with its last entry. A lease that is not known has nothing to
    /// change.
    fn with(&mut self, lease: LeaseId, change: impl FnOnce(&mut Account, &mut Tickets)) {
        let Some(account) = self.accounts.get_mut(&lease) else { return };
        change(account, &mut self.tickets);
        if account.wants() {
            self.waiting.insert(lease);
        } else {
            self.waiting.remove(&lease);
        }
        if account.is_over() {
            self.accounts.remove(&lease);
        }
    }

    /// When, and how large, the next request may be.
    fn pace(&mut self, now: Time, judged: &Judged) {
        let any = |wanted: fn(&Verdict) -> bool| judged.lines.iter().any(|(_, v)| wanted(v));
        if judged.split {
            // Not a failure to wait for: the halves are other requests.
            self.budget = (judged.bytes / 2).max(1);
            return;
        }
        if any(|v| matches!(v, Verdict::NotApplied | Verdict::InDoubt | Verdict::Lost)) {
            self.backoff.failed(now, self.retry_backoff);
        } else {
            self.backoff.succeeded();
        }
        if any(|v| matches!(v, Verdict::Committed)) {
            self.budget = MOST_BYTES.min(self.budget.saturating_mul(2));
        }
    }

    fn expire_calls(&mut self, now: Time) {
        while let Some(ticket) = self.tickets.due(now) {
            self.cancel(ticket);
        }
    }

    fn retry_window(&self) -> Window {
        let waiting = self.waiting.iter().filter_map(|lease| self.accounts.get(lease));
        let own =
            waiting.map(|account| account.backoff.until()).fold(Window::NEVER, Window::sooner);
        let all = self.backoff.until();
        match self.flight {
            Some(_) => Window::NEVER,
            None => Window {
                earliest: own.earliest.max(all.earliest),
                latest: own.latest.max(all.latest),
            },
        }
    }
}
