//! Batches from records.

use bytes::{BufMut, Bytes};

use super::header::HEADER;
use super::{Attributes, BatchHeader, Compression, Header, RecordError, compression, varint};

/// A record to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null.
    pub value: Option<&'a [u8]>,
    /// The headers, in this order.
    pub headers: &'a [Header<'a>],
}

/// Builds one batch.
///
/// Offsets count from 0, as a producer's do: the broker gives the batch its place with
/// [`rewrite_base_offset`](super::rewrite_base_offset).
///
/// ```
/// use handover_wire::records::{BatchReader, BatchWriter, Compression, NewRecord};
///
/// let mut writer = BatchWriter::new(Compression::Lz4).producer(4_000, 0, 17);
/// writer.push(NewRecord { timestamp: 1, value: Some(b"v"), ..NewRecord::default() })?;
/// let bytes = writer.finish()?;
/// let batch = BatchReader::new(bytes).next().expect("a whole batch")?;
/// let header = batch.header();
/// assert_eq!((header.producer_id, header.base_sequence, header.records), (4_000, 17, 1));
/// # Ok::<(), handover_wire::records::RecordError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchWriter {
    header: BatchHeader,
    /// Room for the header, then the records as they are before compression.
    bytes: Vec<u8>,
}

impl BatchWriter {
    /// An empty batch of no idempotent producer.
    pub fn new(compression: Compression) -> BatchWriter {
        let header = BatchHeader {
            base_offset: 0,
            last_offset_delta: -1,
            leader_epoch: -1,
            attributes: Attributes::new(compression),
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records: 0,
        };
        BatchWriter { header, bytes: vec![0; HEADER] }
    }

    /// Names the idempotent producer and the sequence number of the first record.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> BatchWriter {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Puts the batch into a transaction of its producer.
    pub fn transactional(mut self) -> BatchWriter {
        self.header.attributes = self.header.attributes.transactional();
        self
    }

    /// Makes it a control batch, which a broker writes at the end of a transaction.
    pub fn control(mut self) -> BatchWriter {
        self.header.attributes = self.header.attributes.control();
        self
    }

    /// Appends a record behind the last offset.
    ///
    /// # Errors
    ///
    /// [`RecordError::Unencodable`] if a part of it has more than 2 GiB; the batch is as it was.
    pub fn push(&mut self, record: NewRecord<'_>) -> Result<(), RecordError> {
        let next = self.header.last_offset_delta.saturating_add(1);
        self.push_at(next, record)
    }

    /// Appends a record at `delta` behind the base offset: with gaps, as compaction leaves them.
    ///
    /// # Errors
    ///
    /// As for [`BatchWriter::push`], and if `delta` is not behind the last.
    pub fn push_at(&mut self, delta: i32, record: NewRecord<'_>) -> Result<(), RecordError> {
        if delta <= self.header.last_offset_delta {
            let last = self.header.last_offset_delta;
            let detail = format!("offset delta {delta} comes after {last}").into();
            return Err(RecordError::Unencodable { detail });
        }
        let first = self.header.records == 0;
        let base = if first { record.timestamp } else { self.header.base_timestamp };
        let since = record.timestamp.wrapping_sub(base);
        let length = body_size(&record, since, delta)?;
        varint::put(&mut self.bytes, length);
        put_body(&mut self.bytes, &record, since, delta);
        self.header.base_timestamp = base;
        self.header.max_timestamp = match first {
            true => record.timestamp,
            false => self.header.max_timestamp.max(record.timestamp),
        };
        self.header.last_offset_delta = delta;
        self.header.records += 1;
        Ok(())
    }

    /// Says that the batch once had records up to `delta`, which compaction removed. It never
    /// takes offsets back.
    pub fn extend_to(&mut self, delta: i32) {
        self.header.last_offset_delta = self.header.last_offset_delta.max(delta);
    }

    /// How many records there are.
    pub fn records(&self) -> i32 {
        self.header.records
    }

    /// How many bytes the batch has, before compression.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Compresses the records and seals the batch.
    ///
    /// # Errors
    ///
    /// [`RecordError::Unencodable`] if it has more than 2 GiB, or no offset at all.
    pub fn finish(mut self) -> Result<Bytes, RecordError> {
        if self.header.last_offset_delta < 0 {
            return Err(RecordError::Unencodable { detail: "it has no offset".into() });
        }
        let mut bytes = match self.header.attributes.compression()? {
            Compression::None => self.bytes,
            packing => {
                let records = self.bytes.split_off(HEADER);
                // Few records grow; most shrink to less than half.
                self.bytes.reserve(records.len() / 2);
                compression::compress(packing, &records, &mut self.bytes)?;
                self.bytes
            }
        };
        self.header.encode(&mut bytes)?;
        Ok(Bytes::from(bytes))
    }
}

/// The bytes of a record behind its length.
fn body_size(record: &NewRecord<'_>, since: i64, delta: i32) -> Result<i64, RecordError> {
    let header =
        |header: &Header<'_>| nullable_size(Some(header.key)) + nullable_size(header.value);
    let attributes = 1;
    let size = attributes
        + varint::size(since)
        + varint::size(i64::from(delta))
        + nullable_size(record.key)
        + nullable_size(record.value)
        + varint::size(record.headers.len() as i64)
        + record.headers.iter().map(header).sum::<usize>();
    match i32::try_from(size) {
        Ok(size) => Ok(i64::from(size)),
        Err(_) => {
            let detail = format!("a record has {size} bytes").into();
            Err(RecordError::Unencodable { detail })
        }
    }
}

fn put_body(bytes: &mut Vec<u8>, record: &NewRecord<'_>, since: i64, delta: i32) {
    let attributes = 0;
    bytes.put_u8(attributes);
    varint::put(bytes, since);
    varint::put(bytes, i64::from(delta));
    put_nullable(bytes, record.key);
    put_nullable(bytes, record.value);
    varint::put(bytes, record.headers.len() as i64);
    for header in record.headers {
        put_nullable(bytes, Some(header.key));
        put_nullable(bytes, header.value);
    }
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) => varint::size(bytes.len() as i64) + bytes.len(),
        None => varint::size(-1),
    }
}

fn put_nullable(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::put(buffer, bytes.len() as i64);
            buffer.extend_from_slice(bytes);
        }
        None => varint::put(buffer, -1),
    }
}
