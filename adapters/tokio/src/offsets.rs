//! ListOffsets: where a partition begins and ends, and what was written when.

use std::collections::BTreeMap;

use handover_core::machine::{ErrorCode, Name, TopicPartition};
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use handover_wire::codec::messages::{BrokerId, ListOffsetsRequest, TopicName};

use crate::error::{ConnectionError, Unanswered};
use crate::net::{Cluster, Use};

/// A place in a partition's log, as ListOffsets can find it.
///
/// ```
/// use handover_tokio::OffsetAt;
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
///
/// let hour_ago = SystemTime::now() - Duration::from_secs(3600);
/// let millis = hour_ago.duration_since(UNIX_EPOCH)?.as_millis();
/// let since_then = OffsetAt::Timestamp(i64::try_from(millis)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OffsetAt {
    /// The first record that is there.
    Earliest,
    /// Behind the last record; behind the last of a decided transaction for a reader of committed
    /// records.
    Latest,
    /// The first record whose timestamp is not before this one, in milliseconds since 1970.
    Timestamp(i64),
}

impl OffsetAt {
    fn timestamp(self) -> i64 {
        match self {
            OffsetAt::Earliest => -2,
            OffsetAt::Latest => -1,
            // Negative ones have meanings of their own on the wire.
            OffsetAt::Timestamp(millis) => millis.max(0),
        }
    }
}

/// Which records a reader sees.
///
/// ```
/// use handover_tokio::Isolation;
/// assert_eq!(Isolation::default(), Isolation::ReadUncommitted);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Isolation {
    /// All of them: Kafka's default.
    #[default]
    ReadUncommitted,
    /// None of an aborted transaction, and none behind the first that is not decided.
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn code(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}

/// A question to a partition's leader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    pub(crate) partition: TopicPartition,
    pub(crate) leader_epoch: i32,
    pub(crate) at: OffsetAt,
}

/// The answers for each partition that the broker spoke of: an offset, -1 if there is none.
pub(crate) type Found = BTreeMap<TopicPartition, Result<i64, ErrorCode>>;

/// The first version of ListOffsets that knows of transactions.
const ISOLATION: i16 = 2;
/// The first version that can say which leader is meant.
const LEADER_EPOCH: i16 = 4;

/// Asks `broker`, which must lead all of the partitions.
pub(crate) async fn list_offsets(
    cluster: &Cluster,
    broker: i32,
    isolation: Isolation,
    asks: &[Ask],
) -> Result<Found, ConnectionError> {
    let connection = cluster.broker(broker, Use::Query).await?;
    let version = connection.versions().version_of::<ListOffsetsRequest>()?;
    let mut topics: BTreeMap<&Name, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for ask in asks {
        let mut partition = ListOffsetsPartition::default()
            .with_partition_index(ask.partition.partition)
            .with_timestamp(ask.at.timestamp());
        if version >= LEADER_EPOCH {
            partition.current_leader_epoch = ask.leader_epoch;
        }
        topics.entry(&ask.partition.topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&Name, Vec<ListOffsetsPartition>)| {
        let name = TopicName(StrBytes::from_string(name.to_string()));
        ListOffsetsTopic::default().with_name(name).with_partitions(partitions)
    };
    let mut request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(topics.into_iter().map(topic).collect());
    if version >= ISOLATION {
        request.isolation_level = isolation.code();
    }
    let timeout = cluster.config().request_timeout;
    let answer = connection.call(&request, timeout).await.map_err(Unanswered::into_reason)?;
    let mut found = Found::new();
    for topic in answer.topics {
        let name = Name::from(topic.name.as_str());
        for partition in topic.partitions {
            let error = ErrorCode::from_code(partition.error_code);
            let place = TopicPartition::new(name.clone(), partition.partition_index);
            found.insert(place, if error.is_none() { Ok(partition.offset) } else { Err(error) });
        }
    }
    Ok(found)
}
