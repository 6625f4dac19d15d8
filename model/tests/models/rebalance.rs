//! The whole core goes through a rebalance while the application does one thing, at every moment
//! (SPEC P1, P2, P6, P7).
//!
//! The driver runs the shipped machine against the world's coordinator on one thread. The group
//! is in a rebalance from the start: the member is told at its first heartbeat, hands its lease
//! over, and joins again. A body is over when it has sent that JoinGroup; so a lost wake-up
//! anywhere, or anything that is never released, is a deadlock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use handover_machine::{Event, PartitionOutcome};

use super::check::Reason;
use super::fixture::once;
use super::town::{Settled, drive, entry, settled};
use super::whole::{check_whole, control_whole};
use crate::backend::core::{CallError, Delivery, EventGuard, Handle, Lease};
use crate::backend::{block_on, spawn, sync};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Takes what there is to take and works on it. Whether there was anything, and what was
/// committed before the JoinGroup.
fn delivered_meanwhile(work: impl FnOnce(Delivery<()>) + Send + 'static) -> (bool, Option<i64>) {
    let Settled { town, mut driver, mut deliveries, feed: _feed, .. } = settled(false);
    town.begin_rebalance();
    let application = spawn(move || {
        let taken = once(|cx| deliveries.poll_next(cx)).flatten();
        taken.map(work).is_some()
    });
    drive(&mut driver, || town.has_rejoined());
    drop(driver);
    (application.join().unwrap(), town.committed())
}

#[test]
fn what_is_done_is_committed_before_the_join() {
    check_whole("rebalance::what_is_done_is_committed_before_the_join", || {
        let (taken, committed) = delivered_meanwhile(|delivery| assert!(delivery.finish()));
        assert_eq!(committed, taken.then_some(10), "joined without the last commit");
    });
}

#[test]
fn what_is_dropped_is_not_committed() {
    check_whole("rebalance::what_is_dropped_is_not_committed", || {
        let (_, committed) = delivered_meanwhile(drop);
        assert_eq!(committed, None, "committed what was not done");
    });
}

#[test]
fn a_delivery_that_is_never_let_go_is_noticed() {
    control_whole(
        "rebalance::a_delivery_that_is_never_let_go_is_noticed",
        &Reason::Deadlock,
        || {
            delivered_meanwhile(std::mem::forget);
        },
    );
}

/// Commits while the rebalance goes on. What the member had committed by the JoinGroup.
fn committed_meanwhile<T: Send + 'static>(
    commit: impl FnOnce(&Handle, &Lease) -> T + Send + 'static,
) -> (T, Option<i64>) {
    let Settled { town, mut driver, handle, lease, deliveries, feed, .. } = settled(false);
    town.begin_rebalance();
    let application = spawn(move || commit(&handle, &lease));
    drive(&mut driver, || town.has_rejoined());
    drop(driver);
    drop((deliveries, feed));
    (application.join().unwrap(), town.committed())
}

#[test]
fn a_commit_comes_to_its_outcome() {
    check_whole("rebalance::a_commit_comes_to_its_outcome", || {
        let (outcome, committed) = committed_meanwhile(|handle, lease| {
            block_on(handle.commit([entry(lease, 5)], TIMEOUT))
        });
        match outcome.as_deref() {
            Ok([(_, PartitionOutcome::Committed { at: 5 })]) => assert_eq!(committed, Some(5)),
            // It came when the lease had been handed over, or when the driver was gone.
            Ok([(_, PartitionOutcome::Fenced(_))]) | Err(CallError::Stopped) => {
                assert_eq!(committed, None, "committed, and said otherwise");
            }
            other => panic!("not an outcome of this commit: {other:?}"),
        }
    });
}

/// Polls a commit so many times and drops it: nothing waits for it, nor it for anything.
fn dropped_after(polls: usize) {
    let ((), committed) = committed_meanwhile(move |handle, lease| {
        let mut reply = handle.commit([entry(lease, 5)], TIMEOUT);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if Pin::new(&mut reply).poll(&mut cx).is_ready() {
                break;
            }
        }
    });
    assert!([None, Some(5)].contains(&committed));
}

#[test]
fn a_commit_that_is_dropped_holds_nothing_up() {
    for polls in 0..=2 {
        let name = format!("rebalance::a_commit_that_is_dropped_after_{polls}_polls");
        check_whole(name, move || dropped_after(polls));
    }
}

/// The caller goes away without dropping its commit, and the driver with it in hand: what
/// happens to a client that keeps the waiter's channel in the path of the outcome.
#[test]
fn a_commit_whose_driver_is_forgotten_is_noticed() {
    control_whole(
        "rebalance::a_commit_whose_driver_is_forgotten_is_noticed",
        &Reason::Deadlock,
        || {
            let Settled { driver, handle, lease, .. } = settled(false);
            let application = spawn(move || {
                let _ = block_on(handle.commit([entry(&lease, 5)], TIMEOUT));
            });
            std::mem::forget(driver);
            application.join().unwrap();
        },
    );
}

/// Takes the event of the hand-over and finishes it: only then the member joins.
fn announced_meanwhile(finish: impl FnOnce(EventGuard) + Send + 'static) {
    let Settled { town, mut driver, mut events, deliveries, feed, .. } = settled(true);
    town.begin_rebalance();
    let finished = Arc::new(sync::AtomicBool::new(false));
    let application = {
        let finished = Arc::clone(&finished);
        spawn(move || {
            let revoking = block_on(events.next()).expect("the hand-over is announced");
            assert!(matches!(revoking.event(), Event::Revoking { .. }));
            finished.store(true, sync::Ordering::Release);
            finish(revoking);
        })
    };
    drive(&mut driver, || town.has_rejoined());
    assert!(finished.load(sync::Ordering::Acquire), "joined before the event was finished");
    drop((driver, deliveries, feed));
    application.join().unwrap();
}

#[test]
fn the_join_waits_for_the_event_to_be_done() {
    check_whole("rebalance::the_join_waits_for_the_event_to_be_done", || {
        announced_meanwhile(EventGuard::done);
    });
}

#[test]
fn the_join_waits_for_the_event_to_be_dropped() {
    check_whole("rebalance::the_join_waits_for_the_event_to_be_dropped", || {
        announced_meanwhile(drop);
    });
}

#[test]
fn an_event_that_is_never_let_go_is_noticed() {
    control_whole("rebalance::an_event_that_is_never_let_go_is_noticed", &Reason::Deadlock, || {
        announced_meanwhile(std::mem::forget);
    });
}
