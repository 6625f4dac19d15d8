//! The delivery queue: from the fetcher to the application, lease by lease (SPEC B1 to B5).
//!
//! **Taking is one step against revocation.** The batch leaves its queue and the hold of its
//! lease is taken in one critical section, and the hold is granted only while no revocation has
//! begun (see `lease.rs`). So either the driver's revocation counts the hold, and waits for it,
//! or the batch stays in the queue and the driver's purge, which follows, throws it out. After a
//! revocation began, nothing of that lease is delivered.
//!
//! **A delivery is an obligation.** It leaves the application's hands in one of three ways, each
//! by `Drop` at the latest: *done*, and its records count for the mark; *given back*, and what of
//! it is not done stands at the front of its lease's queue again; *void*, because its position
//! or its lease is over. In each the queue is told first and the hold is released after, so when
//! a lease is drained, every mark made under its holds is there to be read.
//!
//! **Two who wait.** The consumer and the fetcher wait at two places of one slot; a step names
//! whom it concerns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use handover_machine::{LeaseId, Start};

use super::delivery::Delivery;
use super::feed::Feed;
use super::lanes::{CONSUMER, Lanes, Purged};
use super::lease::Lease;
use super::liveness::Liveness;
use super::mailbox::Mailbox;
use super::slot::{Slot, Wake};
use crate::sync::Arc;

/// What both sides and the driver share.
pub struct Queue<B> {
    pub(crate) slot: Slot<Lanes<B>, 2>,
    pub(crate) liveness: Liveness,
    pub(crate) mailbox: Mailbox,
}

/// The driver's end. What a step throws out is dropped outside the lock.
impl<B> Queue<B> {
    /// A new lease, which delivers nothing before it has a position.
    pub fn grant(&self, lease: Lease) {
        self.slot.change(|lanes| (lanes.grant(lease), Wake::NOBODY));
    }

    /// Where a lease delivers from, from now on. What was fetched before is void.
    pub fn start(&self, lease: LeaseId, start: Start) {
        drop(self.slot.change(|lanes| lanes.start(lease, start)));
    }

    /// A revocation has begun.
    pub fn close(&self, lease: LeaseId) {
        drop::<Purged<B>>(self.slot.change(|lanes| lanes.close(lease)));
    }

    /// A lease has ended or was lost.
    pub fn remove(&self, lease: LeaseId) {
        drop(self.slot.change(|lanes| lanes.remove(lease)));
    }

    /// Stops or resumes all delivery.
    pub fn deliver(&self, deliver: bool) {
        self.slot.change(|lanes| ((), lanes.deliver(deliver)));
    }

    /// The driver has ended.
    pub fn shut(&self) {
        drop(self.slot.change(|lanes| (lanes.shut(), Wake::BOTH)));
    }
}

/// Both sides of a queue that asks for no more once `budget` bytes wait in it, and the driver's
/// end.
pub fn delivery<B>(budget: usize, mailbox: Mailbox) -> (Arc<Queue<B>>, Feed<B>, Deliveries<B>) {
    let liveness = Liveness::new(mailbox.clone());
    let queue = Arc::new(Queue { slot: Slot::new(Lanes::new(budget)), liveness, mailbox });
    (Arc::clone(&queue), Feed(Arc::clone(&queue)), Deliveries { queue })
}

/// Where the application takes records from.
///
/// ```
/// # use handover_core::machine::Config;
/// # use std::task::{Context, Waker};
/// let mut member = handover_core::member::<Vec<u8>>(Config::new("orders"), Default::default())?;
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(member.deliveries.poll_next(&mut cx).is_pending());
///
/// drop(member.driver);
/// let over = member.deliveries.poll_next(&mut cx);
/// assert!(matches!(over, std::task::Poll::Ready(None)));
/// # Ok::<(), handover_core::machine::ConfigError>(())
/// ```
pub struct Deliveries<B> {
    queue: Arc<Queue<B>>,
}

impl<B> Deliveries<B> {
    /// The next records, taking turns among the leases; `None` once the driver has ended.
    ///
    /// Cancel safe. A pending poll counts as alive for the max poll interval until the next one;
    /// whoever gives up polling without dropping a [`next`](Deliveries::next) should say so by
    /// [`gave_up`](Deliveries::gave_up).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery<B>>> {
        let next = self.queue.slot.poll_waking(CONSUMER, cx, |lanes| {
            let (taken, wake) = lanes.take();
            let over = taken.is_none() && lanes.closed;
            (if over { Some(None) } else { taken.map(Some) }, wake)
        });
        self.queue.liveness.polled(next.is_pending());
        next.map(|next| {
            next.map(|(queued, hold)| Delivery::new(queued, hold, Arc::clone(&self.queue)))
        })
    }

    /// The next records; `None` once the driver has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Delivery<B>> {
        Next { deliveries: self, pending: false }.await
    }

    /// Says that a poll that was pending is no longer. From here the max poll interval runs.
    pub fn gave_up(&mut self) {
        self.queue.liveness.polled(false);
    }

    /// What pauses and resumes leases from elsewhere.
    pub fn valve(&self) -> Valve<B> {
        Valve(Arc::clone(&self.queue))
    }
}

/// Nobody waits in a poll any more: from here the max poll interval runs.
impl<B> Drop for Deliveries<B> {
    fn drop(&mut self) {
        self.gave_up();
    }
}

/// Pauses and resumes leases, from any thread. Cheap to clone.
///
/// ```
/// # use handover_core::machine::{Config, LeaseId};
/// let member = handover_core::member::<()>(Config::new("orders"), Default::default())?;
/// let valve = member.deliveries.valve();
/// assert!(!valve.pause(LeaseId(0)), "there is no such lease");
/// # Ok::<(), handover_core::machine::ConfigError>(())
/// ```
pub struct Valve<B>(Arc<Queue<B>>);

impl<B> Valve<B> {
    /// Delivers nothing of this lease until it is resumed. `false` if it is over.
    pub fn pause(&self, lease: LeaseId) -> bool {
        self.0.slot.change(|lanes| lanes.pause(lease, true))
    }

    /// Undoes [`pause`](Valve::pause). `false` if the lease is over.
    pub fn resume(&self, lease: LeaseId) -> bool {
        self.0.slot.change(|lanes| lanes.pause(lease, false))
    }
}

impl<B> Clone for Valve<B> {
    fn clone(&self) -> Self {
        Valve(Arc::clone(&self.0))
    }
}

impl<B> fmt::Debug for Valve<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Valve")
    }
}

/// The future of [`Deliveries::next`]. Dropping it while it is pending loses nothing.
struct Next<'a, B> {
    deliveries: &'a mut Deliveries<B>,
    pending: bool,
}

impl<B> Future for Next<'_, B> {
    type Output = Option<Delivery<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let next = self.deliveries.poll_next(cx);
        self.pending = next.is_pending();
        next
    }
}

impl<B> Drop for Next<'_, B> {
    fn drop(&mut self) {
        if self.pending {
            self.deliveries.gave_up();
        }
    }
}

impl<B> fmt::Debug for Queue<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl<B> fmt::Debug for Deliveries<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deliveries")
    }
}
