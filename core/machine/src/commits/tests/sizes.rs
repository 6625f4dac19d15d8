//! Requests that are too large (SPEC C7).

use super::*;

/// As many leases as asked, each with one entry of a 4 KiB note.
fn large(count: u64) -> Bench {
    let mut b = Bench::new();
    let note = "n".repeat(4_096);
    for lease in (10..10 + count).map(LeaseId) {
        b.ledger.open(lease, place(lease));
        b.call(lease.0, vec![noted(lease, 5, &note)]);
    }
    b
}

fn count(b: &mut Bench) -> usize {
    b.send().len()
}

#[test]
fn a_request_stays_under_half_a_mebibyte_and_the_rest_follows() {
    let mut b = large(300);
    let mut sizes = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(request) = b.request() {
        let bytes: usize = request.iter().map(|o| o.metadata.as_ref().map_or(0, |n| n.len())).sum();
        assert!(bytes < 512 * 1024, "{bytes}");
        sizes.push(request.len());
        seen.extend(request.iter().map(|o| o.partition.partition));
        b.ok();
    }
    assert_eq!(sizes, [125, 125, 50]);
    assert_eq!(seen.len(), 300);
    assert_eq!(b.resolved().len(), 300);
}

#[test]
fn a_full_request_starves_nobody() {
    let mut b = large(150);
    assert_eq!(count(&mut b), 125);
    let note = "n".repeat(4_096);
    for lease in (10..160).map(LeaseId) {
        b.call(1_000 + lease.0, vec![noted(lease, 6, &note)]);
    }
    b.ok();
    let second = b.send();
    assert_eq!(second[..25], (135..160).map(|p| (p, 6)).collect::<Vec<_>>(), "those left behind");
}

#[test]
fn a_size_error_splits_the_request_in_halves_at_once() {
    let codes = [
        ErrorCode::InvalidCommitOffsetSize,
        ErrorCode::MessageTooLarge,
        ErrorCode::UnknownServerError,
    ];
    for error in codes {
        let mut b = large(8);
        let mut sizes = Vec::new();
        loop {
            let size = count(&mut b);
            sizes.push(size);
            match size {
                0 => break,
                // This coordinator takes two.
                1 | 2 => b.ok(),
                _ => assert_eq!(b.all(error), CommitEffect::Nothing),
            }
        }
        assert_eq!(sizes, [8, 4, 2, 4, 2, 4, 2, 2, 0], "{error}");
        let resolved = b.resolved();
        assert_eq!(resolved.len(), 8);
        assert!(resolved.iter().all(|(_, o)| *o == [Committed { at: 5 }]), "{error}");
    }
}

#[test]
fn a_single_partition_that_is_too_large_is_rejected() {
    for error in [ErrorCode::InvalidCommitOffsetSize, ErrorCode::UnknownServerError] {
        let mut b = large(2);
        assert_eq!(count(&mut b), 2);
        b.all(error);
        assert_eq!(b.send(), [(10, 5)]);
        b.all(error);
        assert_eq!(b.resolved(), [(10, vec![Rejected(error)])]);
        assert_eq!(b.send(), [(11, 5)]);
        b.ok();
        assert_eq!(b.resolved(), [(11, vec![Committed { at: 5 }])]);
    }
}

#[test]
fn a_server_error_of_some_partitions_is_their_own() {
    let error = ErrorCode::UnknownServerError;
    let mut b = Bench::new();
    b.call(1, vec![entry(A, 10), entry(B, 10)]);
    b.send();
    b.answer(Ok(vec![(place(A), error), (place(B), ErrorCode::None)]));
    assert_eq!(b.resolved(), [(1, vec![Rejected(error), Committed { at: 10 }])]);
}

#[test]
fn after_a_split_requests_grow_back() {
    let mut b = large(4);
    assert_eq!(count(&mut b), 4);
    b.all(ErrorCode::InvalidCommitOffsetSize);
    b.commit_all();
    for ticket in 0..20 {
        assert!(b.ledger.budget <= MOST_BYTES);
        b.call(2_000 + ticket, vec![entry(A, 10 + ticket as i64)]);
        b.commit_all();
    }
    assert_eq!(b.ledger.budget, MOST_BYTES);
}
