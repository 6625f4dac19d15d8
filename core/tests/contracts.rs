//! What the types promise beyond their methods, each with its reason.

#![allow(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

use std::panic::UnwindSafe;
use std::rc::Rc;

use handover_core::machine::{Outcome, Time};
use handover_core::{
    Assign, Assignments, Batch, CloseOnDrop, Deliveries, Delivery, Driver, EventGuard, Events,
    Feed, Handle, Hold, Incoming, Lease, Link, Member, Notices, Outgoing, Reply, Seed, parts,
};
use static_assertions::{assert_impl_all, assert_not_impl_any, assert_obj_safe, const_assert};
use std::task::{Context, Poll};

/// Sends a payload that may move between threads and need not be shared by them.
type Payload = std::cell::Cell<u8>;

// A part may be moved to the thread or task that it suits, with any payload that may be moved.
assert_impl_all!(Member<Payload>: Send);
assert_impl_all!(Events: Send);
assert_impl_all!(Notices: Send);
assert_impl_all!(Assignments: Send);
assert_impl_all!(Assign: Send);
assert_impl_all!(Feed<Payload>: Send);
assert_impl_all!(Deliveries<Payload>: Send);
assert_impl_all!(Seed<Payload>: Send);
assert_impl_all!(Batch<Payload>: Send);

// Work is handed to other threads: a delivery and an event go with it.
assert_impl_all!(Delivery<Payload>: Send);
assert_impl_all!(EventGuard: Send, Sync);
assert_impl_all!(Hold: Send, Sync);
assert_impl_all!(Lease: Send, Sync, Clone);

// A handle is shared by everybody.
assert_impl_all!(Handle: Send, Sync, Clone);
assert_impl_all!(CloseOnDrop: Send, Sync);

// An answer is awaited wherever the caller is, and in a `select!` without being pinned.
assert_impl_all!(Reply<Vec<u8>>: Send, Sync, Unpin);
assert_impl_all!(Driver<Still, Payload>: Send, Unpin);

// Not shared: two threads taking at once would each take half of the turns and wake-ups.
assert_not_impl_any!(Deliveries<Payload>: Clone);
assert_not_impl_any!(Events: Clone);
assert_not_impl_any!(Feed<Payload>: Clone);

// An obligation that could be copied could be finished twice.
assert_not_impl_any!(Delivery<u8>: Clone);
assert_not_impl_any!(EventGuard: Clone);
assert_not_impl_any!(Hold: Clone);
assert_not_impl_any!(Assign: Clone);
assert_not_impl_any!(Reply<()>: Clone);

// A driver on one thread may have a link that can't leave it.
assert_not_impl_any!(Driver<Local, u8>: Send);

// An embedder may choose among links at run time.
assert_obj_safe!(Link);

// A panicking test of an application need not wrap its handle.
assert_impl_all!(Reply<()>: UnwindSafe);

// A hold is taken for each batch: it is a pointer.
const_assert!(size_of::<Hold>() == size_of::<usize>());
// A call costs its ticket and one entry in the mailbox.
const_assert!(size_of::<parts::Ticket<Outcome>>() <= 3 * size_of::<usize>());
// The machine's time is compared and copied everywhere.
const_assert!(size_of::<Time>() == 8);

/// A link whose clock stands still.
struct Still;

impl Link for Still {
    fn now(&mut self) -> Time {
        Time::ZERO
    }
    fn poll_send(&mut self, _: &mut Context<'_>, _: &mut Option<Outgoing>) -> Poll<()> {
        Poll::Pending
    }
    fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<Incoming> {
        Poll::Pending
    }
    fn poll_timer(&mut self, _: &mut Context<'_>, _: Time) -> Poll<()> {
        Poll::Pending
    }
}

/// A link that belongs to a thread.
struct Local(Rc<Still>);

impl Link for Local {
    fn now(&mut self) -> Time {
        assert_eq!(Rc::strong_count(&self.0), 1);
        Time::ZERO
    }
    fn poll_send(&mut self, _: &mut Context<'_>, _: &mut Option<Outgoing>) -> Poll<()> {
        Poll::Pending
    }
    fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<Incoming> {
        Poll::Pending
    }
    fn poll_timer(&mut self, _: &mut Context<'_>, _: Time) -> Poll<()> {
        Poll::Pending
    }
}

/// That a driver on a link of its thread runs at all.
#[test]
fn a_link_may_be_local() {
    let member = handover_core::member::<()>(
        handover_core::machine::Config::new("orders"),
        Default::default(),
    );
    let driver = member.unwrap().driver.run(Local(Rc::new(Still)));
    let mut driver = Box::pin(driver);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(driver.as_mut().poll(&mut cx).is_pending());
}
