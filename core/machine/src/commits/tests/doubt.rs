//! Requests that may have been applied (SPEC C5).

use super::*;

#[test]
fn what_may_have_been_applied_is_sent_again_and_then_unknown_but_never_rejected_or_fenced() {
    type Answer = fn(&mut Bench) -> CommitEffect;
    type End = (fn(&mut Bench), PartitionOutcome);
    let doubts: [Answer; 5] = [
        |b| b.answer(Err(Unanswered::Lost)),
        |b| b.all(DOUBT[0]),
        |b| b.all(DOUBT[1]),
        |b| b.all(DOUBT[2]),
        |b| b.answer(Ok(Vec::new())),
    ];
    for (nth, doubt) in doubts.iter().enumerate() {
        let omitted = nth == 4;
        let expected = if omitted { CommitEffect::Nothing } else { CommitEffect::Rediscover };
        let ends: [End; 5] = [
            (|b| b.ok(), Committed { at: 10 }),
            (
                |b| assert_eq!(b.all(ErrorCode::TopicAuthorizationFailed), CommitEffect::Nothing),
                Unknown,
            ),
            (|b| b.pass(10_000), Unknown),
            (|b| b.ledger.cancel(TicketId(1)), Unknown),
            (
                |b| {
                    b.all(ErrorCode::IllegalGeneration);
                    b.end(A);
                },
                Unknown,
            ),
        ];
        for (end, outcome) in ends {
            let mut b = Bench::new();
            b.call(1, vec![entry(A, 10)]);
            assert_eq!(b.send(), [(1, 10)]);
            assert_eq!(doubt(&mut b), expected);
            assert_eq!(b.resolved(), []);
            b.pass(200);
            assert_eq!(b.send(), [(1, 10)], "sent again");
            end(&mut b);
            assert_eq!(b.resolved(), [(1, vec![outcome])]);
        }
    }
}

#[test]
fn a_higher_offset_that_may_have_been_applied_is_not_undone_by_a_lower_one() {
    let mut b = Bench::new();
    b.call(1, vec![noted(A, 30, "thirty")]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.ledger.cancel(TicketId(1));
    b.pass(200);
    b.call(2, vec![entry(A, 25)]);
    let request = b.request().unwrap();
    assert_eq!((request[0].offset, request[0].metadata.as_deref()), (30, Some("thirty")));
    b.ok();
    assert_eq!(b.resolved(), [(1, vec![Unknown]), (2, vec![Committed { at: 30 }])]);
}

#[test]
fn what_was_asked_for_behind_a_doubt_is_not_in_doubt_itself() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.call(2, vec![entry(A, 20)]);
    b.end(A);
    assert_eq!(b.resolved(), [(1, vec![Unknown]), (2, vec![Fenced(LOST)])]);
}

#[test]
fn an_offset_that_may_stand_is_not_undone_when_its_note_is_refused_later() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.call(2, vec![noted(A, 20, "long")]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.pass(200);
    b.send();
    b.all(ErrorCode::OffsetMetadataTooLarge);
    let request = b.request().unwrap();
    assert_eq!((request[0].offset, request[0].metadata.clone()), (20, None));
    b.ok();
    assert_eq!(b.resolved(), [(2, vec![Unknown]), (1, vec![Committed { at: 20 }])]);
}

#[test]
fn a_commit_below_where_the_application_went_back_to_does_not_undo_what_may_stand() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 35)]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.ledger.cancel(TicketId(1));
    b.ledger.rewind(A, 32);
    b.pass(200);
    b.call(2, vec![entry(A, 29)]);
    assert_eq!(b.send(), [(1, 35)]);
    b.ok();
    b.call(3, vec![entry(A, 33)]);
    assert_eq!(b.send(), [(1, 33)], "but this one is meant");
}

#[test]
fn an_offset_that_may_stand_above_the_fetched_one_is_not_undone() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 30)]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.ledger.cancel(TicketId(1));
    b.ledger.acknowledged(A, Mark::at(20), None);
    b.pass(200);
    b.call(2, vec![entry(A, 25)]);
    assert_eq!(b.send(), [(1, 30)]);
}
