//! The whole core closes, or is dropped, while the application does one thing, at every moment
//! (SPEC P1, P10, D1, K1).

use std::time::Duration;

use handover_machine::{Api, CloseOptions, LeaveOutcome};

use super::check::Reason;
use super::fixture::once;
use super::town::{Settled, drive, entry, settled};
use super::whole::{check_whole, control_whole};
use crate::backend::core::{CallError, CloseOnDrop, Delivery, LeaseState};
use crate::backend::{block_on, spawn};

#[test]
fn a_close_that_is_awaited_is_clean() {
    check_whole("close::a_close_that_is_awaited_is_clean", || {
        let Settled { town, mut driver, handle, deliveries, feed, .. } = settled(false);
        let application = spawn(move || block_on(handle.close(CloseOptions::default())));
        drive(&mut driver, || false);
        drop(driver);
        drop((deliveries, feed));
        let report = application.join().unwrap().expect("it was closed");
        assert!(report.is_clean() && report.leave == LeaveOutcome::Left, "{report:?}");
        assert_eq!(town.sent(Api::LeaveGroup), 1);
    });
}

/// The records that are out when the close begins are committed before the member leaves.
fn closed_with(work: impl FnOnce(Delivery<()>) + Send + 'static) {
    let Settled { town, mut driver, handle, mut deliveries, feed, .. } = settled(false);
    let delivery = once(|cx| deliveries.poll_next(cx)).flatten().expect("it is queued");
    let mut close = handle.close(CloseOptions::default());
    let application = spawn(move || work(delivery));
    drive(&mut driver, || false);
    drop(driver);
    drop(feed);
    application.join().unwrap();
    let closed = once(|cx| std::pin::Pin::new(&mut close).poll(cx));
    let report = closed.expect("the driver has ended").expect("it was closed");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(town.committed(), Some(10), "left without the last commit");
}

#[test]
fn a_close_waits_for_what_is_out() {
    check_whole("close::a_close_waits_for_what_is_out", || {
        closed_with(|delivery| assert!(delivery.finish()));
    });
}

/// The clock stands still in this town, so the drain deadline never comes.
#[test]
fn a_close_with_a_delivery_that_is_never_let_go_is_noticed() {
    let name = "close::a_close_with_a_delivery_that_is_never_let_go_is_noticed";
    control_whole(name, &Reason::Deadlock, || closed_with(std::mem::forget));
}

fn dropped_unclosed(drop_it: impl FnOnce(CloseOnDrop) + Send + 'static) {
    let Settled { town, mut driver, handle, deliveries, feed, .. } = settled(false);
    let guard = handle.close_on_drop();
    let application = spawn(move || drop_it(guard));
    drive(&mut driver, || false);
    drop(driver);
    drop((deliveries, feed));
    application.join().unwrap();
    assert_eq!(town.sent(Api::LeaveGroup), 1);
}

#[test]
fn a_consumer_that_is_dropped_leaves() {
    check_whole("close::a_consumer_that_is_dropped_leaves", || dropped_unclosed(drop));
}

#[test]
fn a_consumer_that_is_forgotten_is_noticed() {
    control_whole("close::a_consumer_that_is_forgotten_is_noticed", &Reason::Deadlock, || {
        dropped_unclosed(CloseOnDrop::defuse);
    });
}

/// A driver that is dropped resolves every call, at whatever moment it is made, and loses every
/// lease.
#[test]
fn a_dropped_driver_stops_everything() {
    check_whole("close::a_dropped_driver_stops_everything", || {
        let Settled { driver, handle, lease, mut deliveries, mut events, feed, .. } = settled(true);
        let application = {
            let (handle, lease) = (handle.clone(), lease.clone());
            spawn(move || block_on(handle.commit([entry(&lease, 5)], Duration::from_secs(1))))
        };
        drop(driver);
        assert_eq!(application.join().unwrap(), Err(CallError::Stopped));
        assert_eq!(lease.state(), LeaseState::Lost);
        assert!(handle.is_stopped());
        assert!(block_on(deliveries.next()).is_none());
        block_on(events.next()).expect("the loss is told").done();
        assert!(block_on(events.next()).is_none());
        drop(feed);
    });
}
