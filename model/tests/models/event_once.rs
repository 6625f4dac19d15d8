//! Each event is told once, one after the other for a lease, and a hand-over waits until its
//! announcement is finished (SPEC E1, E2, E3).

use std::future::poll_fn;

use handover_machine::{Event, Time, TopicPartition};

use super::check::{Reason, check, control};
use super::fixture::{LEASE, lease, once};
use crate::backend::core::{EventGuard, Lease, parts};
use crate::backend::{block_on, spawn, sync};
use parts::{Arc, EventQueue, Mailbox, events};

fn assign(queue: &EventQueue, lease: &Lease) {
    let leases = vec![(LEASE, TopicPartition::new("orders", 0))];
    queue.push(Event::Assigned { generation: 1, leases }, vec![lease.clone()], Vec::new());
}

fn revoke(queue: &EventQueue, lease: &Lease, announced: bool) {
    let holds = lease.hold().filter(|_| announced).into_iter().collect();
    lease.revoke(Time::ZERO);
    queue.push(Event::Revoking { leases: vec![LEASE], by: Time::ZERO }, Vec::new(), holds);
}

/// A poll that is dropped before it returned has taken nothing.
#[test]
fn a_dropped_poll_takes_nothing() {
    check("event_once::a_dropped_poll_takes_nothing", || {
        let lease = lease(&Mailbox::new());
        let (queue, mut events) = events(true);
        let driver = spawn(move || assign(&queue, &lease));
        let first = once(|cx| events.poll_next(cx)).flatten();
        if first.is_none() {
            block_on(events.next()).expect("told to whoever polls next").done();
        }
        driver.join().unwrap();
        assert!(once(|cx| events.poll_next(cx)).is_none(), "told twice");
    });
}

/// Whoever waits for a lease's next event is woken when the one before is finished.
fn finished_elsewhere(finish: impl FnOnce(EventGuard) + Send + 'static) {
    let lease = lease(&Mailbox::new());
    let (queue, mut events) = events(true);
    assign(&queue, &lease);
    let assigned = once(|cx| events.poll_next(cx)).flatten().expect("it is queued");
    queue.push(Event::Revoked { leases: vec![LEASE] }, Vec::new(), Vec::new());
    let worker = spawn(move || finish(assigned));
    let next = block_on(events.next()).expect("the end is told");
    assert!(matches!(next.event(), Event::Revoked { .. }));
    next.done();
    worker.join().unwrap();
}

#[test]
fn the_next_is_told_when_the_one_before_is_done() {
    check("event_once::the_next_is_told_when_the_one_before_is_done", || {
        finished_elsewhere(EventGuard::done);
    });
}

#[test]
fn the_next_is_told_when_the_one_before_is_dropped() {
    check("event_once::the_next_is_told_when_the_one_before_is_dropped", || {
        finished_elsewhere(drop);
    });
}

#[test]
fn an_event_that_is_never_finished_is_noticed() {
    control("event_once::an_event_that_is_never_finished_is_noticed", &Reason::Deadlock, || {
        finished_elsewhere(std::mem::forget);
    });
}

/// The driver learns that the lease is drained only after the application finished the event.
fn handed_over(announced: bool) {
    let mailbox = Mailbox::new();
    let lease = lease(&mailbox);
    let (queue, mut events) = events(true);
    assign(&queue, &lease);
    once(|cx| events.poll_next(cx)).flatten().expect("it is queued").done();
    let finished = Arc::new(sync::AtomicBool::new(false));
    let application = {
        let finished = Arc::clone(&finished);
        spawn(move || {
            let revoking = block_on(events.next()).expect("it is announced");
            finished.store(true, sync::Ordering::Release);
            revoking.done();
        })
    };
    revoke(&queue, &lease, announced);
    let mail = block_on(poll_fn(|cx| mailbox.poll_collect(cx)));
    assert!(mail.drained.contains(&LEASE));
    assert!(finished.load(sync::Ordering::Acquire), "handed over before the event was finished");
    application.join().unwrap();
}

#[test]
fn a_hand_over_waits_for_its_announcement() {
    check("event_once::a_hand_over_waits_for_its_announcement", || handed_over(true));
}

#[test]
fn an_announcement_without_a_hold_is_noticed() {
    let reason = Reason::Says("handed over before the event was finished");
    control("event_once::an_announcement_without_a_hold_is_noticed", &reason, || {
        handed_over(false);
    });
}
