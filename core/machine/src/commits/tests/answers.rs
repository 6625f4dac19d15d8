//! What each answer does to the entries, and to the membership.

use super::*;

#[test]
fn what_was_not_applied_goes_again_and_is_withdrawn_when_its_time_is_over() {
    let not_applied: [Result<ErrorCode, Unanswered>; 4] = [
        Err(Unanswered::NotSent),
        Ok(ErrorCode::CoordinatorLoadInProgress),
        Ok(ErrorCode::StaleMemberEpoch),
        Ok(ErrorCode::RebalanceInProgress),
    ];
    for answer in not_applied {
        let mut b = Bench::new();
        b.call(1, vec![entry(A, 10)]);
        b.send();
        b.answer(answer.map(|error| vec![(place(A), error)]));
        assert_eq!(b.resolved(), []);
        b.pass(200);
        assert_eq!(b.send(), [(1, 10)]);
        b.answer(answer.map(|error| vec![(place(A), error)]));
        b.pass(10_000);
        assert_eq!(b.resolved(), [(1, vec![Withdrawn])]);
        assert_eq!(b.send(), []);
    }
}

#[test]
fn an_identity_that_is_lost_leaves_the_entries_until_their_leases_end() {
    use ErrorCode::{GroupIdNotFound, IllegalGeneration, UnknownMemberId};
    for error in [IllegalGeneration, UnknownMemberId, GroupIdNotFound] {
        let mut b = Bench::new();
        b.call(1, vec![entry(A, 10), entry(B, 10)]);
        b.send();
        assert_eq!(b.all(error), CommitEffect::IdentityLost(error));
        assert_eq!(b.resolved(), []);
        b.end(A);
        b.end(B);
        assert_eq!(b.resolved(), [(1, vec![Fenced(LOST), Fenced(LOST)])]);
    }
}

#[test]
fn a_stale_epoch_says_nothing_about_its_partition() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10), entry(B, 10)]);
    b.send();
    assert_eq!(b.all(ErrorCode::StaleMemberEpoch), CommitEffect::Nothing);
    b.end(A);
    b.pass(200);
    assert_eq!(b.send(), [(2, 10)]);
    b.ok();
    assert_eq!(b.resolved(), [(1, vec![Fenced(LOST), Committed { at: 10 }])]);
}

#[test]
fn a_fatal_error_rejects_and_says_so() {
    for error in [ErrorCode::FencedInstanceId, ErrorCode::GroupAuthorizationFailed] {
        let mut b = Bench::new();
        b.call(1, vec![entry(A, 10)]);
        b.send();
        assert_eq!(b.all(error), CommitEffect::Fatal(error));
        assert_eq!(b.resolved(), [(1, vec![Rejected(error)])]);
    }
}

#[test]
fn a_refused_partition_is_rejected_and_the_others_are_not() {
    use ErrorCode::{InvalidTopic, TopicAuthorizationFailed};
    for error in [TopicAuthorizationFailed, InvalidTopic, ErrorCode::Other(999)] {
        let mut b = Bench::new();
        b.call(1, vec![entry(A, 10), entry(B, 10)]);
        b.call(2, vec![entry(A, 9)]);
        b.send();
        b.answer(Ok(vec![(place(B), ErrorCode::None), (place(A), error)]));
        let mut resolved = b.resolved();
        resolved.sort_by_key(|(ticket, _)| *ticket);
        let expected =
            [(1, vec![Rejected(error), Committed { at: 10 }]), (2, vec![Rejected(error)])];
        assert_eq!(resolved, expected);
        b.call(3, vec![entry(B, 11)]);
        assert_eq!(b.send(), [(2, 11)], "a refusal is no failure to wait for");
    }
}

#[test]
fn a_note_that_is_too_large_rejects_its_own_entry_alone() {
    let mut b = Bench::new();
    b.call(1, vec![noted(A, 10, "small")]);
    b.call(2, vec![noted(A, 20, "far too large")]);
    assert_eq!(b.send(), [(1, 20)]);
    let error = ErrorCode::OffsetMetadataTooLarge;
    b.all(error);
    assert_eq!(b.resolved(), [(2, vec![Rejected(error)])]);
    let request = b.request().unwrap();
    assert_eq!((request[0].offset, request[0].metadata.as_deref()), (10, Some("small")));
    b.ok();
    assert_eq!(b.resolved(), [(1, vec![Committed { at: 10 }])]);
}

#[test]
fn the_effect_is_the_worst_of_all_partitions_and_what_was_not_asked_is_ignored() {
    let worst = [
        (ErrorCode::None, CommitEffect::Nothing),
        (ErrorCode::RebalanceInProgress, CommitEffect::Rejoin),
        (ErrorCode::NotCoordinator, CommitEffect::Rediscover),
        (ErrorCode::UnknownMemberId, CommitEffect::IdentityLost(ErrorCode::UnknownMemberId)),
        (ErrorCode::FencedInstanceId, CommitEffect::Fatal(ErrorCode::FencedInstanceId)),
    ];
    for (i, (low, _)) in worst.iter().enumerate() {
        for (high, effect) in &worst[i..] {
            let mut b = Bench::new();
            b.call(1, vec![entry(A, 10), entry(B, 10)]);
            b.send();
            let stranger = (place(LeaseId(9)), ErrorCode::GroupAuthorizationFailed);
            let answer = vec![stranger, (place(B), *high), (place(A), *low)];
            assert_eq!(b.answer(Ok(answer)), *effect, "{low} and {high}");
        }
    }
}

#[test]
fn an_answer_to_no_request_says_nothing() {
    let mut b = Bench::new();
    let before = b.ledger.clone();
    assert_eq!(b.all(ErrorCode::FencedInstanceId), CommitEffect::Nothing);
    assert_eq!(b.ledger, before);
}

#[test]
fn every_code_is_judged_and_only_none_commits() {
    for &error in ErrorCode::NAMED {
        let (verdict, effect) = verdict::judge_commit(error);
        assert_eq!(verdict == Verdict::Committed, error.is_none(), "{error}");
        let doubtful = verdict == Verdict::InDoubt;
        assert!(!DOUBT.contains(&error) || doubtful, "{error} may have been applied");
        assert_eq!(effect == CommitEffect::Rediscover, doubtful, "{error}");
        assert!(verdict != Verdict::Lost, "{error}: an answer is never lost");
    }
}

#[test]
fn an_unknown_partition_is_retried_until_the_deadline_and_then_rejected() {
    let error = ErrorCode::UnknownTopicOrPartition;
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    while b.resolved().is_empty() && b.now < Time::from_millis(10_000) {
        assert_eq!(b.send(), [(1, 10)]);
        assert_eq!(b.all(error), CommitEffect::Nothing);
        b.pass(1_200);
    }
    b.pass(10_000);
    assert_eq!(b.ledger.last_failure(A), Some(Rejected(error)));
    assert_eq!(b.ledger.accounts[&A].owners().count(), 0);
    assert_eq!(b.send(), []);
}

#[test]
fn an_unknown_partition_delays_no_other_and_no_hand_over() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.send();
    assert!(b.ledger.outstanding(A));
    b.all(ErrorCode::UnknownTopicOrPartition);
    assert!(!b.ledger.outstanding(A), "it was answered");
    b.call(2, vec![entry(B, 10)]);
    assert_eq!(b.send(), [(2, 10)]);
    b.ok();
    b.pass(120);
    assert_eq!(b.send(), [(1, 10)]);
    assert!(b.ledger.outstanding(A), "it is out");
    b.all(ErrorCode::UnknownTopicOrPartition);
    b.ledger.end(A, LeaseEnd::Revoked);
    let error = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(b.resolved(), [(2, vec![Committed { at: 10 }]), (1, vec![Rejected(error)])]);
}

#[test]
fn a_later_answer_takes_back_that_a_partition_is_unknown() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.send();
    b.all(ErrorCode::UnknownTopicOrPartition);
    b.pass(200);
    b.send();
    b.all(ErrorCode::CoordinatorLoadInProgress);
    assert!(b.ledger.outstanding(A));
    b.pass(10_000);
    assert_eq!(b.resolved(), [(1, vec![Withdrawn])]);
}

#[test]
fn a_partition_that_is_known_again_starts_with_the_shortest_wait() {
    let mut b = Bench::new();
    let mut waits = Vec::new();
    for error in [ErrorCode::UnknownTopicId, ErrorCode::UnknownTopicId, ErrorCode::None] {
        b.call(b.now.as_millis(), vec![entry(A, 10)]);
        b.send();
        b.all(error);
        waits.push(b.ledger.windows()[1].latest.since(b.now).as_millis());
        b.pass(300);
    }
    b.call(1, vec![entry(A, 11)]);
    b.send();
    b.all(ErrorCode::UnknownTopicId);
    waits.push(b.ledger.windows()[1].latest.since(b.now).as_millis());
    assert_eq!((waits[0], waits[1], waits[3]), (120, 240, 120));
}

#[test]
fn an_unknown_partition_with_an_attempt_unanswered_is_unknown() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.send();
    b.answer(Err(Unanswered::Lost));
    b.pass(200);
    b.send();
    b.all(ErrorCode::UnknownTopicOrPartition);
    b.pass(10_000);
    assert_eq!(b.resolved(), [(1, vec![Unknown])]);
}

#[test]
fn a_failed_request_waits_twice_as_long_each_time_and_a_success_ends_that() {
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10)]);
    b.ledger.commit(b.now, TicketId(2), vec![entry(B, 10)], Time::NEVER);
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert_ne!(b.send(), []);
        b.answer(Err(Unanswered::NotSent));
        let [_, retry] = b.ledger.windows();
        waits
            .push((retry.earliest.since(b.now).as_millis(), retry.latest.since(b.now).as_millis()));
        assert_eq!(b.send(), [], "not before the backoff is over");
        b.now = retry.latest;
        b.ledger.expire(b.tick());
    }
    let capped = (800, 1_200);
    assert_eq!(waits, [(80, 120), (160, 240), (320, 480), (640, 960), capped, capped]);
    b.commit_all();
    assert_eq!(b.ledger.backoff, Backoff::NONE);
}

#[test]
fn nothing_to_send_and_a_request_that_is_out_have_no_backoff_to_wait_for() {
    let mut b = Bench::new();
    assert_eq!(b.ledger.windows(), [Window::NEVER, Window::NEVER]);
    b.call(1, vec![entry(A, 10)]);
    b.send();
    assert_eq!(b.ledger.windows()[1], Window::NEVER);
    b.answer(Err(Unanswered::Lost));
    b.end(A);
    assert_eq!(b.ledger.windows()[1], Window::NEVER);
}
