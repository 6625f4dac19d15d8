//! A fetcher that waits for room is woken when there is some (SPEC B5, P12).

use std::future::poll_fn;

use super::check::{Reason, check, control};
use super::fixture::{Bench, bench};
use crate::backend::core::Delivery;
use crate::backend::{block_on, spawn};

/// The budget is used up by the one batch; the fetcher waits while the application works.
fn full_until(work: impl FnOnce(Delivery<()>) + Send + 'static) {
    let Bench { mut feed, mut deliveries, .. } = bench();
    let application = spawn(move || {
        let taken = super::fixture::once(|cx| deliveries.poll_next(cx)).flatten();
        work(taken.expect("it is queued"));
        deliveries
    });
    block_on(poll_fn(|cx| feed.poll_ready(cx)));
    application.join().unwrap();
}

#[test]
fn taking_makes_room() {
    check("room::taking_makes_room", || full_until(|delivery| assert!(delivery.finish())));
}

/// Given back before the fetcher looked, the batch takes up the room again.
#[test]
fn no_room_is_noticed() {
    control("room::no_room_is_noticed", &Reason::Deadlock, || full_until(drop));
}
