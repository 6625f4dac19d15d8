//! A member that ends without a word.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{LIMIT, assert_once, judged, wait_for_shares, wait_for_the_rest};
use crate::bed::{Bed, Outcome};
use crate::history::{Cause, History, Kind, Partition, Recorder};
use crate::ours::Ours;

const PARTITIONS: i32 = 4;

/// One of two is killed: the other takes over after the session, and only what the dead one had
/// not committed is consumed again.
pub fn a_killed_member_is_replaced(bed: &Bed) -> Outcome {
    let topic = "killed";
    bed.create_topic(topic, PARTITIONS)?;
    let recorder = Recorder::default();
    let producer = bed.produce(topic, PARTITIONS, &recorder)?;
    let builder = || bed.consumer(topic, topic);
    let stays = Ours::start("stays", builder(), &recorder)?;
    // On its own runtime, so that nothing of it is left.
    let mortal = builder().on_runtime().session_timeout(Duration::from_millis(1_500));
    let dies = Ours::start("dies", mortal, &recorder)?;
    wait_for_shares(&recorder, &[("stays", 2), ("dies", 2)])?;
    dies.cancel_commits(true);
    // More than one batch has: a commit that was under way before is over.
    let come = |history: &History| consumed_since_a_commit(history, "dies") > 2 * PARTITIONS;
    recorder.wait("records that are not committed", LIMIT, come)?;
    dies.kill()?;
    wait_for_shares(&recorder, &[("stays", 4)])?;
    producer.finish(bed)?;
    wait_for_the_rest(&recorder)?;
    assert!(stays.stop()?.is_clean());
    let verdict = judged(topic, &recorder);
    assert_once(&verdict, &[Cause::Killed]);
    let unacknowledged = recorder.look(|history| unacknowledged(history, "dies"));
    assert!(unacknowledged > 0, "the dead one had committed everything");
    assert!(verdict.twice_by(Cause::Killed) <= unacknowledged, "{verdict}");
    Ok(())
}

/// How often a member told of records since it told of a commit.
fn consumed_since_a_commit(history: &History, member: &str) -> i32 {
    history.of(member).fold(0, |count, event| match event.kind {
        Kind::Committed { .. } => 0,
        Kind::Consumed { .. } => count + 1,
        _ => count,
    })
}

/// How many records a member consumed beyond its last acknowledged commits.
fn unacknowledged(history: &History, member: &str) -> u64 {
    let mut ends: BTreeMap<&Partition, (i64, i64)> = BTreeMap::new();
    for event in history.of(member) {
        match &event.kind {
            Kind::Consumed { partition, first, last } => {
                ends.entry(partition).or_insert((*first, 0)).1 = last + 1;
            }
            Kind::Committed { partition, offset } => {
                ends.entry(partition).or_default().0 = *offset;
            }
            _ => {}
        }
    }
    ends.values().map(|(committed, consumed)| consumed.abs_diff(*committed)).sum()
}
