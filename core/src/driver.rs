//! The driver: the loop that joins the machine, the shared memory and a link.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use handover_machine::{Input, Lane, Time};

use crate::bridge::Bridge;
use crate::link::{Incoming, Link};

/// How many rounds one poll does before it lets others run. A round handles one mail, one answer
/// and one timer, so this bounds what a poll costs, not what gets done: it wakes itself.
const ROUNDS: usize = 32;

/// Runs a member: a future that ends when the member is closed.
///
/// Whoever embeds the core polls it, as a task or on a thread of its own; it needs no particular
/// runtime. It does nothing between polls, so a driver that is not polled for long loses its
/// membership.
///
/// **Every call resolves, provided the driver is polled or dropped** (SPEC P1). Dropping it stops
/// the member at once, without leaving the group: every waiting call resolves as
/// [`Stopped`](crate::CallError::Stopped), every lease is lost, every queue ends. A panic in it, as from a
/// link, does the same and goes on. To leave in order call [`Handle::close`](crate::Handle::close)
/// and poll until it is done.
///
/// ```
/// # use handover_core::{machine::{Config, Time}, Incoming, Link, Outgoing};
/// # use std::{future::Future, pin::Pin, task::{Context, Poll, Waker}};
/// # struct Idle;
/// # impl Link for Idle {
/// #     fn now(&mut self) -> Time { Time::ZERO }
/// #     fn poll_send(&mut self, _: &mut Context<'_>, _: &mut Option<Outgoing>) -> Poll<()> {
/// #         Poll::Pending
/// #     }
/// #     fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<Incoming> { Poll::Pending }
/// #     fn poll_timer(&mut self, _: &mut Context<'_>, _: Time) -> Poll<()> { Poll::Pending }
/// # }
/// # let link = Idle;
/// let member = handover_core::member::<()>(Config::new("orders"), Default::default())?;
/// let mut driver = member.driver.run(link);
/// let mut close = member.handle.close(Default::default());
///
/// // What a runtime does: poll until it is ready.
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(Pin::new(&mut driver).poll(&mut cx).is_ready());
/// assert!(close.wait()?.is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "futures do nothing unless they are polled"]
pub struct Driver<L: Link, B> {
    bridge: Bridge<B>,
    link: L,
    /// The latest time that the machine was told.
    now: Time,
}

/// Nothing in it is pinned: the link is only ever called by reference.
impl<L: Link, B> Unpin for Driver<L, B> {}

impl<L: Link, B> Driver<L, B> {
    pub(crate) fn new(bridge: Bridge<B>, link: L) -> Driver<L, B> {
        Driver { bridge, link, now: Time::ZERO }
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bridge.is_stopped() {
            return Poll::Ready(());
        }
        let now = self.now();
        self.bridge.begin(now);
        for _ in 0..ROUNDS {
            let moved = self.round(cx);
            if self.bridge.is_closed() {
                self.bridge.finish();
                return Poll::Ready(());
            }
            if !moved {
                self.bridge.publish();
                return Poll::Pending;
            }
        }
        self.bridge.publish();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether anything moved. If nothing did, each source has kept the waker.
    fn round(&mut self, cx: &mut Context<'_>) -> bool {
        let mail = self.read_mail(cx);
        let answer = self.read_answer(cx);
        let timer = self.read_timer(cx);
        let sent = self.send(cx);
        mail | answer | timer | sent
    }

    fn read_mail(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        self.bridge.read_mail(now, cx)
    }

    fn read_answer(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(incoming) = self.link.poll_answer(cx) else { return false };
        let input = match incoming {
            Incoming::Answer { id, answer } => Input::Answer { id, answer },
            Incoming::Versions(versions) => Input::Versions(versions),
        };
        let now = self.now();
        self.bridge.handle(now, input);
        true
    }

    fn read_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.bridge.timer() else { return false };
        if self.link.poll_timer(cx, at).is_pending() {
            return false;
        }
        // The timer may be a little ahead of the clock; the machine must find its moment come.
        let now = self.now().max(at);
        self.now = now;
        self.bridge.handle(now, Input::Wake);
        true
    }

    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let mut sent = false;
        for lane in Lane::ALL {
            let request = self.bridge.next_request(lane);
            if request.is_some() {
                let accepted = self.link.poll_send(cx, request).is_ready();
                debug_assert_eq!(accepted, request.is_none(), "a link that takes is ready");
                sent |= request.is_none();
            }
        }
        sent
    }

    /// The time, which for the machine never goes back.
    fn now(&mut self) -> Time {
        self.now = self.now.max(self.link.now());
        self.now
    }
}

impl<L: Link, B> Future for Driver<L, B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut polling = Polling { driver: self.get_mut(), returned: false };
        let poll = polling.driver.run(cx);
        polling.returned = true;
        poll
    }
}

/// One poll; dropped by a panic it stops the driver, whose state may be half of something.
struct Polling<'a, L: Link, B> {
    driver: &'a mut Driver<L, B>,
    returned: bool,
}

impl<L: Link, B> Drop for Polling<'_, L, B> {
    fn drop(&mut self) {
        if !self.returned {
            self.driver.bridge.stop(None);
        }
    }
}

impl<L: Link, B> fmt::Debug for Driver<L, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("now", &self.now).finish_non_exhaustive()
    }
}
