//! Fetch: records from an offset on, at once or as soon as there are enough.

use std::time::Duration;

use bytes::Bytes;
use handover_machine::ErrorCode;
use handover_wire::codec::messages::fetch_request::{FetchPartition, FetchTopic};
use handover_wire::codec::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use handover_wire::codec::messages::{BrokerId, FetchRequest, FetchResponse};
use tokio::time::{Instant, timeout_at};

use super::{code, leader_check};
use crate::cluster::State;
use crate::dispatch::{Context, Serve};
use crate::topics::Partition;

/// The version from which on topics are named by id.
const BY_ID: i16 = 13;

/// The version from which on there are sessions, and an error of the whole answer.
const SESSIONS: i16 = 7;

/// The version from which on a fetch says which epoch it read last (KIP-595).
const LAST_EPOCH: i16 = 12;

impl Serve for FetchRequest {
    async fn serve(mut self, cx: &Context) -> FetchResponse {
        let turn = match cx.cluster.lock().sessions.begin(cx.node, &mut self) {
            Ok(turn) => turn,
            Err(error) => return FetchResponse::default().with_error_code(error.code()),
        };
        let wait = Duration::from_millis(u64::try_from(self.max_wait_ms).unwrap_or(0));
        let deadline = Instant::now() + wait;
        // Before the first look, so that no append between look and wait is missed.
        let mut appended = cx.cluster.appended.subscribe();
        while !is_due(&cx.cluster.lock(), cx, &self) {
            // It fails when the time is over, or with the cluster itself: answer with what is there.
            if !matches!(timeout_at(deadline, appended.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        let mut state = cx.cluster.lock();
        let answer = collect(&state, cx, &self);
        state.sessions.finish(turn, answer)
    }

    fn refuse(&self, error: ErrorCode, cx: &Context) -> FetchResponse {
        let whole = [code::FETCH_SESSION_ID_NOT_FOUND, code::INVALID_FETCH_SESSION_EPOCH];
        if whole.contains(&error) && cx.version >= SESSIONS {
            return FetchResponse::default().with_error_code(error.code());
        }
        // The client believes that its session went on, so it does.
        let mut request = self.clone();
        let mut state = cx.cluster.lock();
        let turn = match state.sessions.begin(cx.node, &mut request) {
            Ok(turn) => turn,
            Err(error) => return FetchResponse::default().with_error_code(error.code()),
        };
        let topics = request.topics.iter().map(|topic| {
            let refused = |asked: &FetchPartition| refused(asked.partition, error);
            answered(topic, topic.partitions.iter().map(refused).collect())
        });
        let answer = FetchResponse::default().with_responses(topics.collect());
        state.sessions.finish(turn, answer)
    }
}

/// Whether there is enough to answer with: bytes, or an error that the client should know of.
fn is_due(state: &State, cx: &Context, request: &FetchRequest) -> bool {
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let mut ready = 0;
    for topic in &request.topics {
        for asked in &topic.partitions {
            match readable(state, cx, topic, asked) {
                Ok(partition) if diverging(partition, asked, cx.version).is_none() => {
                    let limit = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
                    ready += partition.log.readable(asked.fetch_offset, enough).min(limit.max(1));
                }
                _ => return true,
            }
        }
    }
    ready >= enough
}

fn collect(state: &State, cx: &Context, request: &FetchRequest) -> FetchResponse {
    let mut left = usize::try_from(request.max_bytes).unwrap_or(0);
    // The first batch of all is sent whatever its size, or its reader would never get on (KIP-74).
    let mut empty = true;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let partition = match readable(state, cx, topic, asked) {
                Ok(partition) => partition,
                Err(error) => return explained(refused(asked.partition, error), state, cx, topic),
            };
            let answer = read(partition, asked);
            if let Some(end) = diverging(partition, asked, cx.version) {
                return answer.with_diverging_epoch(end);
            }
            let limit = usize::try_from(asked.partition_max_bytes).unwrap_or(0).min(left);
            let records = partition.log.read(asked.fetch_offset, limit, empty);
            left = left.saturating_sub(records.len());
            empty &= records.is_empty();
            answer.with_records(Some(records))
        });
        answered(topic, partitions.collect())
    });
    FetchResponse::default().with_responses(topics.collect())
}

/// The partition, if it can be read here from that offset on.
fn readable<'a>(
    state: &'a State,
    cx: &Context,
    topic: &FetchTopic,
    asked: &FetchPartition,
) -> Result<&'a Partition, ErrorCode> {
    let found = if cx.version >= BY_ID {
        state.topics.by_id(topic.topic_id).ok_or(ErrorCode::UnknownTopicId)?
    } else {
        state.topics.get(&topic.topic).ok_or(ErrorCode::UnknownTopicOrPartition)?
    };
    let index = usize::try_from(asked.partition).ok();
    let partition = index.and_then(|index| found.partitions.get(index));
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    leader_check(partition, cx.node, asked.current_leader_epoch)?;
    let log = &partition.log;
    if (log.start()..=log.end()).contains(&asked.fetch_offset) {
        Ok(partition)
    } else {
        Err(code::OFFSET_OUT_OF_RANGE)
    }
}

/// Where the client's log and this one part, if the epoch that it read last ended earlier here.
fn diverging(
    partition: &Partition,
    asked: &FetchPartition,
    version: i16,
) -> Option<EpochEndOffset> {
    if version < LAST_EPOCH || asked.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end) =
        partition.log.end_of_epoch(asked.last_fetched_epoch, partition.epoch).unwrap_or((-1, -1));
    let parted = epoch < asked.last_fetched_epoch || end < asked.fetch_offset;
    parted.then(|| EpochEndOffset::default().with_epoch(epoch).with_end_offset(end))
}

fn read(partition: &Partition, asked: &FetchPartition) -> PartitionData {
    PartitionData::default()
        .with_partition_index(asked.partition)
        .with_high_watermark(partition.log.end())
        .with_last_stable_offset(partition.log.end())
        .with_log_start_offset(partition.log.start())
        .with_records(Some(Bytes::new()))
}

fn refused(index: i32, error: ErrorCode) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_records(Some(Bytes::new()))
}

/// Says who leads, where the client asked the wrong node.
fn explained(
    answer: PartitionData,
    state: &State,
    cx: &Context,
    topic: &FetchTopic,
) -> PartitionData {
    let wrong = [ErrorCode::NotLeaderOrFollower, code::FENCED_LEADER_EPOCH];
    if cx.version < LAST_EPOCH || wrong.iter().all(|error| error.code() != answer.error_code) {
        return answer;
    }
    let found = match cx.version {
        BY_ID.. => state.topics.by_id(topic.topic_id),
        _ => state.topics.get(&topic.topic),
    };
    let name = found.map(|topic| topic.name.clone()).unwrap_or_default();
    let Some(partition) = state.topics.partition(&name, answer.partition_index) else {
        return answer;
    };
    let leader = LeaderIdAndEpoch::default()
        .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
        .with_leader_epoch(partition.epoch);
    answer.with_current_leader(leader)
}

fn answered(topic: &FetchTopic, partitions: Vec<PartitionData>) -> FetchableTopicResponse {
    FetchableTopicResponse::default()
        .with_topic(topic.topic.clone())
        .with_topic_id(topic.topic_id)
        .with_partitions(partitions)
}
