//! What several models begin with.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use handover_machine::{Call, LeaseId, Mark, Outcome, Start, TopicPartition};

use crate::backend::core::{Batch, Change, Deliveries, Delivery, Feed, Lease, Position, parts};
use parts::{Arc, Mail, Mailbox, Queue, Resolver, Ticket};

pub(crate) const LEASE: LeaseId = LeaseId(1);

/// Polls once and drops the waker.
pub(crate) fn once<R>(poll: impl FnOnce(&mut Context<'_>) -> Poll<R>) -> Option<R> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

pub(crate) fn collect(mailbox: &Mailbox) -> Option<Mail> {
    once(|cx| mailbox.poll_collect(cx))
}

pub(crate) fn rejoin() -> Call {
    Call::Rejoin { reason: "a model".into() }
}

/// A call that the driver has collected: both halves of its ticket.
pub(crate) fn collected(mailbox: &Mailbox) -> (Ticket<Outcome>, Resolver<Outcome>) {
    let ticket = mailbox.call(rejoin());
    let mail = collect(mailbox).expect("the call is there");
    let letter = mail.calls.into_values().next().expect("the call is there");
    (ticket, letter.resolver)
}

pub(crate) fn lease(mailbox: &Mailbox) -> Lease {
    Lease::new(LEASE, TopicPartition::new("orders", 0), mailbox.clone())
}

/// A delivery queue with one lease and one batch, 0 to 9, of as many bytes as the budget has.
pub(crate) struct Bench {
    pub(crate) mailbox: Mailbox,
    pub(crate) lease: Lease,
    pub(crate) queue: Arc<Queue<()>>,
    pub(crate) feed: Feed<()>,
    pub(crate) deliveries: Deliveries<()>,
}

pub(crate) fn bench() -> Bench {
    let mailbox = Mailbox::new();
    let lease = lease(&mailbox);
    let (queue, mut feed, deliveries) = parts::delivery(10, mailbox.clone());
    queue.grant(lease.clone());
    queue.start(LEASE, Start::Committed(Mark::at(0)));
    let Some(Some(Change::Open { position, .. })) = once(|cx| feed.poll_change(cx)) else {
        panic!("the lease is opened");
    };
    feed.push(batch(position, 0..10)).expect("it is open");
    Bench { mailbox, lease, queue, feed, deliveries }
}

/// Some records of the lease, a byte each.
pub(crate) fn batch(position: Position, range: Range<i64>) -> Batch<()> {
    let (first, next) = (range.start, range.end);
    let bytes = usize::try_from(next - first).expect("it is not empty");
    Batch { lease: LEASE, position, first, next, leader_epoch: 1, bytes, payload: () }
}

impl Bench {
    pub(crate) fn take(&mut self) -> Option<Delivery<()>> {
        once(|cx| self.deliveries.poll_next(cx)).flatten()
    }
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Woken(AtomicUsize);

impl Woken {
    pub(crate) fn times(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}
