//! After a seek no mark of what was delivered before counts (SPEC B4, P14).

use handover_machine::{SeekTo, Start};

use super::check::{Reason, check, control};
use super::fixture::{Bench, LEASE, batch, bench, once};
use crate::backend::core::{Change, Delivery};
use crate::backend::spawn;

/// The lease delivers from elsewhere, and has fetched from there, while the application works on
/// what was delivered before.
fn sought_while(mark: impl FnOnce(Delivery<()>) + Send + 'static) {
    let mut bench = bench();
    let delivery = bench.take().expect("it is queued");
    let Bench { lease, queue, mailbox: _mailbox, mut feed, mut deliveries } = bench;
    let worker = spawn(move || mark(delivery));
    queue.start(LEASE, Start::Seek(SeekTo::Offset(2)));
    assert_eq!(lease.mark(), None, "a mark of before the seek");
    let Some(Some(Change::Seek { position, .. })) = once(|cx| feed.poll_change(cx)) else {
        panic!("the fetcher is told of the seek");
    };
    feed.push(batch(position, 2..4)).expect("it is open");
    worker.join().unwrap();
    assert_eq!(lease.mark(), None, "a mark of before the seek");
    let next = once(|cx| deliveries.poll_next(cx)).flatten().expect("it was fetched since");
    assert_eq!(next.range(), 2..4, "delivered what was fetched before the seek");
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
