//! Records as the application sees them.

use bytes::Bytes;
use handover_core::machine::TopicPartition;
use handover_wire::records;

pub use handover_wire::records::{Header, Headers};

/// A record of a [`Batch`](crate::Batch). It borrows from the batch; [`Record::to_owned`] copies.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    inner: records::Record<'a>,
    partition: &'a TopicPartition,
    leader_epoch: i32,
    /// Which part of the batch it is of.
    pub(crate) part: usize,
}

impl<'a> Record<'a> {
    pub(crate) fn new(
        inner: records::Record<'a>,
        partition: &'a TopicPartition,
        leader_epoch: i32,
        part: usize,
    ) -> Record<'a> {
        Record { inner, partition, leader_epoch, part }
    }

    /// The topic's name.
    pub fn topic(&self) -> &'a str {
        &self.partition.topic
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.partition.partition
    }

    /// Topic and partition.
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.partition
    }

    /// Its place in the partition.
    pub fn offset(&self) -> i64 {
        self.inner.offset
    }

    /// The epoch of the leader that took it, or -1 (KIP-320).
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// Milliseconds since 1970: the producer's, or the broker's if the topic says so.
    pub fn timestamp(&self) -> i64 {
        self.inner.timestamp
    }

    /// The key; `None` for null.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.inner.key
    }

    /// The value; `None` for null.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.inner.value
    }

    /// The headers, in the producer's order. A key may come more than once.
    pub fn headers(&self) -> Headers<'a> {
        self.inner.headers
    }

    /// A copy that outlives the batch.
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord {
            partition: self.partition.clone(),
            offset: self.offset(),
            leader_epoch: self.leader_epoch,
            timestamp: self.timestamp(),
            key: self.key().map(Bytes::copy_from_slice),
            value: self.value().map(Bytes::copy_from_slice),
            headers: self
                .headers()
                .map(|header| {
                    let value = header.value.map(Bytes::copy_from_slice);
                    (Bytes::copy_from_slice(header.key), value)
                })
                .collect(),
        }
    }
}

/// A record on its own.
///
/// ```
/// use handover_tokio::OwnedRecord;
/// # fn show(record: OwnedRecord) -> String {
/// format!("{} at {}: {:?}", record.partition, record.offset, record.value)
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OwnedRecord {
    /// Topic and partition.
    pub partition: TopicPartition,
    /// Its place in the partition.
    pub offset: i64,
    /// The epoch of the leader that took it, or -1.
    pub leader_epoch: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key; `None` for null.
    pub key: Option<Bytes>,
    /// The value; `None` for null.
    pub value: Option<Bytes>,
    /// The headers, in the producer's order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}
