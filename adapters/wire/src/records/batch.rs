//! Batches out of the bytes of a fetch answer.

use bytes::Bytes;

use super::header::{self, FORMAT, HEADER, MAGIC, OVERHEAD};
use super::record::{Place, Records};
use super::{BatchHeader, Compression, RecordError, compression};

/// A bound on what one batch decompresses to that no producer in its right mind meets: 128 MiB.
pub const MAX_DECOMPRESSED: usize = 128 * 1024 * 1024;

/// Splits the bytes of one partition in a fetch answer into batches, without copying.
///
/// A broker cuts its answer at a number of bytes, so the last batch is often not all there: it is
/// skipped, and fetched again from its offset (SPEC W5). Iteration ends at the first error.
///
/// ```
/// use handover_wire::records::{BatchReader, BatchWriter, Compression, NewRecord};
///
/// let mut writer = BatchWriter::new(Compression::None);
/// writer.push(NewRecord { value: Some(b"v"), ..NewRecord::default() })?;
/// let batch = writer.finish()?;
/// let mut reader = BatchReader::new(batch.slice(..batch.len() - 1));
/// assert!(reader.next().is_none());
/// assert_eq!(reader.left(), batch.len() - 1);
/// # Ok::<(), handover_wire::records::RecordError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchReader {
    bytes: Bytes,
}

impl BatchReader {
    /// Reads what a broker has sent of one partition.
    pub fn new(bytes: Bytes) -> BatchReader {
        BatchReader { bytes }
    }

    /// How many bytes were not read. If the first `next` gives `None` and this is not zero, not
    /// even one batch fits the fetch: ask for more bytes.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    fn split(&mut self) -> Result<Option<Batch>, RecordError> {
        let Some(magic) = self.bytes.get(MAGIC) else { return Ok(None) };
        match *magic as i8 {
            FORMAT => {}
            magic @ 0..FORMAT => return Err(RecordError::OldFormat { magic }),
            magic => return Err(RecordError::UnknownFormat { magic }),
        }
        let length = self.bytes[8..OVERHEAD].try_into().map_or(0, i32::from_be_bytes);
        // Negative is as wrong as too short.
        let size = OVERHEAD + usize::try_from(length).unwrap_or(0);
        if size < HEADER {
            return Err(RecordError::Length { least: HEADER, got: size });
        }
        if self.bytes.len() < size {
            return Ok(None);
        }
        let bytes = self.bytes.split_to(size);
        Ok(Some(Batch { header: BatchHeader::decode(&bytes), bytes }))
    }
}

impl Iterator for BatchReader {
    type Item = Result<Batch, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.split().transpose();
        if matches!(batch, Some(Err(_))) {
            self.bytes.clear();
        }
        batch
    }
}

impl std::iter::FusedIterator for BatchReader {}

/// One batch as it came: its header can be read, its records are not unpacked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    header: BatchHeader,
    /// At least a header long.
    bytes: Bytes,
}

impl Batch {
    /// What it says about its records. Damage is found by [`Batch::verify`] alone.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Compares the checksum (CRC-32C) with the bytes.
    ///
    /// # Errors
    ///
    /// [`RecordError::Crc`].
    pub fn verify(&self) -> Result<(), RecordError> {
        header::verify(&self.bytes)
    }

    /// Verifies and unpacks it, to at most `limit` bytes; [`MAX_DECOMPRESSED`] does for most. What
    /// is not compressed is not copied.
    ///
    /// # Errors
    ///
    /// [`RecordError::Crc`], [`RecordError::UnknownCompression`], [`RecordError::Decompress`],
    /// [`RecordError::TooLarge`]; [`RecordError::Count`] if it announces more records than its
    /// bytes can hold.
    pub fn decode(&self, limit: usize) -> Result<DecodedBatch, RecordError> {
        self.verify()?;
        let packed = self.bytes.slice(HEADER..);
        let records = match self.header.attributes.compression()? {
            Compression::None => packed,
            // A batch from which compaction has removed everything has no compressed stream.
            _ if self.header.records == 0 && packed.is_empty() => packed,
            packing => compression::decompress(packing, &packed, limit)?.into(),
        };
        let batch = DecodedBatch { header: self.header, records };
        batch.check_count()?;
        Ok(batch)
    }
}

/// A batch whose records can be walked.
///
/// It owns their bytes, and [`Record`](super::Record)s borrow from it. To keep a key or a value
/// longer without copying, take `batch.payload().slice_ref(value)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodedBatch {
    header: BatchHeader,
    records: Bytes,
}

impl DecodedBatch {
    /// The fewest bytes that a record has: seven fields of one byte each.
    const LEAST_RECORD: u64 = 7;

    /// What the batch says about its records.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes of all records, decompressed.
    pub fn payload(&self) -> &Bytes {
        &self.records
    }

    /// The records, in the order of their offsets.
    pub fn records(&self) -> Records<'_> {
        self.records_from(Place::default())
    }

    /// The records from `place` on, which [`Records::place`] gave for this batch: so that a walk
    /// can be set down and taken up again without borrowing the batch meanwhile. With a place of
    /// another batch the records are wrong, or an error.
    pub fn records_from(&self, place: Place) -> Records<'_> {
        Records::new(&self.header, &self.records, place)
    }

    fn check_count(&self) -> Result<(), RecordError> {
        let announced = self.header.records;
        let possible = self.records.len() as u64 / DecodedBatch::LEAST_RECORD;
        match u64::try_from(announced) {
            Ok(count) if count <= possible => Ok(()),
            _ => Err(RecordError::Count { announced }),
        }
    }
}
