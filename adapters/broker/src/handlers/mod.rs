//! What the broker answers, by theme.

pub(crate) mod cluster;
pub(crate) mod configs;
pub(crate) mod fetch;
pub(crate) mod group;
pub(crate) mod group_admin;
pub(crate) mod offsets;
pub(crate) mod produce;
pub(crate) mod topics;
pub(crate) mod versions;

use handover_machine::ErrorCode;
use handover_wire::codec::StrBytes;

use crate::topics::Partition;

/// Codes that only a broker gives, beside those that `ErrorCode` names
/// (`org.apache.kafka.common.protocol.Errors`).
pub(crate) mod code {
    use handover_machine::ErrorCode;

    pub(crate) const OFFSET_OUT_OF_RANGE: ErrorCode = ErrorCode::Other(1);
    pub(crate) const CORRUPT_MESSAGE: ErrorCode = ErrorCode::Other(2);
    pub(crate) const TOPIC_ALREADY_EXISTS: ErrorCode = ErrorCode::Other(36);
    pub(crate) const INVALID_PARTITIONS: ErrorCode = ErrorCode::Other(37);
    pub(crate) const INVALID_REPLICATION_FACTOR: ErrorCode = ErrorCode::Other(38);
    pub(crate) const INVALID_REPLICA_ASSIGNMENT: ErrorCode = ErrorCode::Other(39);
    pub(crate) const INVALID_CONFIG: ErrorCode = ErrorCode::Other(40);
    pub(crate) const OUT_OF_ORDER_SEQUENCE_NUMBER: ErrorCode = ErrorCode::Other(45);
    pub(crate) const INVALID_PRODUCER_EPOCH: ErrorCode = ErrorCode::Other(47);
    pub(crate) const FETCH_SESSION_ID_NOT_FOUND: ErrorCode = ErrorCode::Other(70);
    pub(crate) const INVALID_FETCH_SESSION_EPOCH: ErrorCode = ErrorCode::Other(71);
    pub(crate) const FENCED_LEADER_EPOCH: ErrorCode = ErrorCode::Other(74);
    pub(crate) const UNKNOWN_LEADER_EPOCH: ErrorCode = ErrorCode::Other(75);
    pub(crate) const UNSUPPORTED_COMPRESSION_TYPE: ErrorCode = ErrorCode::Other(76);
    pub(crate) const INVALID_RECORD: ErrorCode = ErrorCode::Other(87);
}

/// A string for the codec.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Whether `node` leads the partition, in the epoch that the client believes (-1: any).
pub(crate) fn leader_check(
    partition: &Partition,
    node: i32,
    believed: i32,
) -> Result<(), ErrorCode> {
    if partition.leader != Some(node) {
        Err(ErrorCode::NotLeaderOrFollower)
    } else if (0..partition.epoch).contains(&believed) {
        Err(code::FENCED_LEADER_EPOCH)
    } else if believed > partition.epoch {
        Err(code::UNKNOWN_LEADER_EPOCH)
    } else {
        Ok(())
    }
}
