//! Produce, Fetch, ListOffsets and what belongs to them.

use std::time::Duration;

use bytes::Bytes;
use handover_broker::{Api, Broker, Record};
use handover_wire::codec::Uuid;
use handover_wire::codec::messages::fetch_request::{FetchPartition, FetchTopic};
use handover_wire::codec::messages::fetch_response::PartitionData;
use handover_wire::codec::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use handover_wire::codec::messages::list_offsets_response::ListOffsetsPartitionResponse;
use handover_wire::codec::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use handover_wire::codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use handover_wire::codec::messages::produce_response::PartitionProduceResponse;
use handover_wire::codec::messages::{
    FetchRequest, ListOffsetsRequest, MetadataRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};
use handover_wire::records::{BatchReader, BatchWriter, Compression, NewRecord};

use crate::client::{Client, name};

/// One batch of these values, timestamped 1000, 1001 and so on.
fn batch(writer: BatchWriter, values: &[&str]) -> Bytes {
    let mut writer = writer;
    for (value, timestamp) in values.iter().zip(1000..) {
        let value = Some(value.as_bytes());
        writer.push(NewRecord { timestamp, value, ..NewRecord::default() }).unwrap();
    }
    writer.finish().unwrap()
}

fn plain(values: &[&str]) -> Bytes {
    batch(BatchWriter::new(Compression::None), values)
}

async fn topic_id(client: &mut Client, topic: &str) -> Uuid {
    let metadata = client.call(&MetadataRequest::default().with_topics(None), 12).await;
    metadata.topics.iter().find(|t| t.name == Some(name(topic))).unwrap().topic_id
}

async fn produce(
    client: &mut Client,
    partition: i32,
    records: Bytes,
    version: i16,
) -> PartitionProduceResponse {
    let id = if version >= 13 { topic_id(client, "orders").await } else { Uuid::nil() };
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default().with_partition_data(vec![data]);
    let topic =
        if version >= 13 { topic.with_topic_id(id) } else { topic.with_name(name("orders")) };
    let request = ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(-1)
        .with_timeout_ms(1000)
        .with_topic_data(vec![topic]);
    let mut answer = client.call(&request, version).await;
    answer.responses.remove(0).partition_responses.remove(0)
}

struct Fetching {
    offset: i64,
    min_bytes: i32,
    max_bytes: i32,
    wait: i32,
}

impl Default for Fetching {
    fn default() -> Fetching {
        Fetching { offset: 0, min_bytes: 1, max_bytes: 1 << 20, wait: 60_000 }
    }
}

async fn fetch_request(client: &mut Client, how: &Fetching, version: i16) -> FetchRequest {
    let asked = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(how.offset)
        .with_partition_max_bytes(how.max_bytes);
    let topic = FetchTopic::default().with_partitions(vec![asked]);
    let topic = if version >= 13 {
        topic.with_topic_id(topic_id(client, "orders").await)
    } else {
        topic.with_topic(name("orders"))
    };
    FetchRequest::default()
        .with_max_wait_ms(how.wait)
        .with_min_bytes(how.min_bytes)
        .with_max_bytes(how.max_bytes)
        .with_topics(vec![topic])
}

async fn fetch(client: &mut Client, how: &Fetching, version: i16) -> PartitionData {
    let request = fetch_request(client, how, version).await;
    let mut answer = client.call(&request, version).await;
    answer.responses.remove(0).partitions.remove(0)
}

/// Offsets and values.
fn values(partition: &PartitionData) -> Vec<(i64, String)> {
    let bytes = partition.records.clone().unwrap_or_default();
    let mut values = Vec::new();
    for batch in BatchReader::new(bytes) {
        let batch = batch.unwrap().decode(1 << 20).unwrap();
        for record in batch.records() {
            let record = record.unwrap();
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            values.push((record.offset, value));
        }
    }
    values
}

#[tokio::test]
async fn what_is_produced_is_fetched_in_every_version() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let mut end = 0;
    for version in Api::Produce.versions() {
        let answer = produce(&mut client, 0, plain(&["a", "b"]), version).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, end), "Produce {version}");
        end += 2;
    }
    for version in Api::Fetch.versions() {
        let from = Fetching { offset: end - 3, ..Fetching::default() };
        let answer = fetch(&mut client, &from, version).await;
        assert_eq!((answer.error_code, answer.high_watermark), (0, end), "Fetch {version}");
        let expected = [(end - 4, "a"), (end - 3, "b"), (end - 2, "a"), (end - 1, "b")];
        let expected = expected.map(|(offset, value)| (offset, value.to_owned()));
        assert_eq!(values(&answer), expected, "Fetch {version}: from the batch of the offset on");
    }
}

#[tokio::test]
async fn a_fetch_waits_for_what_it_asked_for() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    // An hour: the append ends the wait, or the test hangs.
    let patient = Fetching { wait: 3_600_000, ..Fetching::default() };
    let fetching = tokio::spawn(async move { fetch(&mut client, &patient, 12).await });
    broker.requested(Api::Fetch, 1).await;
    broker.produce("orders", 0, [Record::from("late")]).unwrap();
    assert_eq!(values(&fetching.await.unwrap()), [(0, "late".to_owned())]);

    let mut client = Client::connect(&broker).await;
    let brief = Fetching { offset: 1, wait: 20, ..Fetching::default() };
    let began = std::time::Instant::now();
    assert_eq!(values(&fetch(&mut client, &brief, 12).await), []);
    assert!(began.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn a_fetch_is_bounded_and_still_gets_on() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    for value in ["a", "b", "c"] {
        broker.produce("orders", 0, [Record::from(value)]).unwrap();
    }
    let mut client = Client::connect(&broker).await;
    // Less than one batch has: the first comes all the same, and it alone.
    let tiny = Fetching { max_bytes: 1, ..Fetching::default() };
    assert_eq!(values(&fetch(&mut client, &tiny, 12).await), [(0, "a".to_owned())]);
    // More than there is: it waits its time, and then brings what there is.
    let greedy = Fetching { min_bytes: 1 << 20, wait: 20, ..Fetching::default() };
    assert_eq!(values(&fetch(&mut client, &greedy, 12).await).len(), 3);
}

#[tokio::test]
async fn a_fetch_beside_the_log_is_out_of_range_at_once() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    for offset in [-1, 1] {
        let beside = Fetching { offset, ..Fetching::default() };
        let answer = fetch(&mut client, &beside, 12).await;
        assert_eq!((answer.error_code, answer.high_watermark), (1, -1));
    }
}

#[tokio::test]
async fn an_idempotent_producer_is_held_to_its_sequence() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let batch = |epoch, sequence, values: &[&str]| {
        batch(BatchWriter::new(Compression::None).producer(7, epoch, sequence), values)
    };
    let steps: [(&str, Bytes, i16, i64); 7] = [
        ("the first", batch(0, 0, &["a", "b"]), 0, 0),
        ("the next", batch(0, 2, &["c"]), 0, 2),
        ("the first again", batch(0, 0, &["a", "b"]), 0, 0),
        ("one too far", batch(0, 4, &["e"]), 45, -1),
        ("a new epoch, not from its start", batch(1, 3, &["d"]), 45, -1),
        ("a new epoch", batch(1, 0, &["d"]), 0, 3),
        ("the old epoch", batch(0, 3, &["d"]), 47, -1),
    ];
    for (step, records, error, offset) in steps {
        let answer = produce(&mut client, 0, records, 9).await;
        assert_eq!((answer.error_code, answer.base_offset), (error, offset), "{step}");
    }
    let values = broker.records("orders", 0, 0).unwrap().into_iter();
    let values: Vec<_> = values.map(|(_, record)| record.value.unwrap()).collect();
    assert_eq!(values, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn what_is_no_batch_is_refused_and_not_appended() {
    let broker = Broker::builder()
        .topic_with("orders", 1, [("max.message.bytes", "200")])
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&broker).await;
    let good = plain(&["a"]);
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut old = good.to_vec();
    old[16] = 1;
    let two = [&good[..], &good[..]].concat();
    let transactional = batch(BatchWriter::new(Compression::None).transactional(), &["a"]);
    let zstd = batch(BatchWriter::new(Compression::Zstd), &["a"]);
    let steps: [(&str, Bytes, i16, i16); 8] = [
        ("damaged", damaged.into(), 9, 2),
        ("an old format", old.into(), 9, 87),
        ("two batches", two.into(), 9, 87),
        ("half a batch", good.slice(..good.len() - 1), 9, 87),
        ("nothing", Bytes::new(), 9, 87),
        ("transactional", transactional, 9, 87),
        ("zstd before its time", zstd.clone(), 6, 76),
        ("too large", plain(&["0123456789"; 20]), 9, 10),
    ];
    for (step, records, version, error) in steps {
        assert_eq!(produce(&mut client, 0, records, version).await.error_code, error, "{step}");
    }
    assert_eq!(broker.offsets("orders").unwrap()[0], 0..0);
    assert_eq!(produce(&mut client, 0, zstd, 7).await.error_code, 0);
    assert_eq!(produce(&mut client, 9, good, 7).await.error_code, 3, "no such partition");
}

#[tokio::test]
async fn who_wants_no_answer_gets_none() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let data = PartitionProduceData::default().with_records(Some(plain(&["a"])));
    let topic =
        TopicProduceData::default().with_name(name("orders")).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(0)
        .with_topic_data(vec![topic]);
    client.send(&request, 9).await;
    // The next answer is that of the next request.
    assert_eq!(values(&fetch(&mut client, &Fetching::default(), 12).await), [(0, "a".to_owned())]);
}

#[tokio::test]
async fn offsets_are_listed_by_time() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let records =
        |stamps: &[i64]| stamps.iter().map(|at| Record::from("v").at(*at)).collect::<Vec<_>>();
    broker.produce("orders", 0, records(&[100, 300, 200])).unwrap();
    broker.produce("orders", 0, records(&[250, 400])).unwrap();
    let mut client = Client::connect(&broker).await;
    for version in [1, 10] {
        // Asked for, then the timestamp and the offset found.
        let mut steps = vec![
            (-1, -1, 5),
            (-2, -1, 0),
            (0, 100, 0),
            (150, 300, 1),
            (301, 400, 4),
            (401, -1, -1),
        ];
        if version >= 7 {
            steps.push((-3, 400, 4));
        }
        for (asked, timestamp, offset) in steps {
            let answer = list(&mut client, asked, -1, version).await;
            let found = (answer.error_code, answer.timestamp, answer.offset);
            assert_eq!(found, (0, timestamp, offset), "version {version}, asked {asked}");
        }
    }
}

async fn list(
    client: &mut Client,
    timestamp: i64,
    epoch: i32,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let asked = ListOffsetsPartition::default().with_timestamp(timestamp);
    let asked = if version >= 4 { asked.with_current_leader_epoch(epoch) } else { asked };
    let topic = ListOffsetsTopic::default().with_name(name("orders")).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    client.call(&request, version).await.topics.remove(0).partitions.remove(0)
}

/// Two epochs: offsets 0 and 1 in the first, 2 in the third, after a node stopped and came back.
async fn broker_with_epochs() -> (Broker, Client) {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    broker.produce("orders", 0, [Record::from("a"), Record::from("b")]).unwrap();
    for _ in 0..2 {
        broker.stop_node(1).await.unwrap();
        broker.restart_node(1).await.unwrap();
    }
    broker.produce("orders", 0, [Record::from("c")]).unwrap();
    let client = Client::connect(&broker).await;
    (broker, client)
}

#[tokio::test]
async fn epochs_end_where_the_next_began() {
    let (_broker, mut client) = broker_with_epochs().await;
    for version in Api::OffsetForLeaderEpoch.versions() {
        let steps = [(0, (0, 2)), (1, (0, 2)), (2, (2, 3)), (3, (-1, -1)), (-1, (-1, -1))];
        for (epoch, end) in steps {
            let asked = OffsetForLeaderPartition::default().with_leader_epoch(epoch);
            let topic = OffsetForLeaderTopic::default()
                .with_topic(name("orders"))
                .with_partitions(vec![asked]);
            let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
            let answer = client.call(&request, version).await.topics.remove(0).partitions.remove(0);
            assert_eq!((answer.leader_epoch, answer.end_offset), end, "epoch {epoch}");
        }
    }
}

#[tokio::test]
async fn a_client_of_another_epoch_is_told() {
    let (_broker, mut client) = broker_with_epochs().await;
    assert_eq!(list(&mut client, -1, 1, 10).await.error_code, 74, "behind");
    assert_eq!(list(&mut client, -1, 3, 10).await.error_code, 75, "ahead");
    let latest = list(&mut client, -1, 2, 10).await;
    assert_eq!((latest.error_code, latest.leader_epoch, latest.offset), (0, 2, 3));

    // A log that went on to 5 in epoch 0 has parted from this one at 2.
    let mut request =
        fetch_request(&mut client, &Fetching { offset: 3, ..Fetching::default() }, 12).await;
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let answer = client.call(&request, 12).await.responses.remove(0).partitions.remove(0);
    assert_eq!((answer.error_code, answer.records.unwrap().len()), (0, 0));
    assert_eq!((answer.diverging_epoch.epoch, answer.diverging_epoch.end_offset), (0, 2));
}

#[tokio::test]
async fn only_the_leader_serves_a_partition() {
    let broker = Broker::builder().nodes(2).topic("orders", 1).start().await.unwrap();
    let mut other = Client::connect_to(&broker, 2).await;
    let answer = produce(&mut other, 0, plain(&["a"]), 10).await;
    assert_eq!((answer.error_code, answer.current_leader.leader_id.0), (6, 1));
    let answer = fetch(&mut other, &Fetching::default(), 12).await;
    assert_eq!((answer.error_code, answer.current_leader.leader_id.0), (6, 1));
    assert_eq!(list(&mut other, -1, -1, 10).await.error_code, 6);
}

#[tokio::test]
async fn the_oldest_batches_go_when_there_are_too_many_bytes() {
    let broker = Broker::builder()
        .topic_with("orders", 1, [("retention.bytes", "200")])
        .start()
        .await
        .unwrap();
    for _ in 0..10 {
        broker.produce("orders", 0, [Record::from("0123456789")]).unwrap();
    }
    let kept = broker.offsets("orders").unwrap()[0].clone();
    assert!(kept.start > 0 && kept.end == 10, "{kept:?}");
    let mut client = Client::connect(&broker).await;
    assert_eq!(list(&mut client, -2, -1, 10).await.offset, kept.start);
    assert_eq!(fetch(&mut client, &Fetching::default(), 12).await.error_code, 1);
    assert_eq!(broker.records("orders", 0, 0).unwrap()[0].0, kept.start);
}

#[tokio::test]
async fn records_keep_their_headers_and_compression() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    for (compression, offset) in Compression::ALL.into_iter().zip(0..) {
        let records = batch(BatchWriter::new(compression), &["v"]);
        assert_eq!(produce(&mut client, 0, records, 9).await.base_offset, offset, "{compression}");
    }
    let record = Record::from(("k", "v")).at(5).header("h", "1").header("h", "2");
    broker.produce("orders", 0, [record.clone()]).unwrap();
    let read = broker.records("orders", 0, 0).unwrap();
    assert_eq!(read.len(), 6);
    assert_eq!(read[5], (5, record));
}
