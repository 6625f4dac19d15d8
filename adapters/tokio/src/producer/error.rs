//! Why a record was not written, or may not have been.

use std::fmt;
use std::time::Duration;

use handover_core::machine::{ErrorCode, TopicPartition};
use handover_wire::records::RecordError;

use crate::error::{ClusterError, ConnectionError, Named, Words};

/// What became of a record that is not certainly written.
///
/// ```
/// use handover_tokio::producer::ProduceError;
///
/// let error = ProduceError::TooLarge { size: 2_000_000, limit: 1_048_576 };
/// assert!(!error.may_be_written());
/// assert!(ProduceError::Unknown { last: None }.may_be_written());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProduceError {
    /// The record is larger than a request may be. It was not written.
    TooLarge {
        /// Its bytes.
        size: usize,
        /// [`ProducerConfig::request_bytes`](super::ProducerConfig::request_bytes).
        limit: usize,
    },
    /// The topic is not known, or nobody could say. It was not written.
    Topic(ClusterError),
    /// The topic has no such partition. It was not written.
    NoPartition {
        /// The one that the record names.
        partition: TopicPartition,
        /// How many there are.
        count: usize,
    },
    /// There was no room for it in time. It was not written.
    BufferFull {
        /// [`ProducerConfig::max_block`](super::ProducerConfig::max_block).
        after: Duration,
    },
    /// A broker refused it. It was not written.
    Refused {
        /// How.
        error: ErrorCode,
        /// The broker's own words.
        message: Option<String>,
    },
    /// It could not be sent in time. It was not written.
    Expired {
        /// [`ProducerConfig::delivery_timeout`](super::ProducerConfig::delivery_timeout).
        after: Duration,
        /// The last failure to reach a broker, if there was one.
        last: Option<ConnectionError>,
    },
    /// It was sent, and no answer says whether it was written.
    Unknown {
        /// How the last attempt failed.
        last: Option<ConnectionError>,
    },
    /// The records can't be made a batch. They were not written.
    Unencodable(RecordError),
    /// The producer was closed or dropped first. It was not written.
    Closed,
}

impl ProduceError {
    /// Whether it may have been written all the same, so that sending it again may write it twice.
    pub fn may_be_written(&self) -> bool {
        matches!(self, ProduceError::Unknown { .. })
    }
}

impl fmt::Display for ProduceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProduceError::TooLarge { size, limit } => write!(
                f,
                "the record has {size} bytes and a request at most {limit}: raise request_bytes, \
                 and message.max.bytes of the topic"
            ),
            ProduceError::Topic(error) => error.fmt(f),
            ProduceError::NoPartition { partition, count } => {
                write!(f, "there is no partition {partition}: the topic has {count}, from 0")
            }
            ProduceError::BufferFull { after } => write!(
                f,
                "no room within {after:?}: raise buffer_bytes, or see why the brokers are slow"
            ),
            ProduceError::Refused { error, message } => {
                write!(f, "the broker refused it with {}{}", Named(*error), Words(message))
            }
            ProduceError::Expired { after, last } => {
                write!(f, "it could not be sent within {after:?}, and was not written")?;
                last.as_ref().map_or(Ok(()), |last| write!(f, ": {last}"))
            }
            ProduceError::Unknown { last: Some(last) } => {
                write!(f, "it was sent and may have been written, but {last}")
            }
            ProduceError::Unknown { last: None } => {
                f.write_str("it was sent and may have been written, but no answer came")
            }
            ProduceError::Unencodable(error) => error.fmt(f),
            ProduceError::Closed => f.write_str("the producer is closed; it was not written"),
        }
    }
}

impl std::error::Error for ProduceError {}
