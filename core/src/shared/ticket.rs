//! A ticket: one call, one outcome, exactly once (SPEC T1).
//!
//! A call that waits is split in two. The caller keeps the [`Ticket`], a future; the
//! [`Resolver`] travels with the call to the driver. Between them is one word of state:
//!
//! ```text
//!             resolve, or the resolver dropped               poll
//!   Waiting ------------------------------------> Resolved -------> Over
//!      |                                              |
//!      +------------------- ticket dropped -----------+-----------> Over
//! ```
//!
//! Each arrow is one step under the slot's lock, so exactly one of *resolved* and *dropped*
//! comes first. If the drop does, the outcome is thrown away, outside the lock, by whoever
//! brings it; and the drop, having seen `Waiting`, tells the mailbox to cancel the call. If the
//! resolution does, there is nothing to cancel, and nothing is posted.
//!
//! **It always resolves.** A resolver that is dropped resolves its ticket as [`Stopped`]. So it
//! is enough that no resolver is forgotten: the mailbox and the driver own all of them, and drop
//! what they own when they close, are dropped, or panic. Nobody has to remember to.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, mem};

use handover_machine::TicketId;

use super::mailbox::Mailbox;
use super::slot::{Slot, Wake};
use crate::sync::{self, Arc};

/// The driver was dropped, panicked, or ended before the call came to an outcome.
///
/// Whether a request that was under way was applied is not known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an outcome, but the driver has stopped; start a new member")
    }
}

impl std::error::Error for Stopped {}

/// Why a blocking wait returned without the outcome.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// See [`Stopped`].
    Stopped,
    /// This thread is the one that polls the driver: it would wait for itself. The call goes on;
    /// await the ticket instead, or run the driver on a thread of its own.
    WouldDeadlock,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Stopped => Stopped.fmt(f),
            WaitError::WouldDeadlock => f.write_str(
                "expected to wait for the driver, but this thread polls it; await instead, or \
                 run the driver on a thread of its own",
            ),
        }
    }
}

impl std::error::Error for WaitError {}

enum State<T> {
    /// No outcome yet.
    Waiting,
    /// There is one, not yet fetched.
    Resolved(Result<T, Stopped>),
    /// It was fetched, or nobody wants it.
    Over,
}

/// The caller's half of a call: a future of its one outcome.
///
/// Dropping it cancels the call (SPEC T2): what was not sent is withdrawn, what was sent finishes
/// in order and nobody is told. Once it was `Ready` it stays so, as [`Stopped`].
#[must_use = "dropping a ticket cancels its call; await it, or let it wait"]
pub struct Ticket<T> {
    id: TicketId,
    cell: Arc<Slot<State<T>>>,
    mailbox: Mailbox,
}

/// The driver's half of a call. Dropped unused, it resolves the ticket as [`Stopped`].
pub struct Resolver<T> {
    /// Taken when the ticket is resolved.
    cell: Option<Arc<Slot<State<T>>>>,
}

/// A resolver and the cell that its ticket will wait on.
pub(crate) struct Unbound<T>(Arc<Slot<State<T>>>);

/// Makes the two halves. The ticket is bound to its mailbox once the call has its id.
pub(crate) fn ticket<T>() -> (Unbound<T>, Resolver<T>) {
    let cell = Arc::new(Slot::new(State::Waiting));
    (Unbound(Arc::clone(&cell)), Resolver { cell: Some(cell) })
}

impl<T> Unbound<T> {
    pub(crate) fn bind(self, id: TicketId, mailbox: Mailbox) -> Ticket<T> {
        Ticket { id, cell: self.0, mailbox }
    }
}

impl<T> Ticket<T> {
    /// The call's name.
    pub fn id(&self) -> TicketId {
        self.id
    }

    /// Blocks this thread until there is an outcome.
    ///
    /// # Errors
    /// [`WaitError::WouldDeadlock`] instead of blocking the thread that polled the driver last
    /// (SPEC T3); the call goes on and the ticket can still be awaited. [`WaitError::Stopped`] if
    /// the driver stopped first.
    pub fn wait(&mut self) -> Result<T, WaitError> {
        sync::block_on(|cx| match self.poll_outcome(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map_err(|Stopped| WaitError::Stopped)),
            Poll::Pending if self.mailbox.is_driver_thread() => {
                Poll::Ready(Err(WaitError::WouldDeadlock))
            }
            Poll::Pending => Poll::Pending,
        })
    }

    /// The outcome, if it is there.
    pub fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Stopped>> {
        self.cell.poll(0, cx, |state| match mem::replace(state, State::Over) {
            State::Waiting => {
                *state = State::Waiting;
                None
            }
            State::Resolved(outcome) => Some(outcome),
            State::Over => Some(Err(Stopped)),
        })
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T, Stopped>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_outcome(cx)
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        let was = self.cell.change(|state| (mem::replace(state, State::Over), Wake::NOBODY));
        if matches!(was, State::Waiting) {
            self.mailbox.cancel(self.id);
        }
    }
}

impl<T> Resolver<T> {
    /// Tells the outcome and wakes the ticket's waiter.
    pub fn resolve(mut self, outcome: T) {
        self.settle(Ok(outcome));
    }

    fn settle(&mut self, outcome: Result<T, Stopped>) {
        let Some(cell) = self.cell.take() else { return };
        let unwanted = cell.change(|state| match state {
            State::Waiting => {
                *state = State::Resolved(outcome);
                (None, Wake::FIRST)
            }
            // `Resolved` can't be: there is one resolver, and it has taken its cell.
            State::Resolved(_) | State::Over => (Some(outcome), Wake::NOBODY),
        });
        drop(unwanted);
    }
}

impl<T> Drop for Resolver<T> {
    fn drop(&mut self) {
        self.settle(Err(Stopped));
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.id.0).finish()
    }
}

impl<T> fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
