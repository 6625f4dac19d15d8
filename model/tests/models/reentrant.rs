//! A waker may call straight back: none is woken, cloned or dropped under a lock (SPEC M4, P9).

use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use handover_machine::Outcome;

use super::check::{Reason, check, control};
use super::fixture::{collect, collected, rejoin};
use crate::backend::{core::parts::Mailbox, spawn};

/// Makes a call and drops it, on the thread and at the moment of the wake-up.
struct CallsBack(Mailbox);

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        drop(self.0.call(rejoin()));
    }
}

#[test]
fn a_waker_may_call_back() {
    check("reentrant::a_waker_may_call_back", || {
        let mailbox = Mailbox::new();
        let (mut ticket, resolver) = collected(&mailbox);
        let waker = Waker::from(Arc::new(CallsBack(mailbox.clone())));
        let mut cx = Context::from_waker(&waker);
        let _ = mailbox.poll_collect(&mut cx);
        let driver = spawn(move || resolver.resolve(Outcome::Done));
        let _ = ticket.poll_outcome(&mut cx);
        drop(ticket);
        driver.join().unwrap();
        assert_eq!(mailbox.waiting(), 0);
        let _ = collect(&mailbox);
    });
}

/// What a lock held while waking would do. `std`'s mutex is enough: one thread meets itself.
#[test]
fn a_wake_up_under_a_lock_is_noticed() {
    struct Locks(Arc<Mutex<Option<Waker>>>);
    impl Wake for Locks {
        fn wake(self: Arc<Self>) {
            assert!(self.0.try_lock().is_ok(), "woken under the lock");
        }
    }
    let reason = Reason::Says("woken under the lock");
    control("reentrant::a_wake_up_under_a_lock_is_noticed", &reason, || {
        let cell = Arc::new(Mutex::new(None));
        *cell.lock().unwrap() = Some(Waker::from(Arc::new(Locks(Arc::clone(&cell)))));
        let driver = spawn(move || {
            let waiting = cell.lock().unwrap().take();
            let _under_the_lock = cell.lock().unwrap();
            waiting.into_iter().for_each(Waker::wake);
        });
        driver.join().unwrap();
    });
}
