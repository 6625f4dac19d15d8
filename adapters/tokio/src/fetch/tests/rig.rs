//! An engine, the queue that it feeds, and what comes out.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handover_broker::{Broker, Record};
use handover_core::machine::{LeaseId, Mark, Start, TopicPartition};
use handover_core::parts::{Mailbox, Queue, delivery};
use handover_core::{Deliveries, Delivery, Lease};
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use handover_wire::codec::messages::{ProduceRequest, TopicName};
use handover_wire::records::DecodedBatch;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::fetch::{self, FetchConfig, FetchReport, OffsetReset, Watermarks};
use crate::net::{AtMost, Use};
use crate::{ClientConfig, Cluster};

/// Longer than any test takes that is not stuck.
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) struct Rig {
    pub(super) queue: Arc<Queue<DecodedBatch>>,
    pub(super) deliveries: Deliveries<DecodedBatch>,
    pub(super) reports: mpsc::Receiver<FetchReport>,
    pub(super) watermarks: Arc<Watermarks>,
    pub(super) engine: JoinHandle<()>,
    mailbox: Mailbox,
    leases: u64,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.engine.abort();
    }
}

pub(super) fn earliest() -> FetchConfig {
    FetchConfig { reset: OffsetReset::Earliest, ..FetchConfig::default() }
}

pub(super) fn client(bootstrap: &str) -> ClientConfig {
    let mut client = ClientConfig::new(bootstrap);
    client.retry_backoff = (Duration::from_millis(1), Duration::from_millis(20));
    client
}

pub(super) fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("orders", index)
}

pub(super) fn committed(offset: i64) -> Start {
    Start::Committed(Mark::at(offset))
}

impl Rig {
    pub(super) fn new(bootstrap: &str, config: FetchConfig) -> Rig {
        Rig::with(client(bootstrap), config, 32 << 20)
    }

    pub(super) fn with(client: ClientConfig, config: FetchConfig, budget: usize) -> Rig {
        let cluster = Cluster::new(client).unwrap();
        let mailbox = Mailbox::new();
        let (queue, feed, deliveries) = delivery(budget, mailbox.clone());
        let watermarks = Arc::new(Watermarks::default());
        let (sender, reports) = mpsc::channel(1);
        let running = fetch::run(feed, cluster, config, sender, Arc::clone(&watermarks));
        let engine = tokio::spawn(running);
        Rig { queue, deliveries, reports, watermarks, engine, mailbox, leases: 0 }
    }

    /// A new lease of a partition of `orders`.
    pub(super) fn open(&mut self, index: i32, start: Start) -> Lease {
        self.leases += 1;
        let mailbox = self.mailbox.clone();
        let lease = Lease::new(LeaseId(self.leases), partition(index), mailbox);
        self.queue.grant(lease.clone());
        self.queue.start(lease.id(), start);
        lease
    }

    pub(super) fn open_all(&mut self, partitions: Range<i32>, start: Start) {
        for index in partitions {
            self.open(index, start);
        }
    }

    pub(super) async fn next(&mut self) -> Delivery<DecodedBatch> {
        let next = tokio::time::timeout(LONG, self.deliveries.next()).await;
        next.expect("records in time").expect("a queue that is open")
    }

    pub(super) async fn report(&mut self) -> FetchReport {
        let next = tokio::time::timeout(LONG, self.reports.recv()).await;
        next.expect("a report in time").expect("an engine that runs")
    }

    /// Where the lease was moved to.
    pub(super) async fn moved(&self, lease: &Lease) -> i64 {
        let moved = async {
            loop {
                let mail = poll_fn(|cx| self.mailbox.poll_collect(cx)).await;
                if let Some(to) = mail.moved.get(&lease.id()) {
                    return *to;
                }
            }
        };
        tokio::time::timeout(LONG, moved).await.expect("a move in time")
    }

    /// Takes `count` records and finishes them; tells their values by partition.
    pub(super) async fn take(&mut self, count: usize) -> BTreeMap<i32, Vec<String>> {
        let mut taken: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        let mut left = count;
        while left > 0 {
            let delivery = self.next().await;
            let values = values(&delivery);
            left = left.checked_sub(values.len()).expect("no more records than were produced");
            let of = taken.entry(delivery.partition().partition).or_default();
            of.extend(values.into_iter().map(|(_, value)| value));
            delivery.finish();
        }
        taken
    }
}

/// Offsets and values of a delivery.
pub(super) fn values(delivery: &Delivery<DecodedBatch>) -> Vec<(i64, String)> {
    let range = delivery.range();
    let records = delivery.payload().records().map(Result::unwrap);
    let wanted = records.filter(|record| range.contains(&record.offset));
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    wanted.map(|record| (record.offset, text(record.value))).collect()
}

/// Appends one batch of `count` records to a partition of `orders`.
pub(super) fn produce(broker: &Broker, index: i32, count: usize) {
    let from = broker.offsets("orders").unwrap()[usize::try_from(index).unwrap()].end;
    let values = names(index, from..from + i64::try_from(count).unwrap());
    let records = values.iter().map(|value| Record::from(value.as_str()));
    broker.produce("orders", index, records).unwrap();
}

/// The values of partition `index` at these offsets.
pub(super) fn names(index: i32, offsets: Range<i64>) -> Vec<String> {
    offsets.map(|offset| format!("{index}:{offset}")).collect()
}

/// Appends a batch as it is to a partition of `orders`.
pub(super) async fn append(broker: &Broker, index: i32, batch: Bytes) {
    let cluster = Cluster::new(client(&broker.bootstrap())).unwrap();
    let topic = cluster.topic(&"orders".into(), false).await.unwrap();
    let leader = topic.leader(index).unwrap().broker;
    let connection = cluster.broker(leader, Use::Produce).await.unwrap();
    let data = PartitionProduceData::default().with_index(index).with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("orders")))
        .with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    let answer = connection.call(&AtMost(12, request), LONG).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}
