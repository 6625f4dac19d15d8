//! A call that was dropped leaves nothing behind (SPEC T2, T4, P2).

use super::check::{Reason, check, control};
use super::fixture::{collect, rejoin};
use crate::backend::{core::parts, spawn};
use parts::Mailbox;

/// Makes and drops a call while the driver collects, once. Afterwards the driver knows of every
/// call that it has and that nobody waits for, and of nothing else.
fn made_and_dropped(drop_it: impl FnOnce(&Mailbox, parts::Ticket<handover_machine::Outcome>)) {
    let mailbox = Mailbox::new();
    let driver = {
        let mailbox = mailbox.clone();
        spawn(move || collect(&mailbox))
    };
    drop_it(&mailbox, mailbox.call(rejoin()));
    let first = driver.join().unwrap().unwrap_or_default();
    assert_eq!(mailbox.waiting(), 0, "left behind in the mailbox");
    let second = collect(&mailbox).unwrap_or_default();
    let had = first.calls.len();
    assert_eq!(
        first.cancelled.len() + second.cancelled.len(),
        had,
        "left behind in the driver, or told in vain"
    );
    assert!(second.calls.is_empty());
}

#[test]
fn nothing_is_left() {
    check("cancel::nothing_is_left", || made_and_dropped(|_, ticket| drop(ticket)));
}

/// The drop of the ticket is what takes the call out.
#[test]
fn a_call_that_is_left_is_noticed() {
    let reason = Reason::Says("left behind");
    control("cancel::a_call_that_is_left_is_noticed", &reason, || {
        made_and_dropped(|_, ticket| std::mem::forget(ticket));
    });
}

/// Cancelling by name alone, as most clients do, tells the driver of calls that it never sees.
#[test]
fn a_cancellation_in_vain_is_noticed() {
    let reason = Reason::Says("told in vain");
    control("cancel::a_cancellation_in_vain_is_noticed", &reason, || {
        made_and_dropped(|mailbox, ticket| {
            let id = ticket.id();
            drop(ticket);
            mailbox.cancel(id);
        });
    });
}
