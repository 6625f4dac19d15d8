//! Broken and hostile batches.

use bytes::{Bytes, BytesMut};
use handover_wire::records::{
    BatchReader, BatchWriter, Compression, MAX_DECOMPRESSED, NewRecord, RecordError,
};

use crate::{batch_of, decoded, only, sorts};

/// Gives changed bytes the checksum that they should have.
fn signed(mut bytes: Vec<u8>) -> Bytes {
    let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
    Bytes::from(bytes)
}

#[test]
fn each_flipped_bit_under_the_checksum_is_found() {
    let mut records = sorts();
    records.truncate(4);
    let good = batch_of(Compression::None, &records);
    for bit in 17 * 8..good.len() * 8 {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refusal = decoded(&only(bytes.into())).unwrap_err();
        assert!(matches!(refusal, RecordError::Crc { .. }), "bit {bit}: {refusal}");
    }
}

#[test]
fn a_batch_cut_anywhere_is_skipped() {
    let first = batch_of(Compression::None, &sorts()[..1]);
    let second = batch_of(Compression::Zstd, &sorts());
    for end in 0..second.len() {
        let mut reader = BatchReader::new([&first[..], &second[..end]].concat().into());
        assert_eq!(decoded(&reader.next().unwrap().unwrap()).unwrap().len(), 1);
        assert_eq!(reader.next(), None, "cut after {end} bytes");
        assert_eq!(reader.left(), end);
    }
}

#[test]
fn other_formats_are_refused() {
    for (magic, refusal) in [
        (0, RecordError::OldFormat { magic: 0 }),
        (1, RecordError::OldFormat { magic: 1 }),
        (3, RecordError::UnknownFormat { magic: 3 }),
        (-1, RecordError::UnknownFormat { magic: -1 }),
    ] {
        // A message of an old format may be shorter than a header of ours.
        let mut bytes = vec![0; 17];
        bytes[16] = magic as u8;
        let mut reader = BatchReader::new(bytes.into());
        assert_eq!(reader.next(), Some(Err(refusal)));
        assert_eq!(reader.next(), None, "an error is the end");
    }
}

#[test]
fn a_length_that_cannot_be_is_refused() {
    for length in [0, 48, -1, i32::MIN] {
        let mut bytes = batch_of(Compression::None, &sorts()).to_vec();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let refusal = BatchReader::new(bytes.into()).next().unwrap().unwrap_err();
        assert!(matches!(refusal, RecordError::Length { least: 61, .. }), "{refusal}");
    }
}

#[test]
fn a_count_that_cannot_be_is_refused_before_the_first_record() {
    for count in [i32::MAX, -1, 6_000_000] {
        let mut bytes = batch_of(Compression::None, &sorts()).to_vec();
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let refusal = only(signed(bytes)).decode(MAX_DECOMPRESSED).unwrap_err();
        assert_eq!(refusal, RecordError::Count { announced: count });
    }
}

#[test]
fn a_count_that_is_wrong_is_an_error_at_the_end() {
    let mut fewer = batch_of(Compression::None, &sorts()).to_vec();
    fewer[60] = 4;
    assert_eq!(decoded(&only(signed(fewer))), Err(RecordError::Count { announced: 4 }));
    let mut more = batch_of(Compression::None, &sorts()).to_vec();
    more[60] = 6;
    let refusal = decoded(&only(signed(more))).unwrap_err();
    assert!(matches!(refusal, RecordError::Record { index: 5, .. }), "{refusal}");
}

#[test]
fn an_unknown_compression_is_refused() {
    for code in 5..8 {
        let mut bytes = batch_of(Compression::None, &sorts()).to_vec();
        bytes[22] = code;
        let refusal = RecordError::UnknownCompression { code };
        assert_eq!(decoded(&only(signed(bytes))), Err(refusal));
    }
}

#[test]
fn offsets_beyond_the_last_are_refused() {
    let mut bytes = batch_of(Compression::None, &sorts()).to_vec();
    bytes[..8].copy_from_slice(&(i64::MAX - 1).to_be_bytes());
    let batch = only(bytes.into());
    assert_eq!(batch.header().next_offset(), i64::MAX);
    let refusal = decoded(&batch).unwrap_err();
    assert!(matches!(refusal, RecordError::Record { index: 2, .. }), "{refusal}");
}

/// 8 MiB of zeros, which all four pack well.
fn bomb(compression: Compression) -> Bytes {
    let mut writer = BatchWriter::new(compression);
    let value = vec![0; 8 * 1024 * 1024];
    writer.push(NewRecord { value: Some(&value), ..NewRecord::default() }).unwrap();
    writer.finish().unwrap()
}

#[test]
fn a_decompression_bomb_is_stopped_at_the_limit() {
    for compression in Compression::ALL.into_iter().skip(1) {
        let batch = only(bomb(compression));
        let unpacked = batch.decode(MAX_DECOMPRESSED).unwrap().payload().len();
        assert!(batch.decode(unpacked).is_ok(), "{compression}: exactly the limit");
        assert!(batch.decode(usize::MAX).is_ok(), "{compression}: no limit");
        let limit = unpacked - 1;
        let refusal = batch.decode(limit).unwrap_err();
        assert_eq!(refusal, RecordError::TooLarge { limit }, "{compression}");
        let refusal = batch.decode(1_000).unwrap_err();
        assert_eq!(refusal, RecordError::TooLarge { limit: 1_000 }, "{compression}");
    }
}

#[test]
fn a_snappy_block_that_announces_more_than_it_can_hold_is_refused() {
    let mut bytes = batch_of(Compression::None, &sorts()[..1]).to_vec();
    bytes.truncate(61);
    // Plain Snappy that announces 100 MB and has two bytes.
    bytes.extend_from_slice(&[0x80, 0xc2, 0xd7, 0x2f, 0, 0]);
    bytes[12 - 1] = (bytes.len() - 12) as u8;
    bytes[22] = 2;
    bytes[60] = 1;
    let refusal = decoded(&only(signed(bytes))).unwrap_err();
    assert!(matches!(refusal, RecordError::Decompress { .. }), "{refusal}");
}

/// A linear congruential generator: the same bytes in each run (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Damage that the checksum does not show, as from a hostile producer.
#[test]
fn damaged_batches_never_panic() {
    let mut random = Random(1);
    let mut records = sorts();
    records[4].value = Some(vec![3; 50]);
    let mut refused = 0;
    for compression in Compression::ALL {
        let good = batch_of(compression, &records);
        for _ in 0..2_000 {
            let mut bytes = good.to_vec();
            for _ in 0..=random.below(3) {
                let at = 21 + random.below(bytes.len() - 21);
                bytes[at] = random.below(256) as u8;
            }
            refused += usize::from(decoded(&only(signed(bytes))).is_err());
        }
    }
    assert!(refused > 2_000, "only {refused} were refused: the damage does nothing");
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(2);
    for _ in 0..20_000 {
        let length = random.below(200);
        let mut bytes: BytesMut = (0..length).map(|_| random.below(256) as u8).collect();
        if length > 61 {
            bytes[16] = 2;
            let size = (length as i32 - 12).to_be_bytes();
            bytes[8..12].copy_from_slice(&size);
            bytes[57..61].copy_from_slice(&3_i32.to_be_bytes());
            for batch in BatchReader::new(signed(bytes.to_vec())) {
                let _ = decoded(&batch.unwrap());
            }
        } else {
            BatchReader::new(bytes.freeze()).for_each(drop);
        }
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let empty = BatchWriter::new(Compression::None).finish();
    assert!(matches!(empty, Err(RecordError::Unencodable { .. })));
    let mut writer = BatchWriter::new(Compression::None);
    writer.push_at(3, NewRecord::default()).unwrap();
    let back = writer.push_at(3, NewRecord::default());
    assert!(matches!(back, Err(RecordError::Unencodable { .. })));
    assert_eq!(writer.records(), 1, "the batch is as it was");
}
