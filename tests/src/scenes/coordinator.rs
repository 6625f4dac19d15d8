//! A coordinator that moves, breaks connections or answers with errors. The embedded broker's
//! faults make it do so, request by request.

use handover_broker::{Api, Broker, Cut, ErrorCode};

use super::{assert_once, judged, rebalance, wait_for_shares, wait_for_the_rest};
use crate::bed::{Bed, LIMIT, Outcome};
use crate::history::{Cause, Recorder};
use crate::ours::{Ours, is_committed};

const PARTITIONS: i32 = 4;

/// Two members at work, and a producer; `trouble` happens to them; afterwards they go on as if
/// nothing had happened, and everything is consumed and committed.
fn two_members_in(
    topic: &str,
    bed: &Bed,
    but_for: &[Cause],
    trouble: impl FnOnce(&Broker, &[Ours; 2], &Recorder) -> Outcome,
) -> Outcome {
    let broker = bed.broker().ok_or("only the embedded broker has faults")?;
    bed.create_topic(topic, PARTITIONS)?;
    let recorder = Recorder::default();
    let producer = bed.produce(topic, PARTITIONS, &recorder)?;
    let start = |name: &str| Ours::start(name, bed.consumer(topic, topic), &recorder);
    let members = [start("one")?, start("two")?];
    wait_for_shares(&recorder, &[("one", 2), ("two", 2)])?;
    trouble(broker, &members, &recorder)?;
    producer.finish(bed)?;
    wait_for_the_rest(&recorder)?;
    wait_for_shares(&recorder, &[("one", 2), ("two", 2)])?;
    let ends = bed.ends(topic, PARTITIONS)?;
    recorder.wait("everything to be committed", LIMIT, |history| {
        ends.iter().all(|(partition, end)| is_committed(history, partition, *end))
    })?;
    for ours in members {
        assert!(ours.stop()?.is_clean());
    }
    assert_once(&judged(topic, &recorder), but_for);
    Ok(())
}

/// The coordinator moves from node to node while the members work.
pub fn the_coordinator_moves(bed: &Bed) -> Outcome {
    let topic = "moves";
    two_members_in(topic, bed, &[], |broker, _, _| {
        for node in [1, 2, 3, 1, 1] {
            broker.move_coordinator(topic, node)?;
            let beats = broker.requests().count(Api::Heartbeat);
            bed.run(broker.requested(Api::Heartbeat, beats + 4))?;
        }
        Ok(())
    })
}

/// The connection breaks before a commit was applied, after it was, and in the middle of the
/// answer.
pub fn connections_break_at_commits(bed: &Bed) -> Outcome {
    two_members_in("breaks", bed, &[], |broker, _, _| {
        for cut in [Cut::Before, Cut::After, Cut::Within(6)] {
            let fault = broker.faults().on(Api::OffsetCommit).times(2).cut(cut);
            bed.run(fault.hit_times(2))?;
        }
        Ok(())
    })
}

/// Each request of a group is answered with each error that the coordinator may give when nothing
/// is wrong with the member, while a rebalance sends all of them.
pub fn the_coordinator_answers_with_errors(bed: &Bed) -> Outcome {
    use ErrorCode as E;
    let errors = [E::CoordinatorLoadInProgress, E::CoordinatorNotAvailable, E::NotCoordinator];
    two_members_in("errors", bed, &[], |broker, members, recorder| {
        for api in [Api::JoinGroup, Api::SyncGroup, Api::Heartbeat, Api::OffsetCommit] {
            for error in errors {
                let fault = broker.faults().on(api).answer(error);
                rebalance(bed, members, recorder)?;
                bed.run(fault.hit())?;
            }
        }
        Ok(())
    })
}
