//! A hold is counted by the revocation or refused by it: never taken after the lease was told to
//! be drained (SPEC L3).

use std::future::poll_fn;

use handover_machine::Time;

use super::check::{Reason, check, control};
use super::fixture::{LEASE, collect, lease};
use crate::backend::core::parts::{Arc, Mailbox};
use crate::backend::{block_on, spawn, sync};

#[test]
fn drained_when_the_last_hold_is_gone_and_told_once() {
    check("hold_or_revoke::drained_when_the_last_hold_is_gone_and_told_once", || {
        let mailbox = Mailbox::new();
        let lease = lease(&mailbox);
        let over = Arc::new(sync::AtomicBool::new(false));
        let application = {
            let (lease, over) = (lease.clone(), Arc::clone(&over));
            spawn(move || {
                let hold = lease.hold();
                assert!(
                    hold.is_none() || !over.load(sync::Ordering::Acquire),
                    "held after it was drained"
                );
                drop(hold);
            })
        };
        lease.revoke(Time::ZERO);
        let mail = block_on(poll_fn(|cx| mailbox.poll_collect(cx)));
        assert!(mail.drained.contains(&LEASE));
        assert_eq!(lease.holds(), 0, "held after it was drained");
        over.store(true, sync::Ordering::Release);
        application.join().unwrap();
        assert!(collect(&mailbox).is_none(), "told twice");
    });
}

#[test]
fn the_last_of_two_holds_tells() {
    check("hold_or_revoke::the_last_of_two_holds_tells", || {
        let mailbox = Mailbox::new();
        let lease = lease(&mailbox);
        let [mine, theirs] = [(); 2].map(|()| lease.hold().expect("it is active"));
        lease.revoke(Time::ZERO);
        let application = spawn(move || drop(theirs));
        drop(mine);
        let mail = block_on(poll_fn(|cx| mailbox.poll_collect(cx)));
        assert!(mail.drained.contains(&LEASE));
        assert_eq!(lease.holds(), 0);
        application.join().unwrap();
        assert!(collect(&mailbox).is_none(), "told twice");
    });
}

#[test]
fn a_hold_that_is_forgotten_is_noticed() {
    control("hold_or_revoke::a_hold_that_is_forgotten_is_noticed", &Reason::Deadlock, || {
        let mailbox = Mailbox::new();
        let lease = lease(&mailbox);
        let application = {
            let lease = lease.clone();
            spawn(move || std::mem::forget(lease.hold()))
        };
        lease.revoke(Time::ZERO);
        let _ = block_on(poll_fn(|cx| mailbox.poll_collect(cx)));
        application.join().unwrap();
    });
}

/// State and count as two words: the state is looked at, then the count is raised.
#[test]
fn two_words_are_noticed() {
    let reason = Reason::Says("held after it was drained");
    control("hold_or_revoke::two_words_are_noticed", &reason, || {
        let words = Arc::new((sync::AtomicBool::new(false), sync::AtomicU64::new(0)));
        let over = Arc::new(sync::AtomicBool::new(false));
        let application = {
            let (words, over) = (Arc::clone(&words), Arc::clone(&over));
            spawn(move || {
                if !words.0.load(sync::Ordering::Acquire) {
                    words.1.fetch_add(1, sync::Ordering::AcqRel);
                    assert!(!over.load(sync::Ordering::Acquire), "held after it was drained");
                }
            })
        };
        words.0.store(true, sync::Ordering::Release);
        if words.1.load(sync::Ordering::Acquire) == 0 {
            over.store(true, sync::Ordering::Release);
        }
        application.join().unwrap();
    });
}
