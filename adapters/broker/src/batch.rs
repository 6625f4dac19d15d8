//! Record batches as the log sees them (message format 2, `DefaultRecordBatch`).

use std::fmt;

use bytes::{Bytes, BytesMut};
use handover_wire::records::{
    self, BatchReader, Compression, MAX_DECOMPRESSED, RecordError, rewrite_base_offset,
    rewrite_leader_epoch,
};

use crate::log::Stamped;
use crate::producers::{Sequenced, last_sequence};

/// A batch that may be appended.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Bytes,
    /// How many offsets it takes.
    pub(crate) records: i32,
    pub(crate) max_timestamp: i64,
    /// Of an idempotent producer.
    pub(crate) sequenced: Option<Sequenced>,
}

/// Why bytes from a producer are not appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BatchError {
    /// They are damaged.
    Corrupt(RecordError),
    /// They are no batch that a producer may send.
    Invalid(String),
    /// They are compressed in a way that this version of Produce has not.
    Compression,
}

impl Batch {
    /// What must hold of a batch before it is given offsets (`LogValidator`).
    pub(crate) fn check(bytes: &Bytes, zstd: bool) -> Result<Batch, BatchError> {
        let batch = only_batch(bytes)?;
        let header = *batch.header();
        let attributes = header.attributes;
        if attributes.compression() == Ok(Compression::Zstd) && !zstd {
            return Err(BatchError::Compression);
        }
        if attributes.is_transactional() || attributes.is_control() {
            return Err(BatchError::invalid("transactional and control batches are not taken"));
        }
        let decoded = batch.decode(MAX_DECOMPRESSED).map_err(BatchError::Corrupt)?;
        let mut expected = header.base_offset;
        for record in decoded.records() {
            if record.map_err(BatchError::Corrupt)?.offset != expected {
                return Err(BatchError::invalid("expected offsets that count up by one"));
            }
            expected = expected.saturating_add(1);
        }
        if header.records == 0 || expected != header.next_offset() {
            return Err(BatchError::invalid("expected as many records as offsets, and not none"));
        }
        Ok(Batch {
            records: header.records,
            max_timestamp: header.max_timestamp,
            sequenced: sequenced(&header)?,
            bytes: bytes.clone(),
        })
    }
}

fn only_batch(bytes: &Bytes) -> Result<records::Batch, BatchError> {
    let mut reader = BatchReader::new(bytes.clone());
    match reader.next() {
        Some(Ok(batch)) if reader.left() == 0 => Ok(batch),
        Some(Ok(_)) => Err(BatchError::invalid("expected one batch, but more bytes follow it")),
        Some(Err(error @ (RecordError::OldFormat { .. } | RecordError::UnknownFormat { .. }))) => {
            Err(BatchError::Invalid(error.to_string()))
        }
        Some(Err(error)) => Err(BatchError::Corrupt(error)),
        None => Err(BatchError::invalid("expected one batch, but its bytes are not all there")),
    }
}

fn sequenced(header: &records::BatchHeader) -> Result<Option<Sequenced>, BatchError> {
    if header.producer_id < 0 {
        return Ok(None);
    }
    if header.producer_epoch < 0 || header.base_sequence < 0 {
        let message = "an idempotent producer's batch has an epoch and a sequence number";
        return Err(BatchError::invalid(message));
    }
    Ok(Some(Sequenced {
        producer: header.producer_id,
        epoch: header.producer_epoch,
        first: header.base_sequence,
        last: last_sequence(header.base_sequence, header.last_offset_delta),
    }))
}

/// The batch with its place written in; the checksum covers neither.
pub(crate) fn place(batch: &Bytes, base: i64, epoch: i32) -> Bytes {
    let mut placed = BytesMut::from(&batch[..]);
    // A batch that was checked has a header, which is all that these two need.
    let written =
        rewrite_base_offset(&mut placed, base).and(rewrite_leader_epoch(&mut placed, epoch));
    debug_assert!(written.is_ok(), "a batch that was checked has a header");
    placed.freeze()
}

/// The times of the records in batches of the log.
pub(crate) fn stamps(batches: &Bytes) -> Vec<Stamped> {
    let mut stamps = Vec::new();
    each(batches, |epoch, record, _| {
        stamps.push(Stamped { timestamp: record.timestamp, offset: record.offset, epoch });
    });
    stamps
}

/// Walks the records in batches of the log, which were checked before they got there.
pub(crate) fn each(batches: &Bytes, mut visit: impl FnMut(i32, &records::Record<'_>, &Bytes)) {
    for batch in BatchReader::new(batches.clone()).flatten() {
        let Ok(decoded) = batch.decode(MAX_DECOMPRESSED) else { continue };
        for record in decoded.records().flatten() {
            visit(batch.header().leader_epoch, &record, decoded.payload());
        }
    }
}

impl BatchError {
    fn invalid(detail: &str) -> BatchError {
        BatchError::Invalid(detail.to_owned())
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::Corrupt(error) => fmt::Display::fmt(error, f),
            BatchError::Invalid(detail) => f.write_str(detail),
            BatchError::Compression => f.write_str("zstd needs Produce version 7 or later"),
        }
    }
}
