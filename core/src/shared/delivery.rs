//! A delivery: some records in the application's hands. See `deliveries.rs` for the protocol.

use std::fmt;
use std::ops::Range;

use handover_machine::{Time, TopicPartition};

use super::deliveries::Queue;
use super::lanes::Queued;
use super::lease::{Hold, Lease};
use super::slot::Wake;
use crate::sync::{Arc, panicking};

/// Records that the application works on, with a hold of their lease.
///
/// Until it is finished the records are the application's obligation: dropped, also by an early
/// return or a panic, what is not done of it is delivered again, from the first such record on
/// (SPEC B3). Records that are done are marked, and the marks are what automatic commits and
/// hand-overs commit: always up to the first record that is not done, in whatever order
/// deliveries are finished.
///
/// ```
/// # use handover_core::Delivery;
/// # struct Record { offset: i64, leader_epoch: i32 }
/// # fn work(_: &Record) -> Result<(), &'static str> { Ok(()) }
/// fn process(mut delivery: Delivery<Vec<Record>>) -> Result<(), &'static str> {
///     // A batch that comes back was done in part: skip what is.
///     let left = delivery.range();
///     for at in 0..delivery.payload().len() {
///         let record = &delivery.payload()[at];
///         let (offset, epoch) = (record.offset, record.leader_epoch);
///         if !left.contains(&offset) {
///             continue;
///         }
///         work(record)?; // on an error, this record and those after it come again
///         delivery.done_through(offset, epoch);
///         if delivery.handover_wanted().is_some() {
///             return Ok(()); // the rest is for whoever gets the partition next
///         }
///     }
///     delivery.finish();
///     Ok(())
/// }
/// ```
#[must_use = "records that are dropped unfinished are delivered again"]
pub struct Delivery<B> {
    /// Taken when it is settled.
    queued: Option<Queued<B>>,
    exhausted: bool,
    queue: Arc<Queue<B>>,
    /// Declared last, so that it is released last.
    hold: Hold,
}

impl<B> Delivery<B> {
    pub(crate) fn new(queued: Queued<B>, hold: Hold, queue: Arc<Queue<B>>) -> Delivery<B> {
        Delivery { queued: Some(queued), exhausted: false, queue, hold }
    }

    /// The lease that they belong to.
    pub fn lease(&self) -> &Lease {
        self.hold.lease()
    }

    /// The partition that they are from.
    pub fn partition(&self) -> &TopicPartition {
        self.hold.lease().partition()
    }

    /// The offsets that are not done. Other records of the payload are to be passed over.
    pub fn range(&self) -> Range<i64> {
        self.queued.as_ref().map_or(0..0, |queued| queued.from..queued.batch.next)
    }

    /// The leader epoch of the last record, or -1.
    pub fn leader_epoch(&self) -> i32 {
        self.queued().batch.leader_epoch
    }

    /// The records.
    pub fn payload(&self) -> &B {
        &self.queued().batch.payload
    }

    /// The records.
    pub fn payload_mut(&mut self) -> &mut B {
        &mut self.queued_mut().batch.payload
    }

    /// By when to let go, if a hand-over waits for this delivery. See [`Hold::handover_wanted`].
    pub fn handover_wanted(&self) -> Option<Time> {
        self.hold.handover_wanted()
    }

    /// The record at `offset` and all before it are done. `false` if it no longer counts: there
    /// was a seek, or the lease is over.
    pub fn done_through(&mut self, offset: i64, leader_epoch: i32) -> bool {
        let queued = self.queued_mut();
        let to = offset.saturating_add(1).min(queued.batch.next);
        let from = queued.from;
        queued.from = from.max(to);
        let (lease, position) = (queued.batch.lease, queued.batch.position);
        self.queue
            .slot
            .change(|lanes| (lanes.done(lease, position, from, to, leader_epoch), Wake::NOBODY))
    }

    /// All of it is done. `false` if it no longer counts.
    pub fn finish(mut self) -> bool {
        self.done_whole()
    }

    /// Passes over what is not done of it: it is not delivered again under this lease, and marks
    /// pass over it as if it were done. `false` if that no longer counts.
    pub fn skip(mut self) -> bool {
        self.done_whole()
    }

    /// Says whether dropping it counts as finishing it, as for a batch whose iterator came to its
    /// end. Not while panicking: then it is delivered again all the same.
    pub fn set_exhausted(&mut self, exhausted: bool) {
        self.exhausted = exhausted;
    }

    fn done_whole(&mut self) -> bool {
        let batch = &self.queued().batch;
        let (last, epoch) = (batch.next - 1, batch.leader_epoch);
        self.done_through(last, epoch)
    }

    fn queued(&self) -> &Queued<B> {
        // Only `drop` takes it.
        self.queued.as_ref().expect("a delivery that is not dropped has its batch")
    }

    fn queued_mut(&mut self) -> &mut Queued<B> {
        self.queued.as_mut().expect("a delivery that is not dropped has its batch")
    }
}

impl<B> Drop for Delivery<B> {
    fn drop(&mut self) {
        if self.exhausted && !panicking() {
            self.done_whole();
        }
        let Some(queued) = self.queued.take() else { return };
        let done = queued.from >= queued.batch.next;
        let void = if done {
            Some(queued)
        } else {
            self.queue.slot.change(|lanes| lanes.give_back(queued))
        };
        drop(void);
    }
}

impl<B> fmt::Debug for Delivery<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("lease", self.hold.lease())
            .field("range", &self.range())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::{Context, Poll, Waker};

    use handover_machine::{LeaseId, Mark, SeekTo, Start, Time, TopicPartition};

    use super::*;
    use crate::shared::deliveries::{Deliveries, delivery};
    use crate::shared::feed::Feed;
    use crate::shared::lanes::{Batch, Change, Position, Refused};
    use crate::shared::mailbox::Mailbox;

    const BUDGET: usize = 100;

    struct Bench {
        queue: Arc<Queue<&'static str>>,
        feed: Feed<&'static str>,
        deliveries: Deliveries<&'static str>,
        leases: Vec<Lease>,
    }

    impl Bench {
        /// Leases 0 and 1, open from offset 0 on.
        fn new() -> Bench {
            let mailbox = Mailbox::new();
            let (queue, feed, deliveries) = delivery(BUDGET, mailbox.clone());
            let partition = |id| TopicPartition::new("orders", id as i32);
            let lease = |id| Lease::new(LeaseId(id), partition(id), mailbox.clone());
            let leases: Vec<Lease> = (0..2).map(lease).collect();
            for lease in &leases {
                queue.grant(lease.clone());
                queue.start(lease.id(), Start::Committed(Mark::at(0)));
            }
            Bench { queue, feed, deliveries, leases }
        }

        fn push(&mut self, lease: u64, range: Range<i64>) -> Result<(), Refused> {
            self.push_at(lease, range, Position(1))
        }

        fn push_at(
            &mut self,
            lease: u64,
            range: Range<i64>,
            position: Position,
        ) -> Result<(), Refused> {
            let (first, next) = (range.start, range.end);
            let lease = LeaseId(lease);
            let bytes = usize::try_from(next - first).unwrap_or(0);
            let batch =
                Batch { lease, position, first, next, leader_epoch: 5, bytes, payload: "some" };
            self.feed.push(batch).map_err(|(refused, _)| refused)
        }

        fn next(&mut self) -> Option<Delivery<&'static str>> {
            match self.deliveries.poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(next) => next,
                Poll::Pending => None,
            }
        }

        fn change(&mut self) -> Option<Change> {
            match self.feed.poll_change(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(change) => change,
                Poll::Pending => None,
            }
        }

        fn has_room(&mut self) -> bool {
            self.feed.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
        }

        fn mark(&self, lease: usize) -> Option<i64> {
            self.leases[lease].mark().map(|mark| mark.offset)
        }
    }

    #[test]
    fn what_is_dropped_unfinished_comes_again_from_its_first_unmarked_record() {
        let mut bench = Bench::new();
        bench.push(0, 0..10).unwrap();
        bench.push(0, 10..20).unwrap();
        let mut first = bench.next().unwrap();
        let second = bench.next().unwrap();
        assert!(first.done_through(3, 5));
        drop(second);
        drop(first);
        let again = bench.next().unwrap();
        assert_eq!(again.range(), 4..10, "in order, although it was dropped last");
        assert!(again.finish());
        assert_eq!(bench.next().unwrap().range(), 10..20);
        assert_eq!(bench.mark(0), Some(10));
    }

    #[test]
    fn a_panic_gives_back_what_was_exhausted() {
        let mut bench = Bench::new();
        bench.push(0, 0..10).unwrap();
        let mut delivery = bench.next().unwrap();
        delivery.set_exhausted(true);
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _delivery = delivery;
            panic!("in the application");
        }));
        assert!(panicked.is_err());
        let mut again = bench.next().unwrap();
        assert_eq!((again.range(), bench.mark(0)), (0..10, None));
        again.set_exhausted(true);
        drop(again);
        assert_eq!(bench.mark(0), Some(10));
    }

    #[test]
    fn finished_out_of_order_the_mark_advances_contiguously() {
        let mut bench = Bench::new();
        for at in [0, 10, 20] {
            bench.push(0, at..at + 10).unwrap();
        }
        let [a, b, c] = [(); 3].map(|()| bench.next().unwrap());
        assert!(c.finish());
        assert!(b.skip());
        assert_eq!(bench.mark(0), None);
        assert!(a.finish());
        assert_eq!(bench.leases[0].mark(), Some(Mark { offset: 30, leader_epoch: 5 }));
    }

    #[test]
    fn leases_take_turns() {
        let mut bench = Bench::new();
        for at in [0, 10, 20] {
            bench.push(0, at..at + 10).unwrap();
        }
        bench.push(1, 0..10).unwrap();
        let turns: Vec<u64> =
            std::iter::from_fn(|| bench.next().map(|d| (d.lease().id().0, d.skip()).0)).collect();
        assert_eq!(turns, [0, 1, 0, 0]);
    }

    #[test]
    fn a_seek_purges_and_voids() {
        let mut bench = Bench::new();
        assert!(matches!(bench.change(), Some(Change::Open { position: Position(1), .. })));
        bench.push(0, 0..10).unwrap();
        bench.push(0, 10..20).unwrap();
        let mut out = bench.next().unwrap();
        assert!(out.done_through(1, 5));
        bench.queue.start(LeaseId(0), Start::Seek(SeekTo::Offset(70)));
        assert!(!out.done_through(4, 5), "a mark of the old position");
        drop(out);
        assert!(bench.next().is_none(), "neither the queued nor the dropped one");
        assert_eq!(bench.mark(0), None);
        assert_eq!(bench.push(0, 20..30), Err(Refused::Moved));
        assert!(matches!(bench.change(), Some(Change::Seek { position: Position(2), .. })));
        bench.push_at(0, 70..80, Position(2)).unwrap();
        assert_eq!(bench.next().unwrap().range(), 70..80);
    }

    #[test]
    fn pushes_touch() {
        let mut bench = Bench::new();
        bench.push(0, 5..10).unwrap();
        assert_eq!(bench.push(0, 11..12), Err(Refused::Gap { expected: 10 }));
        assert_eq!(bench.push(0, 10..10), Err(Refused::Gap { expected: 10 }));
    }

    #[test]
    fn a_gap_in_the_log_is_passed_over() {
        let mut bench = Bench::new();
        bench.push(0, 5..10).unwrap();
        assert_eq!(bench.feed.moved(LeaseId(0), Position(1), 50), Ok(Position(1)));
        bench.push(0, 50..60).unwrap();
        let [a, b] = [(); 2].map(|()| bench.next().unwrap());
        assert!(b.finish());
        assert_eq!(bench.mark(0), None);
        assert!(a.finish());
        assert_eq!(bench.mark(0), Some(60));
    }

    #[test]
    fn a_log_that_was_truncated_voids_what_was_fetched() {
        let mut bench = Bench::new();
        bench.push(0, 0..10).unwrap();
        bench.push(0, 10..20).unwrap();
        let mut out = bench.next().unwrap();
        assert!(out.done_through(8, 5));
        assert_eq!(bench.feed.moved(LeaseId(0), Position(1), 4), Ok(Position(2)));
        assert_eq!((out.finish(), bench.mark(0)), (false, None));
        assert!(bench.next().is_none());
        assert_eq!(bench.feed.moved(LeaseId(0), Position(1), 4), Err(Refused::Moved));
        bench.push_at(0, 4..6, Position(2)).unwrap();
        assert!(bench.next().unwrap().finish());
        assert_eq!(bench.mark(0), Some(6));
    }

    #[test]
    fn nothing_is_delivered_after_a_revocation_began() {
        let mut bench = Bench::new();
        bench.push(0, 0..10).unwrap();
        bench.push(0, 10..20).unwrap();
        let out = bench.next().unwrap();
        bench.leases[0].revoke(Time::from_millis(7));
        assert_eq!(out.handover_wanted(), Some(Time::from_millis(7)));
        assert!(bench.next().is_none(), "before the driver purged it");
        bench.queue.close(LeaseId(0));
        assert_eq!(bench.push(0, 20..30), Err(Refused::Closed));
        assert!(out.finish(), "marks still count");
        assert_eq!(bench.mark(0), Some(10));
        bench.queue.remove(LeaseId(0));
        let opened = bench.change();
        assert!(matches!(opened, Some(Change::Open { lease: LeaseId(1), .. })));
        assert_eq!(bench.change(), None, "lease 0 was opened and closed unseen");
    }

    #[test]
    fn a_dropped_delivery_of_a_revoked_lease_does_not_come_again() {
        let mut bench = Bench::new();
        bench.push(0, 0..100).unwrap();
        let out = bench.next().unwrap();
        bench.leases[0].revoke(Time::ZERO);
        bench.queue.close(LeaseId(0));
        drop(out);
        assert!(bench.next().is_none());
        assert_eq!((bench.mark(0), bench.leases[0].holds()), (None, 0));
        assert!(bench.has_room(), "nor does it take up room");
    }

    #[test]
    fn a_paused_lease_neither_delivers_nor_starves_the_others() {
        let mut bench = Bench::new();
        bench.push(0, 0..90).unwrap();
        assert!(bench.deliveries.valve().pause(LeaseId(0)));
        assert!(bench.next().is_none());
        assert!(!bench.feed.wants(LeaseId(0)));
        assert!(bench.feed.wants(LeaseId(1)));
        bench.push(1, 0..100).unwrap();
        assert!(!bench.has_room(), "the budget is used up");
        let other = bench.next().unwrap();
        assert!(bench.has_room());
        assert!(bench.deliveries.valve().resume(LeaseId(0)));
        assert_eq!(bench.next().unwrap().lease().id(), LeaseId(0));
        drop(other);
        assert!(!bench.has_room(), "what was given back counts again");
    }

    #[test]
    fn delivery_stops_and_resumes_as_a_whole() {
        let mut bench = Bench::new();
        while bench.change().is_some() {}
        bench.push(0, 0..10).unwrap();
        bench.queue.deliver(false);
        assert!(bench.next().is_none());
        assert_eq!(bench.change(), Some(Change::Deliver(false)));
        bench.queue.deliver(true);
        bench.queue.deliver(false);
        bench.queue.deliver(true);
        assert_eq!(bench.change(), Some(Change::Deliver(true)));
        assert!(bench.next().is_some());
    }
}
