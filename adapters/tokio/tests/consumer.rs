//! The consumer against the embedded broker.

#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping")]

use std::collections::BTreeMap;
use std::time::Duration;

use handover_broker::{Api, Broker, Record};
use handover_tokio::{Consumer, ConsumerBuilder, OffsetReset};

const PARTITIONS: i32 = 4;

async fn broker(records: i64) -> Broker {
    let broker = Broker::builder().topic("orders", PARTITIONS).start().await.unwrap();
    for at in 0..records {
        let value = format!("record {at}").into_bytes();
        let record = Record::new(None, Some(value.into()));
        broker.produce("orders", (at % i64::from(PARTITIONS)) as i32, [record]).unwrap();
    }
    broker
}

fn consumer(broker: &Broker) -> ConsumerBuilder {
    Consumer::builder([broker.bootstrap()])
        .group("readers")
        .topics(["orders"])
        .offset_reset(OffsetReset::Earliest)
        .heartbeat_interval(Duration::from_millis(200))
        .auto_commit(None)
}

fn committed(broker: &Broker) -> i64 {
    broker.committed("readers").values().map(|mark| mark.offset).sum()
}

/// Polls and commits until everything there is committed.
async fn drain(broker: &Broker, consumer: &mut Consumer, all: i64) -> BTreeMap<(i32, i64), u32> {
    let mut seen = BTreeMap::new();
    while committed(broker) < all {
        let batch = consumer.poll().await.unwrap().expect("not closed");
        for record in &batch {
            *seen.entry((record.partition(), record.offset())).or_default() += 1;
        }
        assert!(batch.commit().await.unwrap().is_complete());
    }
    seen
}

#[tokio::test]
async fn everything_is_consumed_once_and_committed() {
    let broker = broker(1_000).await;
    let mut consumer = consumer(&broker).build().await.unwrap();
    let seen = drain(&broker, &mut consumer, 1_000).await;
    assert_eq!(seen.len(), 1_000);
    assert!(seen.values().all(|times| *times == 1));
    let report = consumer.close(Default::default()).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(consumer.poll().await.unwrap().is_none(), "a poll after the close ends the loop");
}

#[tokio::test]
async fn two_members_share_and_one_takes_over_what_the_other_leaves() {
    let broker = broker(2_000).await;
    let mut first = consumer(&broker).max_records(10).build().await.unwrap();
    let mut second = consumer(&broker).max_records(10).build().await.unwrap();
    let mut seen: BTreeMap<(i32, i64), u32> = BTreeMap::new();
    let mut left = false;
    while committed(&broker) < 2_000 {
        let batch = tokio::select! {
            batch = first.poll(), if !left => batch,
            batch = second.poll() => batch,
        };
        let batch = batch.unwrap().expect("not closed");
        for record in &batch {
            *seen.entry((record.partition(), record.offset())).or_default() += 1;
        }
        assert!(batch.commit().await.unwrap().is_complete());
        let share = |consumer: &Consumer| consumer.handle().assignment().len() == 2;
        if !left && share(&first) && share(&second) {
            assert!(first.close(Default::default()).await.unwrap().is_clean());
            left = true;
        }
    }
    assert!(left, "the second member never got its share");
    assert_eq!(seen.len(), 2_000);
    assert!(seen.values().all(|times| *times == 1), "a clean hand-over consumes nothing twice");
}

#[tokio::test]
async fn a_dropped_batch_comes_again_and_a_dropped_poll_loses_nothing() {
    let broker = broker(40).await;
    let mut consumer = consumer(&broker).build().await.unwrap();
    let first = consumer.poll().await.unwrap().unwrap();
    assert!(!first.is_empty());
    drop(first);
    // A poll that is dropped while it waits has taken nothing.
    let mut polls = 0;
    let again = loop {
        polls += 1;
        let mut poll = Box::pin(consumer.poll());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(batch) = poll.as_mut().poll(&mut cx) {
            break batch.unwrap().unwrap();
        }
        assert!(polls < 1_000_000);
        drop(poll);
        tokio::task::yield_now().await;
    };
    let taken = again.iter().count();
    assert!(again.commit().await.unwrap().is_complete());
    let seen = drain(&broker, &mut consumer, 40).await;
    assert_eq!(seen.len() + taken, 40);
    assert!(seen.values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_record_at_a_time_can_be_committed_and_the_rest_comes_again() {
    let broker = broker(40).await;
    let mut consumer = consumer(&broker).max_records(5).build().await.unwrap();
    // The first poll may find a single record; dropped, it comes again beside others.
    let batch = loop {
        let batch = consumer.poll().await.unwrap().unwrap();
        if batch.iter().nth(1).is_some() {
            break batch;
        }
    };
    let second = batch.iter().nth(1).unwrap();
    let (partition, offset) = (second.topic_partition().clone(), second.offset());
    let outcome = batch.commit_through(&second).await.unwrap();
    assert!(outcome.is_complete(), "{outcome} of {batch:?}");
    assert_eq!(broker.committed("readers")[&partition].offset, offset + 1);
    drop(batch);
    let seen = drain(&broker, &mut consumer, 40).await;
    assert!(!seen.contains_key(&(partition.partition, offset)));
    assert_eq!(seen.len(), 38, "all but the two that are done");
}

#[tokio::test]
async fn a_consumer_dropped_unclosed_commits_what_is_done_and_leaves() {
    let broker = broker(40).await;
    let every = Duration::from_secs(3_600);
    let mut consumer = consumer(&broker).auto_commit(every).build().await.unwrap();
    let mut count = 0;
    while count < 40 {
        let batch = consumer.poll().await.unwrap().unwrap();
        count += batch.iter().count();
    }
    drop(consumer);
    broker.until(|broker| committed(broker) == 40).await;
    broker.until(|b| b.group("readers").is_some_and(|group| group.members.is_empty())).await;
}

/// A broker on a thread of its own, so that a test may block its own.
fn broker_elsewhere(records: i64) -> Broker {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            sender.send(broker(records).await).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn a_handler_that_blocks_its_runtime_keeps_its_membership() {
    let broker = broker_elsewhere(40);
    let mut consumer = consumer(&broker)
        .session_timeout(Duration::from_millis(600))
        .heartbeat_interval(Duration::from_millis(100))
        .build()
        .await
        .unwrap();
    let batch = consumer.poll().await.unwrap().unwrap();
    let generation = consumer.handle().group_metadata().generation;
    let beats = || broker.requests().count(Api::Heartbeat);
    // The only thread of this runtime is blocked for more than two sessions.
    let enough = beats() + 20;
    while beats() < enough {
        std::thread::yield_now();
    }
    assert!(batch.commit().await.unwrap().is_complete());
    assert_eq!(consumer.handle().group_metadata().generation, generation);
}

#[tokio::test]
async fn a_seek_goes_back_and_forth() {
    use handover_tokio::machine::{SeekTo, TopicPartition};
    let broker = broker(400).await;
    let mut consumer = consumer(&broker).max_records(1).build().await.unwrap();
    drain(&broker, &mut consumer, 400).await;
    let partition = TopicPartition::new("orders", 1);
    let handle = consumer.handle();
    assert_eq!(handle.position(&partition), Some(100));
    handle.seek(partition.clone(), SeekTo::Offset(90)).await.unwrap();
    let batch = consumer.poll().await.unwrap().unwrap();
    assert_eq!(batch.ranges().next().unwrap(), (&partition, 90..91));
    assert!(batch.commit().await.unwrap().is_complete());
    assert_eq!(broker.committed("readers")[&partition].offset, 91, "going back is meant");
    handle.seek(partition.clone(), SeekTo::End).await.unwrap();
    // Which offset the end is, is asked for after the call: records are written until one comes.
    let batch = loop {
        broker.produce("orders", 1, [Record::new(None, None)]).unwrap();
        let patience = Duration::from_millis(20);
        let Ok(batch) = tokio::time::timeout(patience, consumer.poll()).await else { continue };
        let batch = batch.unwrap().unwrap();
        if batch.ranges().any(|(_, range)| range.start > 100) {
            break batch;
        }
    };
    assert!(batch.commit().await.unwrap().is_complete());
    assert!(handle.seek(TopicPartition::new("orders", 99), SeekTo::End).await.is_err());
}
