//! Requests of dead connections that land late (SPEC C8).

use super::*;

/// A lost commit at 30, then one at 40 that was acknowledged.
fn haunted() -> Bench {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 30), entry(B, 30)]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.pass(200);
    b.call(2, vec![noted(A, 40, "forty"), entry(B, 40)]);
    b.commit_all();
    b.ledger.end(B, LeaseEnd::Revoked);
    b.resolved();
    b
}

#[test]
fn what_stands_is_committed_again_with_its_note_for_leases_with_a_straggler() {
    let mut b = haunted();
    let fresh = LeaseId(5);
    b.ledger.open(fresh, place(fresh));
    b.call(3, vec![entry(fresh, 1)]);
    b.commit_all();
    for _ in 0..2 {
        b.ledger.mend();
        b.ledger.invariants();
        assert!(b.ledger.outstanding(A));
        let request = b.request().unwrap();
        assert_eq!(request.len(), 1);
        assert_eq!((request[0].offset, request[0].metadata.as_deref()), (40, Some("forty")));
        b.ok();
        assert!(!b.ledger.outstanding(A));
    }
}

#[test]
fn an_error_is_no_straggler() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 30)]);
    b.send();
    b.all(ErrorCode::NotCoordinator);
    b.pass(200);
    b.commit_all();
    b.ledger.mend();
    assert_eq!(b.send(), []);
}

#[test]
fn a_request_that_was_out_when_it_was_asked_for_mends_nothing() {
    let mut b = haunted();
    b.call(3, vec![entry(A, 50)]);
    b.send();
    b.ledger.mend();
    b.ok();
    assert_eq!(b.send(), [(1, 50)]);
    b.ok();
    assert_eq!(b.send(), []);
}

#[test]
fn a_mend_goes_again_until_it_is_answered_or_its_lease_ends() {
    let mut b = haunted();
    b.ledger.mend();
    for answer in [Err(Unanswered::Lost), Err(Unanswered::NotSent)] {
        assert_eq!(b.send(), [(1, 40)]);
        b.answer(answer);
        assert!(b.ledger.outstanding(A));
        b.pass(300);
    }
    b.send();
    b.all(ErrorCode::TopicAuthorizationFailed);
    assert!(!b.ledger.outstanding(A));
    b.ledger.mend();
    b.end(A);
    assert_eq!(b.send(), []);
}

#[test]
fn what_is_asked_for_meanwhile_mends_too() {
    let mut b = haunted();
    b.ledger.mend();
    b.call(3, vec![entry(A, 50)]);
    assert_eq!(b.send(), [(1, 50)]);
    b.ok();
    assert_eq!(b.send(), []);
}

#[test]
fn a_mend_after_a_seek_back_keeps_what_stood_and_lower_commits_are_still_meant() {
    let mut b = haunted();
    b.ledger.rewind(A, 5);
    b.ledger.mend();
    assert_eq!(b.send(), [(1, 40)]);
    b.ok();
    b.call(3, vec![entry(A, 7)]);
    assert_eq!(b.send(), [(1, 7)]);
    b.ok();
    b.ledger.mend();
    assert_eq!(b.send(), [(1, 7)]);
}

#[test]
fn a_seek_back_while_a_mend_is_out_takes_effect_behind_it() {
    let mut b = haunted();
    b.ledger.mend();
    assert_eq!(b.send(), [(1, 40)]);
    b.ledger.rewind(A, 5);
    b.call(3, vec![entry(A, 7)]);
    b.ok();
    assert_eq!(b.resolved(), []);
    assert_eq!(b.send(), [(1, 7)]);
}

#[test]
fn a_fetched_offset_above_a_straggler_is_what_stands() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 50)]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.ledger.acknowledged(A, Mark::at(100), Some(Name::from("hundred")));
    assert_eq!(b.resolved(), [(1, vec![Committed { at: 100 }])]);
    b.ledger.mend();
    b.pass(200);
    let request = b.request().unwrap();
    assert_eq!((request[0].offset, request[0].metadata.as_deref()), (100, Some("hundred")));
}
