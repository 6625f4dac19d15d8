//! Events: what the application must be told, once each (SPEC E1 to E5).
//!
//! An event is an *obligation*. It leaves the queue in the very step in which a poll returns it,
//! so a poll that is dropped before it returned has taken nothing. From then on it is an
//! [`EventGuard`]: finished by [`EventGuard::done`] or by its drop, which counts as abandoned.
//! Either way exactly once, since the guard is a value.
//!
//! **Serial per lease.** An event waits while the guard of an earlier event that names one of its
//! leases is out, or while such an event waits itself; events of other leases go past. Finishing
//! a guard wakes whoever polls.
//!
//! **Revoking holds.** The hand-over of a lease waits for the application to finish the event
//! that announces it: the event carries a hold of each lease, which the driver took before it
//! began the revocation. A hold is released by `Drop`, so an event that is finished, abandoned,
//! discarded or never taken at all releases it; and the drain deadline bounds it like any other.
//!
//! **What was never announced ends silently.** A lease whose `Assigned` was still queued when
//! its hand-over or loss came is taken out of that event again, and nothing more is told of it.
//! The `Assigned` itself stays, perhaps empty: each rebalance is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll};

use handover_machine::{Event, LeaseId};

use super::lease::{Hold, Lease};
use super::slot::{Slot, Wake};
use crate::sync::Arc;

/// The application's end of the event queue.
///
/// Dropping it ends the listening: events that come are discarded, and no hand-over waits for
/// one.
pub struct Events(Arc<EventQueue>);

/// The driver's end.
pub struct EventQueue(Slot<Inner>);

struct Inner {
    /// Cleared once, by the driver's end: what is queued can still be taken.
    open: bool,
    /// Cleared once, when the application drops its end.
    listening: bool,
    queue: VecDeque<Obligation>,
    /// Every lease whose `Assigned` was queued and whose end was not.
    told: BTreeMap<LeaseId, Told>,
    /// The leases of the guards that are out.
    busy: BTreeSet<LeaseId>,
    abandoned: u64,
}

struct Told {
    lease: Lease,
    /// Whether a poll returned its `Assigned`.
    taken: bool,
}

struct Obligation {
    event: Event,
    leases: Vec<Lease>,
    /// Released when the obligation is dropped, wherever that is; never under the lock.
    holds: Vec<Hold>,
}

/// Both ends of an empty queue. If nobody is going to listen, events are discarded.
pub fn events(listening: bool) -> (Arc<EventQueue>, Events) {
    let queue = Arc::new(EventQueue(Slot::new(Inner {
        open: true,
        listening,
        queue: VecDeque::new(),
        told: BTreeMap::new(),
        busy: BTreeSet::new(),
        abandoned: 0,
    })));
    (Arc::clone(&queue), Events(queue))
}

/// An event that the application works on. Finish it with [`done`](EventGuard::done).
///
/// While a guard of `Revoking` is out its leases are not handed over, up to the drain deadline.
#[must_use = "an event that is dropped counts as abandoned"]
pub struct EventGuard {
    obligation: Obligation,
    finished: bool,
    queue: Arc<EventQueue>,
}

impl EventGuard {
    /// What happened.
    pub fn event(&self) -> &Event {
        &self.obligation.event
    }

    /// The leases that the event names. Their [`state`](Lease::state) is that of now: a lease of
    /// a `Revoking` event that was lost meanwhile shows it.
    pub fn leases(&self) -> &[Lease] {
        &self.obligation.leases
    }

    /// The event is dealt with.
    pub fn done(mut self) {
        self.finish(false);
    }

    fn finish(&mut self, abandoned: bool) {
        if mem::replace(&mut self.finished, true) {
            return;
        }
        drop(mem::take(&mut self.obligation.holds));
        self.queue.0.change(|inner| {
            for lease in &self.obligation.leases {
                inner.busy.remove(&lease.id());
            }
            inner.abandoned += u64::from(abandoned);
            ((), Wake::FIRST)
        });
    }
}

impl Drop for EventGuard {
    fn drop(&mut self) {
        self.finish(true);
    }
}

impl Events {
    /// The next event; `None` once the driver has ended and all were taken. Cancel safe.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<EventGuard>> {
        let next = self.0.0.poll(0, cx, |inner| match inner.take() {
            Some(obligation) => Some(Some(obligation)),
            None if inner.open || !inner.queue.is_empty() => None,
            None => Some(None),
        });
        next.map(|next| {
            let queue = Arc::clone(&self.0);
            next.map(|obligation| EventGuard { obligation, finished: false, queue })
        })
    }

    /// The next event; `None` once the driver has ended and all were taken. Cancel safe.
    pub async fn next(&mut self) -> Option<EventGuard> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// How many events were dropped without [`EventGuard::done`].
    pub fn abandoned(&self) -> u64 {
        self.0.0.peek(|inner| inner.abandoned)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let left = self.0.0.change(|inner| {
            inner.listening = false;
            ((mem::take(&mut inner.queue), mem::take(&mut inner.told)), Wake::NOBODY)
        });
        drop(left);
    }
}

impl EventQueue {
    /// Whether anybody is told: only then does a hand-over wait for its event.
    pub fn listening(&self) -> bool {
        self.0.peek(|inner| inner.listening)
    }

    /// Queues an event, with the leases that an `Assigned` names, and the holds that a `Revoking`
    /// keeps until it is finished.
    pub fn push(&self, event: Event, granted: Vec<Lease>, holds: Vec<Hold>) {
        let silent = self.0.change(|inner| {
            if !inner.listening {
                return (holds, Wake::NOBODY);
            }
            let (obligation, silent) = inner.admit(event, granted, holds);
            let wake = Wake::first_if(obligation.is_some());
            inner.queue.extend(obligation);
            (silent, wake)
        });
        drop(silent);
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.0.change(|inner| {
            inner.open = false;
            ((), Wake::FIRST)
        });
    }
}

impl Inner {
    /// The obligation that an event is for this application, if it is one, and the holds of
    /// those leases of which nothing is told.
    fn admit(
        &mut self,
        mut event: Event,
        granted: Vec<Lease>,
        holds: Vec<Hold>,
    ) -> (Option<Obligation>, Vec<Hold>) {
        let mut leases = Vec::new();
        let (named, ends) = match &mut event {
            Event::Assigned { .. } => {
                for lease in &granted {
                    self.told.insert(lease.id(), Told { lease: lease.clone(), taken: false });
                }
                return (Some(Obligation { event, leases: granted, holds: Vec::new() }), holds);
            }
            Event::Revoking { leases, .. } => (leases, false),
            Event::Revoked { leases } | Event::Lost { leases, .. } => (leases, true),
            // `Fatal`, and whatever is added that names no lease.
            _ => return (Some(Obligation { event, leases, holds: Vec::new() }), holds),
        };
        named.retain(|id| {
            let announced = self.told.get(id).filter(|told| told.taken).map(|t| t.lease.clone());
            if announced.is_none() && self.told.contains_key(id) {
                self.unannounce(*id);
            }
            if ends || announced.is_none() {
                self.told.remove(id);
            }
            let tell = announced.is_some();
            leases.extend(announced);
            tell
        });
        let (holds, silent) =
            holds.into_iter().partition(|hold: &Hold| named.contains(&hold.lease().id()));
        if named.is_empty() {
            return (None, silent);
        }
        (Some(Obligation { event, leases, holds }), silent)
    }

    /// Takes a lease out of the `Assigned` that was not taken yet.
    fn unannounce(&mut self, id: LeaseId) {
        for obligation in &mut self.queue {
            if let Event::Assigned { leases, .. } = &mut obligation.event {
                leases.retain(|(lease, _)| *lease != id);
                obligation.leases.retain(|lease| lease.id() != id);
            }
        }
    }

    /// The first event none of whose leases is busy, in hand or further to the front.
    fn take(&mut self) -> Option<Obligation> {
        let mut busy = self.busy.clone();
        let at = self.queue.iter().position(|obligation| {
            let ids = || obligation.leases.iter().map(Lease::id);
            let free = ids().all(|id| !busy.contains(&id));
            if !free {
                busy.extend(ids());
            }
            free
        })?;
        let obligation = self.queue.remove(at)?;
        for lease in &obligation.leases {
            self.busy.insert(lease.id());
            if let Some(told) = self.told.get_mut(&lease.id()) {
                told.taken = true;
            }
        }
        Some(obligation)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventQueue")
    }
}

impl fmt::Debug for EventGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventGuard").field(self.event()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::mailbox::Mailbox;
    use handover_machine::{LossReason, Time, TopicPartition};
    use std::task::Waker;

    struct Desk {
        queue: Arc<EventQueue>,
        events: Events,
        granted: BTreeMap<LeaseId, Lease>,
    }

    impl Desk {
        fn new() -> Desk {
            let mailbox = Mailbox::new();
            let lease = |id| {
                let partition = TopicPartition::new("orders", 0);
                (LeaseId(id), Lease::new(LeaseId(id), partition, mailbox.clone()))
            };
            let (queue, events) = events(true);
            Desk { queue, events, granted: (0..3).map(lease).collect() }
        }

        fn assigned(&self, ids: &[u64]) {
            let partition = TopicPartition::new("orders", 0);
            let leases = ids.iter().map(|id| (LeaseId(*id), partition.clone())).collect();
            let granted = ids.iter().map(|id| self.granted[&LeaseId(*id)].clone()).collect();
            self.queue.push(Event::Assigned { generation: 1, leases }, granted, Vec::new());
        }

        fn revoking(&self, ids: &[u64]) {
            let by = Time::from_millis(9);
            let holds = ids.iter().map(|id| self.granted[&LeaseId(*id)].hold().unwrap()).collect();
            self.queue.push(Event::Revoking { leases: leases(ids), by }, Vec::new(), holds);
        }

        fn push(&self, event: Event) {
            self.queue.push(event, Vec::new(), Vec::new());
        }

        fn next(&mut self) -> Option<EventGuard> {
            match self.events.poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(next) => next,
                Poll::Pending => None,
            }
        }
    }

    fn leases(ids: &[u64]) -> Vec<LeaseId> {
        ids.iter().copied().map(LeaseId).collect()
    }

    #[test]
    fn a_lease_is_told_one_thing_at_a_time() {
        let mut desk = Desk::new();
        desk.assigned(&[0]);
        let first = desk.next().unwrap();
        desk.assigned(&[1]);
        desk.revoking(&[0]);
        desk.push(Event::Revoked { leases: leases(&[0]) });

        let other = desk.next().expect("another lease's event goes past");
        assert!(matches!(other.event(), Event::Assigned { .. }));
        assert!(desk.next().is_none(), "lease 0 is still told of its assignment");
        first.done();
        let revoking = desk.next().unwrap();
        assert!(matches!(revoking.event(), Event::Revoking { .. }));
        assert!(desk.next().is_none());
        drop(revoking);
        assert!(matches!(desk.next().unwrap().event(), Event::Revoked { .. }));
        drop(other);
        assert_eq!(desk.events.abandoned(), 3);
    }

    #[test]
    fn revoking_holds_its_leases_until_it_is_finished() {
        let mut desk = Desk::new();
        desk.assigned(&[0]);
        desk.next().unwrap().done();
        desk.revoking(&[0]);
        let lease = desk.granted[&LeaseId(0)].clone();
        assert_eq!(lease.holds(), 1);
        let guard = desk.next().unwrap();
        assert_eq!(lease.holds(), 1);
        guard.done();
        assert_eq!(lease.holds(), 0);
    }

    #[test]
    fn what_was_never_announced_ends_silently() {
        let mut desk = Desk::new();
        desk.assigned(&[0, 1]);
        desk.revoking(&[0]);
        assert_eq!(desk.granted[&LeaseId(0)].holds(), 0, "nobody is told, so nobody is waited for");
        desk.push(Event::Revoked { leases: leases(&[0]) });
        let reason = LossReason::UnknownMember;
        desk.push(Event::Lost { leases: leases(&[1]), reason });
        let assigned = desk.next().unwrap();
        assert_eq!(assigned.event(), &Event::Assigned { generation: 1, leases: Vec::new() });
        assert!(desk.next().is_none());
    }

    #[test]
    fn a_loss_shows_on_the_event_that_announced_the_hand_over() {
        let mut desk = Desk::new();
        desk.assigned(&[0]);
        desk.next().unwrap().done();
        desk.revoking(&[0]);
        let revoking = desk.next().unwrap();
        desk.granted[&LeaseId(0)].lose();
        assert_eq!(revoking.leases()[0].state(), crate::LeaseState::Lost);
    }

    #[test]
    fn nobody_listens_and_nothing_is_held() {
        let Desk { queue, events, granted } = Desk::new();
        drop(events);
        let hold = granted[&LeaseId(0)].hold().unwrap();
        let event = Event::Revoking { leases: leases(&[0]), by: Time::ZERO };
        queue.push(event, Vec::new(), vec![hold]);
        assert_eq!(granted[&LeaseId(0)].holds(), 0);
    }

    #[test]
    fn what_is_queued_outlives_the_driver() {
        let mut desk = Desk::new();
        desk.assigned(&[0]);
        desk.queue.close();
        desk.next().expect("queued before the end").done();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(desk.events.poll_next(&mut cx), Poll::Ready(None)));
    }
}
