//! A batch that is dropped unfinished is delivered again, from its first record that is not done
//! (SPEC B3, P13).

use super::check::{Reason, check, control};
use super::fixture::{Bench, bench};
use crate::backend::core::Delivery;
use crate::backend::{block_on, spawn};

/// One task drops what it took; another waits for records.
fn dropped_elsewhere(drop_it: impl FnOnce(Delivery<()>) + Send + 'static) {
    let mut bench = bench();
    let mut delivery = bench.take().expect("it is queued");
    assert!(delivery.done_through(3, 1));
    let Bench { mut deliveries, lease, feed, .. } = bench;
    let worker = spawn(move || drop_it(delivery));
    let again = block_on(deliveries.next()).expect("the driver lives");
    assert_eq!(again.range(), 4..10, "not what was left of it");
    assert!(again.finish());
    worker.join().unwrap();
    assert_eq!(lease.mark().map(|mark| mark.offset), Some(10));
    drop(feed);
}

#[test]
fn it_comes_again() {
    check("delivery_comes_back::it_comes_again", || dropped_elsewhere(drop));
}

#[test]
fn a_delivery_that_goes_missing_is_noticed() {
    control(
        "delivery_comes_back::a_delivery_that_goes_missing_is_noticed",
        &Reason::Deadlock,
        || {
            dropped_elsewhere(|delivery| assert!(delivery.skip()));
        },
    );
}
