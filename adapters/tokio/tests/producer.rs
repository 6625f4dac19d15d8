//! The producer against the embedded broker.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use std::time::Duration;

use handover_broker::{Api, Broker, Cut, Record};
use handover_core::machine::ErrorCode;
use handover_tokio::producer::{
    Acks, Compression, NewRecord, ProduceError, Producer, ProducerConfig,
};
use handover_tokio::{ClientConfig, Cluster};

fn producer(broker: &Broker, change: impl FnOnce(&mut ProducerConfig)) -> Producer {
    let mut client = ClientConfig::new(broker.bootstrap());
    client.request_timeout = Duration::from_secs(5);
    let mut config = ProducerConfig::default();
    change(&mut config);
    Producer::new(&Cluster::new(client).unwrap(), config).unwrap()
}

fn values(broker: &Broker, partition: i32) -> Vec<String> {
    let records = broker.records("t", partition, 0).unwrap();
    let value =
        |record: &Record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
    records.iter().map(|(_, record)| value(record)).collect()
}

fn numbers(range: std::ops::Range<i32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Enqueues the numbers, as values of partition 0, and waits for all outcomes.
async fn write(producer: &Producer, range: std::ops::Range<i32>) -> Vec<i64> {
    let mut deliveries = Vec::new();
    for n in range {
        let record = NewRecord::to("t").partition(0).value(n.to_string());
        deliveries.push(producer.enqueue(record).await.unwrap());
    }
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.unwrap().offset.unwrap());
    }
    offsets
}

#[tokio::test]
async fn what_is_written_can_be_read_in_every_compression() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    for (round, compression) in (0..).zip(Compression::ALL) {
        let producer = producer(&broker, |c| c.compression = compression);
        let offsets = write(&producer, round * 100..round * 100 + 100).await;
        let first = i64::from(round) * 100;
        assert_eq!(offsets, (first..first + 100).collect::<Vec<_>>(), "{compression}");
        producer.close().await;
    }
    assert_eq!(values(&broker, 0), numbers(0..500));
}

#[tokio::test]
async fn a_record_keeps_its_key_headers_and_time() {
    let broker = Broker::builder().topic("t", 8).start().await.unwrap();
    let producer = producer(&broker, |_| {});
    let record = NewRecord::to("t")
        .key("foobar")
        .value("v")
        .header("trace", "1")
        .header("trace", "2")
        .timestamp(1234);
    let written = producer.send(record).await.unwrap();
    // What the Java client's murmur2 says.
    assert_eq!(written.partition.partition, ((-790_332_482_i32) & 0x7fff_ffff) % 8);
    let (offset, read) = broker.records("t", written.partition.partition, 0).unwrap().remove(0);
    assert_eq!(Some(offset), written.offset);
    assert_eq!((read.key.as_deref(), read.timestamp), (Some(&b"foobar"[..]), 1234));
    assert_eq!(read.headers.len(), 2, "both, though they have one key");
}

#[tokio::test]
async fn each_kind_of_acknowledgement_works() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let producer = producer(&broker, |c| {
            c.acks = acks;
            c.idempotent = acks == Acks::All;
        });
        let written = producer.send(NewRecord::to("t").value("v")).await.unwrap();
        assert_eq!(written.offset.is_some(), acks != Acks::None);
    }
    broker.until(|broker| broker.offsets("t").unwrap()[0].end == 3).await;
}

#[tokio::test]
async fn a_leader_that_stops_costs_neither_a_record_nor_the_order() {
    let broker = Broker::builder().nodes(3).topic("t", 1).start().await.unwrap();
    let producer = producer(&broker, |c| c.linger = Duration::ZERO);
    let writing = {
        let producer = producer.clone();
        tokio::spawn(async move { write(&producer, 0..3000).await })
    };
    for node in [1, 2, 3, 1, 2] {
        let before = broker.offsets("t").unwrap()[0].end;
        broker
            .until(|broker| broker.offsets("t").unwrap()[0].end > before || writing.is_finished())
            .await;
        broker.stop_node(node).await.unwrap();
        broker.restart_node(node).await.unwrap();
    }
    assert_eq!(writing.await.unwrap(), (0..3000).collect::<Vec<_>>());
    assert_eq!(values(&broker, 0), numbers(0..3000));
}

#[tokio::test]
async fn a_lost_answer_writes_nothing_twice() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let producer = producer(&broker, |c| c.linger = Duration::ZERO);
    for (round, cut) in (0..).zip([Cut::After, Cut::Within(3), Cut::Within(20), Cut::Before]) {
        let fault = broker.faults().on(Api::Produce).cut(cut);
        assert_eq!(write(&producer, round..round + 1).await, [i64::from(round)]);
        assert_eq!(fault.hits(), 1);
    }
    assert_eq!(values(&broker, 0), numbers(0..4));
}

#[tokio::test]
async fn what_passes_is_tried_again_in_order() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let producer = producer(&broker, |c| {
        c.linger = Duration::ZERO;
        c.batch_bytes = 1;
    });
    for error in [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::LeaderNotAvailable,
        ErrorCode::Other(19), // NOT_ENOUGH_REPLICAS
        ErrorCode::RequestTimedOut,
        ErrorCode::UnknownTopicOrPartition,
    ] {
        broker.faults().on(Api::Produce).times(2).answer(error);
    }
    broker.faults().on(Api::Produce).nth(13).apply_then_answer(ErrorCode::RequestTimedOut);
    broker.faults().on(Api::InitProducerId).answer(ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(write(&producer, 0..20).await, (0..20).collect::<Vec<_>>());
    assert_eq!(values(&broker, 0), numbers(0..20));
}

#[tokio::test]
async fn a_refusal_is_told_and_does_not_hold_up_the_next() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let producer = producer(&broker, |c| c.linger = Duration::ZERO);
    let error = ErrorCode::TopicAuthorizationFailed;
    broker.faults().on(Api::Produce).answer(error);
    let refused = producer.send(NewRecord::to("t").value("a")).await;
    assert!(matches!(refused, Err(ProduceError::Refused { error: e, .. }) if e == error));
    assert_eq!(write(&producer, 1..2).await, [0]);
}

#[tokio::test]
async fn what_cannot_be_written_is_told_before_it_is_tried() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let producer = producer(&broker, |c| c.max_block = Duration::from_millis(200));
    let large = producer.send(NewRecord::to("t").value(vec![0; 1 << 20])).await;
    assert!(matches!(large, Err(ProduceError::TooLarge { .. })));
    let beyond = producer.send(NewRecord::to("t").partition(2).value("v")).await;
    assert!(matches!(beyond, Err(ProduceError::NoPartition { count: 2, .. })));
    let nowhere = producer.send(NewRecord::to("nowhere").value("v")).await;
    let error = nowhere.unwrap_err();
    assert!(error.to_string().contains("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
    assert_eq!(broker.requests().count(Api::Produce), 0);
}

#[tokio::test]
async fn a_full_buffer_makes_wait_and_a_dropped_wait_leaves_nothing() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let producer = producer(&broker, |c| {
        c.linger = Duration::from_secs(60);
        c.batch_bytes = 2000;
        c.request_bytes = 2000;
        c.buffer_bytes = 2000;
        c.max_block = Duration::from_millis(100);
    });
    let record = || NewRecord::to("t").value(vec![b'x'; 900]);
    let held = broker.faults().on(Api::Produce).hold();
    let first = producer.enqueue(record()).await.unwrap();
    let full = loop {
        // The first that does not fit makes the others go, in spite of their linger.
        match producer.enqueue(record()).await {
            Ok(_) => {}
            Err(full) => break full,
        }
    };
    assert_eq!(full, ProduceError::BufferFull { after: Duration::from_millis(100) });
    held.hit().await;
    held.remove();
    first.await.unwrap();
    producer.flush().await;
    let written = broker.offsets("t").unwrap()[0].end;
    // The waits that were given up hold no room.
    let after: Vec<_> = [record(), record()].into_iter().map(|r| producer.enqueue(r)).collect();
    for enqueued in after {
        let _accepted = enqueued.await.unwrap();
    }
    producer.flush().await;
    assert_eq!(broker.offsets("t").unwrap()[0].end, written + 2);
}

#[tokio::test]
async fn close_waits_for_all_and_takes_no_more() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let producer = producer(&broker, |c| c.linger = Duration::from_secs(60));
    let delivery = producer.enqueue(NewRecord::to("t").value("v")).await.unwrap();
    producer.close().await;
    assert_eq!(delivery.await.unwrap().offset, Some(0));
    let late = producer.send(NewRecord::to("t").value("v")).await;
    assert_eq!(late.unwrap_err(), ProduceError::Closed);
    producer.close().await;
}

#[tokio::test]
async fn a_dropped_producer_resolves_what_it_has() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let producer = producer(&broker, |c| c.linger = Duration::from_secs(60));
    let waiting = producer.enqueue(NewRecord::to("t").partition(0).value("v")).await.unwrap();
    drop(producer);
    assert_eq!(waiting.await, Err(ProduceError::Closed));
}

#[tokio::test]
async fn an_unreachable_cluster_expires_records_in_time() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let producer = producer(&broker, |c| c.delivery_timeout = Duration::from_millis(300));
    producer.send(NewRecord::to("t").value("v")).await.unwrap();
    broker.stop_node(1).await.unwrap();
    let expired = producer.send(NewRecord::to("t").value("v")).await.unwrap_err();
    assert!(matches!(expired, ProduceError::Expired { last: Some(_), .. }), "{expired}");
    broker.restart_node(1).await.unwrap();
    assert!(producer.send(NewRecord::to("t").value("v")).await.is_ok());
}

#[tokio::test]
async fn a_broker_that_lost_the_sequence_gets_the_batch_under_a_new_name() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let producer = producer(&broker, |c| c.linger = Duration::ZERO);
    assert_eq!(write(&producer, 0..1).await, [0]);
    broker.faults().on(Api::Produce).answer(ErrorCode::Other(59)); // UNKNOWN_PRODUCER_ID
    assert_eq!(write(&producer, 1..2).await, [1]);
    assert_eq!(broker.requests().count(Api::InitProducerId), 2);
}

#[tokio::test]
async fn a_topic_is_made_by_writing_to_it_if_the_broker_allows_that() {
    let broker = Broker::builder().auto_create_topics(3).start().await.unwrap();
    let producer = producer(&broker, |_| {});
    assert_eq!(producer.send(NewRecord::to("new").value("v")).await.unwrap().offset, Some(0));
}

/// A broker that writes what it gets and then says nonsense: cut anywhere, each answer is lost, and
/// without idempotence the batch may be there twice, but never in another order.
#[tokio::test]
async fn an_answer_cut_at_every_byte_is_sent_again() {
    for idempotent in [true, false] {
        let broker = Broker::builder().topic("t", 1).start().await.unwrap();
        let producer = producer(&broker, |c| {
            c.linger = Duration::ZERO;
            c.idempotent = idempotent;
        });
        for n in 0..40 {
            let cut = broker.faults().on(Api::Produce).cut(Cut::Within(n));
            write(&producer, n as i32..n as i32 + 1).await;
            assert_eq!(cut.hits(), 1);
        }
        let mut read = values(&broker, 0);
        if !idempotent {
            assert_eq!(read.len(), 80, "each was written twice");
            read.dedup();
        }
        assert_eq!(read, numbers(0..40));
    }
}
