//! A lease that is lost is lost at once, whoever holds it, and nobody waits for it any more
//! (SPEC L2).

use std::future::poll_fn;

use handover_machine::Time;

use super::check::{Reason, check, control};
use super::fixture::{collect, lease};
use crate::backend::core::{LeaseState, parts::Mailbox};
use crate::backend::{block_on, spawn};

#[test]
fn lost_wins_over_a_hold_that_is_released() {
    check("lost_wins::lost_wins_over_a_hold_that_is_released", || {
        let mailbox = Mailbox::new();
        let lease = lease(&mailbox);
        let hold = lease.hold().expect("it is active");
        let application = spawn(move || {
            let wanted = hold.handover_wanted();
            drop(hold);
            wanted
        });
        let by = Time::from_millis(5);
        lease.revoke(by);
        lease.lose();
        assert_eq!(lease.state(), LeaseState::Lost, "not lost");
        let wanted = application.join().unwrap();
        assert!([None, Some(by), Some(Time::ZERO)].contains(&wanted));
        assert_eq!((lease.state(), lease.holds()), (LeaseState::Lost, 0), "not lost");
        assert!(lease.hold().is_none());
        // Told at most once, and only if it was drained before it was lost.
        assert!(collect(&mailbox).is_none_or(|mail| mail.drained.len() == 1));
    });
}

/// A hand-over that waits for the holds of a lost lease may wait for ever.
#[test]
fn waiting_for_a_lost_lease_is_noticed() {
    control("lost_wins::waiting_for_a_lost_lease_is_noticed", &Reason::Deadlock, || {
        let mailbox = Mailbox::new();
        let lease = lease(&mailbox);
        let hold = lease.hold().expect("it is active");
        let application = spawn(move || drop(hold));
        lease.revoke(Time::ZERO);
        lease.lose();
        let _ = block_on(poll_fn(|cx| mailbox.poll_collect(cx)));
        application.join().unwrap();
    });
}
