//! The newest waker is the one that is woken: a future may move from task to task (SPEC M3).

use std::sync::Arc;
use std::task::{Context, Waker};

use handover_machine::Outcome;

use super::check::{Reason, check, control};
use super::fixture::{Woken, collected};
use crate::backend::{core::parts::Mailbox, spawn};

/// Polls as one task, then as another. Unless a poll had the outcome, the second is woken.
fn moved_from_task_to_task(second_polls: bool) {
    let (mut ticket, resolver) = collected(&Mailbox::new());
    let driver = spawn(move || resolver.resolve(Outcome::Done));
    let tasks = [(); 2].map(|()| Arc::new(Woken::default()));
    let mut ready = false;
    for (task, polls) in tasks.iter().zip([true, second_polls]) {
        let waker = Waker::from(Arc::clone(task));
        if polls && !ready {
            ready = ticket.poll_outcome(&mut Context::from_waker(&waker)).is_ready();
        }
    }
    driver.join().unwrap();
    assert!(ready || tasks[1].times() == 1, "the newest waker was not woken");
    assert!(tasks[0].times() + tasks[1].times() <= 1, "both were woken");
}

#[test]
fn the_newest_waker_is_woken() {
    check("repoll::the_newest_waker_is_woken", || moved_from_task_to_task(true));
}

#[test]
fn a_waker_that_is_not_replaced_is_noticed() {
    let reason = Reason::Says("the newest waker was not woken");
    control("repoll::a_waker_that_is_not_replaced_is_noticed", &reason, || {
        moved_from_task_to_task(false);
    });
}
