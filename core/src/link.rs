//! The link: what an embedder implements to give the core a runtime and a network.

use std::task::{Context, Poll};
use std::time::Duration;

use handover_machine::{Lane, Request, RequestId, Response, Target, Time, Unanswered, Versions};

/// A runtime and a network, as the driver sees them: a clock, a timer, and three connections.
///
/// This is all that an embedder writes; [`Driver`](crate::Driver) is the loop. All methods are
/// called from [`Driver`](crate::Driver)'s `poll`, on whatever thread polls it, one at a time.
/// They must not block. The conformance suite of `handover-model` checks an implementation
/// against the rules below.
///
/// # Requests and answers
///
/// 1. **Accept at once.** When no request of a lane is out, [`poll_send`](Link::poll_send) takes
///    the next one of that lane without delay: connecting, authenticating and writing happen
///    afterwards, within the request's own timeout. The driver offers a lane's next request only
///    after the answer to the one before was fetched, so an implementation rarely has to refuse.
/// 2. **Answer once.** Each accepted request gets exactly one [`Incoming::Answer`] with its id, at
///    the latest when its timeout, counted from the acceptance, has passed. No answer may be
///    given to a request that was not accepted.
/// 3. **[`NotSent`](Unanswered::NotSent) is a promise** that no byte of the request reached the
///    kernel, so that it certainly was not applied. In any doubt say
///    [`Lost`](Unanswered::Lost).
/// 4. **A timeout closes the connection.** After a request timed out its connection is closed
///    before the lane's next request is written: a late answer would be taken for the next
///    one's, since a broker answers in order.
/// 5. **One connection a lane**, to the broker named by [`Outgoing::to`]. Lanes of one broker
///    never share a connection, and none is shared with Fetch requests: a broker serves one
///    request per connection at a time, and parks some of them for minutes. A request to another
///    broker than the lane is connected to closes that connection and opens another.
/// 6. **Versions come first.** After each new connection, [`Incoming::Versions`] tells what the
///    broker offers, before the first answer that came over it.
///
/// # Wake-ups
///
/// A `poll_` method that does not give what was asked for keeps the context's waker, in the place
/// of the one it kept before, and wakes it when another call is worthwhile. The wakers of the
/// three methods, and of each lane in [`poll_send`](Link::poll_send), are kept apart, or one
/// waker is kept for all. A wake-up too many does no harm; one too few is a member that hangs.
///
/// # Example
///
/// A link without a network: no request ever reaches a broker, and it says so.
///
/// ```
/// use handover_core::machine::{Time, Unanswered};
/// use handover_core::{Incoming, Link, Outgoing};
/// use std::task::{Context, Poll, Waker};
///
/// #[derive(Default)]
/// struct Offline {
///     now: Time,
///     answers: Vec<Incoming>,
///     waker: Option<Waker>,
/// }
///
/// impl Link for Offline {
///     fn now(&mut self) -> Time {
///         self.now
///     }
///
///     fn poll_send(&mut self, _: &mut Context<'_>, request: &mut Option<Outgoing>) -> Poll<()> {
///         if let Some(request) = request.take() {
///             let answer = Err(Unanswered::NotSent);
///             self.answers.push(Incoming::Answer { id: request.id, answer });
///             self.waker.take().into_iter().for_each(Waker::wake);
///         }
///         Poll::Ready(())
///     }
///
///     fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
///         self.waker = Some(cx.waker().clone());
///         self.answers.pop().map_or(Poll::Pending, Poll::Ready)
///     }
///
///     fn poll_timer(&mut self, _: &mut Context<'_>, at: Time) -> Poll<()> {
///         if at <= self.now { Poll::Ready(()) } else { Poll::Pending } // its time stands still
///     }
/// }
/// ```
pub trait Link {
    /// Milliseconds since some moment in the past, by a clock that never goes back. It should
    /// count the time that the machine sleeps, where the system offers such a clock: the
    /// coordinator counts it too.
    fn now(&mut self) -> Time;

    /// Takes the request, which is there, and returns `Ready`; or, while a request of the same
    /// lane is out, leaves it, returns `Pending` and keeps the waker for that lane.
    fn poll_send(&mut self, cx: &mut Context<'_>, request: &mut Option<Outgoing>) -> Poll<()>;

    /// The next thing that came in, in the order in which it came on each lane.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Incoming>;

    /// `Ready` once [`now`](Link::now) has reached `at`. Each call replaces the `at` before. A
    /// timer may be late, never early.
    fn poll_timer(&mut self, cx: &mut Context<'_>, at: Time) -> Poll<()>;
}

/// A request to send.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outgoing {
    /// Its name, for the answer.
    pub id: RequestId,
    /// The connection to use.
    pub lane: Lane,
    /// The broker.
    pub to: Target,
    /// How long the answer may take from now; then it is [`Unanswered::Lost`], or `NotSent` if
    /// that is certain.
    pub timeout: Duration,
    /// What to send.
    pub request: Request,
}

/// What comes in from a broker.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Incoming {
    /// The one answer to a request.
    Answer {
        /// Which request.
        id: RequestId,
        /// What became of it.
        answer: Result<Response, Unanswered>,
    },
    /// What the broker at the other end of a new connection offers.
    Versions(Versions),
}
