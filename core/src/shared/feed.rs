//! The fetching side of the delivery queue. See `deliveries.rs` for the protocol.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use handover_machine::LeaseId;

use super::deliveries::Queue;
use super::lanes::{Batch, Change, FETCHER, Lanes, Position, Refused};
use super::slot::Wake;
use crate::sync::Arc;

/// Where fetched records go in.
///
/// A fetcher reads [`poll_change`](Feed::poll_change) to learn what to fetch, waits by
/// [`poll_ready`](Feed::poll_ready) while the byte budget is used up, asks
/// [`wants`](Feed::wants) which leases are due, and [`push`](Feed::push)es what it fetched.
///
/// ```
/// # use handover_core::machine::Config;
/// # use std::task::{Context, Waker};
/// let mut member = handover_core::member::<Vec<u8>>(Config::new("orders"), Default::default())?;
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(member.feed.poll_change(&mut cx).is_pending(), "there is no lease yet");
/// # Ok::<(), handover_core::machine::ConfigError>(())
/// ```
pub struct Feed<B>(pub(crate) Arc<Queue<B>>);

impl<B> Feed<B> {
    /// The next change of what is to be fetched; `None` once the driver has ended. Cancel safe.
    ///
    /// Changes are merged while they wait: only the newest of each lease is told. The change that
    /// closes a lease comes before the one that opens its partition's next lease.
    pub fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.0.slot.poll(FETCHER, cx, |lanes| match lanes.next_change() {
            Some(change) => Some(Some(change)),
            None if lanes.closed => Some(None),
            None => None,
        })
    }

    /// The next change of what is to be fetched; `None` once the driver has ended. Cancel safe.
    pub async fn change(&mut self) -> Option<Change> {
        poll_fn(|cx| self.poll_change(cx)).await
    }

    /// Waits until fewer bytes are queued than the budget allows. Not ready while changes wait.
    ///
    /// It shares its waker with [`poll_change`](Feed::poll_change): poll both from one task.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.slot.poll(FETCHER, cx, |lanes| (lanes.has_room() || lanes.closed).then_some(()))
    }

    /// Whether more of this lease should be fetched now: it is open and not paused, and has not
    /// used up its share of the budget. Its answer changes when something is taken, paused,
    /// resumed or moved; each of these wakes the fetcher.
    pub fn wants(&self, lease: LeaseId) -> bool {
        self.0.slot.peek(|lanes| lanes.wants(lease))
    }

    /// Queues fetched records.
    ///
    /// It is never refused for want of room, so what is on its way need not be thrown away.
    ///
    /// # Errors
    /// Gives the batch back, with the reason: its lease is closed, there was a seek, or it does
    /// not touch the batch before it.
    pub fn push(&mut self, batch: Batch<B>) -> Result<(), (Refused, Batch<B>)> {
        self.0.slot.change(|lanes| lanes.push(batch))
    }

    /// Says where the log goes on, when it is not where the last batch ended: the offset that a
    /// reset or a seek to the beginning or the end came to, records that retention deleted, a log
    /// that was truncated (KIP-320), a topic made anew.
    ///
    /// Returns the position to push under. On the way forward it stays the same, and marks pass
    /// over the gap. On the way back it is another one: what is queued is thrown out, and what is
    /// out no longer counts. Commits may go down to `to` from here on.
    ///
    /// # Errors
    /// The lease is closed, or there was a seek.
    pub fn moved(
        &mut self,
        lease: LeaseId,
        position: Position,
        to: i64,
    ) -> Result<Position, Refused> {
        let moved = |lanes: &mut Lanes<B>| (lanes.moved(lease, position, to), Wake::NOBODY);
        let (position, purged) = self.0.slot.change(moved);
        drop(purged);
        // Before anything is pushed from there: no mark of the new position can come first.
        position.inspect(|_| self.0.mailbox.moved(lease, to))
    }
}

impl<B> fmt::Debug for Feed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Closed => f.write_str("the lease is closed; drop the batch"),
            Refused::Moved => f.write_str("there was a seek; fetch from the new position"),
            Refused::Gap { expected } => {
                write!(f, "expected a batch from {expected} on that is not empty")
            }
        }
    }
}

impl std::error::Error for Refused {}
