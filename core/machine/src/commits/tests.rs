//! One test for each rule of the ledger, named as the rule.

extern crate std;

use alloc::format;
use alloc::vec::Vec;
use std::vec;

use super::*;
use crate::LossReason;
use PartitionOutcome::{Committed, Fenced, Rejected, Unknown, Withdrawn};

mod answers;
mod doubt;
mod ends;
mod marks;
mod rewinds;
mod sampled;
mod sizes;
mod stragglers;

const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1_000));
const A: LeaseId = LeaseId(1);
const B: LeaseId = LeaseId(2);
const LOST: LeaseEnd = LeaseEnd::Lost(LossReason::IllegalGeneration);
/// The codes after which a commit may have been applied.
const DOUBT: [ErrorCode; 3] =
    [ErrorCode::CoordinatorNotAvailable, ErrorCode::NotCoordinator, ErrorCode::RequestTimedOut];

/// A ledger with its clock, and words for what the tests do most.
struct Bench {
    ledger: Ledger,
    now: Time,
    /// The partitions of the request that is out.
    out: Vec<TopicPartition>,
}

/// Where lease `n` is: partition `n` of one topic.
fn place(lease: LeaseId) -> TopicPartition {
    TopicPartition::new("orders", lease.0 as i32)
}

fn entry(lease: LeaseId, offset: i64) -> ResolvedEntry {
    let mark = Mark::at(offset);
    ResolvedEntry { partition: place(lease), lease: Ok(lease), mark, metadata: None, rewind: false }
}

fn back(lease: LeaseId, offset: i64) -> ResolvedEntry {
    ResolvedEntry { rewind: true, ..entry(lease, offset) }
}

fn noted(lease: LeaseId, offset: i64, note: &str) -> ResolvedEntry {
    ResolvedEntry { metadata: Some(Name::from(note)), ..entry(lease, offset) }
}

impl Bench {
    /// With the leases A and B.
    fn new() -> Bench {
        let mut ledger = Ledger::new(BACKOFF);
        ledger.open(A, place(A));
        ledger.open(B, place(B));
        Bench { ledger, now: Time::from_millis(1_000), out: Vec::new() }
    }

    /// A call with a deadline in ten seconds.
    fn call(&mut self, ticket: u64, entries: Vec<ResolvedEntry>) {
        let deadline = self.now + Duration::from_secs(10);
        self.ledger.commit(self.now, TicketId(ticket), entries, deadline);
        self.ledger.invariants();
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.ledger.expire(self.tick());
        self.ledger.invariants();
    }

    fn tick(&self) -> Tick {
        Tick { now: self.now, woken: true }
    }

    fn request(&mut self) -> Option<Vec<OffsetToCommit>> {
        let request = self.ledger.next(self.tick());
        self.ledger.invariants();
        if let Some(request) = &request {
            self.out = request.iter().map(|o| o.partition.clone()).collect();
        }
        request
    }

    /// The request that goes now, as partition and offset.
    fn send(&mut self) -> Vec<(i32, i64)> {
        let request = self.request().unwrap_or_default();
        request.iter().map(|o| (o.partition.partition, o.offset)).collect()
    }

    fn answer(
        &mut self,
        answer: Result<Vec<(TopicPartition, ErrorCode)>, Unanswered>,
    ) -> CommitEffect {
        let effect = self.ledger.answered(self.now, answer);
        self.ledger.invariants();
        effect
    }

    /// The same error for each partition that was asked.
    fn all(&mut self, error: ErrorCode) -> CommitEffect {
        let errors = self.out.iter().map(|p| (p.clone(), error)).collect();
        self.answer(Ok(errors))
    }

    fn ok(&mut self) {
        assert_eq!(self.all(ErrorCode::None), CommitEffect::Nothing);
    }

    /// Sends what there is, which is acknowledged.
    fn commit_all(&mut self) {
        while !self.send().is_empty() {
            self.ok();
        }
    }

    fn end(&mut self, lease: LeaseId) {
        self.ledger.end(lease, LOST);
        self.ledger.invariants();
    }

    /// What resolved since the last time: ticket and outcomes.
    fn resolved(&mut self) -> Vec<(u64, Vec<PartitionOutcome>)> {
        let mut all = Vec::new();
        while let Some((ticket, outcomes)) = self.ledger.poll_resolved() {
            all.push((ticket.0, outcomes.into_iter().map(|(_, outcome)| outcome).collect()));
        }
        all
    }
}

#[test]
fn a_call_resolves_once_with_one_outcome_for_each_entry_in_the_order_of_the_call() {
    let mut b = Bench::new();
    let gone = ResolvedEntry { lease: Err(LeaseEnd::Revoked), ..entry(LeaseId(3), 5) };
    b.call(1, vec![entry(B, 20), gone, entry(A, 10), entry(LeaseId(9), 1)]);
    assert_eq!(b.send(), [(1, 10), (2, 20)]);
    assert_eq!(b.resolved(), [], "two entries are open");
    b.ok();
    let resolved = b.ledger.poll_resolved();
    let expected = vec![
        (place(B), Committed { at: 20 }),
        (place(LeaseId(3)), Fenced(LeaseEnd::Revoked)),
        (place(A), Committed { at: 10 }),
        (place(LeaseId(9)), Fenced(LeaseEnd::NotHeld)),
    ];
    assert_eq!(resolved, Some((TicketId(1), expected)));
    assert_eq!(b.resolved(), []);
}

#[test]
fn a_call_without_entries_resolves_at_once() {
    let mut b = Bench::new();
    b.call(1, vec![]);
    assert_eq!(b.resolved(), [(1, vec![])]);
    assert_eq!(b.ledger.windows()[0], Window::NEVER);
}

#[test]
fn one_request_is_out_at_a_time_and_what_is_asked_meanwhile_goes_in_the_next() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    assert_eq!(b.send(), [(1, 10)]);
    assert!(b.ledger.in_flight());
    b.call(2, vec![entry(A, 20), entry(B, 5)]);
    b.call(3, vec![entry(A, 30)]);
    assert_eq!(b.send(), []);
    b.ok();
    assert_eq!(b.resolved(), [(1, vec![Committed { at: 10 }])]);
    assert_eq!(b.send(), [(1, 30), (2, 5)]);
    b.ok();
    let committed = |at| Committed { at };
    assert_eq!(b.resolved(), [(3, vec![committed(30)]), (2, vec![committed(30), committed(5)])]);
    assert!(!b.ledger.in_flight());
}

#[test]
fn the_highest_offset_goes_with_its_own_epoch_and_note_and_covers_the_lower_ones() {
    let mut b = Bench::new();
    let mut high = noted(A, 30, "thirty");
    high.mark.leader_epoch = 7;
    b.call(1, vec![noted(A, 10, "ten")]);
    b.call(2, vec![high]);
    b.call(3, vec![noted(A, 20, "twenty")]);
    let request = b.request().unwrap();
    assert_eq!(
        request,
        [OffsetToCommit {
            partition: place(A),
            offset: 30,
            leader_epoch: 7,
            metadata: Some(Name::from("thirty")),
        }]
    );
    b.ok();
    let at = vec![Committed { at: 30 }];
    assert_eq!(b.resolved(), [(1, at.clone()), (2, at.clone()), (3, at)]);
    assert_eq!(b.ledger.committed(A), Some(Mark { offset: 30, leader_epoch: 7 }));
}

#[test]
fn of_equal_offsets_the_later_note_counts() {
    let mut b = Bench::new();
    b.call(1, vec![noted(A, 10, "first")]);
    b.call(2, vec![noted(A, 10, "second")]);
    assert_eq!(b.request().unwrap()[0].metadata, Some(Name::from("second")));
    b.ok();
    b.call(3, vec![noted(A, 10, "third")]);
    assert_eq!(b.request().unwrap()[0].metadata, Some(Name::from("third")));
}

#[test]
fn equal_futures_are_equal_whenever_they_are() {
    let run = |from: u64| {
        let mut b = Bench::new();
        b.now = Time::from_millis(from);
        b.call(1, vec![entry(A, 10), entry(B, 10)]);
        b.send();
        b.answer(Ok(vec![(place(A), ErrorCode::UnknownTopicId), (place(B), DOUBT[0])]));
        b.call(2, vec![entry(B, 11)]);
        b.ledger.commit(b.now, TicketId(3), vec![entry(B, 12)], Time::NEVER);
        b.ledger.rebase(b.now);
        b.ledger.invariants();
        b.ledger
    };
    assert_eq!(run(1_000), run(777_000));
    assert_eq!(run(5).windows()[0], Window::at(Time::from_millis(10_000)));
}
