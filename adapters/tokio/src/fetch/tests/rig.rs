//! A member that fetches, and what it was given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handover_broker::{Broker, Record};
use handover_core::machine::{Config, TopicPartition};
use handover_core::{Deliveries, Delivery, Handle, Options};
use handover_wire::records::DecodedBatch;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::fetch::{self, FetchConfig, FetchReport, OffsetReset, Watermarks};
use crate::{ClientConfig, Cluster, TokioLink};

/// Longer than any test takes that is not stuck.
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) struct Rig {
    pub(super) handle: Handle,
    pub(super) deliveries: Deliveries<DecodedBatch>,
    pub(super) reports: mpsc::Receiver<FetchReport>,
    pub(super) watermarks: Arc<Watermarks>,
    pub(super) engine: JoinHandle<()>,
    driver: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.driver.abort();
        self.engine.abort();
    }
}

pub(super) fn earliest() -> FetchConfig {
    FetchConfig { reset: OffsetReset::Earliest, ..FetchConfig::default() }
}

pub(super) fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("orders", index)
}

impl Rig {
    /// A member without a group.
    pub(super) fn new(bootstrap: &str, config: FetchConfig) -> Rig {
        Rig::with(ClientConfig::new(bootstrap), config, "", Options::default())
    }

    pub(super) fn with(
        client: ClientConfig,
        config: FetchConfig,
        group: &str,
        options: Options,
    ) -> Rig {
        let cluster = Cluster::new(client).unwrap();
        let member = handover_core::member(Config::new(group), options).unwrap();
        let driver = tokio::spawn(member.driver.run(TokioLink::new(&cluster)));
        let watermarks = Arc::new(Watermarks::default());
        let (sender, reports) = mpsc::channel(16);
        let running = fetch::run(member.feed, cluster, config, sender, Arc::clone(&watermarks));
        let engine = tokio::spawn(running);
        let (handle, deliveries) = (member.handle, member.deliveries);
        Rig { handle, deliveries, reports, watermarks, engine, driver }
    }

    /// Assigns partitions of `orders`.
    pub(super) async fn assign(&self, partitions: std::ops::Range<i32>) {
        self.handle.assign(partitions.map(partition)).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> Delivery<DecodedBatch> {
        let next = tokio::time::timeout(LONG, self.deliveries.next()).await;
        next.expect("records in time").expect("a driver that runs")
    }

    pub(super) async fn report(&mut self) -> FetchReport {
        let next = tokio::time::timeout(LONG, self.reports.recv()).await;
        next.expect("a report in time").expect("an engine that runs")
    }

    /// Takes records until there are `count`, each once and in order; tells their values by
    /// partition.
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

/// Appends one batch of `count` records to a partition of `orders`: `index:offset`.
pub(super) fn produce(broker: &Broker, index: i32, count: usize) {
    let from = broker.offsets("orders").unwrap()[usize::try_from(index).unwrap()].end;
    let offsets = from..from + i64::try_from(count).unwrap();
    let records = offsets.map(|offset| Record::from(name(index, offset).as_str()));
    broker.produce("orders", index, records).unwrap();
}

pub(super) fn name(index: i32, offset: i64) -> String {
    format!("{index}:{offset}")
}

/// What partition `index` has from `from` to before `to`.
pub(super) fn names(index: i32, offsets: std::ops::Range<i64>) -> Vec<String> {
    offsets.map(|offset| name(index, offset)).collect()
}
