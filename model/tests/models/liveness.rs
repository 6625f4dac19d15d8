//! A driver that waits for the application to poll learns of it (SPEC S4, P12).

use std::future::poll_fn;

use super::check::{Reason, check, control};
use crate::backend::core::parts::{Arc, Liveness, Mailbox, Seen};
use crate::backend::{block_on, spawn};

/// The driver looks, and unless there was a poll, sleeps until it is nudged.
fn polled_while(look: impl FnOnce(&Liveness, &mut Seen) -> bool) {
    let mailbox = Mailbox::new();
    let liveness = Arc::new(Liveness::new(mailbox.clone()));
    let application = {
        let liveness = Arc::clone(&liveness);
        spawn(move || liveness.polled(false))
    };
    let mut seen = Seen::default();
    if !look(&liveness, &mut seen) {
        let mail = block_on(poll_fn(|cx| mailbox.poll_collect(cx)));
        assert!(mail.nudged);
        assert!(liveness.lives(&mut seen), "nudged for nothing");
    }
    application.join().unwrap();
}

#[test]
fn the_poll_that_is_awaited_is_heard() {
    check("liveness::the_poll_that_is_awaited_is_heard", || {
        polled_while(Liveness::wait_for_poll);
    });
}

#[test]
fn sleeping_without_asking_is_noticed() {
    control("liveness::sleeping_without_asking_is_noticed", &Reason::Deadlock, || {
        polled_while(Liveness::lives);
    });
}
