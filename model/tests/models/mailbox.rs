//! What is posted is collected, or its call resolves as stopped (SPEC T1, M3).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use handover_machine::Outcome;

use super::check::{Reason, check, control};
use super::fixture::{collected, rejoin};
use crate::backend::{block_on, core::parts, spawn, sync};
use parts::{Arc, Mailbox, Resolver, Stopped};

#[test]
fn a_post_is_collected() {
    check("mailbox::a_post_is_collected", || {
        let mailbox = Mailbox::new();
        let driver = {
            let mailbox = mailbox.clone();
            spawn(move || {
                let mail = block_on(poll_fn(|cx| mailbox.poll_collect(cx)));
                for letter in mail.calls.into_values() {
                    letter.resolver.resolve(Outcome::Done);
                }
            })
        };
        assert_eq!(block_on(mailbox.call(rejoin())), Ok(Outcome::Done));
        driver.join().unwrap();
    });
}

#[test]
fn a_post_that_meets_the_close_is_stopped() {
    check("mailbox::a_post_that_meets_the_close_is_stopped", || {
        let mailbox = Mailbox::new();
        let driver = {
            let mailbox = mailbox.clone();
            spawn(move || mailbox.close(None))
        };
        assert_eq!(block_on(mailbox.call(rejoin())), Err(Stopped));
        driver.join().unwrap();
    });
}

/// A mailbox that looks for mail, and leaves its waker, in two steps.
struct TwoSteps {
    mail: sync::Mutex<VecDeque<u8>>,
    waiting: sync::Mutex<Option<Waker>>,
}

#[test]
fn checking_before_registering_is_noticed() {
    control("mailbox::checking_before_registering_is_noticed", &Reason::Deadlock, || {
        let mailbox = Arc::new(TwoSteps {
            mail: sync::Mutex::new(VecDeque::new()),
            waiting: sync::Mutex::new(None),
        });
        let driver = {
            let mailbox = mailbox.clone();
            spawn(move || {
                block_on(poll_fn(|cx| {
                    if mailbox.mail.lock().unwrap().pop_front().is_some() {
                        return Poll::Ready(());
                    }
                    *mailbox.waiting.lock().unwrap() = Some(cx.waker().clone());
                    Poll::Pending
                }));
            })
        };
        mailbox.mail.lock().unwrap().push_back(1);
        let waiting = mailbox.waiting.lock().unwrap().take();
        waiting.into_iter().for_each(Waker::wake);
        driver.join().unwrap();
    });
}

/// A mailbox whose flag is not under the lock of its mail.
struct FlagApart {
    open: sync::AtomicBool,
    mail: sync::Mutex<Vec<Resolver<Outcome>>>,
}

#[test]
fn a_flag_apart_from_the_mail_is_noticed() {
    control("mailbox::a_flag_apart_from_the_mail_is_noticed", &Reason::Deadlock, || {
        let mailbox = Arc::new(FlagApart {
            open: sync::AtomicBool::new(true),
            mail: sync::Mutex::new(Vec::new()),
        });
        let driver = {
            let mailbox = mailbox.clone();
            spawn(move || {
                mailbox.open.store(false, sync::Ordering::Release);
                let left = std::mem::take(&mut *mailbox.mail.lock().unwrap());
                drop(left);
            })
        };
        let (ticket, resolver) = collected(&Mailbox::new());
        if mailbox.open.load(sync::Ordering::Acquire) {
            mailbox.mail.lock().unwrap().push(resolver);
        } else {
            drop(resolver);
        }
        let _ = block_on(ticket);
        driver.join().unwrap();
    });
}
