//! The whole core through a whole rebalance, on one thread: that the town of the other models is
//! one in which things come to their end.

use std::pin::Pin;

use handover_machine::{Event, PartitionOutcome, Phase};

use super::check::check;
use super::fixture::once;
use super::town::{Settled, drive, entry, plan, settled};

#[test]
fn a_member_hands_over_and_comes_back() {
    check("the_round::a_member_hands_over_and_comes_back", || {
        let mut settled = settled(true);
        let Settled { town, driver, handle, events, deliveries, lease, assignments, .. } =
            &mut settled;
        let delivery = once(|cx| deliveries.poll_next(cx)).flatten().expect("it is queued");
        town.begin_rebalance();
        drive(driver, || true);
        assert!(!town.has_rejoined(), "held back by the event and the delivery");
        let revoking = once(|cx| events.poll_next(cx)).flatten().expect("it is announced");
        assert!(delivery.handover_wanted().is_some());
        revoking.done();
        drive(driver, || true);
        assert!(!town.has_rejoined(), "held back by the delivery");
        let mut commit = handle.commit([entry(lease, 4)], std::time::Duration::from_secs(10));
        assert!(delivery.finish());
        drive(driver, || town.has_rejoined());
        let outcome = once(|cx| Pin::new(&mut commit).poll(cx)).expect("it was answered");
        let outcome = outcome.expect("the driver lives");
        assert!(matches!(outcome[..], [(_, PartitionOutcome::Committed { .. })]), "{outcome:?}");
        assert_eq!(town.committed(), Some(10), "the mark, which covers the commit");

        let revoked = once(|cx| events.poll_next(cx)).flatten().expect("the end is told");
        assert!(matches!(revoked.event(), Event::Revoked { .. }));
        revoked.done();
        drive(driver, || true);
        assert!(plan(assignments), "it leads again");
        drive(driver, || true);
        let assigned = once(|cx| events.poll_next(cx)).flatten().expect("the round is told");
        assert!(matches!(assigned.event(), Event::Assigned { generation: 2, .. }));
        assigned.done();
        assert_eq!(handle.status().phase, Phase::Stable);
    });
}
