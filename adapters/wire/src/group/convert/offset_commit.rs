//! OffsetCommit, versions 2 to 9.

use handover_machine::{
    ErrorCode, Identity, OffsetCommit, OffsetCommitted, OffsetToCommit, TopicPartition,
};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetCommitResponse, TopicName};

use super::{by_topic, name, optional_name, optional_text, partition, text};

pub(crate) fn to_request(commit: &OffsetCommit) -> OffsetCommitRequest {
    let offset = |offset: &OffsetToCommit| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(offset.partition.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_committed_metadata(optional_text(&offset.metadata))
    };
    let offsets = commit.offsets.iter().map(|one| (one.partition.topic.clone(), offset(one)));
    let topic = |(topic, partitions): (_, _)| {
        let topic: handover_machine::Name = topic;
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(&topic)))
            .with_partitions(partitions)
    };
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(&commit.group)))
        .with_generation_id_or_member_epoch(commit.identity.generation)
        .with_member_id(text(&commit.identity.member))
        .with_group_instance_id(optional_text(&commit.identity.instance))
        .with_topics(by_topic(offsets).into_iter().map(topic).collect())
}

pub(crate) fn from_request(request: OffsetCommitRequest) -> OffsetCommit {
    let offsets = request.topics.iter().flat_map(|topic| {
        let topic_name = name(&topic.name);
        topic.partitions.iter().map(move |one| OffsetToCommit {
            partition: partition(&topic_name, one.partition_index),
            offset: one.committed_offset,
            leader_epoch: one.committed_leader_epoch,
            metadata: optional_name(&one.committed_metadata),
        })
    });
    OffsetCommit {
        group: name(&request.group_id),
        identity: Identity {
            member: name(&request.member_id),
            generation: request.generation_id_or_member_epoch,
            instance: optional_name(&request.group_instance_id),
        },
        offsets: offsets.collect(),
    }
}

pub(crate) fn to_response(committed: &OffsetCommitted) -> OffsetCommitResponse {
    let result = |(at, error): &(TopicPartition, ErrorCode)| {
        let result = OffsetCommitResponsePartition::default()
            .with_partition_index(at.partition)
            .with_error_code(error.code());
        (at.topic.clone(), result)
    };
    let topic = |(topic, partitions): (handover_machine::Name, _)| {
        OffsetCommitResponseTopic::default()
            .with_name(TopicName(text(&topic)))
            .with_partitions(partitions)
    };
    let topics = by_topic(committed.partitions.iter().map(result));
    OffsetCommitResponse::default().with_topics(topics.into_iter().map(topic).collect())
}

pub(crate) fn from_response(response: OffsetCommitResponse) -> OffsetCommitted {
    let partitions = response.topics.iter().flat_map(|topic| {
        let topic_name = name(&topic.name);
        topic.partitions.iter().map(move |one| {
            let error = ErrorCode::from_code(one.error_code);
            (partition(&topic_name, one.partition_index), error)
        })
    });
    OffsetCommitted { partitions: partitions.collect() }
}
