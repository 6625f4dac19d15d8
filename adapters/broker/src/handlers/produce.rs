//! Produce and InitProducerId.

use bytes::Bytes;
use handover_machine::ErrorCode;
use handover_wire::codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use handover_wire::codec::messages::produce_response::{
    LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use handover_wire::codec::messages::{
    BrokerId, InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse,
    ProducerId,
};

use super::{code, text};
use crate::batch::{Batch, BatchError};
use crate::cluster::State;
use crate::dispatch::{Context, Serve};
use crate::log::Appended;
use crate::topics::Topic;

/// The version from which on zstd may be used (KIP-110).
const ZSTD: i16 = 7;

/// The version from which on topics are named by id.
const BY_ID: i16 = 13;

/// `acks=0`: the client does not wait for an answer, so there is none.
const NO_ACKS: i16 = 0;

impl Serve for ProduceRequest {
    async fn serve(self, cx: &Context) -> ProduceResponse {
        /// INVALID_REQUIRED_ACKS.
        const INVALID_ACKS: ErrorCode = ErrorCode::Other(21);
        if !(-1..=1).contains(&self.acks) {
            return self.refuse(INVALID_ACKS, cx);
        }
        if self.transactional_id.is_some() {
            return self.refuse(ErrorCode::InvalidRequest, cx);
        }
        // Before the lock is taken: this reads every record.
        let check = |data: &PartitionProduceData| {
            Batch::check(data.records.as_ref().unwrap_or(&Bytes::new()), cx.version >= ZSTD)
        };
        let checked: Vec<Vec<_>> = self
            .topic_data
            .iter()
            .map(|topic| topic.partition_data.iter().map(check).collect())
            .collect();
        let mut state = cx.cluster.lock();
        let topics = self.topic_data.iter().zip(checked).map(|(topic, checked)| {
            let partitions = topic.partition_data.iter().zip(checked);
            let answers =
                partitions.map(|(data, batch)| produce(cx, &mut state, topic, data.index, batch));
            answered(topic, answers.collect())
        });
        let response = ProduceResponse::default().with_responses(topics.collect());
        drop(state);
        cx.cluster.appended.send_replace(());
        response
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> ProduceResponse {
        let topics = self.topic_data.iter().map(|topic| {
            let refused = |data: &PartitionProduceData| refused(data.index, error);
            answered(topic, topic.partition_data.iter().map(refused).collect())
        });
        ProduceResponse::default().with_responses(topics.collect())
    }

    fn is_silent(&self) -> bool {
        self.acks == NO_ACKS
    }
}

fn answered(
    topic: &TopicProduceData,
    partitions: Vec<PartitionProduceResponse>,
) -> TopicProduceResponse {
    TopicProduceResponse::default()
        .with_name(topic.name.clone())
        .with_topic_id(topic.topic_id)
        .with_partition_responses(partitions)
}

fn refused(index: i32, error: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(error.code())
        .with_base_offset(-1)
}

fn produce(
    cx: &Context,
    state: &mut State,
    topic: &TopicProduceData,
    index: i32,
    batch: Result<Batch, BatchError>,
) -> PartitionProduceResponse {
    let found = if cx.version >= BY_ID {
        state.topics.by_id(topic.topic_id).ok_or(ErrorCode::UnknownTopicId)
    } else {
        state.topics.get(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition)
    };
    let (name, limit) = match found {
        Ok(topic) => (topic.name.clone(), Topic::batch_limit(topic)),
        Err(error) => return refused(index, error),
    };
    let Some(partition) = state.topics.partition_mut(&name, index) else {
        return refused(index, ErrorCode::UnknownTopicOrPartition);
    };
    if partition.leader != Some(cx.node) {
        let leader = LeaderIdAndEpoch::default()
            .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
            .with_leader_epoch(partition.epoch);
        let answer = refused(index, ErrorCode::NotLeaderOrFollower);
        return if cx.version >= 10 { answer.with_current_leader(leader) } else { answer };
    }
    let batch = match batch {
        Ok(batch) if batch.bytes.len() > limit => {
            return refused(index, ErrorCode::MessageTooLarge);
        }
        Ok(batch) => batch,
        Err(error) => return invalid(index, &error),
    };
    match partition.log.append(&batch, partition.epoch) {
        Appended::At(base) | Appended::Duplicate(base) => PartitionProduceResponse::default()
            .with_index(index)
            .with_base_offset(base)
            .with_log_start_offset(partition.log.start()),
        Appended::OutOfOrder => refused(index, code::OUT_OF_ORDER_SEQUENCE_NUMBER),
        Appended::Fenced => refused(index, code::INVALID_PRODUCER_EPOCH),
    }
}

fn invalid(index: i32, error: &BatchError) -> PartitionProduceResponse {
    let code = match error {
        BatchError::Corrupt(_) => code::CORRUPT_MESSAGE,
        BatchError::Invalid(_) => code::INVALID_RECORD,
        BatchError::Compression => code::UNSUPPORTED_COMPRESSION_TYPE,
    };
    refused(index, code).with_error_message(Some(text(&error.to_string())))
}

impl Serve for InitProducerIdRequest {
    async fn serve(self, cx: &Context) -> InitProducerIdResponse {
        // Transactions are not served; an idempotent producer gets a fresh id each time.
        if self.transactional_id.is_some() {
            return self.refuse(ErrorCode::InvalidRequest, cx);
        }
        let mut state = cx.cluster.lock();
        let id = state.producers;
        state.producers += 1;
        InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0)
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> InitProducerIdResponse {
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }
}
