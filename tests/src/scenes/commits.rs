//! Commits that are let go of while the group rebalances.

use super::{assert_once, judged, rebalance, wait_for_shares, wait_for_the_rest};
use crate::bed::{Bed, LIMIT, Outcome};
use crate::history::{Cause, Recorder};
use crate::ours::{Ours, is_committed};

const PARTITIONS: i32 = 6;

/// Three members, of which two never wait for their commits, go through many rebalances. Every
/// call ends; afterwards everything is committed and the group is stable.
pub fn commits_cancelled_in_rebalances(bed: &Bed, rounds: usize) -> Outcome {
    let topic = "cancelled";
    bed.create_topic(topic, PARTITIONS)?;
    let recorder = Recorder::default();
    let producer = bed.produce(topic, PARTITIONS, &recorder)?;
    let start = |name: &str| Ours::start(name, bed.consumer(topic, topic), &recorder);
    let members = [start("waits")?, start("cancels")?, start("cancels too")?];
    let shares: Vec<_> = members.iter().map(|ours| (ours.name(), 2)).collect();
    wait_for_shares(&recorder, &shares)?;
    members[1..].iter().for_each(|ours| ours.cancel_commits(true));
    for _ in 0..rounds {
        rebalance(bed, &members, &recorder)?;
    }
    members.iter().for_each(|ours| ours.cancel_commits(false));
    producer.finish(bed)?;
    wait_for_the_rest(&recorder)?;
    let ends = bed.ends(topic, PARTITIONS)?;
    recorder.wait("everything to be committed", LIMIT, |history| {
        ends.iter().all(|(partition, end)| is_committed(history, partition, *end))
    })?;
    wait_for_shares(&recorder, &shares)?;
    for ours in members {
        assert!(ours.stop()?.is_clean());
    }
    let verdict = judged(topic, &recorder);
    assert!(verdict.commits.1 >= rounds, "too few commits were cancelled: {verdict}");
    assert_once(&verdict, &[Cause::CommitFailed]);
    Ok(())
}
