//! Record batches: what the writer writes, the reader reads, another codec reads too, and what is
//! broken is an error.

// Helpers are tests too; clippy knows only the functions marked so.
#![allow(clippy::unwrap_used)]

mod format;
mod hostile;

use bytes::Bytes;
use handover_wire::records::{
    Batch, BatchReader, BatchWriter, Compression, Header, MAX_DECOMPRESSED, NewRecord, RecordError,
};

/// The one batch in `bytes`.
fn only(bytes: Bytes) -> Batch {
    let mut reader = BatchReader::new(bytes);
    let batch = reader.next().unwrap().unwrap();
    assert_eq!(reader.left(), 0);
    batch
}

/// A record with its borrowed parts copied, to compare by.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn decoded(batch: &Batch) -> Result<Vec<Owned>, RecordError> {
    let batch = batch.decode(MAX_DECOMPRESSED)?;
    let owned = |record: handover_wire::records::Record<'_>| {
        let header = |header: Header<'_>| (header.key.to_vec(), header.value.map(<[u8]>::to_vec));
        Owned {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.map(header).collect(),
        }
    };
    batch.records().map(|record| record.map(owned)).collect()
}

/// Records of all sorts: null and empty parts, headers with the same key, times that go back.
fn sorts() -> Vec<Owned> {
    let owned = |timestamp, key: Option<&[u8]>, value: Option<&[u8]>| Owned {
        offset: 0,
        timestamp,
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: vec![],
    };
    let mut records = vec![
        owned(1_700_000_000_000, Some(b"key"), Some(b"value")),
        owned(1_699_999_999_000, None, Some(b"")),
        owned(1_700_000_000_001, Some(b""), None),
        owned(i64::MAX, None, None),
        owned(-1, Some(&[0xff; 300]), Some(&[7; 100_000])),
    ];
    records[1].headers = vec![
        (b"trace".to_vec(), Some(b"1".to_vec())),
        (b"trace".to_vec(), Some(b"2".to_vec())),
        (b"".to_vec(), None),
        (vec![0xff, 0xfe], Some(vec![])),
    ];
    for (offset, record) in records.iter_mut().enumerate() {
        record.offset = offset as i64;
    }
    records
}

fn push(writer: &mut BatchWriter, record: &Owned) {
    let parts = record.headers.iter();
    let headers: Vec<_> =
        parts.map(|(key, value)| Header { key, value: value.as_deref() }).collect();
    let new = NewRecord {
        timestamp: record.timestamp,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    };
    writer.push_at(record.offset as i32, new).unwrap();
}

fn batch_of(compression: Compression, records: &[Owned]) -> Bytes {
    let mut writer = BatchWriter::new(compression);
    records.iter().for_each(|record| push(&mut writer, record));
    writer.finish().unwrap()
}
