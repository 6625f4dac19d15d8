//! Where fetching starts.

use std::time::Duration;

use handover_broker::{Api, Broker};
use handover_core::machine::{
    CommitEntry, CommitTarget, Config, Mark, PartitionOutcome, SeekTo, Start,
};
use tokio::sync::mpsc;

use super::rig::{LONG, Rig, client, committed, earliest, names, partition, produce, values};
use crate::fetch::{self, FetchConfig, FetchReport, OffsetReset};
use crate::{Cluster, TokioLink};

async fn broker(counts: &[usize]) -> Broker {
    let partitions = i32::try_from(counts.len()).unwrap();
    let broker = Broker::builder().topic("orders", partitions).start().await.unwrap();
    for (index, count) in (0..).zip(counts) {
        produce(&broker, index, *count);
    }
    broker
}

#[tokio::test]
async fn from_the_beginning_and_on() {
    let broker = broker(&[10, 5]).await;
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.open_all(0..2, Start::Reset);
    let taken = rig.take(15).await;
    assert_eq!(taken[&0], names(0, 0..10));
    assert_eq!(taken[&1], names(1, 0..5));
    produce(&broker, 0, 3);
    assert_eq!(rig.take(3).await[&0], names(0, 10..13));
}

#[tokio::test]
async fn from_the_end() {
    let broker = broker(&[10]).await;
    let mut rig = Rig::new(&broker.bootstrap(), FetchConfig::default());
    let lease = rig.open(0, Start::Reset);
    assert_eq!(rig.moved(&lease).await, 10);
    produce(&broker, 0, 3);
    assert_eq!(rig.take(3).await[&0], names(0, 10..13));
}

#[tokio::test]
async fn from_what_is_committed_also_within_a_batch() {
    let broker = broker(&[10]).await;
    let mut rig = Rig::new(&broker.bootstrap(), FetchConfig::default());
    rig.open(0, committed(7));
    let delivery = rig.next().await;
    assert_eq!(delivery.range(), 7..10);
    assert_eq!(values(&delivery)[0], (7, "0:7".to_owned()));
    assert_eq!(broker.requests().count(Api::ListOffsets), 0);
}

#[tokio::test]
async fn nowhere_if_the_policy_says_so_until_a_seek() {
    let broker = broker(&[10]).await;
    let config = FetchConfig { reset: OffsetReset::None, ..FetchConfig::default() };
    let mut rig = Rig::new(&broker.bootstrap(), config);
    let lease = rig.open(0, Start::Reset);
    assert_eq!(rig.report().await, FetchReport::NoOffset { partition: partition(0) });
    rig.queue.start(lease.id(), Start::Seek(SeekTo::Offset(4)));
    assert_eq!(rig.take(6).await[&0], names(0, 4..10));
}

#[tokio::test]
async fn a_seek_to_either_end() {
    let broker = broker(&[10]).await;
    let config = FetchConfig { reset: OffsetReset::None, ..FetchConfig::default() };
    let mut rig = Rig::new(&broker.bootstrap(), config);
    let lease = rig.open(0, Start::Seek(SeekTo::Beginning));
    assert_eq!(rig.moved(&lease).await, 0);
    assert_eq!(rig.take(10).await[&0], names(0, 0..10));
    rig.queue.start(lease.id(), Start::Seek(SeekTo::End));
    assert_eq!(rig.moved(&lease).await, 10);
    produce(&broker, 0, 1);
    assert_eq!(rig.take(1).await[&0], names(0, 10..11));
}

#[tokio::test]
async fn the_high_watermark_is_told_while_the_partition_is_assigned() {
    let broker = broker(&[10, 10]).await;
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    let lease = rig.open(0, Start::Reset);
    rig.take(10).await;
    assert_eq!(rig.watermarks.high(&partition(0)), Some(10));
    rig.queue.close(lease.id());
    rig.open(1, Start::Reset);
    // What came after the close was done, so that was done too.
    rig.take(10).await;
    assert_eq!(rig.watermarks.high(&partition(0)), None);
    assert_eq!(rig.watermarks.high(&partition(1)), Some(10));
}

#[tokio::test]
async fn the_engine_ends_with_the_queue() {
    let broker = broker(&[10]).await;
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.open(0, Start::Reset);
    rig.take(10).await;
    rig.queue.shut();
    tokio::time::timeout(LONG, &mut rig.engine).await.expect("an end in time").unwrap();
}

/// Through a member, its driver and the real link.
#[tokio::test]
async fn a_member_goes_on_where_it_committed() {
    let broker = broker(&[10]).await;
    for (first, commit) in [(0, 4), (4, 9)] {
        let cluster = Cluster::new(client(&broker.bootstrap())).unwrap();
        let mut member = handover_core::member(Config::new("billing"), Default::default()).unwrap();
        tokio::spawn(member.driver.run(TokioLink::new(&cluster)));
        let (sender, _reports) = mpsc::channel(1);
        let engine = fetch::run(member.feed, cluster, earliest(), sender, Default::default());
        let engine = tokio::spawn(engine);
        member.handle.assign([partition(0)]).await.unwrap();
        let next = tokio::time::timeout(LONG, member.deliveries.next()).await;
        let mut delivery = next.expect("records in time").expect("a driver that runs");
        assert_eq!(delivery.range(), first..10);
        delivery.done_through(commit - 1, 0);
        let target = CommitTarget::Lease(delivery.lease().id(), partition(0));
        let mark = Mark { offset: commit, leader_epoch: 0 };
        let entry = CommitEntry { target, mark, metadata: None, rewind: false };
        let outcome = member.handle.commit([entry], Duration::from_secs(10)).await.unwrap();
        assert_eq!(outcome, [(partition(0), PartitionOutcome::Committed { at: commit })]);
        drop(delivery);
        member.handle.close(Default::default()).await.unwrap();
        tokio::time::timeout(LONG, engine).await.expect("an end in time").unwrap();
    }
    assert_eq!(broker.requests().count(Api::OffsetForLeaderEpoch), 1, "the epoch was compared");
}
