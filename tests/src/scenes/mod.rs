//! What is played on the embedded broker and on Apache Kafka alike.

mod commits;
mod membership;

pub use commits::commits_cancelled_in_rebalances;
pub use membership::members_come_and_go;

use crate::bed::{LIMIT, Outcome};
use crate::history::{Cause, History, Recorder, Verdict};
use crate::ours::Ours;

/// Waits until each of the members has so many partitions.
fn wait_for_shares(recorder: &Recorder, shares: &[(&Ours, usize)]) -> Outcome {
    let names: Vec<_> = shares.iter().map(|(ours, count)| (ours.name(), count)).collect();
    let come = |history: &History| {
        shares.iter().all(|(ours, count)| history.owned_by(ours.name()).len() == *count)
    };
    Ok(recorder.wait(&format!("the shares {names:?}"), LIMIT, come)?)
}

fn wait_for_the_rest(recorder: &Recorder) -> Outcome {
    Ok(recorder.wait("the last record", LIMIT, |history| history.outstanding().is_empty())?)
}

/// Prints what the judge found, and on what: a test that fails shows it.
fn judged(name: &str, recorder: &Recorder) -> Verdict {
    let verdict = recorder.judge();
    println!("{}{name}: {verdict}", recorder.look(ToString::to_string));
    verdict.assert_kept();
    verdict
}

/// Nothing was consumed twice but for these causes, and one: a commit that overtakes the answer to
/// a JoinGroup is refused with ILLEGAL_GENERATION, and the member gives its leases up.
#[track_caller]
fn assert_once(verdict: &Verdict, but_for: &[Cause]) {
    let excused = |cause: &&Cause| **cause == Cause::Lost || but_for.contains(cause);
    assert!(verdict.twice.keys().all(|cause| excused(&cause)), "{verdict}");
    assert_eq!(verdict.consumed, verdict.produced, "{verdict}");
}
