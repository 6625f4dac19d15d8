//! A ticket reaches exactly one outcome, whatever happens to its two halves (SPEC T1).

use handover_machine::Outcome;

use super::check::{Reason, check, control};
use super::fixture::{collect, collected};
use crate::backend::{block_on, core::parts, spawn};
use parts::{Mailbox, Stopped};

#[test]
fn a_resolution_wakes_its_waiter() {
    check("ticket::a_resolution_wakes_its_waiter", || {
        let (ticket, resolver) = collected(&Mailbox::new());
        let driver = spawn(move || resolver.resolve(Outcome::Done));
        assert_eq!(block_on(ticket), Ok(Outcome::Done));
        driver.join().unwrap();
    });
}

#[test]
fn a_dropped_resolver_wakes_its_waiter() {
    check("ticket::a_dropped_resolver_wakes_its_waiter", || {
        let (ticket, resolver) = collected(&Mailbox::new());
        let driver = spawn(move || drop(resolver));
        assert_eq!(block_on(ticket), Err(Stopped));
        driver.join().unwrap();
    });
}

/// The drop promises what these models rest on: without it the waiter waits for ever.
#[test]
fn a_forgotten_resolver_is_noticed() {
    control("ticket::a_forgotten_resolver_is_noticed", &Reason::Deadlock, || {
        let (ticket, resolver) = collected(&Mailbox::new());
        let driver = spawn(move || std::mem::forget(resolver));
        let _ = block_on(ticket);
        driver.join().unwrap();
    });
}

/// Exactly one of the two comes first: the outcome is there before the drop, and there is nothing
/// to cancel; or the driver is told.
#[test]
fn dropped_or_resolved() {
    check("ticket::dropped_or_resolved", || {
        let mailbox = Mailbox::new();
        let (mut ticket, resolver) = collected(&mailbox);
        let driver = spawn(move || resolver.resolve(Outcome::Done));
        let resolved = super::fixture::once(|cx| ticket.poll_outcome(cx));
        drop(ticket);
        driver.join().unwrap();
        let cancelled = collect(&mailbox).map_or(0, |mail| mail.cancelled.len());
        assert!(resolved.is_none() || cancelled == 0, "cancelled what was resolved");
        assert!(cancelled <= 1, "cancelled twice");
    });
}

/// A drop that always cancels posts for calls that are over.
#[test]
fn cancelling_what_is_resolved_is_noticed() {
    let reason = Reason::Says("cancelled what was resolved");
    control("ticket::cancelling_what_is_resolved_is_noticed", &reason, || {
        let mailbox = Mailbox::new();
        let (mut ticket, resolver) = collected(&mailbox);
        let driver = spawn(move || resolver.resolve(Outcome::Done));
        let resolved = super::fixture::once(|cx| ticket.poll_outcome(cx));
        mailbox.cancel(ticket.id());
        drop(ticket);
        driver.join().unwrap();
        let cancelled = collect(&mailbox).map_or(0, |mail| mail.cancelled.len());
        assert!(resolved.is_none() || cancelled == 0, "cancelled what was resolved");
    });
}
