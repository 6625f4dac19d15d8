//! The 61 bytes before the records of a batch (Kafka's `DefaultRecordBatch`).

use bytes::{Buf, BufMut};

use super::{Compression, RecordError};

/// Bytes of the base offset and the length, which the length does not count.
pub(super) const OVERHEAD: usize = 12;
/// Bytes of the whole header.
pub(super) const HEADER: usize = 61;
const LEADER_EPOCH: usize = 12;
pub(super) const MAGIC: usize = 16;
const CRC: usize = 17;
/// Where that begins which the checksum covers. Offset and leader epoch are before it, so that the
/// broker can set them without touching what the producer has signed.
const ATTRIBUTES: usize = 21;
pub(super) const FORMAT: i8 = 2;

/// How the records of a batch are stored and what they mean.
///
/// ```
/// use handover_wire::records::{Attributes, Compression};
/// let attributes = Attributes::new(Compression::Lz4).transactional();
/// assert_eq!(attributes.bits(), 0b10011);
/// assert_eq!(attributes.compression(), Ok(Compression::Lz4));
/// assert!(attributes.is_transactional() && !attributes.is_control());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes(i16);

impl Attributes {
    const COMPRESSION: i16 = 0b111;
    const APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// Records of the application, outside any transaction, with the producer's timestamps.
    pub const fn new(compression: Compression) -> Attributes {
        Attributes(compression.code() as i16)
    }

    /// From the wire.
    pub const fn from_bits(bits: i16) -> Attributes {
        Attributes(bits)
    }

    /// As on the wire.
    pub const fn bits(self) -> i16 {
        self.0
    }

    /// The same, within a transaction.
    pub const fn transactional(self) -> Attributes {
        Attributes(self.0 | Attributes::TRANSACTIONAL)
    }

    /// The same, as a control batch: its record is the broker's word on a transaction.
    pub const fn control(self) -> Attributes {
        Attributes(self.0 | Attributes::CONTROL)
    }

    /// The same, with the broker's timestamp for all records: the header's greatest.
    pub const fn append_time(self) -> Attributes {
        Attributes(self.0 | Attributes::APPEND_TIME)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    ///
    /// [`RecordError::UnknownCompression`].
    pub fn compression(self) -> Result<Compression, RecordError> {
        Compression::from_code((self.0 & Attributes::COMPRESSION) as u8)
    }

    /// Whether the records have the broker's timestamp.
    pub const fn is_append_time(self) -> bool {
        self.0 & Attributes::APPEND_TIME != 0
    }

    /// Whether the records are part of a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & Attributes::TRANSACTIONAL != 0
    }

    /// Whether the records are none of the application's: see
    /// [`Record::control`](super::Record::control).
    pub const fn is_control(self) -> bool {
        self.0 & Attributes::CONTROL != 0
    }

    /// Whether the base timestamp is the time from which on tombstones may be removed (KIP-534).
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Attributes::DELETE_HORIZON != 0
    }
}

/// What a batch says about its records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BatchHeader {
    /// The offset that the deltas of the records count from.
    pub base_offset: i64,
    /// The delta of the last record that was ever in the batch: compaction may have removed it,
    /// and all others too.
    pub last_offset_delta: i32,
    /// The epoch of the leader that appended it, or -1.
    pub leader_epoch: i32,
    /// Compression, transaction, control.
    pub attributes: Attributes,
    /// Milliseconds that the timestamp deltas of the records count from.
    pub base_timestamp: i64,
    /// The greatest timestamp in the batch.
    pub max_timestamp: i64,
    /// The idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// How many records there are. Never reserve room by it: it is the sender's word.
    pub records: i32,
}

impl BatchHeader {
    /// The offset to fetch from after this batch, also if it is empty (SPEC W7).
    pub const fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The offset of the last record that was ever in the batch.
    pub const fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(self.last_offset_delta as i64)
    }

    /// Reads the header of a batch that is all there, and compares nothing.
    pub(super) fn decode(batch: &[u8]) -> BatchHeader {
        let (mut offset, mut epoch) = (batch, &batch[LEADER_EPOCH..]);
        let mut rest = &batch[ATTRIBUTES..];
        BatchHeader {
            base_offset: offset.get_i64(),
            leader_epoch: epoch.get_i32(),
            attributes: Attributes(rest.get_i16()),
            last_offset_delta: rest.get_i32(),
            base_timestamp: rest.get_i64(),
            max_timestamp: rest.get_i64(),
            producer_id: rest.get_i64(),
            producer_epoch: rest.get_i16(),
            base_sequence: rest.get_i32(),
            records: rest.get_i32(),
        }
    }

    /// Writes the header into the room kept for it in front of the records, checksum included.
    pub(super) fn encode(&self, batch: &mut [u8]) -> Result<(), RecordError> {
        let length = i32::try_from(batch.len() - OVERHEAD).map_err(|_| {
            RecordError::Unencodable { detail: format!("{} bytes", batch.len()).into() }
        })?;
        let mut room = &mut batch[..HEADER];
        room.put_i64(self.base_offset);
        room.put_i32(length);
        room.put_i32(self.leader_epoch);
        room.put_i8(FORMAT);
        room.put_u32(0);
        room.put_i16(self.attributes.0);
        room.put_i32(self.last_offset_delta);
        room.put_i64(self.base_timestamp);
        room.put_i64(self.max_timestamp);
        room.put_i64(self.producer_id);
        room.put_i16(self.producer_epoch);
        room.put_i32(self.base_sequence);
        room.put_i32(self.records);
        let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
        batch[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        Ok(())
    }
}

/// Compares the checksum of a batch that is all there (SPEC W6).
pub(super) fn verify(batch: &[u8]) -> Result<(), RecordError> {
    let expected = (&batch[CRC..]).get_u32();
    let got = crc32c::crc32c(&batch[ATTRIBUTES..]);
    if expected == got { Ok(()) } else { Err(RecordError::Crc { expected, got }) }
}

/// Gives the batch at the front of `batch` its place in the log. The checksum does not cover it.
///
/// # Errors
///
/// [`RecordError::Length`] if there is not even a header.
pub fn rewrite_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), RecordError> {
    header_of(batch)?[..8].copy_from_slice(&base_offset.to_be_bytes());
    Ok(())
}

/// Marks the batch at the front of `batch` with the epoch of the leader that appends it. The
/// checksum does not cover it.
///
/// # Errors
///
/// [`RecordError::Length`] if there is not even a header.
pub fn rewrite_leader_epoch(batch: &mut [u8], leader_epoch: i32) -> Result<(), RecordError> {
    header_of(batch)?[LEADER_EPOCH..MAGIC].copy_from_slice(&leader_epoch.to_be_bytes());
    Ok(())
}

fn header_of(batch: &mut [u8]) -> Result<&mut [u8; HEADER], RecordError> {
    let got = batch.len();
    batch.first_chunk_mut().ok_or(RecordError::Length { least: HEADER, got })
}
