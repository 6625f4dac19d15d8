//! Marks, which have no ticket, and what a close reports of them.

use super::*;

#[test]
fn a_mark_has_no_ticket_and_goes_again_for_as_long_as_its_lease_lives() {
    let mut b = Bench::new();
    b.ledger.mark(A, Mark::at(10));
    assert!(b.ledger.outstanding(A));
    assert_eq!(b.ledger.last_failure(A), Some(Withdrawn));
    for _ in 0..20 {
        assert_eq!(b.send(), [(1, 10)]);
        b.answer(Err(Unanswered::Lost));
        b.pass(1_200);
    }
    assert_eq!(b.ledger.last_failure(A), Some(Unknown));
    b.commit_all();
    assert_eq!(b.ledger.last_failure(A), None);
    b.ledger.mark(A, Mark::at(20));
    b.end(A);
    assert_eq!(b.send(), []);
    assert_eq!(b.resolved(), []);
}

#[test]
fn marks_wait_as_one_entry_and_never_commit_the_floor_again() {
    let mut b = Bench::new();
    b.ledger.acknowledged(A, Mark::at(10), None);
    for offset in [10, 9, 12, 15, 14] {
        b.ledger.mark(A, Mark::at(offset));
    }
    assert_eq!(b.ledger.accounts[&A].owners().count(), 1);
    assert_eq!(b.send(), [(1, 15)]);
    for offset in [15, 20, 30] {
        b.ledger.mark(A, Mark::at(offset));
    }
    assert_eq!(b.ledger.accounts[&A].owners().count(), 2);
    b.ok();
    assert_eq!(b.send(), [(1, 30)]);
    b.ok();
    b.ledger.mark(A, Mark::at(30));
    assert_eq!(b.send(), []);
    assert!(!b.ledger.outstanding(A));
}

#[test]
fn a_mark_never_undoes_a_later_manual_commit_and_follows_a_seek_back() {
    let mut b = Bench::new();
    b.ledger.mark(A, Mark::at(10));
    b.call(1, vec![entry(A, 30)]);
    b.ledger.mark(A, Mark::at(20));
    assert_eq!(b.send(), [(1, 30)]);
    b.ledger.rewind(A, 5);
    b.ledger.mark(A, Mark::at(8));
    b.ok();
    assert_eq!(b.send(), [(1, 8)]);
}

#[test]
fn the_last_failure_is_told_until_something_is_acknowledged() {
    let mut b = Bench::new();
    assert_eq!(b.ledger.last_failure(A), None);
    b.ledger.mark(A, Mark::at(10));
    b.send();
    assert_eq!(b.ledger.last_failure(A), Some(Unknown), "out");
    b.all(ErrorCode::TopicAuthorizationFailed);
    let refused = Rejected(ErrorCode::TopicAuthorizationFailed);
    assert_eq!(b.ledger.last_failure(A), Some(refused));
    b.ledger.mark(A, Mark::at(11));
    b.commit_all();
    assert_eq!(b.ledger.last_failure(A), None);
}

#[test]
fn a_mark_after_a_rewind_does_not_join_a_mark_before_it() {
    let seek: fn(&mut Bench) = |b| b.ledger.rewind(A, 5);
    let commit: fn(&mut Bench) = |b| b.call(1, vec![back(A, 5)]);
    for rewind in [seek, commit] {
        let mut b = Bench::new();
        b.ledger.mark(A, Mark::at(30));
        rewind(&mut b);
        b.ledger.mark(A, Mark::at(8));
        assert_eq!(b.send(), [(1, 30)]);
        b.ok();
        assert_eq!(b.send(), [(1, 8)]);
    }
}

#[test]
fn a_cancelled_commit_that_is_acknowledged_is_no_failure() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.send();
    b.ledger.cancel(TicketId(1));
    assert_eq!(b.ledger.last_failure(A), Some(Unknown));
    b.ok();
    assert_eq!(b.ledger.last_failure(A), None);
}
