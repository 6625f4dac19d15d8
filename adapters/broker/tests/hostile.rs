//! Requests that are almost right: bytes changed, left out and repeated. The broker answers or
//! closes the connection; it never panics, and goes on serving others.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use handover_broker::Broker;
use handover_machine::{
    Identity, JoinGroup, Name, OffsetCommit, OffsetToCommit, Protocol, Request,
};
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::create_topics_request::CreatableTopic;
use handover_wire::codec::messages::fetch_request::{FetchPartition, FetchTopic};
use handover_wire::codec::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use handover_wire::codec::messages::metadata_request::MetadataRequestTopic;
use handover_wire::codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use handover_wire::codec::messages::{
    CreateTopicsRequest, DescribeGroupsRequest, FetchRequest, GroupId, ListOffsetsRequest,
    MetadataRequest, ProduceRequest, TopicName,
};
use handover_wire::records::{BatchWriter, Compression, NewRecord};
use handover_wire::{FrameLimit, encode_group_request, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Panics of any thread. This file has one test, so all are its own.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// How often each request is spoilt. The seed is fixed, so a failure is found again.
const TIMES: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoilt_requests_do_no_harm() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        default(panic);
    }));
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut answered = 0;
    for (number, request) in requests().iter().enumerate() {
        for time in 0..TIMES {
            let spoilt = spoil(request, &mut random);
            answered += u64::from(send(&broker, &spoilt).await);
            assert_eq!(PANICS.load(Ordering::SeqCst), 0, "request {number}, time {time}");
        }
    }
    // Were all of them refused at the door, nothing would have been tested.
    let all = requests().len() as u64 * TIMES;
    assert!((all / 5..all).contains(&answered), "{answered} of {all} answered");
    let good = encode_request(&MetadataRequest::default().with_topics(None), 12, 1, None).unwrap();
    assert!(send(&broker, &good).await, "it still answers");
    broker.stop().await;
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

/// Sends bytes on a connection of their own; whether an answer came.
async fn send(broker: &Broker, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(broker.bootstrap()).await.unwrap();
    // The broker may close the connection while this writes.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = BytesMut::new();
    let read = async {
        while let Ok(1..) = stream.read_buf(&mut answer).await {
            if let Ok(Some(_)) = FrameLimit::DEFAULT.split(&mut answer) {
                return true;
            }
        }
        false
    };
    // A spoilt join or fetch may wait for long: it is left to itself.
    tokio::time::timeout(Duration::from_millis(30), read).await.unwrap_or(false)
}

/// Changes one place or two. The frame's length is kept right mostly, so that the rest is read.
fn spoil(request: &Bytes, random: &mut Random) -> Vec<u8> {
    let mut bytes = request.to_vec();
    for _ in 0..=random.below(2) {
        // API key and version are rarely touched: there is little to find behind them.
        let first = if random.below(10) == 0 { 4 } else { 8 };
        let at = first + random.below(bytes.len() - first);
        match random.below(12) {
            0..=5 => bytes[at] ^= 1 << random.below(8),
            6..=8 => bytes[at] = [0x00, 0x7f, 0x80, 0xff][random.below(4)],
            9 => bytes.truncate(at + 1),
            10 => bytes.insert(at, bytes[at]),
            _ => drop(bytes.drain(at..(at + random.below(8)).min(bytes.len()))),
        }
        if bytes.len() < 12 {
            bytes.resize(12, 0);
        }
    }
    if random.below(20) > 0 {
        let length = u32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// xorshift64: enough to choose bytes.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Requests that lead far into the broker.
fn requests() -> Vec<Bytes> {
    let text = |text: &'static str| StrBytes::from_static_str(text);
    let orders = || TopicName(text("orders"));
    let metadata = MetadataRequestTopic::default().with_name(Some(orders()));
    let metadata = MetadataRequest::default().with_topics(Some(vec![metadata]));
    let create =
        CreatableTopic::default().with_name(TopicName(text("more"))).with_num_partitions(2);
    let create = CreateTopicsRequest::default().with_topics(vec![create]);
    let fetch = FetchTopic::default()
        .with_topic(orders())
        .with_partitions(vec![FetchPartition::default().with_partition_max_bytes(1000)]);
    let fetch = FetchRequest::default().with_max_bytes(1000).with_topics(vec![fetch]);
    let list = ListOffsetsPartition::default().with_timestamp(5);
    let list = ListOffsetsTopic::default().with_name(orders()).with_partitions(vec![list]);
    let list = ListOffsetsRequest::default().with_topics(vec![list]);
    let groups = DescribeGroupsRequest::default().with_groups(vec![GroupId(text("billing"))]);
    let encoded = [
        encode_request(&metadata, 5, 1, Some("me")),
        encode_request(&metadata, 12, 1, Some("me")),
        encode_request(&create, 7, 1, Some("me")),
        encode_request(&fetch, 4, 1, Some("me")),
        encode_request(&fetch.with_session_epoch(0), 12, 1, Some("me")),
        encode_request(&list, 10, 1, Some("me")),
        encode_request(&groups, 5, 1, Some("me")),
        encode_request(&produce(Compression::None), 3, 1, Some("me")),
        encode_request(&produce(Compression::Zstd), 9, 1, Some("me")),
        encode_request(&produce(Compression::Snappy), 9, 1, Some("me")),
        encode_group_request(&join(), 5, 1, Some("me")).map(|(bytes, _)| bytes),
        encode_group_request(&join(), 9, 1, Some("me")).map(|(bytes, _)| bytes),
        encode_group_request(&commit(), 2, 1, Some("me")).map(|(bytes, _)| bytes),
        encode_group_request(&commit(), 9, 1, Some("me")).map(|(bytes, _)| bytes),
    ];
    encoded.map(Result::unwrap).into()
}

fn produce(compression: Compression) -> ProduceRequest {
    let mut writer = BatchWriter::new(compression).producer(7, 0, 0);
    for value in [&b"one"[..], b"two", b"three"] {
        writer.push(NewRecord { value: Some(value), ..NewRecord::default() }).unwrap();
    }
    let data = PartitionProduceData::default().with_records(Some(writer.finish().unwrap()));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("orders")))
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_transactional_id(None).with_acks(1).with_topic_data(vec![topic])
}

fn join() -> Request {
    // A ConsumerProtocolSubscription of one topic.
    let metadata = b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff".to_vec();
    Request::JoinGroup(JoinGroup {
        group: Name::from("billing"),
        member: Name::default(),
        instance: Some(Name::from("one")),
        session_timeout_ms: 6_000,
        rebalance_timeout_ms: 6_000,
        protocol_type: Name::from("consumer"),
        protocols: vec![Protocol { name: Name::from("range"), metadata }],
        reason: None,
        member_id_required: true,
    })
}

fn commit() -> Request {
    let offset = OffsetToCommit {
        partition: handover_broker::TopicPartition::new("orders", 1),
        offset: 1,
        leader_epoch: -1,
        metadata: Some(Name::from("note")),
    };
    let identity = Identity { member: Name::default(), generation: -1, instance: None };
    Request::OffsetCommit(OffsetCommit {
        group: Name::from("others"),
        identity,
        offsets: vec![offset],
    })
}
