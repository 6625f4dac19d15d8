//! Several brokers, brokers that go, and brokers that refuse.

use std::time::{Duration, Instant};

use handover_broker::{Api, Broker, Direction, ErrorCode, Fault};
use handover_core::machine::Start;

use super::rig::{Rig, client, committed, earliest, names, partition, produce};
use crate::fetch::FetchReport;

async fn three_nodes(partitions: i32) -> Broker {
    Broker::builder().nodes(3).topic("orders", partitions).start().await.unwrap()
}

#[tokio::test]
async fn many_partitions_on_three_nodes() {
    let broker = three_nodes(60).await;
    for round in 0..3 {
        (0..60).for_each(|index| produce(&broker, index, 4 + round));
    }
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.open_all(0..60, Start::Reset);
    let taken = rig.take(60 * 15).await;
    for index in 0..60 {
        assert_eq!(taken[&index], names(index, 0..15));
    }
}

#[tokio::test]
async fn leaders_that_go_and_come_back() {
    let broker = three_nodes(6).await;
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.open_all(0..6, Start::Reset);
    let mut from = 0;
    for stopped in 1..=3 {
        (0..6).for_each(|index| produce(&broker, index, 5));
        let taken = rig.take(30).await;
        assert!((0..6).all(|index| taken[&index] == names(index, from..from + 5)));
        broker.stop_node(stopped).await.unwrap();
        (0..6).for_each(|index| produce(&broker, index, 5));
        let taken = rig.take(30).await;
        assert!((0..6).all(|index| taken[&index] == names(index, from + 5..from + 10)));
        broker.restart_node(stopped).await.unwrap();
        from += 10;
    }
}

#[tokio::test]
async fn the_only_node_is_away_for_a_while() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    produce(&broker, 0, 5);
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.open(0, Start::Reset);
    rig.take(5).await;
    broker.stop_node(1).await.unwrap();
    produce(&broker, 0, 5);
    broker.restart_node(1).await.unwrap();
    assert_eq!(rig.take(5).await[&0], names(0, 5..10));
}

#[tokio::test]
async fn connections_cut_at_any_byte() {
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    (0..2).for_each(|index| produce(&broker, index, 10));
    for (direction, most) in [(Direction::ToClient, 2500), (Direction::ToBroker, 400)] {
        for bytes in (1..most).step_by(23) {
            let cut = |_| broker.faults().cut_after_bytes(direction, bytes);
            let cuts: Vec<Fault> = (0..4).map(cut).collect();
            let mut rig = Rig::new(&broker.bootstrap(), earliest());
            rig.open_all(0..2, Start::Reset);
            let taken = rig.take(20).await;
            assert!((0..2).all(|index| taken[&index] == names(index, 0..10)), "cut at {bytes}");
            cuts.iter().for_each(Fault::remove);
        }
    }
}

#[tokio::test]
async fn refusals_that_pass() {
    let refusals = [
        (Api::Fetch, ErrorCode::NotLeaderOrFollower),
        (Api::Fetch, ErrorCode::UnknownTopicOrPartition),
        (Api::Fetch, ErrorCode::UnknownTopicId),
        (Api::Fetch, ErrorCode::StorageError),
        (Api::Fetch, ErrorCode::UnknownServerError),
        (Api::Fetch, ErrorCode::Other(74)),
        (Api::Fetch, ErrorCode::Other(75)),
        (Api::ListOffsets, ErrorCode::NotLeaderOrFollower),
        (Api::ListOffsets, ErrorCode::Other(78)),
        (Api::Metadata, ErrorCode::LeaderNotAvailable),
    ];
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    produce(&broker, 0, 5);
    for (api, error) in refusals {
        let refused = broker.faults().on(api).times(3).answer(error);
        let mut rig = Rig::new(&broker.bootstrap(), earliest());
        rig.open(0, Start::Reset);
        assert_eq!(rig.take(5).await[&0], names(0, 0..5), "{api:?} {error}");
        assert_eq!(refused.hits(), 3);
        assert!(rig.reports.try_recv().is_err());
    }
}

#[tokio::test]
async fn what_is_denied_is_told_once_and_goes_on_when_it_is_granted() {
    for api in [Api::Fetch, Api::ListOffsets, Api::Metadata] {
        let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
        produce(&broker, 0, 5);
        let error = ErrorCode::TopicAuthorizationFailed;
        let denied = broker.faults().on(api).always().answer(error);
        let mut rig = Rig::new(&broker.bootstrap(), earliest());
        rig.open(0, Start::Reset);
        let told = FetchReport::Denied { partition: partition(0), error };
        assert_eq!(rig.report().await, told, "{api:?}");
        denied.hit_times(4).await;
        assert!(rig.reports.try_recv().is_err(), "{api:?}");
        denied.remove();
        assert_eq!(rig.take(5).await[&0], names(0, 0..5));
    }
}

#[tokio::test]
async fn a_topic_that_does_not_exist_yet_is_asked_for_with_pauses() {
    let broker = Broker::builder().start().await.unwrap();
    let mut client = client(&broker.bootstrap());
    client.retry_backoff = (Duration::from_millis(10), Duration::from_millis(10));
    let mut rig = Rig::with(client, earliest(), 1 << 20);
    let begun = Instant::now();
    rig.open(0, Start::Reset);
    broker.requested(Api::Metadata, 10).await;
    assert!(begun.elapsed() >= Duration::from_millis(9 * 8), "nine pauses less their jitter");
    broker.create_topic("orders", 1).unwrap();
    produce(&broker, 0, 5);
    assert_eq!(rig.take(5).await[&0], names(0, 0..5));
}

#[tokio::test]
async fn an_engine_that_is_dropped_leaves_nothing_behind() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.open(0, committed(0));
    broker.requested(Api::Fetch, 1).await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    rig.engine.abort();
    let _ = (&mut rig.engine).await;
    let mut alive = before;
    // The tasks of the engine end at their next turn; those of the broker's ends follow.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    }
    assert!(alive + 3 <= before, "{alive} of {before}: engine, fetch and connection ended");
}
