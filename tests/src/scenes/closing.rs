//! Closing a member, whatever it is doing.

use std::time::{Duration, Instant};

use handover_tokio::machine::{Assignor, CloseOptions, CloseReport, Phase};
use handover_tokio::{Consumer, ConsumerHandle};

use super::{wait_for_shares, wait_for_the_rest};
use crate::bed::{Bed, LIMIT, Outcome};
use crate::history::Recorder;
use crate::ours::Ours;

/// Right after it was built, while it joins, with a batch held, twice: each close ends within its
/// deadline and says what it could not do.
pub fn members_are_closed_in_any_state(bed: &Bed) -> Outcome {
    let topic = "closed";
    bed.create_topic(topic, 2)?;
    let recorder = Recorder::default();
    bed.produce(topic, 2, &recorder)?.finish(bed)?;
    bed.run(just_built(bed, topic))??;
    bed.run(while_another_holds_the_join_up(bed, topic))??;
    bed.run(with_a_batch_that_is_committed(bed, topic))??;
    bed.run(with_a_batch_that_is_kept(bed, topic))??;
    // Each of them left: the next has everything at once, and nothing was lost.
    let last = Ours::start("last", bed.consumer("last", topic), &recorder)?;
    wait_for_shares(&recorder, &[("last", 2)])?;
    wait_for_the_rest(&recorder)?;
    assert!(last.stop()?.is_clean());
    Ok(())
}

async fn just_built(bed: &Bed, topic: &str) -> Outcome {
    let mut built = bed.consumer("just built", topic).build().await?;
    let report = close(&built.handle(), LIMIT).await?;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(close(&built.handle(), LIMIT).await?, report, "a second close tells the same");
    assert!(built.poll().await?.is_none());
    Ok(())
}

async fn while_another_holds_the_join_up(bed: &Bed, topic: &str) -> Outcome {
    // The eager way: a member joins again once it has let go of everything.
    let builder = || bed.consumer("joining", topic).assignors([Assignor::range()]);
    let mut holder = builder().build().await?;
    let batch = holder.poll().await?.ok_or("closed")?;
    let joins = builder().build().await?;
    is_in(&joins, Phase::Joining).await;
    let report = close(&joins.handle(), LIMIT).await?;
    assert!(report.is_clean(), "{report:?}");
    let _ = batch.commit().await?;
    let report = close(&holder.handle(), LIMIT).await?;
    assert!(report.is_clean(), "{report:?}");
    Ok(())
}

/// The close waits for the batch, and what is committed meanwhile is good.
async fn with_a_batch_that_is_committed(bed: &Bed, topic: &str) -> Outcome {
    let mut consumer = bed.consumer("committed", topic).build().await?;
    let batch = consumer.poll().await?.ok_or("closed")?;
    let handle = consumer.handle();
    let committing = async {
        while batch.handover_wanted().is_none() {
            tokio::task::yield_now().await;
        }
        let last = batch.iter().last().ok_or("the batch is empty")?;
        let outcome = batch.commit_through(&last).await?;
        drop(batch);
        Outcome::Ok(outcome)
    };
    let (report, outcome) = tokio::join!(close(&handle, LIMIT), committing);
    let (report, outcome) = (report?, outcome?);
    assert!(report.is_clean(), "{report:?}");
    assert!(outcome.is_complete(), "{outcome}");
    Ok(())
}

/// The close does not wait for ever, and says which partitions it gave up.
async fn with_a_batch_that_is_kept(bed: &Bed, topic: &str) -> Outcome {
    let mut consumer = bed.consumer("kept", topic).build().await?;
    let batch = consumer.poll().await?.ok_or("closed")?;
    let report = close(&consumer.handle(), Duration::from_secs(1)).await?;
    let held: Vec<_> = batch.partitions().cloned().collect();
    assert!(held.iter().all(|held| report.overrun.contains(held)), "{report:?} kept {held:?}");
    let outcome = batch.commit().await;
    assert!(!outcome.is_ok_and(|outcome| outcome.is_complete()));
    Ok(())
}

async fn close(handle: &ConsumerHandle, deadline: Duration) -> Outcome<CloseReport> {
    let began = Instant::now();
    let options = CloseOptions { deadline, ..CloseOptions::default() };
    let report = handle.close(options).await?;
    // What a busy machine takes to wake a thread comes on top.
    let took = began.elapsed();
    assert!(took < deadline + Duration::from_secs(5), "the close took {took:?}");
    Ok(report)
}

async fn is_in(consumer: &Consumer, phase: Phase) {
    while consumer.handle().status().phase != phase {
        tokio::task::yield_now().await;
    }
}
