//! Seeks, pauses, closes and resets while fetches are out.

use handover_broker::{Api, Broker};
use handover_core::machine::{Mark, SeekTo, Start};

use super::rig::{LONG, Rig, client, committed, earliest, names, partition, produce};
use crate::fetch::{FetchConfig, FetchReport, OffsetReset};

/// A long poll that outlasts the test.
fn patient() -> FetchConfig {
    FetchConfig { max_wait: LONG * 10, ..earliest() }
}

async fn broker(partitions: i32) -> Broker {
    Broker::builder().topic("orders", partitions).start().await.unwrap()
}

#[tokio::test]
async fn a_new_partition_does_not_wait_for_a_long_poll() {
    let broker = broker(2).await;
    produce(&broker, 1, 5);
    let mut rig = Rig::new(&broker.bootstrap(), patient());
    rig.open(0, committed(0));
    broker.requested(Api::Fetch, 1).await;
    rig.open(1, committed(0));
    assert_eq!(rig.take(5).await[&1], names(1, 0..5));
    produce(&broker, 0, 1);
    assert_eq!(rig.take(1).await[&0], names(0, 0..1), "the long poll is out still");
}

#[tokio::test]
async fn a_seek_does_not_wait_and_the_late_answer_is_dropped() {
    let broker = broker(1).await;
    produce(&broker, 0, 10);
    let held = broker.faults().on(Api::Fetch).hold();
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    let lease = rig.open(0, committed(0));
    held.hit().await;
    rig.queue.start(lease.id(), Start::Seek(SeekTo::Offset(6)));
    let delivery = rig.next().await;
    assert_eq!(delivery.range(), 6..10);
    delivery.finish();
    held.remove();
    // Both lanes are used by now: an answer to the late fetch would come before this one.
    produce(&broker, 0, 2);
    assert_eq!(rig.take(2).await[&0], names(0, 10..12));
}

#[tokio::test]
async fn an_answer_to_a_fetch_of_before_a_seek_back_is_not_taken_for_the_new_one() {
    let broker = broker(2).await;
    (0..2).for_each(|_| produce(&broker, 0, 5));
    produce(&broker, 1, 5);
    let old = broker.faults().on(Api::Fetch).hold();
    let new = broker.faults().on(Api::Fetch).nth(2).hold();
    let mut rig = Rig::new(&broker.bootstrap(), patient());
    rig.queue.deliver(false);
    let lease = rig.open(0, committed(5));
    rig.open(1, committed(0));
    rig.queue.deliver(true);
    old.hit().await;
    rig.queue.start(lease.id(), Start::Seek(SeekTo::Offset(0)));
    new.hit().await;
    old.remove();
    assert_eq!(rig.take(5).await[&1], names(1, 0..5), "the old answer is here");
    new.remove();
    assert_eq!(rig.take(10).await[&0], names(0, 0..10));
}

#[tokio::test]
async fn what_is_paused_is_not_delivered_and_does_not_hold_up_the_others() {
    let broker = broker(2).await;
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    let paused = rig.open(0, committed(0));
    rig.open(1, committed(0));
    let valve = rig.deliveries.valve();
    assert!(valve.pause(paused.id()));
    for round in 0..5 {
        produce(&broker, 0, 2);
        produce(&broker, 1, 2);
        assert_eq!(rig.take(2).await[&1], names(1, 2 * round..2 * round + 2));
    }
    assert!(valve.resume(paused.id()));
    assert_eq!(rig.take(10).await[&0], names(0, 0..10));
}

#[tokio::test]
async fn nothing_is_fetched_for_a_lease_that_is_closed() {
    let broker = broker(1).await;
    produce(&broker, 0, 10);
    let held = broker.faults().on(Api::Fetch).hold();
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    let first = rig.open(0, committed(0));
    held.hit().await;
    rig.queue.remove(first.id());
    let second = rig.open(0, committed(5));
    held.remove();
    let delivery = rig.next().await;
    assert_eq!((delivery.lease().id(), delivery.range()), (second.id(), 5..10));
}

#[tokio::test]
async fn retention_overtook_the_position() {
    let settings = [("retention.bytes", "400")];
    let broker = Broker::builder().topic_with("orders", 1, settings).start().await.unwrap();
    for _ in 0..40 {
        produce(&broker, 0, 5);
    }
    let start = broker.offsets("orders").unwrap()[0].start;
    assert!(start > 5, "some records are gone");
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    let lease = rig.open(0, committed(5));
    assert_eq!(rig.moved(&lease).await, start);
    assert_eq!(rig.take(usize::try_from(200 - start).unwrap()).await[&0], names(0, start..200));
    assert_eq!(lease.mark().map(|mark| mark.offset), Some(200));
}

#[tokio::test]
async fn the_position_is_behind_the_end() {
    let broker = broker(1).await;
    produce(&broker, 0, 10);
    let mut rig = Rig::new(&broker.bootstrap(), FetchConfig::default());
    let lease = rig.open(0, committed(500));
    assert_eq!(rig.moved(&lease).await, 10);
    produce(&broker, 0, 2);
    assert_eq!(rig.take(2).await[&0], names(0, 10..12));
}

#[tokio::test]
async fn out_of_range_without_a_policy_is_told_once_and_waits_for_a_seek() {
    let broker = broker(1).await;
    produce(&broker, 0, 10);
    let config = FetchConfig { reset: OffsetReset::None, ..FetchConfig::default() };
    let mut rig = Rig::new(&broker.bootstrap(), config);
    let lease = rig.open(0, committed(500));
    assert_eq!(rig.report().await, FetchReport::NoOffset { partition: partition(0) });
    let fetches = broker.requests().count(Api::Fetch);
    assert_eq!(fetches, 1);
    rig.queue.start(lease.id(), Start::Seek(SeekTo::Offset(501)));
    assert_eq!(rig.report().await, FetchReport::NoOffset { partition: partition(0) }, "again");
    rig.queue.start(lease.id(), Start::Seek(SeekTo::Offset(9)));
    assert_eq!(rig.take(1).await[&0], names(0, 9..10));
    assert!(rig.reports.try_recv().is_err());
}

#[tokio::test]
async fn a_committed_epoch_that_the_leader_does_not_know_starts_again_by_policy() {
    let broker = broker(1).await;
    produce(&broker, 0, 10);
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    let lease = rig.open(0, Start::Committed(Mark { offset: 8, leader_epoch: 7 }));
    assert_eq!(rig.moved(&lease).await, 0);
    assert_eq!(rig.take(10).await[&0], names(0, 0..10));
}

#[tokio::test]
async fn a_queue_that_is_full_stops_the_fetching_and_loses_nothing() {
    let broker = broker(30).await;
    (0..10).for_each(|_| produce(&broker, 0, 2));
    // One batch in an answer, and one in the queue.
    let config = FetchConfig { max_bytes: 1, ..earliest() };
    let mut rig = Rig::with(client(&broker.bootstrap()), config, 1);
    rig.open(0, committed(0));
    let mut waiting = rig.next().await;
    for index in 1..30 {
        // The engine is at work meanwhile, and has time enough for a fetch.
        let lease = rig.open(index, Start::Reset);
        rig.moved(&lease).await;
        rig.queue.remove(lease.id());
    }
    assert_eq!(broker.requests().count(Api::Fetch), 2, "one is in hand, one is queued");
    for from in (0..20).step_by(2) {
        assert_eq!(waiting.range(), from..from + 2);
        waiting.finish();
        if from < 18 {
            waiting = rig.next().await;
        } else {
            break;
        }
    }
}

#[tokio::test]
async fn delivery_that_stops_and_goes_on() {
    let broker = broker(1).await;
    produce(&broker, 0, 3);
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.queue.deliver(false);
    rig.open(0, committed(0));
    rig.queue.deliver(true);
    assert_eq!(rig.take(3).await[&0], names(0, 0..3));
    rig.queue.deliver(false);
    produce(&broker, 0, 3);
    rig.queue.deliver(true);
    assert_eq!(rig.take(3).await[&0], names(0, 3..6));
}
