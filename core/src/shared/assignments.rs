//! Assignments: what a leader is asked to plan, as a value that must be answered.
//!
//! An assignor is foreign code: it may be slow, panic, or not be there. So the driver never calls
//! one. It puts an [`Assign`] into a slot, from where a thread of the adapter takes it, and goes
//! on. The request answers itself: dropped without an answer, on whatever path, it posts
//! [`AssignFailure::Abandoned`] (SPEC D3). That covers a panic in the assignor, a dropped task,
//! a request that is replaced by one of a newer round, and a slot that nobody reads any more;
//! none of them leaves the leader waiting.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::{fmt, mem};

use handover_machine::{AssignFailure, JoinedMember, Name, Plan};

use super::mailbox::Mailbox;
use super::slot::{Slot, Wake};
use crate::sync::Arc;

/// Where the requests for plans arrive. Whoever takes them runs the assignor.
///
/// Dropping it answers every further request as abandoned.
pub struct Assignments(Arc<Desk>);

/// The driver's end.
pub struct Desk(Slot<Inner>);

struct Inner {
    /// The newest request, until it is taken.
    request: Option<Assign>,
    /// Whether anybody still takes requests, and the driver still makes any.
    open: bool,
}

/// Both ends, with no request.
pub fn assignments() -> (Arc<Desk>, Assignments) {
    let desk = Arc::new(Desk(Slot::new(Inner { request: None, open: true })));
    (Arc::clone(&desk), Assignments(desk))
}

/// This member leads its group and asks for a plan. Answer it: dropped, it says
/// [`AssignFailure::Abandoned`] and the member joins again.
#[must_use = "a request for a plan that is dropped is abandoned"]
pub struct Assign {
    round: u64,
    protocol: Name,
    members: Vec<JoinedMember>,
    /// Taken by the answer.
    mailbox: Option<Mailbox>,
}

impl Assign {
    /// A request of the driver.
    pub fn new(round: u64, protocol: Name, members: Vec<JoinedMember>, mailbox: Mailbox) -> Assign {
        Assign { round, protocol, members, mailbox: Some(mailbox) }
    }

    /// The assignor that the group chose.
    pub fn protocol(&self) -> &Name {
        &self.protocol
    }

    /// Everybody, with their subscriptions.
    pub fn members(&self) -> &[JoinedMember] {
        &self.members
    }

    /// Answers with a plan.
    pub fn done(mut self, plan: Plan) {
        self.answer(Ok(plan));
    }

    /// Answers that there is none, and why.
    pub fn fail(mut self, failure: AssignFailure) {
        self.answer(Err(failure));
    }

    fn answer(&mut self, plan: Result<Plan, AssignFailure>) {
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.plan(self.round, plan);
        }
    }
}

impl Drop for Assign {
    fn drop(&mut self) {
        self.answer(Err(AssignFailure::Abandoned));
    }
}

impl Assignments {
    /// The next request; `None` once the driver has ended. Cancel safe.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Assign>> {
        self.0.0.poll(0, cx, |inner| match inner.request.take() {
            Some(request) => Some(Some(request)),
            None if inner.open => None,
            None => Some(None),
        })
    }

    /// The next request; `None` once the driver has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Assign> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl Drop for Assignments {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Desk {
    /// Asks. A request that was not taken yet is replaced, and so abandoned.
    pub fn put(&self, request: Assign) {
        let replaced = self.0.change(|inner| {
            if inner.open {
                (inner.request.replace(request), Wake::FIRST)
            } else {
                (Some(request), Wake::NOBODY)
            }
        });
        drop(replaced);
    }

    /// Takes and makes no further requests.
    pub fn close(&self) {
        let left = self.0.change(|inner| {
            inner.open = false;
            (mem::take(&mut inner.request), Wake::FIRST)
        });
        drop(left);
    }
}

impl fmt::Debug for Assign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assign")
            .field("round", &self.round)
            .field("protocol", &self.protocol)
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Assignments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assignments")
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn answers(mailbox: &Mailbox) -> Vec<(u64, Result<Plan, AssignFailure>)> {
        match mailbox.poll_collect(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(mail) => mail.plans.into_iter().collect(),
            Poll::Pending => Vec::new(),
        }
    }

    fn ask(mailbox: &Mailbox, round: u64) -> Assign {
        Assign::new(round, "range".into(), Vec::new(), mailbox.clone())
    }

    #[test]
    fn every_request_is_answered_once() {
        let mailbox = Mailbox::new();
        let (desk, mut assignments) = assignments();
        let mut cx = Context::from_waker(Waker::noop());

        desk.put(ask(&mailbox, 1));
        desk.put(ask(&mailbox, 2));
        assert_eq!(answers(&mailbox), [(1, Err(AssignFailure::Abandoned))], "replaced");

        let Poll::Ready(Some(request)) = assignments.poll_next(&mut cx) else { panic!() };
        let plan = Plan { assignments: Vec::new(), topics: Default::default() };
        request.done(plan.clone());
        assert_eq!(answers(&mailbox), [(2, Ok(plan))]);

        desk.put(ask(&mailbox, 3));
        drop(assignments);
        desk.put(ask(&mailbox, 4));
        let abandoned = Err(AssignFailure::Abandoned);
        assert_eq!(answers(&mailbox), [(3, abandoned.clone()), (4, abandoned)], "nobody assigns");
    }

    #[test]
    fn a_panicking_assignor_answers_too() {
        let mailbox = Mailbox::new();
        let request = ask(&mailbox, 7);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _request = request;
            panic!("in an assignor");
        }));
        assert!(panicked.is_err());
        assert_eq!(answers(&mailbox), [(7, Err(AssignFailure::Abandoned))]);
    }
}
