//! After a seek no mark of what was delivered before counts (SPEC B4, P14).

use handover_machine::{SeekTo, Start};

use super::check::{Reason, check, control};
use super::fixture::{Bench, LEASE, bench};
use crate::backend::core::Delivery;
use crate::backend::spawn;

fn sought_while(mark: impl FnOnce(Delivery<()>) + Send + 'static) {
    let mut bench = bench();
    let delivery = bench.take().expect("it is queued");
    let Bench { lease, queue, mailbox: _mailbox, feed: _feed, mut deliveries } = bench;
    let worker = spawn(move || mark(delivery));
    queue.start(LEASE, Start::Seek(SeekTo::Offset(0)));
    assert_eq!(lease.mark(), None, "a mark of before the seek");
    worker.join().unwrap();
    assert_eq!(lease.mark(), None, "a mark of before the seek");
    let stale = super::fixture::once(|cx| deliveries.poll_next(cx));
    assert!(stale.is_none(), "delivered what was fetched before the seek");
}

#[test]
fn finished_before_or_void() {
    check("seek_voids::finished_before_or_void", || {
        sought_while(|delivery| {
            delivery.finish();
        });
    });
}

#[test]
fn dropped_before_or_void() {
    check("seek_voids::dropped_before_or_void", || sought_while(drop));
}

/// A mark that goes past the queue is not checked against the position.
#[test]
fn a_mark_past_the_queue_is_noticed() {
    let reason = Reason::Says("a mark of before the seek");
    control("seek_voids::a_mark_past_the_queue_is_noticed", &reason, || {
        sought_while(|delivery| {
            let hold = delivery.lease().hold().expect("it is active");
            hold.mark(handover_machine::Mark::at(10));
        });
    });
}
