//! The blocking twin of a call: it wakes up, and refuses to wait on the driver's own thread
//! (SPEC T3).

use handover_machine::Outcome;

use super::check::{Reason, check, control};
use super::fixture::collected;
use crate::backend::core::parts::{Mailbox, Resolver, WaitError};
use crate::backend::spawn;

/// A thread waits; the driver does something with the other half.
fn waited_while(
    answer: impl FnOnce(Resolver<Outcome>) + Send + 'static,
) -> Result<Outcome, WaitError> {
    let (mut ticket, resolver) = collected(&Mailbox::new());
    let driver = spawn(move || answer(resolver));
    let outcome = ticket.wait();
    driver.join().unwrap();
    outcome
}

#[test]
fn a_thread_that_waits_is_woken() {
    check("wait::a_thread_that_waits_is_woken", || {
        assert_eq!(waited_while(|resolver| resolver.resolve(Outcome::Done)), Ok(Outcome::Done));
    });
}

#[test]
fn a_thread_that_waits_for_a_stopped_driver_is_woken() {
    check("wait::a_thread_that_waits_for_a_stopped_driver_is_woken", || {
        assert_eq!(waited_while(drop), Err(WaitError::Stopped));
    });
}

#[test]
fn a_thread_that_nobody_wakes_is_noticed() {
    control("wait::a_thread_that_nobody_wakes_is_noticed", &Reason::Deadlock, || {
        let _ = waited_while(std::mem::forget);
    });
}
