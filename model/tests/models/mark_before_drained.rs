//! Whoever learns that a lease is drained finds every mark that was made under its holds, with an
//! epoch that is not older than the offset (SPEC L4, P6).

use handover_machine::{Mark, Time};

use super::check::{Reason, check, control};
use super::fixture::{LEASE, collect, lease};
use crate::backend::core::parts::{Arc, Mailbox};
use crate::backend::{CHECKER, spawn, sync};

/// Both holds are released at once; the mark is under the other thread's. If this thread's was
/// the last it must see that mark all the same.
#[test]
fn the_last_release_sees_the_marks_of_all() {
    check("mark_before_drained::the_last_release_sees_the_marks_of_all", || {
        let mailbox = Mailbox::new();
        let lease = lease(&mailbox);
        let [mine, theirs] = [(); 2].map(|()| lease.hold().expect("it is active"));
        lease.revoke(Time::ZERO);
        let application = spawn(move || {
            theirs.mark(Mark::at(7));
            drop(theirs);
        });
        drop(mine);
        if collect(&mailbox).is_some_and(|mail| mail.drained.contains(&LEASE)) {
            assert_eq!(lease.mark(), Some(Mark::at(7)), "the mark was not seen");
        }
        application.join().unwrap();
    });
}

/// The same when nothing holds the lease any more at the revocation.
#[test]
fn the_revocation_sees_the_marks_of_all() {
    check("mark_before_drained::the_revocation_sees_the_marks_of_all", || {
        let mailbox = Mailbox::new();
        let lease = lease(&mailbox);
        let hold = lease.hold().expect("it is active");
        let application = spawn(move || {
            hold.mark(Mark::at(7));
            drop(hold);
        });
        lease.revoke(Time::ZERO);
        if collect(&mailbox).is_some_and(|mail| mail.drained.contains(&LEASE)) {
            assert_eq!(lease.mark(), Some(Mark::at(7)), "the mark was not seen");
        }
        application.join().unwrap();
    });
}

#[test]
fn an_epoch_is_never_older_than_its_offset() {
    check("mark_before_drained::an_epoch_is_never_older_than_its_offset", || {
        let lease = lease(&Mailbox::new());
        let hold = lease.hold().expect("it is active");
        let application = spawn(move || {
            hold.mark(Mark { offset: 10, leader_epoch: 1 });
            hold.mark(Mark { offset: 20, leader_epoch: 2 });
        });
        if let Some(mark) = lease.mark() {
            assert!(i64::from(mark.leader_epoch) >= mark.offset / 10, "an old epoch: {mark:?}");
        }
        application.join().unwrap();
    });
}

/// A release that does not acquire: the last one to leave has not seen what the others did.
/// shuttle can't notice, since all its atomics are sequentially consistent.
#[test]
fn a_release_that_does_not_acquire_is_noticed() {
    if CHECKER == "shuttle" {
        return;
    }
    let reason = Reason::Says("the mark was not seen");
    control("mark_before_drained::a_release_that_does_not_acquire_is_noticed", &reason, || {
        let words = Arc::new((sync::AtomicU64::new(2), sync::AtomicU64::new(0)));
        let application = {
            let words = Arc::clone(&words);
            spawn(move || {
                words.1.store(7, sync::Ordering::Release);
                words.0.fetch_sub(1, sync::Ordering::Release);
            })
        };
        if words.0.fetch_sub(1, sync::Ordering::Release) == 1 {
            assert_eq!(words.1.load(sync::Ordering::Relaxed), 7, "the mark was not seen");
        }
        application.join().unwrap();
    });
}

/// Offset first, epoch second: whoever reads in between sees the new offset with the old epoch.
#[test]
fn the_other_order_is_noticed() {
    let reason = Reason::Says("an old epoch");
    control("mark_before_drained::the_other_order_is_noticed", &reason, || {
        let words = Arc::new((sync::AtomicU64::new(0), sync::AtomicU64::new(0)));
        let application = {
            let words = Arc::clone(&words);
            spawn(move || {
                for epoch in [1, 2] {
                    words.0.store(epoch * 10, sync::Ordering::Release);
                    words.1.store(epoch, sync::Ordering::Release);
                }
            })
        };
        let offset = words.0.load(sync::Ordering::Acquire);
        let epoch = words.1.load(sync::Ordering::Acquire);
        assert!(epoch >= offset / 10, "an old epoch: {epoch} at {offset}");
        application.join().unwrap();
    });
}
