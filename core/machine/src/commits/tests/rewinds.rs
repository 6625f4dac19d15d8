//! The floor, and going back behind it (SPEC C4).

use super::*;

#[test]
fn an_offset_below_the_floor_is_committed_without_a_request() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 20)]);
    b.commit_all();
    b.call(2, vec![entry(A, 15)]);
    assert_eq!(b.send(), []);
    assert_eq!(b.resolved(), [(1, vec![Committed { at: 20 }]), (2, vec![Committed { at: 20 }])]);
}

#[test]
fn the_fetched_offset_is_the_first_floor_also_for_what_was_asked_before_it_came() {
    let mut b = Bench::new();
    assert_eq!(b.ledger.committed(A), None);
    b.call(1, vec![entry(A, 15), entry(B, 15)]);
    b.ledger.acknowledged(A, Mark::at(20), None);
    assert_eq!(b.send(), [(2, 15)]);
    b.ok();
    assert_eq!(b.resolved(), [(1, vec![Committed { at: 20 }, Committed { at: 15 }])]);
    assert_eq!(b.ledger.committed(A), Some(Mark::at(20)));
}

#[test]
fn a_late_fetch_overwrites_neither_a_commit_nor_a_rewind() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.commit_all();
    b.ledger.acknowledged(A, Mark::at(50), None);
    assert_eq!(b.ledger.committed(A), Some(Mark::at(10)));
    b.ledger.rewind(B, 5);
    b.ledger.acknowledged(B, Mark::at(50), None);
    b.call(2, vec![entry(A, 11), entry(B, 7)]);
    assert_eq!(b.send(), [(1, 11), (2, 7)]);
}

#[test]
fn a_rewind_is_sent_after_what_was_asked_before_it_and_never_merged_with_it() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.call(2, vec![entry(A, 20)]);
    b.call(3, vec![back(A, 5)]);
    b.call(4, vec![entry(A, 7)]);
    b.call(5, vec![back(A, 2)]);
    assert_eq!(b.send(), [(1, 20)]);
    b.ok();
    assert_eq!(b.send(), [(1, 7)]);
    b.ok();
    assert_eq!(b.send(), [(1, 2)]);
    b.ok();
    let outcomes: Vec<_> = b.resolved().into_iter().map(|(t, o)| (t, o[0])).collect();
    let at = |at| Committed { at };
    assert_eq!(outcomes, [(1, at(20)), (2, at(20)), (3, at(7)), (4, at(7)), (5, at(2))]);
    assert_eq!(b.ledger.committed(A), Some(Mark::at(2)));
}

#[test]
fn after_a_seek_back_lower_commits_are_meant_and_before_it_they_are_not() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 20)]);
    b.commit_all();
    b.ledger.rewind(A, 5);
    b.call(2, vec![entry(A, 7)]);
    b.call(3, vec![entry(A, 3)]);
    assert_eq!(b.send(), [(1, 7)]);
    b.ok();
    b.call(4, vec![entry(A, 6)]);
    assert_eq!(b.send(), []);
    let outcomes: Vec<_> = b.resolved().into_iter().map(|(t, o)| (t, o[0])).collect();
    let at = |at| Committed { at };
    assert_eq!(outcomes, [(1, at(20)), (3, at(20)), (2, at(7)), (4, at(7))]);
}

#[test]
fn a_seek_back_while_a_commit_is_out_takes_effect_behind_its_answer() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 20)]);
    assert_eq!(b.send(), [(1, 20)]);
    b.ledger.rewind(A, 5);
    b.ok();
    b.call(2, vec![entry(A, 7)]);
    assert_eq!(b.send(), [(1, 7)]);
}

#[test]
fn a_rewind_outlives_the_entry_that_brought_it() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 20)]);
    assert_eq!(b.send(), [(1, 20)]);
    b.call(2, vec![back(A, 5)]);
    b.call(3, vec![entry(A, 9)]);
    b.ledger.cancel(TicketId(2));
    b.ok();
    assert_eq!(b.send(), [(1, 9)]);
    b.ledger.rewind(A, 1);
    b.call(4, vec![entry(A, 3)]);
    b.ledger.cancel(TicketId(4));
    b.ok();
    b.call(5, vec![entry(A, 2)]);
    assert_eq!(b.send(), [(1, 2)]);
}

#[test]
fn a_seek_back_parts_what_was_asked_before_it_from_what_is_asked_after_it() {
    let mut b = Bench::new();
    b.ledger.acknowledged(A, Mark::at(10), None);
    b.call(1, vec![entry(A, 30)]);
    b.ledger.rewind(A, 20);
    b.call(2, vec![entry(A, 22)]);
    assert_eq!(b.send(), [(1, 30)]);
    b.ok();
    assert_eq!(b.send(), [(1, 22)]);
    b.ok();
    assert_eq!(b.ledger.committed(A), Some(Mark::at(22)));
}

#[test]
fn a_seek_back_lets_go_of_an_offset_that_may_stand_above_the_floor() {
    let mut b = Bench::new();
    b.ledger.acknowledged(A, Mark::at(10), None);
    b.call(1, vec![entry(A, 30)]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.ledger.cancel(TicketId(1));
    b.ledger.rewind(A, 20);
    b.pass(200);
    b.call(2, vec![entry(A, 22)]);
    assert_eq!(b.send(), [(1, 22)]);
}

#[test]
fn a_second_seek_between_two_commits_takes_nothing_of_the_first_back() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 40)]);
    b.commit_all();
    b.ledger.rewind(A, 5);
    b.ledger.rewind(A, 20);
    b.call(2, vec![entry(A, 7)]);
    assert_eq!(b.send(), [(1, 7)]);
}

#[test]
fn a_fetch_that_is_answered_while_a_commit_is_out_decides_nothing_about_it() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 15)]);
    b.send();
    b.ledger.acknowledged(A, Mark::at(20), None);
    assert_eq!(b.resolved(), []);
    b.ok();
    assert_eq!(b.resolved(), [(1, vec![Committed { at: 15 }])]);
    assert_eq!(b.ledger.committed(A), Some(Mark::at(15)));
}

#[test]
fn a_seek_forward_parts_nothing() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 20)]);
    b.commit_all();
    b.call(2, vec![entry(A, 25)]);
    b.ledger.rewind(A, 100);
    b.ledger.rewind(A, 25);
    b.call(3, vec![entry(A, 101)]);
    assert_eq!(b.send(), [(1, 101)]);
    b.ok();
    b.call(4, vec![entry(A, 50)]);
    assert_eq!(b.send(), []);
}
