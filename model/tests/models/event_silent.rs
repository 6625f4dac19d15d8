//! A lease whose assignment was never told ends silently: both are told or neither (SPEC E4).

use handover_machine::{Event, TopicPartition};

use super::check::{Reason, check, control};
use super::fixture::{LEASE, lease, once};
use crate::backend::core::{Events, parts};
use crate::backend::spawn;
use parts::{EventQueue, Mailbox, events};

fn revoked() -> Event {
    Event::Revoked { leases: vec![LEASE] }
}

/// Takes an event while the lease ends, and the rest afterwards: whether the lease's beginning
/// was told, and whether its end was.
fn told(end: impl FnOnce(&EventQueue) + Send + 'static) -> (bool, bool) {
    let lease = lease(&Mailbox::new());
    let (queue, mut events) = events(true);
    let leases = vec![(LEASE, TopicPartition::new("orders", 0))];
    queue.push(Event::Assigned { generation: 1, leases }, vec![lease], Vec::new());
    let driver = spawn(move || end(&queue));
    let mut told = (false, false);
    let mut take = |events: &mut Events| {
        let Some(guard) = once(|cx| events.poll_next(cx)).flatten() else { return };
        match guard.event() {
            Event::Assigned { leases, .. } => told.0 |= !leases.is_empty(),
            _ => told.1 = true,
        }
        guard.done();
    };
    take(&mut events);
    driver.join().unwrap();
    take(&mut events);
    take(&mut events);
    told
}

#[test]
fn both_or_neither() {
    check("event_silent::both_or_neither", || {
        let (began, ended) = told(|queue| queue.push(revoked(), Vec::new(), Vec::new()));
        assert_eq!(began, ended, "told of half of it");
    });
}

#[test]
fn an_end_that_is_swallowed_is_noticed() {
    let reason = Reason::Says("told of half of it");
    control("event_silent::an_end_that_is_swallowed_is_noticed", &reason, || {
        let (began, ended) = told(|_| {});
        assert_eq!(began, ended, "told of half of it");
    });
}
