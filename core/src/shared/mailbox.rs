//! The mailbox: many who post, one driver that collects.
//!
//! **Nothing accumulates.** Mail is kept by what it says and not by when it came: at most one
//! entry for each open call, each cancelled call that the driver has, each drained lease, each
//! round of an assignment, and the newest topics. Cancelling a call that is still here takes it
//! out again, so a thousand commits that are made and dropped while the driver sleeps leave
//! nothing behind (SPEC T4).
//!
//! **Order.** Calls have ids in the order in which they were posted, given under the lock, and
//! are collected in that order. One collection takes everything at once. So a hold that is
//! released after a commit was posted can't overtake it: when the driver learns that a lease is
//! drained, it has every commit made under that lease's holds, provided it handles the calls of
//! a collection before its drained leases.
//!
//! **Closing.** From [`Mailbox::close`] on, a post is dropped where it stands: its resolver goes
//! with it, and its ticket resolves as stopped at once. What was inside goes the same way. The
//! flag and the mail share the lock, so no post falls between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use handover_machine::{AssignFailure, Call, CloseReport, LeaseId, Name, Outcome, Plan, TicketId};

use super::slot::{Slot, Wake};
use super::ticket::{Resolver, Ticket, ticket};
use crate::sync::{Arc, AtomicU64, Ordering, thread_token};

/// Where everybody posts what the driver should know. Cheap to clone.
#[derive(Clone)]
pub struct Mailbox(Arc<Shared>);

struct Shared {
    slot: Slot<Inner>,
    /// The token of the thread that polled the driver last; 0 before the first poll. Written by
    /// the driver, read by blocking waits. Relaxed: a thread that compares it with its own token
    /// and finds them equal wrote it itself.
    driver_thread: AtomicU64,
}

struct Inner {
    /// Cleared once, by the driver's end.
    open: bool,
    /// What a clean close came to: the answer to those who close once more.
    report: Option<CloseReport>,
    /// The id of the next call.
    next: u64,
    mail: Mail,
}

/// What was posted since the last collection.
#[derive(Default)]
pub struct Mail {
    /// Calls, in the order in which they were made.
    pub calls: BTreeMap<TicketId, Letter>,
    /// Calls of an earlier collection that nobody waits for any more.
    pub cancelled: Vec<TicketId>,
    /// Revoking leases whose last hold was released.
    pub drained: BTreeSet<LeaseId>,
    /// Where the data path moved a lease to, the last time. Handled before any commit or mark,
    /// which may belong to the new place.
    pub moved: BTreeMap<LeaseId, i64>,
    /// Answers to requests for a plan, by round.
    pub plans: BTreeMap<u64, Result<Plan, AssignFailure>>,
    /// The newest partition counts.
    pub topics: Option<BTreeMap<Name, u32>>,
    /// Nothing but a wish that the driver look again.
    pub nudged: bool,
}

/// A call with the resolver of its ticket.
#[derive(Debug)]
pub struct Letter {
    /// What is asked.
    pub call: Call,
    /// Where the outcome goes.
    pub resolver: Resolver<Outcome>,
}

impl Letter {
    /// After the driver's end: a close that comes late is as good as done.
    fn refuse(self, report: Option<CloseReport>) {
        if let (Call::Close(_), Some(report)) = (&self.call, report) {
            self.resolver.resolve(Outcome::Closed(report));
        }
    }
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.calls.is_empty()
            && self.cancelled.is_empty()
            && self.drained.is_empty()
            && self.moved.is_empty()
            && self.plans.is_empty()
            && self.topics.is_none()
            && !self.nudged
    }
}

impl Mailbox {
    /// An open and empty one.
    pub fn new() -> Mailbox {
        let inner = Inner { open: true, report: None, next: 0, mail: Mail::default() };
        Mailbox(Arc::new(Shared { slot: Slot::new(inner), driver_thread: AtomicU64::new(0) }))
    }

    /// Posts a call. Its ticket is already resolved as stopped if the mailbox is closed.
    pub fn call(&self, call: Call) -> Ticket<Outcome> {
        let (unbound, resolver) = ticket();
        let id = self.post_letter(Letter { call, resolver });
        unbound.bind(id, self.clone())
    }

    /// Posts a call whose outcome nobody waits for, and which therefore nobody cancels.
    pub fn tell(&self, call: Call) {
        let (_, resolver) = ticket();
        self.post_letter(Letter { call, resolver });
    }

    fn post_letter(&self, letter: Letter) -> TicketId {
        let (id, refused) = self.0.slot.change(|inner| {
            let id = TicketId(inner.next);
            inner.next += 1;
            if !inner.open {
                return ((id, Some((letter, inner.report.clone()))), Wake::NOBODY);
            }
            inner.mail.calls.insert(id, letter);
            ((id, None), Wake::FIRST)
        });
        if let Some((letter, report)) = refused {
            letter.refuse(report);
        }
        id
    }

    /// Says that nobody waits for this call: takes it out, or tells the driver, which has it.
    pub fn cancel(&self, id: TicketId) {
        let withdrawn = self.0.slot.change(|inner| {
            let withdrawn = inner.mail.calls.remove(&id);
            let tell = withdrawn.is_none() && inner.open;
            if tell {
                inner.mail.cancelled.push(id);
            }
            (withdrawn, Wake::first_if(tell))
        });
        drop(withdrawn);
    }

    /// Says that the last hold of a revoking lease was released.
    pub fn drained(&self, lease: LeaseId) {
        self.post(|mail| {
            mail.drained.insert(lease);
        });
    }

    /// Says where the data path moved a lease to.
    pub fn moved(&self, lease: LeaseId, to: i64) {
        self.post(|mail| {
            mail.moved.insert(lease, to);
        });
    }

    /// Brings a plan, or why there is none.
    pub fn plan(&self, round: u64, plan: Result<Plan, AssignFailure>) {
        self.post(|mail| {
            mail.plans.insert(round, plan);
        });
    }

    /// Brings the partition counts of the cluster.
    pub fn topics(&self, topics: BTreeMap<Name, u32>) {
        self.post(|mail| mail.topics = Some(topics));
    }

    /// Makes the driver look at what it reads by itself, such as the liveness word.
    pub fn nudge(&self) {
        self.post(|mail| mail.nudged = true);
    }

    fn post(&self, post: impl FnOnce(&mut Mail)) {
        self.0.slot.change(|inner| {
            if inner.open {
                post(&mut inner.mail);
            }
            ((), Wake::first_if(inner.open))
        });
    }

    /// Everything posted since the last time. The driver's.
    pub fn poll_collect(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        self.0
            .slot
            .poll(0, cx, |inner| (!inner.mail.is_empty()).then(|| mem::take(&mut inner.mail)))
    }

    /// Refuses all further posts and drops those that were not collected. After a clean close,
    /// `report` answers those that ask for another. The driver's.
    pub fn close(&self, report: Option<CloseReport>) {
        let left = self.0.slot.change(|inner| {
            inner.open = false;
            inner.report.clone_from(&report);
            (mem::take(&mut inner.mail), Wake::NOBODY)
        });
        for letter in left.calls.into_values() {
            letter.refuse(report.clone());
        }
    }

    /// Whether the driver has ended.
    pub fn is_closed(&self) -> bool {
        self.0.slot.peek(|inner| !inner.open)
    }

    /// How many calls wait to be collected.
    pub fn waiting(&self) -> usize {
        self.0.slot.peek(|inner| inner.mail.calls.len())
    }

    /// Remembers that this thread polls the driver.
    pub(crate) fn driver_is_here(&self) {
        let here = thread_token();
        if self.0.driver_thread.load(Ordering::Relaxed) != here {
            self.0.driver_thread.store(here, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_driver_thread(&self) -> bool {
        self.0.driver_thread.load(Ordering::Relaxed) == thread_token()
    }
}

impl Default for Mailbox {
    fn default() -> Mailbox {
        Mailbox::new()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("calls", &self.calls.len())
            .field("cancelled", &self.cancelled)
            .field("drained", &self.drained)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::ticket::{Stopped, WaitError};
    use handover_machine::CloseOptions;
    use std::task::Waker;

    fn rejoin() -> Call {
        Call::Rejoin { reason: "a test".into() }
    }

    fn collect(mailbox: &Mailbox) -> Option<Mail> {
        match mailbox.poll_collect(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(mail) => Some(mail),
            Poll::Pending => None,
        }
    }

    fn poll(ticket: &mut Ticket<Outcome>) -> Poll<Result<Outcome, Stopped>> {
        ticket.poll_outcome(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn calls_that_are_dropped_uncollected_leave_nothing() {
        let mailbox = Mailbox::new();
        for _ in 0..1000 {
            drop(mailbox.call(rejoin()));
        }
        assert_eq!(mailbox.waiting(), 0);
        assert!(collect(&mailbox).is_none(), "and the driver is not even told");
    }

    #[test]
    fn a_call_that_was_collected_is_cancelled_by_name() {
        let mailbox = Mailbox::new();
        let ticket = mailbox.call(rejoin());
        let id = ticket.id();
        let mail = collect(&mailbox).unwrap();
        assert_eq!(mail.calls.keys().copied().collect::<Vec<_>>(), [id]);
        drop(ticket);
        assert_eq!(collect(&mailbox).unwrap().cancelled, [id]);
    }

    #[test]
    fn a_resolved_ticket_has_nothing_to_cancel() {
        let mailbox = Mailbox::new();
        let mut ticket = mailbox.call(rejoin());
        for letter in collect(&mailbox).unwrap().calls.into_values() {
            letter.resolver.resolve(Outcome::Done);
        }
        assert_eq!(poll(&mut ticket), Poll::Ready(Ok(Outcome::Done)));
        assert_eq!(poll(&mut ticket), Poll::Ready(Err(Stopped)), "it stays ready");
        drop(ticket);
        assert!(collect(&mailbox).is_none());
    }

    #[test]
    fn closing_stops_what_is_inside_and_what_comes_later() {
        let mailbox = Mailbox::new();
        let mut before = mailbox.call(rejoin());
        mailbox.close(None);
        let mut after = mailbox.call(rejoin());
        assert_eq!(poll(&mut before), Poll::Ready(Err(Stopped)));
        assert_eq!(poll(&mut after), Poll::Ready(Err(Stopped)));
        mailbox.drained(LeaseId(1));
        assert!(collect(&mailbox).is_none());
    }

    #[test]
    fn closing_once_more_is_answered_with_the_report() {
        let mailbox = Mailbox::new();
        let close = || mailbox.call(Call::Close(CloseOptions::default()));
        let mut before = close();
        let report = CloseReport::default();
        mailbox.close(Some(report.clone()));
        let mut after = close();
        assert_eq!(poll(&mut before), Poll::Ready(Ok(Outcome::Closed(report.clone()))));
        assert_eq!(poll(&mut after), Poll::Ready(Ok(Outcome::Closed(report))));
        assert_eq!(poll(&mut mailbox.call(rejoin())), Poll::Ready(Err(Stopped)));
    }

    #[test]
    fn waiting_on_the_drivers_own_thread_is_refused_and_the_call_goes_on() {
        let mailbox = Mailbox::new();
        let mut ticket = mailbox.call(rejoin());
        mailbox.driver_is_here();
        assert_eq!(ticket.wait(), Err(WaitError::WouldDeadlock));
        let elsewhere = std::thread::spawn(move || ticket.wait());
        for letter in collect(&mailbox).unwrap().calls.into_values() {
            letter.resolver.resolve(Outcome::Done);
        }
        assert_eq!(elsewhere.join().unwrap(), Ok(Outcome::Done));
    }

    #[test]
    fn a_waker_that_calls_back_does_not_deadlock() {
        struct CallsBack(Mailbox);
        impl std::task::Wake for CallsBack {
            fn wake(self: Arc<Self>) {
                self.0.drained(LeaseId(1));
                drop(self.0.call(rejoin()));
            }
        }
        let mailbox = Mailbox::new();
        let waker = Waker::from(Arc::new(CallsBack(mailbox.clone())));
        let mut cx = Context::from_waker(&waker);
        assert!(mailbox.poll_collect(&mut cx).is_pending());
        let mut ticket = mailbox.call(rejoin());
        assert!(ticket.poll_outcome(&mut cx).is_pending());
        for letter in collect(&mailbox).unwrap().calls.into_values() {
            letter.resolver.resolve(Outcome::Done);
        }
        assert_eq!(collect(&mailbox).unwrap().drained.len(), 1, "woken once more");
        assert!(poll(&mut ticket).is_ready());
    }
}
