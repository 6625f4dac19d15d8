//! OffsetForLeaderEpoch: whether the leader's log goes on where this reader stands (KIP-320).

use std::collections::BTreeMap;

use handover_core::machine::{ErrorCode, Name, TopicPartition};
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use handover_wire::codec::messages::{BrokerId, OffsetForLeaderEpochRequest, TopicName};

use crate::error::{ConnectionError, Unanswered};
use crate::net::{Cluster, Use};

/// The first version that a client without the right to describe the cluster may use; the Java
/// client compares from that one on (`OffsetFetcher`, `hasUsableOffsetForLeaderEpochVersion`).
const USABLE: i16 = 3;

/// A question to a partition's leader.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) partition: TopicPartition,
    /// Of the leader, as far as is known.
    pub(super) leader_epoch: i32,
    /// Of the last record read.
    pub(super) epoch: i32,
}

/// Where an epoch ends: the largest one of the leader's log that is not later than the one asked
/// for, and the offset behind its last record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    pub(super) epoch: i32,
    pub(super) offset: i64,
}

/// The answers for each partition that the broker spoke of; `None` where it knows of no such
/// epoch. No answers at all from a broker that does not offer to compare.
#[derive(Debug)]
pub(super) enum Ends {
    NotOffered,
    Told(BTreeMap<TopicPartition, Result<Option<End>, ErrorCode>>),
}

/// Asks `broker`, which must lead all of the partitions.
pub(super) async fn compare(
    cluster: &Cluster,
    broker: i32,
    asks: &[Ask],
) -> Result<Ends, ConnectionError> {
    let connection = cluster.broker(broker, Use::Query).await?;
    let version = connection.versions().version_of::<OffsetForLeaderEpochRequest>();
    if !version.is_ok_and(|version| version >= USABLE) {
        return Ok(Ends::NotOffered);
    }
    let timeout = cluster.config().request_timeout;
    let answer = connection.call(&request(asks), timeout).await.map_err(Unanswered::into_reason)?;
    let mut ends = BTreeMap::new();
    for topic in answer.topics {
        let name = Name::from(topic.topic.as_str());
        for told in topic.partitions {
            let place = TopicPartition::new(name.clone(), told.partition);
            let known = told.leader_epoch >= 0 && told.end_offset >= 0;
            let end = End { epoch: told.leader_epoch, offset: told.end_offset };
            let error = ErrorCode::from_code(told.error_code);
            ends.insert(place, if error.is_none() { Ok(known.then_some(end)) } else { Err(error) });
        }
    }
    Ok(Ends::Told(ends))
}

fn request(asks: &[Ask]) -> OffsetForLeaderEpochRequest {
    let mut topics: BTreeMap<&Name, Vec<OffsetForLeaderPartition>> = BTreeMap::new();
    for ask in asks {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(ask.partition.partition)
            .with_current_leader_epoch(ask.leader_epoch)
            .with_leader_epoch(ask.epoch);
        topics.entry(&ask.partition.topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&Name, Vec<OffsetForLeaderPartition>)| {
        let name = TopicName(StrBytes::from_string(name.to_string()));
        OffsetForLeaderTopic::default().with_topic(name).with_partitions(partitions)
    };
    OffsetForLeaderEpochRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(topics.into_iter().map(topic).collect())
}
