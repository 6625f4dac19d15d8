//! Record batches of format v2: a lean reader, and a writer.
//!
//! [`kafka-protocol`](crate::codec) has a record decoder too, but it loses what a consumer needs:
//! repeated header keys, the last offset of a batch whose last records were compacted away, a
//! bound on what is decompressed. This one walks borrowed bytes: one buffer for each compressed
//! batch, nothing for each record (SPEC W5 to W8).
//!
//! ```
//! use handover_wire::records::{BatchReader, BatchWriter, Compression, MAX_DECOMPRESSED, NewRecord};
//!
//! let mut writer = BatchWriter::new(Compression::Zstd);
//! writer.push(NewRecord { timestamp: 1, value: Some(b"hello"), ..NewRecord::default() })?;
//! writer.push(NewRecord { timestamp: 2, key: Some(b"k"), ..NewRecord::default() })?;
//! let fetched = writer.finish()?;
//!
//! for batch in BatchReader::new(fetched) {
//!     let batch = batch?;
//!     assert_eq!(batch.header().next_offset(), 2);
//!     let batch = batch.decode(MAX_DECOMPRESSED)?;
//!     let values: Vec<_> = batch.records().map(|record| record.map(|r| r.value)).collect();
//!     assert_eq!(values, [Ok(Some(&b"hello"[..])), Ok(None)]);
//! }
//! # Ok::<(), handover_wire::records::RecordError>(())
//! ```

mod batch;
mod compression;
mod error;
mod header;
mod record;
mod varint;
mod writer;
mod xerial;

pub use batch::{Batch, BatchReader, DecodedBatch, MAX_DECOMPRESSED};
pub use compression::Compression;
pub use error::RecordError;
pub use header::{Attributes, BatchHeader, rewrite_base_offset, rewrite_leader_epoch};
pub use record::{ControlMarker, Header, Headers, Place, Record, Records};
pub use writer::{BatchWriter, NewRecord};
