//! What is queued is taken, and its lease waits; or it is thrown out. Nothing is delivered once
//! the lease was told to be drained (SPEC B1, P7).

use std::future::poll_fn;

use handover_machine::{Mark, Time};

use super::check::{Reason, check, control};
use super::fixture::{Bench, LEASE, bench};
use crate::backend::core::Delivery;
use crate::backend::core::parts::{Arc, Mailbox};
use crate::backend::{block_on, spawn, sync};

/// The driver revokes the lease and waits until it is drained; on the other thread the
/// application gives up what it `holds`, if anything, takes what there is to take, and works on
/// it. The mark that the hand-over finds, and whether anything was taken.
fn revoked_while(
    holds: bool,
    work: impl FnOnce(Delivery<()>) + Send + 'static,
) -> (Option<Mark>, bool) {
    let mut bench = bench();
    let held = if holds { bench.take() } else { None };
    let Bench { mailbox, lease, queue, feed: _feed, mut deliveries } = bench;
    let over = Arc::new(sync::AtomicBool::new(false));
    let application = {
        let over = Arc::clone(&over);
        spawn(move || {
            drop(held);
            let taken = super::fixture::once(|cx| deliveries.poll_next(cx)).flatten();
            assert!(
                taken.is_none() || !over.load(sync::Ordering::Acquire),
                "delivered after the revocation"
            );
            (taken.map(work).is_some(), deliveries)
        })
    };
    lease.revoke(Time::ZERO);
    queue.close(LEASE);
    drained(&mailbox);
    over.store(true, sync::Ordering::Release);
    let mark = lease.mark();
    let (taken, _deliveries) = application.join().unwrap();
    (mark, taken)
}

fn drained(mailbox: &Mailbox) {
    while !block_on(poll_fn(|cx| mailbox.poll_collect(cx))).drained.contains(&LEASE) {}
}

#[test]
fn finished_before_the_hand_over_or_never_taken() {
    check("delivery_or_purge::finished_before_the_hand_over_or_never_taken", || {
        let (mark, taken) = revoked_while(false, |delivery| assert!(delivery.finish()));
        let expected = taken.then_some(Mark { offset: 10, leader_epoch: 1 });
        assert_eq!(mark, expected, "handed over without the mark");
    });
}

#[test]
fn given_back_and_taken_again_before_the_hand_over_or_thrown_out() {
    check(
        "delivery_or_purge::given_back_and_taken_again_before_the_hand_over_or_thrown_out",
        || {
            let (mark, _) = revoked_while(true, std::mem::drop);
            assert_eq!(mark, None, "marked what was not done");
        },
    );
}

#[test]
fn a_delivery_that_is_forgotten_is_noticed() {
    control(
        "delivery_or_purge::a_delivery_that_is_forgotten_is_noticed",
        &Reason::Deadlock,
        || {
            revoked_while(false, std::mem::forget);
        },
    );
}

/// The batch leaves the queue in one step and its hold is taken in the next.
#[test]
fn taking_before_holding_is_noticed() {
    let reason = Reason::Says("delivered after the revocation");
    control("delivery_or_purge::taking_before_holding_is_noticed", &reason, || {
        let Bench { mailbox, lease, .. } = bench();
        let queue = Arc::new(sync::Mutex::new(vec![()]));
        let over = Arc::new(sync::AtomicBool::new(false));
        let application = {
            let (queue, lease, over) = (Arc::clone(&queue), lease.clone(), Arc::clone(&over));
            spawn(move || {
                let taken = queue.lock().unwrap().pop();
                let _hold = lease.hold();
                assert!(
                    taken.is_none() || !over.load(sync::Ordering::Acquire),
                    "delivered after the revocation"
                );
            })
        };
        lease.revoke(Time::ZERO);
        queue.lock().unwrap().clear();
        drained(&mailbox);
        over.store(true, sync::Ordering::Release);
        application.join().unwrap();
    });
}
