//! The defect that this project exists to exclude, as history has it, and what we have instead.
//!
//! A Go client let commits run while the group rebalances, but not between the requests that
//! join and synchronise: a commit first took the *commit lock*, one commit at a time, and then
//! waited for the join to end, or for its caller's cancellation. Its caller in turn waited for
//! the commit's *done* signal. On cancellation the commit told its callback and returned; twice
//! it forgot something (franz-go #668, mended in v1.16.1):
//!
//! * **v0** gave neither the signal nor the lock back: the cancelled call itself hangs.
//! * **v1** gave the signal back. A test of the cancelled call passes; the next commit hangs.
//! * **v2** takes the lock only after the wait.
//!
//! The models restate that shape with the checkers' primitives. Ours is the shipped core: there
//! is no lock to forget, and the signal is a value whose drop is the signal.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use handover_machine::{LeaseEnd, PartitionOutcome};

use super::check::{Reason, check, control};
use super::fixture::once;
use super::town::{Settled, drive, entry, settled};
use super::whole::check_whole;
use crate::backend::core::Handle;
use crate::backend::{spawn, sync};

/// A flag that can be waited for. As in Go, whoever sets or clears it need not be its owner.
struct Flag {
    set: sync::Mutex<bool>,
    changed: sync::Condvar,
}

impl Flag {
    fn new(set: bool) -> Flag {
        Flag { set: sync::Mutex::new(set), changed: sync::Condvar::new() }
    }

    fn set(&self) {
        *self.set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn is_set(&self) -> bool {
        *self.set.lock().unwrap()
    }

    fn wait(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.changed.wait(set).unwrap();
        }
    }

    /// Waits, and takes it: the locking of a mutex whose unlocking is [`Flag::set`].
    fn take(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.changed.wait(set).unwrap();
        }
        *set = false;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    V0,
    V1,
    V2,
}

/// A commit of the time, whose caller's context is cancelled before a running join has ended.
fn commit(version: Version, commit_lock: &Flag, joined: &Flag) {
    let done = Flag::new(false);
    if version != Version::V2 {
        commit_lock.take();
    }
    // The wait for the join, which the cancellation cuts short.
    if joined.is_set() {
        if version == Version::V2 {
            commit_lock.take();
        }
        // Here the request went out and was answered.
        commit_lock.set();
        done.set();
    } else if version != Version::V0 {
        done.set();
    }
    done.wait();
}

/// One thread joins; the other commits so many times, each time cancelled if the join still runs.
fn history(version: Version, commits: usize) {
    let joined = Arc::new(Flag::new(false));
    let commit_lock = Flag::new(true);
    let joining = {
        let joined = Arc::clone(&joined);
        spawn(move || joined.set())
    };
    for _ in 0..commits {
        commit(version, &commit_lock, &joined);
    }
    joining.join().unwrap();
}

#[test]
fn v0_hangs_in_the_cancelled_call() {
    let name = "the_seed::v0_hangs_in_the_cancelled_call";
    control(name, &Reason::Deadlock, || history(Version::V0, 1));
}

#[test]
fn v1_looks_mended_to_whoever_looks_at_one_call() {
    let name = "the_seed::v1_looks_mended_to_whoever_looks_at_one_call";
    check(name, || history(Version::V1, 1));
}

#[test]
fn v1_hangs_in_the_next_call() {
    let name = "the_seed::v1_hangs_in_the_next_call";
    control(name, &Reason::Deadlock, || history(Version::V1, 2));
}

#[test]
fn v2_is_mended() {
    check("the_seed::v2_is_mended", || history(Version::V2, 2));
}

/// The shipped core in the same place: a commit during a rebalance, cancelled after so many
/// polls. The member joins all the same, and the next commit comes to its outcome: the lease is
/// handed over by then.
fn ours(polls: usize) {
    let Settled { town, mut driver, handle, lease, deliveries, feed, .. } = settled(false);
    town.begin_rebalance();
    let commit = move |handle: &Handle| handle.commit([entry(&lease, 5)], Duration::from_secs(10));
    let application = {
        let (handle, commit) = (handle.clone(), commit.clone());
        spawn(move || {
            let mut cancelled = commit(&handle);
            for _ in 0..polls {
                let _ = once(|cx| Pin::new(&mut cancelled).poll(cx));
            }
        })
    };
    drive(&mut driver, || town.has_rejoined());
    application.join().unwrap();
    let mut next = commit(&handle);
    let mut outcome = None;
    drive(&mut driver, || {
        outcome = once(|cx| Pin::new(&mut next).poll(cx));
        outcome.is_some()
    });
    let outcome = outcome.expect("the driver goes on").expect("and so do calls");
    assert!(matches!(outcome[..], [(_, PartitionOutcome::Fenced(LeaseEnd::Revoked))]));
    drop((deliveries, feed));
}

#[test]
fn ours_has_nothing_to_forget() {
    for polls in 0..=1 {
        check_whole(format!("the_seed::ours_cancelled_after_{polls}_polls"), move || ours(polls));
    }
}
