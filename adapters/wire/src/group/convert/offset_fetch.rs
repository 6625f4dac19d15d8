//! OffsetFetch, versions 1 to 9. From 8 on a request asks for several groups (KIP-709).

use handover_machine::{
    ErrorCode, FetchedOffset, Name, OffsetFetch, OffsetsFetched, TopicPartition,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};

use super::{Detail, by_topic, name, optional_name, optional_text, partition, text};

/// The first version with an error of the whole group, and with null for all partitions.
const GROUP_ERROR: i16 = 2;
/// The first version with several groups.
const BATCHED: i16 = 8;

/// A member id and epoch, which version 9 has room for, are of the consumer protocol: a classic
/// member leaves them null and -1.
pub(crate) fn to_request(fetch: &OffsetFetch, version: i16) -> Result<OffsetFetchRequest, Detail> {
    if version < GROUP_ERROR && fetch.partitions.is_none() {
        return Err("it can't ask for all partitions".into());
    }
    let request = OffsetFetchRequest::default().with_require_stable(fetch.require_stable);
    let group = GroupId(text(&fetch.group));
    let topics = fetch.partitions.as_ref().map(|partitions| {
        by_topic(partitions.iter().map(|one| (one.topic.clone(), one.partition))).into_iter()
    });
    if version < BATCHED {
        let topic = |(topic, partitions): (Name, _)| {
            OffsetFetchRequestTopic::default()
                .with_name(TopicName(text(&topic)))
                .with_partition_indexes(partitions)
        };
        let topics = topics.map(|topics| topics.map(topic).collect());
        return Ok(request.with_group_id(group).with_topics(topics));
    }
    let topic = |(topic, partitions): (Name, _)| {
        OffsetFetchRequestTopics::default()
            .with_name(TopicName(text(&topic)))
            .with_partition_indexes(partitions)
    };
    let topics = topics.map(|topics| topics.map(topic).collect());
    let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(topics);
    Ok(request.with_groups(vec![group]))
}

/// One request for each group asked for.
pub(crate) fn from_request(
    request: OffsetFetchRequest,
    version: i16,
) -> Result<Vec<OffsetFetch>, Detail> {
    let require_stable = request.require_stable;
    let fetch = |group: &GroupId, partitions| OffsetFetch {
        group: name(group),
        partitions,
        require_stable,
    };
    if version < BATCHED {
        if version < GROUP_ERROR && request.topics.is_none() {
            return Err("null came as the list of topics".into());
        }
        let partitions = request.topics.map(|topics| {
            flat(topics.iter().map(|topic| (&topic.name, &topic.partition_indexes[..])))
        });
        return Ok(vec![fetch(&request.group_id, partitions)]);
    }
    let group = |group: &OffsetFetchRequestGroup| {
        let partitions = group.topics.as_ref().map(|topics| {
            flat(topics.iter().map(|topic| (&topic.name, &topic.partition_indexes[..])))
        });
        fetch(&group.group_id, partitions)
    };
    Ok(request.groups.iter().map(group).collect())
}

fn flat<'a>(topics: impl Iterator<Item = (&'a TopicName, &'a [i32])>) -> Vec<TopicPartition> {
    let partitions = |(topic, partitions): (&TopicName, &'a [i32])| {
        let topic = name(topic);
        partitions.iter().map(move |index| partition(&topic, *index))
    };
    topics.flat_map(partitions).collect()
}

/// The answers to the requests that [`from_request`] gave, in their order and of their number.
pub(crate) fn to_response(
    asked: &[OffsetFetch],
    answers: &[&OffsetsFetched],
    version: i16,
) -> OffsetFetchResponse {
    let pairs = asked.iter().zip(answers);
    if version >= BATCHED {
        let groups = pairs.map(|(asked, fetched)| to_group(&asked.group, fetched)).collect();
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let partition = |one: &FetchedOffset| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(one.partition.partition)
            .with_committed_offset(one.offset)
            .with_committed_leader_epoch(one.leader_epoch)
            .with_metadata(optional_text(&one.metadata))
            .with_error_code(one.error.code())
    };
    let topic = |(topic, partitions): (Name, _)| {
        OffsetFetchResponseTopic::default()
            .with_name(TopicName(text(&topic)))
            .with_partitions(partitions)
    };
    // Before version 8 there is exactly one pair.
    let mut response = OffsetFetchResponse::default();
    for (asked, fetched) in pairs {
        let spread = spread(asked, fetched, version);
        let offsets = spread.as_deref().unwrap_or(&fetched.offsets);
        let topics =
            by_topic(offsets.iter().map(|one| (one.partition.topic.clone(), partition(one))));
        response = response
            .with_error_code(fetched.error.code())
            .with_topics(topics.into_iter().map(topic).collect());
    }
    response
}

/// Version 1 has no room for an error of the group: each partition asked for gets it.
fn spread(
    asked: &OffsetFetch,
    fetched: &OffsetsFetched,
    version: i16,
) -> Option<Vec<FetchedOffset>> {
    if version >= GROUP_ERROR || fetched.error.is_none() {
        return None;
    }
    let refused = |partition: &TopicPartition| FetchedOffset {
        partition: partition.clone(),
        offset: -1,
        leader_epoch: -1,
        metadata: Some(Name::from("")),
        error: fetched.error,
    };
    Some(asked.partitions.iter().flatten().map(refused).collect())
}

fn to_group(group: &Name, fetched: &OffsetsFetched) -> OffsetFetchResponseGroup {
    let partition = |one: &FetchedOffset| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(one.partition.partition)
            .with_committed_offset(one.offset)
            .with_committed_leader_epoch(one.leader_epoch)
            .with_metadata(optional_text(&one.metadata))
            .with_error_code(one.error.code())
    };
    let topic = |(topic, partitions): (Name, _)| {
        OffsetFetchResponseTopics::default()
            .with_name(TopicName(text(&topic)))
            .with_partitions(partitions)
    };
    let offsets = fetched.offsets.iter().map(|one| (one.partition.topic.clone(), partition(one)));
    OffsetFetchResponseGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_error_code(fetched.error.code())
        .with_topics(by_topic(offsets).into_iter().map(topic).collect())
}

pub(crate) fn from_response(
    response: OffsetFetchResponse,
    version: i16,
    group: &Name,
) -> Result<OffsetsFetched, Detail> {
    if version >= BATCHED {
        return match &response.groups[..] {
            [one] if **one.group_id == **group => Ok(from_group(one)),
            [one] => Err(format!("of group {group:?} group {:?} came", one.group_id).into()),
            many => Err(format!("of 1 group that was asked for {} came", many.len()).into()),
        };
    }
    let offsets = response.topics.iter().flat_map(|topic| {
        let topic_name = name(&topic.name);
        topic.partitions.iter().map(move |one| FetchedOffset {
            partition: partition(&topic_name, one.partition_index),
            offset: one.committed_offset,
            leader_epoch: one.committed_leader_epoch,
            metadata: optional_name(&one.metadata),
            error: ErrorCode::from_code(one.error_code),
        })
    });
    let offsets: Vec<_> = offsets.collect();
    let error = match version {
        ..GROUP_ERROR => gathered(&offsets),
        _ => ErrorCode::from_code(response.error_code),
    };
    Ok(OffsetsFetched { error, offsets })
}

/// The group's error in version 1: the first that is not one of a partition (Kafka's
/// `OffsetFetchResponse.topLevelError`).
fn gathered(offsets: &[FetchedOffset]) -> ErrorCode {
    let of_partition = |error: &ErrorCode| {
        matches!(
            error,
            ErrorCode::None
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::TopicAuthorizationFailed
        )
    };
    let mut errors = offsets.iter().map(|offset| offset.error);
    errors.find(|error| !of_partition(error)).unwrap_or(ErrorCode::None)
}

fn from_group(group: &OffsetFetchResponseGroup) -> OffsetsFetched {
    let offsets = group.topics.iter().flat_map(|topic| {
        let topic_name = name(&topic.name);
        topic.partitions.iter().map(move |one| FetchedOffset {
            partition: partition(&topic_name, one.partition_index),
            offset: one.committed_offset,
            leader_epoch: one.committed_leader_epoch,
            metadata: optional_name(&one.metadata),
            error: ErrorCode::from_code(one.error_code),
        })
    });
    OffsetsFetched { error: ErrorCode::from_code(group.error_code), offsets: offsets.collect() }
}
