//! Metadata, reconnection and the admin calls, against the embedded broker.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use std::time::Duration;

use handover_broker::{Api, Broker, Cut, ErrorCode};
use handover_core::machine::TopicPartition;
use handover_tokio::{ClientConfig, Cluster, ClusterError, Isolation, NewTopic, OffsetAt};

fn cluster(broker: &Broker) -> Cluster {
    Cluster::new(ClientConfig::new(broker.bootstrap())).unwrap()
}

#[tokio::test]
async fn topics_are_created_listed_and_deleted() {
    let broker = Broker::builder().nodes(3).start().await.unwrap();
    let cluster = cluster(&broker);
    assert!(cluster.topics().await.unwrap().is_empty());
    let orders = NewTopic::new("orders").partitions(4).config("retention.ms", "1000");
    cluster.create_topics(&[orders.clone(), NewTopic::new("bills").partitions(1)]).await.unwrap();
    let listed: Vec<_> = cluster.topics().await.unwrap().into_iter().collect();
    assert_eq!(listed, [("bills".into(), 1), ("orders".into(), 4)]);
    assert_eq!(cluster.partitions("orders").await, Ok(4));

    let again = cluster.create_topics(&[orders]).await.unwrap_err();
    assert!(again.to_string().contains("TOPIC_ALREADY_EXISTS"), "{again}");

    cluster.delete_topics(&["orders"]).await.unwrap();
    let gone = cluster.partitions("orders").await.unwrap_err();
    let error = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(gone, ClusterError::Topic { topic: "orders".into(), error, message: None });
    let gone = cluster.delete_topics(&["orders"]).await.unwrap_err();
    assert!(matches!(gone, ClusterError::Topic { .. }), "{gone}");
}

#[tokio::test]
async fn offsets_are_found_at_all_leaders() {
    let broker = Broker::builder().nodes(3).topic("orders", 6).start().await.unwrap();
    for partition in 0..6 {
        for _ in 0..partition {
            broker.produce("orders", partition, ["a".into()]).unwrap();
        }
    }
    let cluster = cluster(&broker);
    let places: Vec<_> = (0..6).map(|p| TopicPartition::new("orders", p)).collect();
    let isolation = Isolation::default();
    let ends = cluster.list_offsets(&places, OffsetAt::Latest, isolation).await.unwrap();
    let ends: Vec<_> = ends.into_values().collect();
    assert_eq!(ends, (0..6).map(Some).collect::<Vec<_>>());
    let starts = cluster.list_offsets(&places, OffsetAt::Earliest, isolation).await.unwrap();
    assert!(starts.into_values().all(|offset| offset == Some(0)));
    let future = OffsetAt::Timestamp(i64::MAX);
    let none = cluster.list_offsets(&places, future, isolation).await.unwrap();
    assert!(none.into_values().all(|offset| offset.is_none()));
}

#[tokio::test]
async fn a_stopped_leader_is_replaced() {
    let broker = Broker::builder().nodes(3).topic("orders", 6).start().await.unwrap();
    let cluster = cluster(&broker);
    let places: Vec<_> = (0..6).map(|p| TopicPartition::new("orders", p)).collect();
    let isolation = Isolation::default();
    for stopped in [1, 2] {
        cluster.list_offsets(&places, OffsetAt::Latest, isolation).await.unwrap();
        broker.stop_node(stopped).await.unwrap();
    }
    let ends = cluster.list_offsets(&places, OffsetAt::Latest, isolation).await.unwrap();
    assert_eq!(ends.len(), 6);
    broker.restart_node(1).await.unwrap();
    broker.stop_node(3).await.unwrap();
    let ends = cluster.list_offsets(&places, OffsetAt::Latest, isolation).await.unwrap();
    assert_eq!(ends.len(), 6);
}

#[tokio::test]
async fn what_passes_is_waited_out_and_what_does_not_is_told() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let cluster = cluster(&broker);
    let place = [TopicPartition::new("orders", 0)];
    let isolation = Isolation::default();
    for error in [ErrorCode::NotLeaderOrFollower, ErrorCode::LeaderNotAvailable] {
        let refused = broker.faults().on(Api::ListOffsets).times(2).answer(error);
        cluster.list_offsets(&place, OffsetAt::Latest, isolation).await.unwrap();
        assert_eq!(refused.hits(), 2);
    }
    let cut = broker.faults().on(Api::ListOffsets).cut(Cut::Within(9));
    cluster.list_offsets(&place, OffsetAt::Latest, isolation).await.unwrap();
    assert_eq!(cut.hits(), 1);
    let error = ErrorCode::TopicAuthorizationFailed;
    broker.faults().on(Api::ListOffsets).answer(error);
    let refused = cluster.list_offsets(&place, OffsetAt::Latest, isolation).await;
    let [partition] = place;
    assert_eq!(refused, Err(ClusterError::Partition { partition, error }));
}

#[tokio::test]
async fn many_who_miss_the_same_ask_once() {
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    let cluster = cluster(&broker);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let cluster = cluster.clone();
            tokio::spawn(async move { cluster.partitions("orders").await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), Ok(2));
    }
    assert_eq!(broker.requests().count(Api::Metadata), 1);
}

#[tokio::test]
async fn a_dropped_question_leaves_the_cluster_usable() {
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    let cluster = cluster(&broker);
    let held = broker.faults().on(Api::Metadata).hold();
    tokio::select! {
        _ = cluster.partitions("orders") => panic!("answered while held"),
        () = held.hit() => {}
    }
    held.remove();
    assert_eq!(cluster.partitions("orders").await, Ok(2));
}

#[tokio::test]
async fn a_cluster_that_nobody_serves_is_an_error_that_says_so() {
    let broker = Broker::start().await.unwrap();
    let bootstrap = broker.bootstrap();
    broker.stop().await;
    let cluster = Cluster::new(ClientConfig::new(&bootstrap)).unwrap();
    let error = cluster.topics().await.unwrap_err();
    assert!(error.to_string().contains(&bootstrap), "{error}");
}

#[tokio::test]
async fn a_broker_that_accepts_and_hangs_up_is_not_hammered() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = tokio::spawn(async move {
        let mut accepted = 0;
        let window = tokio::time::sleep(Duration::from_millis(500));
        tokio::pin!(window);
        loop {
            tokio::select! {
                _ = listener.accept() => accepted += 1,
                () = &mut window => return accepted,
            }
        }
    });
    let cluster = Cluster::new(ClientConfig::new(&address)).unwrap();
    while !accepted.is_finished() {
        let _ = tokio::time::timeout(Duration::from_millis(100), cluster.topics()).await;
    }
    // 50, 100, 200, 400 ms, with jitter.
    assert!(accepted.await.unwrap() <= 7);
}
