//! Brokers played by hand: they say whatever the script says.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use handover_wire::codec::messages::fetch_request::FetchPartition;
use handover_wire::codec::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use handover_wire::codec::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use handover_wire::codec::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use handover_wire::codec::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use handover_wire::codec::messages::{
    BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    TopicName,
};
use handover_wire::codec::{StrBytes, Uuid};
use handover_wire::records::{
    BatchWriter, Compression, NewRecord, rewrite_base_offset, rewrite_leader_epoch,
};
use handover_wire::{
    ApiKey, ApiRange, FrameLimit, RequestHead, SPOKEN, decode_request, encode_offer,
    encode_response,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::rig::names;

/// What the brokers say. There is one topic, `orders`.
pub(super) trait Script: Send + 'static {
    /// The versions offered.
    fn versions(&self) -> Vec<ApiRange> {
        SPOKEN.to_vec()
    }

    /// The topic's id; and for each partition its leader and the epoch of that.
    fn topic(&self) -> (u128, Vec<(i32, i32)>) {
        (1, vec![(1, 0)])
    }

    /// Where the log begins (-2) or ends (-1).
    fn offset(&mut self, _timestamp: i64) -> i64 {
        0
    }

    /// Where an epoch ends.
    fn end_of_epoch(&mut self, _epoch: i32) -> (i32, i64) {
        (-1, -1)
    }

    /// Whether an answer with nothing in it waits as long as it may.
    fn is_patient(&self) -> bool {
        true
    }

    /// A fetch comes; then its partitions one by one.
    fn begin(&mut self) {}

    /// What `node` answers to a fetch of one partition, and of the version.
    fn fetch(&mut self, node: i32, asked: &FetchPartition, version: i16) -> PartitionData;
}

/// The brokers, until they are dropped.
pub(super) struct Fake<S> {
    pub(super) bootstrap: String,
    script: Arc<Mutex<S>>,
    _tasks: JoinSet<()>,
}

impl<S: Script> Fake<S> {
    /// Nodes 1 to `nodes`.
    pub(super) async fn start(nodes: i32, script: S) -> Fake<S> {
        let script = Arc::new(Mutex::new(script));
        let mut listeners = Vec::new();
        for node in 1..=nodes {
            listeners.push((node, TcpListener::bind("127.0.0.1:0").await.unwrap()));
        }
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let ports: Vec<(i32, u16)> = listeners.iter().map(|(node, l)| (*node, port(l))).collect();
        let mut tasks = JoinSet::new();
        for (node, listener) in listeners {
            let broker = Broker { node, ports: ports.clone(), script: Arc::clone(&script) };
            tasks.spawn(broker.listen(listener));
        }
        let bootstrap = format!("127.0.0.1:{}", ports[0].1);
        Fake { bootstrap, script, _tasks: tasks }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, S> {
        self.script.lock().unwrap()
    }
}

/// One batch of `count` records at `offset`, as [`names`] calls those of `index`.
pub(super) fn batch(index: i32, offset: i64, count: i64, epoch: i32) -> Bytes {
    let mut writer = BatchWriter::new(Compression::None);
    for value in names(index, offset..offset + count) {
        let value = Some(value.as_bytes());
        writer.push(NewRecord { value, ..NewRecord::default() }).unwrap();
    }
    let mut bytes = writer.finish().unwrap().to_vec();
    rewrite_base_offset(&mut bytes, offset).unwrap();
    rewrite_leader_epoch(&mut bytes, epoch).unwrap();
    bytes.into()
}

/// An answer with these records, in a log that ends at `high`.
pub(super) fn data(records: Bytes, high: i64) -> PartitionData {
    PartitionData::default()
        .with_high_watermark(high)
        .with_last_stable_offset(high)
        .with_records(Some(records))
}

pub(super) fn refusal(error: i16) -> PartitionData {
    data(Bytes::new(), -1).with_error_code(error)
}

struct Broker<S> {
    node: i32,
    ports: Vec<(i32, u16)>,
    script: Arc<Mutex<S>>,
}

impl<S: Script> Broker<S> {
    async fn listen(self, listener: TcpListener) {
        let broker = Arc::new(self);
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let broker = Arc::clone(&broker);
            connections.spawn(async move { broker.serve(stream).await });
        }
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut buffer = BytesMut::new();
        loop {
            while let Some(mut frame) = FrameLimit::DEFAULT.split(&mut buffer).unwrap() {
                let head = RequestHead::decode(&mut frame).unwrap();
                let answer = self.answer(&head, frame).await;
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            if !matches!(stream.read_buf(&mut buffer).await, Ok(read) if read > 0) {
                return;
            }
        }
    }

    async fn answer(&self, head: &RequestHead, body: Bytes) -> Bytes {
        let (version, id) = (head.version, head.correlation);
        match head.api {
            ApiKey(1) => self.fetch(version, id, body).await,
            ApiKey(2) => self.list_offsets(version, id, body),
            ApiKey(3) => {
                encode_response::<MetadataRequest>(&self.metadata(version), version, id).unwrap()
            }
            ApiKey(18) => encode_offer(&self.script().versions(), version, id).unwrap(),
            ApiKey(23) => self.epochs(version, id, body),
            other => panic!("{other} was not expected"),
        }
    }

    fn script(&self) -> MutexGuard<'_, S> {
        self.script.lock().unwrap()
    }

    fn metadata(&self, version: i16) -> MetadataResponse {
        let (id, leaders) = self.script().topic();
        let broker = |(node, port): &(i32, u16)| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(*node))
                .with_host(StrBytes::from_static_str("127.0.0.1"))
                .with_port(i32::from(*port))
        };
        let partition = |(index, (leader, epoch)): (i32, (i32, i32))| {
            let partition = MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(BrokerId(leader));
            if version >= 7 { partition.with_leader_epoch(epoch) } else { partition }
        };
        let mut topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("orders"))))
            .with_partitions((0..).zip(leaders).map(partition).collect());
        if version >= 10 {
            topic.topic_id = Uuid::from_u128(id);
        }
        MetadataResponse::default()
            .with_brokers(self.ports.iter().map(broker).collect())
            .with_topics(vec![topic])
    }

    fn list_offsets(&self, version: i16, id: i32, body: Bytes) -> Bytes {
        let request = decode_request::<ListOffsetsRequest>(body, version).unwrap();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_offset(self.script().offset(asked.timestamp))
            });
            ListOffsetsTopicResponse::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        });
        let answer = ListOffsetsResponse::default().with_topics(topics.collect());
        encode_response::<ListOffsetsRequest>(&answer, version, id).unwrap()
    }

    fn epochs(&self, version: i16, id: i32, body: Bytes) -> Bytes {
        let request = decode_request::<OffsetForLeaderEpochRequest>(body, version).unwrap();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let (epoch, end) = self.script().end_of_epoch(asked.leader_epoch);
                EpochEndOffset::default()
                    .with_partition(asked.partition)
                    .with_leader_epoch(epoch)
                    .with_end_offset(end)
            });
            OffsetForLeaderTopicResult::default()
                .with_partitions(partitions.collect())
                .with_topic(topic.topic)
        });
        let answer = OffsetForLeaderEpochResponse::default().with_topics(topics.collect());
        encode_response::<OffsetForLeaderEpochRequest>(&answer, version, id).unwrap()
    }

    async fn fetch(&self, version: i16, id: i32, body: Bytes) -> Bytes {
        let request = decode_request::<FetchRequest>(body, version).unwrap();
        self.script().begin();
        let mut said = false;
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let data = self.script().fetch(self.node, asked, version);
                said |= data.error_code != 0
                    || data.preferred_read_replica.0 >= 0
                    || data.records.as_ref().is_some_and(|records| !records.is_empty());
                data.with_partition_index(asked.partition)
            });
            FetchableTopicResponse::default()
                .with_partitions(partitions.collect())
                .with_topic(topic.topic)
                .with_topic_id(topic.topic_id)
        });
        let answer = FetchResponse::default().with_responses(topics.collect());
        if !said && self.script().is_patient() {
            let wait = u64::try_from(request.max_wait_ms).unwrap();
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        encode_response::<FetchRequest>(&answer, version, id).unwrap()
    }
}
