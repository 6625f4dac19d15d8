//! What can be wrong with a batch.

use core::fmt;

use super::Compression;

/// Why bytes are no batch of records, or records are no batch.
///
/// ```
/// use handover_wire::records::RecordError;
/// let error = RecordError::OldFormat { magic: 1 };
/// assert!(error.to_string().contains("format 1"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordError {
    /// A message set of Kafka before 0.11, which Kafka 4 neither writes nor sends.
    OldFormat {
        /// 0 or 1.
        magic: i8,
    },
    /// A format that came after this crate.
    UnknownFormat {
        /// More than 2, or negative.
        magic: i8,
    },
    /// The batch announces fewer bytes than its header has, or its bytes are not all there.
    Length {
        /// How many bytes it has to have at least.
        least: usize,
        /// How many it has.
        got: usize,
    },
    /// The bytes were damaged on their way or on disk.
    Crc {
        /// What the batch says.
        expected: u32,
        /// What its bytes give.
        got: u32,
    },
    /// The attributes name a compression that does not exist.
    UnknownCompression {
        /// The number.
        code: u8,
    },
    /// The compressed bytes are broken.
    Decompress {
        /// How they claim to be compressed.
        compression: Compression,
        /// What the decompressor says.
        detail: Box<str>,
    },
    /// The batch decompresses to more than is allowed.
    TooLarge {
        /// How many bytes are allowed.
        limit: usize,
    },
    /// A record does not follow the schema. The records before it are good.
    Record {
        /// Which one of the batch, from 0.
        index: i32,
        /// What was expected and what came.
        detail: &'static str,
    },
    /// The header announces another number of records than the batch has.
    Count {
        /// How many it announces.
        announced: i32,
    },
    /// The records can't be written as a batch.
    Unencodable {
        /// What does not fit.
        detail: Box<str>,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::OldFormat { magic } => write!(
                f,
                "expected record batches of format 2, but format {magic} came, which brokers keep \
                 from before Kafka 0.11: read the topic with an older client, or copy it"
            ),
            RecordError::UnknownFormat { magic } => write!(
                f,
                "expected record batches of format 2, but format {magic} came: the bytes are \
                 damaged, or the broker is newer than this client"
            ),
            RecordError::Length { least, got } => {
                write!(f, "expected a batch of at least {least} bytes, but it has {got}")
            }
            RecordError::Crc { expected, got } => write!(
                f,
                "expected a batch with checksum {expected:#010x}, but its bytes give {got:#010x}: \
                 fetch it again; if that gives the same, the broker's log is damaged"
            ),
            RecordError::UnknownCompression { code } => {
                write!(f, "expected compression 0 to 4, but {code} came")
            }
            RecordError::Decompress { compression, detail } => {
                write!(f, "expected bytes compressed by {compression}, but {detail}")
            }
            RecordError::TooLarge { limit } => write!(
                f,
                "expected a batch that decompresses to at most {limit} bytes, but there are more: \
                 raise the limit if such batches are meant"
            ),
            RecordError::Record { index, detail } => {
                write!(f, "expected record {index} of the batch to be whole, but {detail}")
            }
            RecordError::Count { announced } => {
                write!(f, "expected the {announced} records announced, but there are others")
            }
            RecordError::Unencodable { detail } => {
                write!(f, "the records cannot be written as a batch: {detail}")
            }
        }
    }
}

impl std::error::Error for RecordError {}
