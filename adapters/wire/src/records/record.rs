//! Records, decoded one by one from borrowed bytes.

use bytes::Buf;

use super::varint::Rest;
use super::{BatchHeader, RecordError};

/// One record. It borrows from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970: the producer's, or the broker's if the topic says so.
    pub timestamp: i64,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null, which deletes the key in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in the producer's order.
    pub headers: Headers<'a>,
}

impl Record<'_> {
    /// What the record of a control batch says; `None` if it is of a kind not known here, which
    /// consumers skip (Kafka's `ControlRecordType.parse`).
    pub fn control(&self) -> Option<ControlMarker> {
        let mut key = self.key?;
        let _version = key.try_get_i16().ok()?;
        match key.try_get_i16().ok()? {
            0 => Some(ControlMarker::Abort),
            1 => Some(ControlMarker::Commit),
            _ => None,
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ControlMarker {
    /// What it wrote must not be delivered to readers of committed records.
    Abort,
    /// What it wrote is good.
    Commit,
}

/// A header of a record.
///
/// Kafka's clients write the key as UTF-8; nothing enforces it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Header<'a> {
    /// The key, which may come more than once.
    pub key: &'a [u8],
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in order, none left out. They were checked with the record.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    rest: Rest<'a>,
    left: i32,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        header(&mut self.rest)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Not negative, since it was checked with the record.
        let left = self.left as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Headers<'_> {}
impl std::iter::FusedIterator for Headers<'_> {}

/// Where a walk over the records of a batch stands. See
/// [`DecodedBatch::records_from`](super::DecodedBatch::records_from).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Place {
    /// Bytes read.
    byte: usize,
    /// Records read.
    index: i32,
}

/// A walk over the records of a batch. It ends at the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    base_offset: i64,
    base_timestamp: i64,
    /// The broker's timestamp, where it holds for all.
    append_time: Option<i64>,
    count: i32,
    index: i32,
    length: usize,
    rest: Rest<'a>,
    /// An error was told.
    failed: bool,
}

impl<'a> Records<'a> {
    pub(super) fn new(header: &BatchHeader, records: &'a [u8], place: Place) -> Records<'a> {
        Records {
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: header.attributes.is_append_time().then_some(header.max_timestamp),
            count: header.records,
            index: place.index,
            length: records.len(),
            rest: Rest(records.get(place.byte..).unwrap_or_default()),
            failed: false,
        }
    }

    /// Where the next record is.
    pub fn place(&self) -> Place {
        Place { byte: self.length - self.rest.0.len(), index: self.index }
    }

    fn read(&mut self) -> Result<Record<'a>, &'static str> {
        let length = self.rest.varint().ok_or("its length does not end")?;
        let body = self.rest.take(length).ok_or("its length is beyond the batch")?;
        let mut body = Rest(body);
        let _attributes = body.byte().ok_or("it ends before its attributes")?;
        let timestamp = body.varlong().ok_or("its timestamp does not end")?;
        let offset = body.varint().ok_or("its offset does not end")?;
        let key = body.nullable().ok_or("its key is longer than the record")?;
        let value = body.nullable().ok_or("its value is longer than the record")?;
        let headers = headers(body)?;
        let timestamp = match self.append_time {
            Some(time) => time,
            None => self.base_timestamp.wrapping_add(timestamp),
        };
        let offset = self.base_offset.checked_add(i64::from(offset));
        let offset = offset.filter(|offset| *offset >= 0).ok_or("its offset is out of range")?;
        Ok(Record { offset, timestamp, key, value, headers })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let index = self.index;
        if index == self.count {
            self.failed = !self.rest.0.is_empty();
            return self.failed.then_some(Err(RecordError::Count { announced: self.count }));
        }
        self.index += 1;
        let record = self.read();
        self.failed = record.is_err();
        Some(record.map_err(|detail| RecordError::Record { index, detail }))
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// Checks that the rest of a record is headers and nothing else, so that they can be read later
/// without errors.
#[inline]
fn headers(mut rest: Rest<'_>) -> Result<Headers<'_>, &'static str> {
    let left = rest.varint().ok_or("it ends before its headers")?;
    let headers = Headers { rest, left };
    if left < 0 {
        return Err("a negative number of headers is announced");
    }
    for _ in 0..left {
        header(&mut rest).ok_or("a header is longer than the record")?;
    }
    if rest.0.is_empty() { Ok(headers) } else { Err("bytes are left behind its headers") }
}

fn header<'a>(rest: &mut Rest<'a>) -> Option<Header<'a>> {
    let length = rest.varint()?;
    let key = rest.take(length)?;
    let value = rest.nullable()?;
    Some(Header { key, value })
}
