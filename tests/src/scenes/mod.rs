//! What is played on the embedded broker and on Apache Kafka alike.

mod closing;
mod commits;
mod coordinator;
mod killed;
mod membership;
#[cfg(feature = "kafka")]
mod mixed;

pub use closing::members_are_closed_in_any_state;
pub use commits::commits_cancelled_in_rebalances;
pub use coordinator::{
    connections_break_at_commits, the_coordinator_answers_with_errors, the_coordinator_moves,
};
pub use killed::a_killed_member_is_replaced;
pub use membership::members_come_and_go;
#[cfg(feature = "kafka")]
pub use mixed::{First, ours_and_java_share};

use crate::bed::{Bed, LIMIT, Outcome};
use crate::history::{Cause, History, Kind, Recorder, Verdict};
use crate::ours::{Ours, rebalances};

/// Waits until each of the members has so many partitions.
fn wait_for_shares(recorder: &Recorder, shares: &[(&str, usize)]) -> Outcome {
    let come = |history: &History| {
        shares.iter().all(|(member, count)| history.owned_by(member).len() == *count)
    };
    Ok(recorder.wait(&format!("the shares {shares:?}"), LIMIT, come)?)
}

fn wait_for_a_record(recorder: &Recorder, member: &str) -> Outcome {
    let consumed = |kind: &Kind| matches!(kind, Kind::Consumed { .. });
    let come = |history: &History| history.of(member).any(|event| consumed(&event.kind));
    Ok(recorder.wait(&format!("a record for {member}"), LIMIT, come)?)
}

fn wait_for_the_rest(recorder: &Recorder) -> Outcome {
    Ok(recorder.wait("the last record", LIMIT, |history| history.outstanding().is_empty())?)
}

/// Has the leader ask for a rebalance - nobody else's wish makes a coordinator begin one - and
/// waits until all went through it.
fn rebalance(bed: &Bed, members: &[Ours], recorder: &Recorder) -> Outcome {
    let told = |history: &History| -> Vec<usize> {
        members.iter().map(|ours| rebalances(history, ours.name())).collect()
    };
    let before = recorder.look(told);
    bed.run(async { leader(members).await.handle().enforce_rebalance("a test").await })??;
    Ok(recorder.wait("the end of a rebalance", LIMIT, |history| {
        before.iter().zip(told(history)).all(|(before, now)| now > *before)
    })?)
}

/// There is none for a moment when a generation has just been lost.
async fn leader(members: &[Ours]) -> &Ours {
    loop {
        match members.iter().find(|ours| ours.handle().status().leader) {
            Some(leader) => return leader,
            None => tokio::task::yield_now().await,
        }
    }
}

/// Prints what the judge found, and on what: a test that fails shows it.
fn judged(name: &str, recorder: &Recorder) -> Verdict {
    let verdict = recorder.judge();
    println!("{}{name}: {verdict}", recorder.look(ToString::to_string));
    verdict.assert_kept();
    verdict
}

/// Everything was consumed, and nothing twice but for these causes.
#[track_caller]
fn assert_once(verdict: &Verdict, but_for: &[Cause]) {
    assert!(verdict.twice.keys().all(|cause| but_for.contains(cause)), "{verdict}");
    assert_eq!(verdict.consumed, verdict.produced, "{verdict}");
}
