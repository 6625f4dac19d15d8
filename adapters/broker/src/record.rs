//! Records as a test writes and reads them.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use handover_wire::records::{self, BatchWriter, Compression, NewRecord};

use crate::BrokerError;
use crate::batch::{self, Batch};

/// A record, to be appended with [`Broker::produce`](crate::Broker::produce) or read with
/// [`Broker::records`](crate::Broker::records).
///
/// ```
/// use handover_broker::Record;
///
/// let record = Record::from(("customer-7", "paid")).at(1_700_000_000_000).header("source", "web");
/// assert_eq!(record.key.as_deref(), Some(&b"customer-7"[..]));
/// assert_eq!(Record::from("paid").key, None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// The key; `None` for null.
    pub key: Option<Bytes>,
    /// The value; `None` for null.
    pub value: Option<Bytes>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The headers, in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl Record {
    /// A record with this key and value, of now.
    pub fn new(key: Option<Bytes>, value: Option<Bytes>) -> Record {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        Record { key, value, timestamp, headers: Vec::new() }
    }

    /// The same, with another timestamp, in milliseconds since 1970.
    pub fn at(mut self, timestamp: i64) -> Record {
        self.timestamp = timestamp;
        self
    }

    /// The same, with one more header.
    pub fn header(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Record {
        self.headers.push((key.into(), Some(value.into())));
        self
    }
}

impl From<&str> for Record {
    /// Without a key.
    fn from(value: &str) -> Record {
        Record::new(None, Some(Bytes::copy_from_slice(value.as_bytes())))
    }
}

impl From<(&str, &str)> for Record {
    /// Key and value.
    fn from((key, value): (&str, &str)) -> Record {
        Record::new(
            Some(Bytes::copy_from_slice(key.as_bytes())),
            Some(Bytes::copy_from_slice(value.as_bytes())),
        )
    }
}

/// One batch of these records, to be appended.
pub(crate) fn to_batch(records: &[Record]) -> Result<Batch, BrokerError> {
    if records.is_empty() {
        return Err(BrokerError::Records("there is none".to_owned()));
    }
    let mut writer = BatchWriter::new(Compression::None);
    for record in records {
        let headers: Vec<_> = record.headers.iter().map(header).collect();
        let new = NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        writer.push(new).map_err(|error| BrokerError::Records(error.to_string()))?;
    }
    let bytes = writer.finish().map_err(|error| BrokerError::Records(error.to_string()))?;
    Batch::check(&bytes, true).map_err(|error| BrokerError::Records(error.to_string()))
}

fn header((key, value): &(Bytes, Option<Bytes>)) -> records::Header<'_> {
    records::Header { key, value: value.as_deref() }
}

/// The records in batches of the log, with their offsets.
pub(crate) fn of_batches(batches: &Bytes) -> Vec<(i64, Record)> {
    let mut found = Vec::new();
    batch::each(batches, |_, record, payload| {
        let own = |bytes: &[u8]| payload.slice_ref(bytes);
        let headers = record.headers.map(|header| (own(header.key), header.value.map(own)));
        let own = Record {
            key: record.key.map(own),
            value: record.value.map(own),
            timestamp: record.timestamp,
            headers: headers.collect(),
        };
        found.push((record.offset, own));
    });
    found
}
