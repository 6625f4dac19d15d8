//! The format: what is written is read, by us and by another codec.

use bytes::{BufMut, Bytes, BytesMut};
use handover_wire::records::{
    BatchReader, BatchWriter, Compression, ControlMarker, MAX_DECOMPRESSED, NewRecord, RecordError,
    rewrite_base_offset, rewrite_leader_epoch,
};
use kafka_protocol::records::{
    Compression as Other, Record as OtherRecord, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

use crate::{Owned, batch_of, decoded, only, sorts};

#[test]
fn every_compression_keeps_every_record() {
    let (mut some, sorts) = (sorts(), sorts());
    some.truncate(1);
    for compression in Compression::ALL {
        for records in [&some, &sorts] {
            let batch = only(batch_of(compression, records));
            assert_eq!(batch.header().attributes.compression(), Ok(compression));
            assert_eq!(decoded(&batch).as_ref(), Ok(records), "{compression}");
        }
    }
}

#[test]
fn compressed_batches_are_smaller() {
    let plain = batch_of(Compression::None, &sorts()).len();
    for compression in Compression::ALL.into_iter().skip(1) {
        let packed = batch_of(compression, &sorts()).len();
        assert!(packed * 10 < plain, "{compression}: {packed} of {plain} bytes");
    }
}

#[test]
fn a_batch_in_bytes_written_by_hand_is_read() {
    // Two records at 1 000 ms and 1 001 ms: key "k" and value "v", and null with one header.
    let first = [0, 0, 0, 2, b'k', 2, b'v', 0];
    let second = [0, 2, 2, 1, 1, 2, 2, b'h', 1];
    let mut covered = BytesMut::new();
    covered.put_i16(0); // attributes
    covered.put_i32(1); // last offset delta
    covered.put_i64(1_000); // base timestamp
    covered.put_i64(1_001); // greatest timestamp
    covered.put_i64(-1); // producer id
    covered.put_i16(-1); // producer epoch
    covered.put_i32(-1); // base sequence
    covered.put_i32(2); // records
    for record in [&first[..], &second] {
        covered.put_u8(record.len() as u8 * 2);
        covered.put_slice(record);
    }
    let mut bytes = BytesMut::new();
    bytes.put_i64(500); // base offset
    bytes.put_i32(covered.len() as i32 + 9);
    bytes.put_i32(3); // leader epoch
    bytes.put_i8(2); // format
    bytes.put_u32(crc32c::crc32c(&covered));
    bytes.put_slice(&covered);

    let batch = only(bytes.freeze());
    let header = batch.header();
    assert_eq!((header.base_offset, header.leader_epoch, header.next_offset()), (500, 3, 502));
    let record =
        |offset, timestamp, key, value, headers| Owned { offset, timestamp, key, value, headers };
    let expected = vec![
        record(500, 1_000, Some(b"k".to_vec()), Some(b"v".to_vec()), vec![]),
        record(501, 1_001, None, None, vec![(b"h".to_vec(), None)]),
    ];
    assert_eq!(decoded(&batch), Ok(expected));
}

/// The other codec keeps one header of a key, and only keys in UTF-8.
fn plain() -> Vec<Owned> {
    let mut records = sorts();
    records[1].headers = vec![(b"trace".to_vec(), Some(b"1".to_vec())), (b"none".to_vec(), None)];
    // Its timestamps are differences that must not overflow.
    records.iter_mut().for_each(|record| record.timestamp = record.timestamp.clamp(0, 1 << 60));
    records
}

#[test]
fn another_codec_reads_what_is_written() {
    let mut bytes = batch_of(Compression::None, &plain());
    let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
    let read = set.records.into_iter().map(|record| Owned {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(Vec::from),
        value: record.value.map(Vec::from),
        headers: record
            .headers
            .into_iter()
            .map(|(key, value)| (key.as_bytes().to_vec(), value.map(Vec::from)))
            .collect(),
    });
    assert_eq!(read.collect::<Vec<_>>(), plain());
}

#[test]
fn what_another_codec_writes_is_read() {
    let records = plain().into_iter().enumerate().map(|(index, record)| OtherRecord {
        transactional: true,
        control: false,
        partition_leader_epoch: 5,
        producer_id: 77,
        producer_epoch: 2,
        timestamp_type: TimestampType::Creation,
        delete_horizon: false,
        offset: record.offset,
        sequence: 40 + index as i32,
        timestamp: record.timestamp,
        key: record.key.map(Bytes::from),
        value: record.value.map(Bytes::from),
        headers: record
            .headers
            .into_iter()
            .map(|(key, value)| (String::from_utf8(key).unwrap().into(), value.map(Bytes::from)))
            .collect(),
    });
    let records: Vec<_> = records.collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Other::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    let batch = only(bytes.freeze());
    let header = batch.header();
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 2, 40));
    assert!(header.attributes.is_transactional() && !header.attributes.is_control());
    assert_eq!(decoded(&batch), Ok(plain()));
}

#[test]
fn a_batch_emptied_by_compaction_still_moves_the_consumer_on() {
    for compression in Compression::ALL {
        let mut writer = BatchWriter::new(compression);
        writer.extend_to(9);
        let mut bytes = BytesMut::from(writer.finish().unwrap());
        rewrite_base_offset(&mut bytes, 100).unwrap();
        let batch = only(bytes.freeze());
        assert_eq!((batch.header().next_offset(), batch.header().records), (110, 0));
        assert_eq!(decoded(&batch), Ok(vec![]), "{compression}");
    }
}

#[test]
fn gaps_that_compaction_left_are_kept() {
    let mut records = sorts();
    records.iter_mut().for_each(|record| record.offset = record.offset * 7 + 2);
    let batch = only(batch_of(Compression::Zstd, &records));
    assert_eq!(decoded(&batch), Ok(records));
    assert_eq!(batch.header().next_offset(), 31);
}

#[test]
fn offset_and_leader_epoch_can_be_rewritten_under_the_checksum() {
    let mut bytes = BytesMut::from(batch_of(Compression::Gzip, &sorts()));
    rewrite_base_offset(&mut bytes, 1_000).unwrap();
    rewrite_leader_epoch(&mut bytes, 12).unwrap();
    let batch = only(bytes.freeze());
    assert_eq!((batch.header().base_offset, batch.header().leader_epoch), (1_000, 12));
    assert_eq!(decoded(&batch).unwrap()[4].offset, 1_004);
    let short = RecordError::Length { least: 61, got: 60 };
    assert_eq!(rewrite_base_offset(&mut [0; 60], 1), Err(short.clone()));
    assert_eq!(rewrite_leader_epoch(&mut [0; 60], 1), Err(short));
}

#[test]
fn the_brokers_timestamp_holds_for_all_records() {
    let mut bytes = batch_of(Compression::None, &sorts()).to_vec();
    bytes[22] |= 1 << 3;
    let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
    let batch = only(bytes.into());
    assert!(batch.header().attributes.is_append_time());
    let times: Vec<_> = decoded(&batch).unwrap().iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [i64::MAX; 5]);
}

#[test]
fn control_records_say_how_the_transaction_ended() {
    let markers = [(0, Some(ControlMarker::Abort)), (1, Some(ControlMarker::Commit)), (7, None)];
    for (code, marker) in markers {
        let mut writer = BatchWriter::new(Compression::None).producer(1, 0, -1).transactional();
        writer = writer.control();
        let key = [0, 0, 0, code];
        writer.push(NewRecord { key: Some(&key), ..NewRecord::default() }).unwrap();
        let batch = only(writer.finish().unwrap());
        assert!(batch.header().attributes.is_control());
        let batch = batch.decode(MAX_DECOMPRESSED).unwrap();
        assert_eq!(batch.records().next().unwrap().unwrap().control(), marker);
    }
}

#[test]
fn a_walk_can_be_set_down_and_taken_up_again() {
    let batch = only(batch_of(Compression::Snappy, &sorts())).decode(MAX_DECOMPRESSED).unwrap();
    let mut place = handover_wire::records::Place::default();
    let mut offsets = Vec::new();
    loop {
        let mut walk = batch.records_from(place);
        let Some(record) = walk.next() else { break };
        offsets.push(record.unwrap().offset);
        place = walk.place();
    }
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
}

#[test]
fn values_can_be_kept_without_copying() {
    let batch = only(batch_of(Compression::None, &sorts())).decode(MAX_DECOMPRESSED).unwrap();
    let record = batch.records().next().unwrap().unwrap();
    let value = batch.payload().slice_ref(record.value.unwrap());
    drop(batch);
    assert_eq!(value, &b"value"[..]);
}

#[test]
fn several_batches_are_read_one_after_the_other() {
    let mut bytes = BytesMut::new();
    for compression in Compression::ALL {
        bytes.extend_from_slice(&batch_of(compression, &sorts()));
    }
    let whole = bytes.len();
    bytes.extend_from_slice(&batch_of(Compression::None, &sorts())[..100]);
    let mut reader = BatchReader::new(bytes.freeze());
    for batch in reader.by_ref() {
        assert_eq!(decoded(&batch.unwrap()), Ok(sorts()));
    }
    assert_eq!(reader.left(), 100, "the last batch is cut, after {whole} bytes");
}

#[test]
fn lz4_blocks_are_independent_as_java_wants_them() {
    let batch = batch_of(Compression::Lz4, &sorts());
    // Magic, then version 1 with independent blocks and no checksums, blocks of 64 KiB.
    assert_eq!(batch[61..67], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40]);
}

#[test]
fn snappy_is_framed_as_java_wants_it() {
    let batch = batch_of(Compression::Snappy, &sorts());
    assert_eq!(batch[61..77], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
}

#[test]
fn snappy_without_framing_is_read_too() {
    let framed = batch_of(Compression::None, &sorts());
    let packed = snap::raw::Encoder::new().compress_vec(&framed[61..]).unwrap();
    let mut bytes = [&framed[..61], &packed].concat();
    let length = (bytes.len() as i32 - 12).to_be_bytes();
    bytes[8..12].copy_from_slice(&length);
    bytes[22] = 2;
    let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
    assert_eq!(decoded(&only(bytes.into())), Ok(sorts()));
}
