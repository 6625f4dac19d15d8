//! Every request for a plan is answered once, whatever becomes of it (SPEC D3).

use std::future::poll_fn;

use handover_machine::AssignFailure;

use super::check::{Reason, check, control};
use super::fixture::once;
use crate::backend::core::{Assign, parts};
use crate::backend::{block_on, spawn};
use parts::{Mailbox, assignments};

/// The driver asks and waits for the answer, while the assignor takes what is there and goes.
fn asked_while(answer: impl FnOnce(Assign) + Send + 'static) {
    let mailbox = Mailbox::new();
    let (desk, mut assignments) = assignments();
    let assignor = spawn(move || {
        let request = once(|cx| assignments.poll_next(cx)).flatten();
        let _ = request.map(answer);
        drop(assignments);
    });
    desk.put(Assign::new(3, "range".into(), Vec::new(), mailbox.clone()));
    let mail = block_on(poll_fn(|cx| mailbox.poll_collect(cx)));
    assert_eq!(mail.plans.into_iter().collect::<Vec<_>>(), [(3, Err(AssignFailure::Abandoned))]);
    assignor.join().unwrap();
    assert!(super::fixture::collect(&mailbox).is_none(), "answered twice");
}

#[test]
fn a_request_is_answered_by_its_drop() {
    check("assignments::a_request_is_answered_by_its_drop", || asked_while(drop));
}

#[test]
fn a_request_that_is_forgotten_is_noticed() {
    control("assignments::a_request_that_is_forgotten_is_noticed", &Reason::Deadlock, || {
        asked_while(std::mem::forget);
    });
}
