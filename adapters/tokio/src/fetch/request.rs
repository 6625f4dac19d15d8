//! Fetch requests from what is wanted, and answers to whom they belong.

use std::collections::HashMap;
use std::time::Duration;

use handover_core::machine::{LeaseId, TopicPartition};
use handover_wire::codec::messages::fetch_request::{FetchPartition, FetchTopic};
use handover_wire::codec::messages::fetch_response::PartitionData;
use handover_wire::codec::messages::{FetchRequest, FetchResponse, TopicName};
use handover_wire::codec::{StrBytes, Uuid};
use handover_wire::{Negotiated, WireError};

use super::FetchConfig;
use crate::config::millis;
use crate::net::AtMost;

/// The last version in which topics have names. From the next on they have ids (KIP-516).
const LAST_BY_NAME: i16 = 12;
/// The first version that says which leader is meant (KIP-320).
const LEADER_EPOCH: i16 = 9;
/// The first version that says where the client is (KIP-392).
const RACK: i16 = 11;

/// One partition of a fetch.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) lease: LeaseId,
    pub(super) partition: TopicPartition,
    /// Nil if the broker knows of no ids.
    pub(super) topic_id: Uuid,
    pub(super) leader_epoch: i32,
    pub(super) offset: i64,
}

/// A fetch of `asked`, in that order: a broker fills its answer from the front.
///
/// Each request is whole in itself: session 0 at epoch -1 tells the broker to keep nothing of it
/// (KIP-227).
pub(super) fn fetch(
    config: &FetchConfig,
    wait: Duration,
    max_bytes: i32,
    versions: &Negotiated,
    asked: &[Asked],
) -> Result<AtMost<FetchRequest>, WireError> {
    let by_name = asked.iter().any(|asked| asked.topic_id.is_nil());
    let at_most = if by_name { LAST_BY_NAME } else { i16::MAX };
    let version = versions.version_of::<FetchRequest>()?.min(at_most);
    let mut request = FetchRequest::default()
        .with_max_wait_ms(millis(wait))
        .with_min_bytes(config.min_bytes)
        .with_max_bytes(max_bytes)
        .with_isolation_level(config.isolation.code())
        .with_topics(topics(asked, config, version));
    if let Some(rack) = config.rack.as_ref().filter(|_| version >= RACK) {
        request.rack_id = StrBytes::from_string(rack.clone());
    }
    Ok(AtMost(at_most, request))
}

/// Consecutive partitions of a topic go together; a topic may come more than once.
fn topics(asked: &[Asked], config: &FetchConfig, version: i16) -> Vec<FetchTopic> {
    let runs = asked.chunk_by(|a, b| a.partition.topic == b.partition.topic);
    runs.map(|run| {
        let topic = FetchTopic::default()
            .with_partitions(run.iter().map(|asked| partition(asked, config, version)).collect());
        if version > LAST_BY_NAME {
            topic.with_topic_id(run[0].topic_id)
        } else {
            let name = StrBytes::from_string(run[0].partition.topic.to_string());
            topic.with_topic(TopicName(name))
        }
    })
    .collect()
}

fn partition(asked: &Asked, config: &FetchConfig, version: i16) -> FetchPartition {
    let mut partition = FetchPartition::default()
        .with_partition(asked.partition.partition)
        .with_fetch_offset(asked.offset)
        .with_partition_max_bytes(config.partition_max_bytes);
    if version >= LEADER_EPOCH {
        partition.current_leader_epoch = asked.leader_epoch;
    }
    partition
}

/// Finds what an answer says of each partition asked for; what it says of others is dropped.
pub(super) fn split(answer: FetchResponse, asked: &[Asked]) -> Vec<(&Asked, PartitionData)> {
    let mut known: HashMap<(Uuid, &str, i32), &Asked> = HashMap::new();
    for asked in asked {
        let TopicPartition { topic, partition } = &asked.partition;
        known.insert((Uuid::nil(), topic, *partition), asked);
        known.insert((asked.topic_id, "", *partition), asked);
    }
    let mut found = Vec::with_capacity(asked.len());
    for topic in answer.responses {
        let name = if topic.topic_id.is_nil() { topic.topic.as_str() } else { "" };
        for data in topic.partitions {
            let asked = known.get(&(topic.topic_id, name, data.partition_index));
            found.extend(asked.map(|asked| (*asked, data)));
        }
    }
    found
}
