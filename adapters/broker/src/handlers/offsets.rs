//! ListOffsets and OffsetForLeaderEpoch.

use handover_machine::ErrorCode;
use handover_wire::codec::messages::list_offsets_request::ListOffsetsPartition;
use handover_wire::codec::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use handover_wire::codec::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use handover_wire::codec::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use handover_wire::codec::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use super::leader_check;
use crate::cluster::State;
use crate::dispatch::{Context, Serve};
use crate::log::Stamped;
use crate::topics::Partition;

/// The special timestamps (`ListOffsetsRequest`).
mod at {
    pub(super) const LATEST: i64 = -1;
    pub(super) const EARLIEST: i64 = -2;
    pub(super) const MAX_TIMESTAMP: i64 = -3;
    /// Nothing is tiered here, so what is local is all.
    pub(super) const EARLIEST_LOCAL: i64 = -4;
    pub(super) const LATEST_TIERED: i64 = -5;
}

/// The version from which on the answer has a leader epoch.
const EPOCHS: i16 = 4;

impl Serve for ListOffsetsRequest {
    async fn serve(self, cx: &Context) -> ListOffsetsResponse {
        let state = cx.cluster.lock();
        answer_offsets(&self, |topic, asked| match list(&state, cx, topic, asked) {
            Ok(Some(found)) => {
                let answer = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_timestamp(found.timestamp)
                    .with_offset(found.offset);
                if cx.version < EPOCHS { answer } else { answer.with_leader_epoch(found.epoch) }
            }
            Ok(None) => not_listed(asked, ErrorCode::None),
            Err(error) => not_listed(asked, error),
        })
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> ListOffsetsResponse {
        answer_offsets(self, |_, asked| not_listed(asked, error))
    }
}

fn answer_offsets(
    request: &ListOffsetsRequest,
    each: impl Fn(&str, &ListOffsetsPartition) -> ListOffsetsPartitionResponse,
) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| each(&topic.name, asked));
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn not_listed(asked: &ListOffsetsPartition, error: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse::default()
        .with_partition_index(asked.partition_index)
        .with_error_code(error.code())
}

/// `None` if no record is that late.
fn list(
    state: &State,
    cx: &Context,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<Option<Stamped>, ErrorCode> {
    let partition = state.topics.partition(topic, asked.partition_index);
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    leader_check(partition, cx.node, asked.current_leader_epoch)?;
    let log = &partition.log;
    let place = |offset, epoch| Some(Stamped { timestamp: -1, offset, epoch });
    Ok(match asked.timestamp {
        at::LATEST => place(log.end(), partition.epoch),
        at::EARLIEST | at::EARLIEST_LOCAL => {
            place(log.start(), log.epoch_at(log.start()).unwrap_or(-1))
        }
        at::MAX_TIMESTAMP => log.newest(),
        at::LATEST_TIERED => None,
        timestamp if timestamp >= 0 => log.first_since(timestamp),
        _ => return Err(ErrorCode::UnsupportedVersion),
    })
}

impl Serve for OffsetForLeaderEpochRequest {
    async fn serve(self, cx: &Context) -> OffsetForLeaderEpochResponse {
        let state = cx.cluster.lock();
        answer_epochs(&self, |topic, asked| {
            let partition = state.topics.partition(topic, asked.partition);
            end_of_epoch(partition, cx.node, asked)
        })
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> OffsetForLeaderEpochResponse {
        answer_epochs(self, |_, _| Err(error))
    }
}

/// An epoch that is not known ends nowhere: -1 and -1.
fn end_of_epoch(
    partition: Option<&Partition>,
    node: i32,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    leader_check(partition, node, asked.current_leader_epoch)?;
    Ok(partition.log.end_of_epoch(asked.leader_epoch, partition.epoch).unwrap_or((-1, -1)))
}

fn answer_epochs(
    request: &OffsetForLeaderEpochRequest,
    each: impl Fn(&str, &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode>,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = EpochEndOffset::default().with_partition(asked.partition);
            match each(&topic.topic, asked) {
                Ok((epoch, end)) => answer.with_leader_epoch(epoch).with_end_offset(end),
                Err(error) => answer.with_error_code(error.code()),
            }
        });
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic.clone())
            .with_partitions(partitions.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
