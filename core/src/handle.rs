//! The handle: what an application asks of its member, from anywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use handover_machine::{
    Call, CloseOptions, CloseReport, CommitEntry, CommittedError, LeaseEnd, Mark, Name, Outcome,
    PartitionOutcome, SeekTo, Status, TicketId, TopicPartition,
};

use crate::shared::mailbox::Mailbox;
use crate::shared::ticket::{Ticket, WaitError};
use crate::status::Board;
use crate::sync::Arc;

/// Asks things of a member. Cheap to clone, and usable from any thread or task, also from within
/// an event, a delivery or a waker (SPEC P9).
///
/// Each question that waits gives a [`Reply`], a future. It is asked when the method is called,
/// not when the reply is first polled, so calls take effect in the order in which they are made.
/// Dropping the reply withdraws the call as far as it was not sent.
///
/// ```
/// use handover_core::machine::Config;
/// use handover_core::{member, CallError};
///
/// let member = member::<()>(Config::new("orders"), Default::default())?;
/// let mut reply = member.handle.subscribe(["orders"]);
/// drop(member.driver); // there is nobody to do it
/// assert_eq!(reply.wait(), Err(CallError::Stopped));
/// # Ok::<(), handover_core::machine::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    mailbox: Mailbox,
    board: Arc<Board>,
}

impl Handle {
    pub(crate) fn new(mailbox: Mailbox, board: Arc<Board>) -> Handle {
        Handle { mailbox, board }
    }

    /// Consume these topics as a member of the group, in the place of those subscribed before;
    /// none: leave the group. Done as soon as it is under way; events tell the rest.
    pub fn subscribe<N: Into<Name>>(&self, topics: impl IntoIterator<Item = N>) -> Reply<()> {
        self.ask(Call::Subscribe(topics.into_iter().map(Into::into).collect()), done)
    }

    /// Consume just these partitions, without membership.
    pub fn assign(&self, partitions: impl IntoIterator<Item = TopicPartition>) -> Reply<()> {
        self.ask(Call::Assign(partitions.into_iter().collect()), done)
    }

    /// Commit these offsets, in order with all other commits. One outcome for each entry, in the
    /// order of the entries, within `timeout`.
    pub fn commit(
        &self,
        entries: impl IntoIterator<Item = CommitEntry>,
        timeout: Duration,
    ) -> Reply<Vec<(TopicPartition, PartitionOutcome)>> {
        let entries = entries.into_iter().collect();
        self.ask(Call::Commit { entries, timeout }, |outcome| match outcome {
            Outcome::Commit(outcomes) => Some(outcomes),
            _ => None,
        })
    }

    /// Read the group's committed offsets of any partitions; `None` where there is none.
    pub fn committed(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        timeout: Duration,
    ) -> Reply<Committed> {
        let partitions = partitions.into_iter().collect();
        self.ask(Call::Committed { partitions, timeout }, |outcome| match outcome {
            Outcome::Committed(committed) => Some(committed),
            _ => None,
        })
    }

    /// Deliver a held partition from elsewhere. What was delivered before and is still worked on
    /// no longer counts, and commits may go back to there. `Err` if the partition is not held.
    pub fn seek(&self, partition: TopicPartition, to: SeekTo) -> Reply<Result<(), LeaseEnd>> {
        self.ask(Call::Seek { partition, to }, |outcome| match outcome {
            Outcome::Seek(sought) => Some(sought),
            _ => None,
        })
    }

    /// Go through a rebalance now. The coordinator is told the reason, for its log.
    pub fn rejoin(&self, reason: impl Into<Name>) -> Reply<()> {
        self.ask(Call::Rejoin { reason: reason.into() }, done)
    }

    /// Hand everything over and leave; resolves every other call too. The report says what could
    /// not be done within the deadline (SPEC K1).
    ///
    /// Closing again, at the same time or after, gives the same report. A close that has begun
    /// goes on when its reply is dropped; one that the driver has not seen yet is withdrawn.
    pub fn close(&self, options: CloseOptions) -> Reply<CloseReport> {
        self.ask(Call::Close(options), |outcome| match outcome {
            Outcome::Closed(report) => Some(report),
            _ => None,
        })
    }

    /// Closes the member within a second when the guard is dropped, without blocking there: its
    /// marks are committed and the group is left, if the driver is still polled for as long.
    pub fn close_on_drop(&self) -> CloseOnDrop {
        CloseOnDrop { handle: Some(self.clone()) }
    }

    /// Tells the member the partition counts of the group's topics. The fetching side does, at
    /// each refresh of the cluster's metadata.
    pub fn topics(&self, partition_counts: BTreeMap<Name, u32>) {
        self.mailbox.topics(partition_counts);
    }

    /// What the member was doing when the driver last had nothing left to do.
    pub fn status(&self) -> Status {
        Status::clone(&self.board.read())
    }

    /// Whether the driver has ended: closed, dropped or panicked.
    pub fn is_stopped(&self) -> bool {
        self.mailbox.is_closed()
    }

    fn ask<T>(&self, call: Call, read: fn(Outcome) -> Option<T>) -> Reply<T> {
        Reply { ticket: self.mailbox.call(call), read }
    }
}

/// Committed offsets, `None` where there is none, or why they could not be read.
pub type Committed = Result<Vec<(TopicPartition, Option<Mark>)>, CommittedError>;

fn done(outcome: Outcome) -> Option<()> {
    matches!(outcome, Outcome::Done).then_some(())
}

/// Why a call has no outcome.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The driver was dropped, panicked or ended first. Whether a request that was under way was
    /// applied is not known.
    Stopped,
    /// It came to nothing: the member was closed first, or the call contradicts another one, as
    /// a subscription does an assignment by hand.
    Withdrawn,
    /// A blocking wait on the thread that polls the driver would wait for itself. The call goes
    /// on: await the reply instead, or run the driver on a thread of its own.
    WouldDeadlock,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallError::Stopped => {
                "expected an outcome, but the driver has stopped; start a new member"
            }
            CallError::Withdrawn => {
                "expected an outcome, but the member was closed, or the call contradicts an \
                 earlier one; check the order of calls"
            }
            CallError::WouldDeadlock => {
                "expected to wait for the driver, but this thread polls it; await instead, or \
                 run the driver on a thread of its own"
            }
        })
    }
}

impl std::error::Error for CallError {}

/// The answer to a call: a future that always resolves, provided the driver is polled or dropped.
///
/// Dropping it cancels the call: what was not sent is withdrawn, what was sent finishes in order
/// and nobody is told. Nothing of it stays behind (SPEC P2).
#[must_use = "dropping a reply withdraws the call; await it"]
pub struct Reply<T> {
    ticket: Ticket<Outcome>,
    /// `None` for an outcome of another call, or of one that came to nothing.
    read: fn(Outcome) -> Option<T>,
}

impl<T> Reply<T> {
    /// The call's name.
    pub fn id(&self) -> TicketId {
        self.ticket.id()
    }

    /// Blocks this thread until there is an answer.
    ///
    /// # Errors
    /// [`CallError::WouldDeadlock`] instead of blocking the thread that polled the driver last;
    /// the reply can still be awaited. Else as when awaited.
    pub fn wait(&mut self) -> Result<T, CallError> {
        let outcome = self.ticket.wait().map_err(|error| match error {
            WaitError::WouldDeadlock => CallError::WouldDeadlock,
            WaitError::Stopped => CallError::Stopped,
        })?;
        (self.read)(outcome).ok_or(CallError::Withdrawn)
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = self.get_mut();
        reply.ticket.poll_outcome(cx).map(|outcome| {
            let outcome = outcome.map_err(|_| CallError::Stopped)?;
            (reply.read)(outcome).ok_or(CallError::Withdrawn)
        })
    }
}

/// Closes a member when it is dropped. See [`Handle::close_on_drop`].
#[must_use = "it closes the member when it is dropped"]
pub struct CloseOnDrop {
    /// Taken when it is defused.
    handle: Option<Handle>,
}

impl CloseOnDrop {
    /// Does not close: somebody else did, or will.
    pub fn defuse(mut self) {
        self.handle = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let options = CloseOptions { deadline: Duration::from_secs(1), ..Default::default() };
            handle.mailbox.tell(Call::Close(options));
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("status", &self.board.read()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reply").field(&self.ticket.id().0).finish()
    }
}

impl fmt::Debug for CloseOnDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CloseOnDrop")
    }
}
