//! A lease: an assigned partition, its holds and its mark (SPEC L1 to L4).
//!
//! # The word
//!
//! ```text
//!   63                                  3    2     1       0
//!   +------------------------------------+------+-------+----------+
//!   |          number of holds           | LOST | ENDED | REVOKING |
//!   +------------------------------------+------+-------+----------+
//! ```
//!
//! *Flags* are set by the driver alone and never cleared: no flag is `Active`, and a lease that
//! left a state can't come back to it. *Holds* are counted by whoever takes and releases them.
//!
//! **Hold against revocation.** A hold is taken by a compare-exchange that succeeds only while no
//! flag is set; the revocation is one read-modify-write that sets the flag and returns how many
//! holds there were. The word has one modification order, so either the hold is counted in what
//! the revocation saw, or it is refused. After the revocation the count can only fall.
//!
//! **Drained is told, once per revocation.** If the count was zero at the revocation, the driver
//! sees that in what its read-modify-write returns, and posts it itself: through the mailbox like
//! everybody, so that it comes behind what was posted before. If not, whoever takes the count
//! from one to zero *with exactly `REVOKING` set* does. There is no third case, since the count
//! does not rise any more. A lost or ended lease waits for nobody, so nothing is posted for it:
//! losing wins at once, whatever holds it.
//!
//! **Marks are seen.** A mark is written before its hold is released. Each release is `AcqRel`:
//! the last one acquires all that the earlier ones released, and the post (or the driver's own
//! read-modify-write, if nothing was held) carries it on to the driver. With `Release` alone the
//! driver could miss the mark of a hold that was not the last.
//!
//! # The mark
//!
//! Offset and leader epoch are two atomics. The epoch is stored first and read last, with
//! `Release` and `Acquire`: a reader that saw an offset sees its epoch or a newer one, never an
//! older. A newer epoch beside an older offset is harmless: epochs grow along the log, and
//! KIP-320 uses it to notice that the log was truncated below that offset.

use std::fmt;

use handover_machine::{LeaseId, Mark, Time, TopicPartition};

use super::mailbox::Mailbox;
use crate::sync::{Arc, AtomicI32, AtomicI64, AtomicU64, Ordering};

const REVOKING: u64 = 1;
const ENDED: u64 = 2;
const LOST: u64 = 4;
const FLAGS: u64 = REVOKING | ENDED | LOST;
/// One hold.
const HOLD: u64 = 8;
/// The offset of a mark that was never made.
const UNMARKED: i64 = -1;

/// One assignment of one partition to this member. Cheap to clone.
///
/// It is an incarnation: when the partition is revoked and assigned again, there is another
/// lease with another id, and nothing done under this one acts on that.
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner {
    id: LeaseId,
    partition: TopicPartition,
    word: AtomicU64,
    /// The drain deadline in milliseconds. Written by the driver before it sets `REVOKING`, read
    /// by those who saw that flag.
    by: AtomicU64,
    mark_epoch: AtomicI32,
    mark_offset: AtomicI64,
    mailbox: Mailbox,
}

/// Where a lease is between its assignment and its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaseState {
    /// Assigned: it delivers.
    Active,
    /// To be handed over: it delivers nothing more, commits are still good.
    Revoking {
        /// The drain deadline. Whoever still holds the lease then, loses it.
        by: Time,
    },
    /// Handed over.
    Ended,
    /// Gone without a hand-over: another member may own the partition already.
    Lost,
}

impl Lease {
    /// An active one, without a hold or a mark.
    pub fn new(id: LeaseId, partition: TopicPartition, mailbox: Mailbox) -> Lease {
        Lease(Arc::new(Inner {
            id,
            partition,
            word: AtomicU64::new(0),
            by: AtomicU64::new(0),
            mark_epoch: AtomicI32::new(-1),
            mark_offset: AtomicI64::new(UNMARKED),
            mailbox,
        }))
    }

    /// Its name.
    pub fn id(&self) -> LeaseId {
        self.0.id
    }

    /// Its partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.0.partition
    }

    /// Where it is now. Only `Ended` and `Lost` last.
    pub fn state(&self) -> LeaseState {
        let word = self.0.word.load(Ordering::Acquire);
        if word & LOST != 0 {
            LeaseState::Lost
        } else if word & ENDED != 0 {
            LeaseState::Ended
        } else if word & REVOKING != 0 {
            LeaseState::Revoking { by: Time::from_millis(self.0.by.load(Ordering::Relaxed)) }
        } else {
            LeaseState::Active
        }
    }

    /// Keeps the partition here until the hold is dropped, or the drain deadline has passed.
    /// `None` if the lease is no longer active.
    pub fn hold(&self) -> Option<Hold> {
        self.0
            .word
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |word| {
                (word & FLAGS == 0).then_some(word + HOLD)
            })
            .ok()
            .map(|_| Hold { lease: self.clone() })
    }

    /// How many holds there are.
    pub fn holds(&self) -> u64 {
        self.0.word.load(Ordering::Relaxed) / HOLD
    }

    /// How far this lease's records are done, if any is.
    pub fn mark(&self) -> Option<Mark> {
        let offset = self.0.mark_offset.load(Ordering::Acquire);
        let leader_epoch = self.0.mark_epoch.load(Ordering::Acquire);
        (offset != UNMARKED).then_some(Mark { offset, leader_epoch })
    }

    /// Publishes a mark. One thread at a time: the delivery queue does it under its lock.
    pub(crate) fn set_mark(&self, mark: Mark) {
        self.0.mark_epoch.store(mark.leader_epoch, Ordering::Release);
        self.0.mark_offset.store(mark.offset, Ordering::Release);
    }

    /// Forgets the mark: a seek began another count.
    pub(crate) fn clear_mark(&self) {
        self.0.mark_offset.store(UNMARKED, Ordering::Release);
    }

    /// Begins the hand-over, or hastens it. Posts that the lease is drained if nothing holds it;
    /// if something does, the last hold will. The driver's.
    pub fn revoke(&self, by: Time) {
        self.0.by.store(by.as_millis(), Ordering::Relaxed);
        if self.0.word.fetch_or(REVOKING, Ordering::AcqRel) < HOLD {
            self.0.mailbox.drained(self.0.id);
        }
    }

    /// Ends it as handed over. The driver's.
    pub fn end(&self) {
        self.0.word.fetch_or(ENDED, Ordering::AcqRel);
    }

    /// Loses it at once. The driver's.
    pub fn lose(&self) {
        self.0.word.fetch_or(LOST, Ordering::AcqRel);
    }
}

/// Keeps a lease from being handed over while records of it are worked on.
///
/// A value: it is released by `Drop`, so no path forgets it, and only its owner can release it.
/// It bounds nothing by itself: at the drain deadline the lease is lost, held or not.
#[must_use = "a hold that is dropped holds nothing"]
pub struct Hold {
    lease: Lease,
}

impl Hold {
    /// The lease that is held.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// By when this hold should be released, if a hand-over waits for it: finish or stop, mark
    /// or commit, and drop it. [`Time::ZERO`], which is long past, if the lease is lost.
    pub fn handover_wanted(&self) -> Option<Time> {
        match self.lease.state() {
            LeaseState::Active => None,
            LeaseState::Revoking { by } => Some(by),
            LeaseState::Ended | LeaseState::Lost => Some(Time::ZERO),
        }
    }

    /// Says how far the records are done, for the automatic commits and the hand-over. For a
    /// client that fetches by itself: one hold at a time should mark, and not while it seeks.
    /// A [`Delivery`](crate::Delivery) keeps its own count.
    pub fn mark(&self, mark: Mark) {
        self.lease.set_mark(mark);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let before = self.lease.0.word.fetch_sub(HOLD, Ordering::AcqRel);
        if before == HOLD | REVOKING {
            self.lease.0.mailbox.drained(self.lease.0.id);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.0.id.0)
            .field("partition", &self.0.partition)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.lease).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn lease() -> (Mailbox, Lease) {
        let mailbox = Mailbox::new();
        let lease = Lease::new(LeaseId(4), TopicPartition::new("orders", 0), mailbox.clone());
        (mailbox, lease)
    }

    fn drained(mailbox: &Mailbox) -> usize {
        match mailbox.poll_collect(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(mail) => mail.drained.len(),
            Poll::Pending => 0,
        }
    }

    #[test]
    fn the_last_hold_of_a_revoking_lease_is_told_once() {
        let (mailbox, lease) = lease();
        let [first, second] = [(); 2].map(|()| lease.hold().unwrap());
        drop(lease.hold());
        assert_eq!(drained(&mailbox), 0, "the lease is active");
        lease.revoke(Time::from_millis(5));
        assert!(lease.hold().is_none());
        assert_eq!(lease.state(), LeaseState::Revoking { by: Time::from_millis(5) });
        drop(first);
        assert_eq!(drained(&mailbox), 0);
        assert_eq!(second.handover_wanted(), Some(Time::from_millis(5)));
        drop(second);
        assert_eq!(drained(&mailbox), 1);
    }

    #[test]
    fn an_idle_lease_is_drained_at_once_and_when_it_is_hastened() {
        let (mailbox, lease) = lease();
        lease.revoke(Time::from_millis(9));
        assert_eq!(drained(&mailbox), 1);
        lease.revoke(Time::from_millis(5));
        assert_eq!(drained(&mailbox), 1);
        assert_eq!(lease.state(), LeaseState::Revoking { by: Time::from_millis(5) });
        lease.end();
        assert_eq!(lease.state(), LeaseState::Ended);
    }

    #[test]
    fn losing_waits_for_nobody() {
        let (mailbox, lease) = lease();
        let hold = lease.hold().unwrap();
        lease.revoke(Time::from_millis(9));
        lease.lose();
        assert_eq!(hold.handover_wanted(), Some(Time::ZERO));
        drop(hold);
        assert_eq!((lease.state(), drained(&mailbox)), (LeaseState::Lost, 0));
    }

    #[test]
    fn a_mark_is_read_as_it_was_made() {
        let (_mailbox, lease) = lease();
        assert_eq!(lease.mark(), None);
        lease.hold().unwrap().mark(Mark { offset: 0, leader_epoch: 2 });
        assert_eq!(lease.mark(), Some(Mark { offset: 0, leader_epoch: 2 }));
        lease.clear_mark();
        assert_eq!(lease.mark(), None);
    }
}
