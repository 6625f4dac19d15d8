//! Produce, Fetch, ListOffsets and what belongs to them.

use std::time::Duration;

use bytes::Bytes;
use handover_broker::{Api, Broker, Record};
use handover_wire::codec::Uuid;
use handover_wire::codec::messages::fetch_request::{FetchPartition, FetchTopic};
use handover_wire::codec::messages::fetch_response::PartitionData;
use handover_wire::codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use handover_wire::codec::messages::produce_response::PartitionProduceResponse;
use handover_wire::codec::messages::{FetchRequest, MetadataRequest, ProduceRequest};
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
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic]);
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
