//! Leases that end (SPEC C6), calls that end early (SPEC C10), the end of a close.

use super::*;

#[test]
fn nothing_is_sent_for_a_lease_that_ended() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10), entry(B, 10)]);
    b.end(A);
    assert_eq!(b.send(), [(2, 10)]);
    b.ok();
    b.call(2, vec![entry(A, 11)]);
    assert_eq!(b.send(), []);
    let fenced = Fenced(LOST);
    assert_eq!(b.resolved()[0], (1, vec![fenced, Committed { at: 10 }]));
    b.ledger.mark(A, Mark::at(12));
    b.ledger.rewind(A, 0);
    b.ledger.acknowledged(A, Mark::at(3), None);
    assert_eq!(b.send(), []);
}

#[test]
fn a_commit_that_is_out_when_its_lease_ends_waits_for_its_answer() {
    let answers: [(Result<ErrorCode, Unanswered>, PartitionOutcome); 7] = [
        (Ok(ErrorCode::None), Committed { at: 10 }),
        (Ok(ErrorCode::IllegalGeneration), Fenced(LOST)),
        (Ok(ErrorCode::StaleMemberEpoch), Fenced(LOST)),
        (Ok(ErrorCode::TopicAuthorizationFailed), Rejected(ErrorCode::TopicAuthorizationFailed)),
        (Ok(ErrorCode::NotCoordinator), Unknown),
        (Err(Unanswered::NotSent), Fenced(LOST)),
        (Err(Unanswered::Lost), Unknown),
    ];
    for (answer, outcome) in answers {
        let mut b = Bench::new();
        b.call(1, vec![entry(A, 10)]);
        b.send();
        b.call(2, vec![entry(A, 20)]);
        b.end(A);
        assert_eq!(b.resolved(), [(2, vec![Fenced(LOST)])], "the second was never sent");
        assert!(b.ledger.outstanding(A));
        b.answer(answer.map(|error| vec![(place(A), error)]));
        assert_eq!(b.resolved(), [(1, vec![outcome])]);
        assert!(!b.ledger.outstanding(A));
        assert_eq!(b.ledger.accounts.len(), 1, "nothing of the lease is left");
        b.pass(200);
        assert_eq!(b.send(), []);
    }
}

#[test]
fn an_entry_of_one_lease_says_nothing_about_the_next_of_the_same_partition() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 50)]);
    b.send();
    b.end(A);
    let again = LeaseId(7);
    b.ledger.open(again, place(A));
    b.call(2, vec![ResolvedEntry { lease: Ok(again), ..entry(A, 20) }]);
    b.ok();
    assert_eq!(b.ledger.committed(again), None);
    assert_eq!(b.send(), [(1, 20)]);
}

#[test]
fn a_cancelled_call_resolves_at_once_and_what_was_not_sent_is_withdrawn() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10), entry(B, 10)]);
    b.ledger.cancel(TicketId(1));
    b.ledger.invariants();
    assert_eq!(b.resolved(), [(1, vec![Withdrawn, Withdrawn])]);
    assert_eq!(b.send(), []);
    b.ledger.cancel(TicketId(1));
    b.ledger.cancel(TicketId(99));
    assert_eq!(b.resolved(), []);
}

#[test]
fn a_cancelled_commit_that_is_out_finishes_in_order_and_is_not_sent_again() {
    let answers = [Ok(ErrorCode::None), Ok(ErrorCode::RebalanceInProgress), Err(Unanswered::Lost)];
    for answer in answers {
        let mut b = Bench::new();
        b.call(1, vec![entry(A, 10)]);
        b.send();
        b.ledger.cancel(TicketId(1));
        assert_eq!(b.resolved(), [(1, vec![Unknown])]);
        assert!(b.ledger.outstanding(A), "a hand-over waits for its answer");
        b.call(2, vec![entry(A, 5)]);
        assert_eq!(b.send(), []);
        b.answer(answer.map(|error| vec![(place(A), error)]));
        b.pass(200);
        let sent = b.send();
        b.ok();
        let (next, at): (&[(i32, i64)], i64) = match answer {
            Ok(ErrorCode::None) => (&[], 10),
            Ok(_) => (&[(1, 5)], 5),
            Err(_) => (&[(1, 10)], 10),
        };
        assert_eq!(sent, next, "{answer:?}");
        assert_eq!(b.resolved(), [(2, vec![Committed { at }])]);
        assert_eq!(b.send(), []);
    }
}

#[test]
fn at_the_deadline_what_was_sent_is_unknown_and_what_was_not_is_withdrawn() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.send();
    b.pass(1);
    b.call(2, vec![entry(A, 20)]);
    assert_eq!(b.ledger.windows()[0], Window::at(Time::from_millis(11_000)));
    b.pass(9_998);
    assert_eq!(b.resolved(), []);
    b.pass(1);
    assert_eq!(b.resolved(), [(1, vec![Unknown])]);
    b.pass(1);
    assert_eq!(b.resolved(), [(2, vec![Withdrawn])]);
    assert_eq!(b.ledger.windows()[0], Window::NEVER);
    b.ok();
    assert_eq!(b.ledger.committed(A), Some(Mark::at(10)));
    assert_eq!(b.resolved(), []);
}

#[test]
fn a_deadline_that_is_past_leaves_only_what_needs_no_request() {
    let mut b = Bench::new();
    b.ledger.acknowledged(A, Mark::at(20), None);
    b.ledger.commit(b.now, TicketId(1), vec![entry(A, 10), entry(B, 10)], b.now);
    assert_eq!(b.resolved(), [(1, vec![Committed { at: 20 }, Withdrawn])]);
    assert_eq!(b.send(), []);
}

#[test]
fn closing_off_resolves_everything_and_awaits_no_answer() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.send();
    b.call(2, vec![entry(A, 20), entry(B, 20)]);
    b.ledger.mark(B, Mark::at(30));
    b.end(A);
    b.ledger.close_off();
    b.ledger.invariants();
    assert!(!b.ledger.in_flight());
    assert_eq!(b.resolved(), [(1, vec![Unknown]), (2, vec![Fenced(LOST), Withdrawn])]);
    assert_eq!(b.ledger.last_failure(B), Some(Withdrawn));
    assert_eq!(b.all(ErrorCode::FencedInstanceId), CommitEffect::Nothing, "too late");
    assert_eq!(b.ledger.windows(), [Window::NEVER, Window::NEVER]);
}
