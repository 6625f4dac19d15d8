//! The control of `loom_lifetimes.rs`: something that is left over is noticed.

use super::check::{Reason, control};
use super::fixture::rejoin;
use crate::backend::{core::parts::Mailbox, spawn};

#[test]
fn a_ticket_that_is_forgotten_is_noticed() {
    control("leak::a_ticket_that_is_forgotten_is_noticed", &Reason::Says("Arc leaked"), || {
        let mailbox = Mailbox::new();
        let application = {
            let mailbox = mailbox.clone();
            spawn(move || std::mem::forget(mailbox.call(rejoin())))
        };
        application.join().unwrap();
    });
}
