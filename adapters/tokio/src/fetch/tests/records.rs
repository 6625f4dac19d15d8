//! What is in the answers: compressions, sizes, damage, transactions.

use bytes::Bytes;
use handover_broker::Broker;
use handover_core::machine::Start;
use handover_wire::records::{
    BatchWriter, Compression, NewRecord, RecordError, rewrite_base_offset, rewrite_leader_epoch,
};

use super::rig::{Rig, append, earliest, names, produce};
use crate::fetch::FetchConfig;
use crate::fetch::unread::{Reading, Unread};

const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn batch(writer: BatchWriter, values: &[String]) -> Bytes {
    let mut writer = writer;
    for value in values {
        let value = Some(value.as_bytes());
        writer.push(NewRecord { timestamp: 1, value, ..NewRecord::default() }).unwrap();
    }
    writer.finish().unwrap()
}

fn at(batch: &Bytes, offset: i64) -> Bytes {
    let mut bytes = batch.to_vec();
    rewrite_base_offset(&mut bytes, offset).unwrap();
    rewrite_leader_epoch(&mut bytes, 3).unwrap();
    bytes.into()
}

#[tokio::test]
async fn every_compression() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let mut next = 0;
    for compression in COMPRESSIONS {
        for count in [1, 100] {
            let values = names(0, next..next + count);
            append(&broker, 0, batch(BatchWriter::new(compression), &values)).await;
            next += count;
        }
    }
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.open(0, Start::Reset);
    let count = usize::try_from(next).unwrap();
    assert_eq!(rig.take(count).await[&0], names(0, 0..next));
}

#[tokio::test]
async fn batches_larger_than_the_limits_come_through_and_starve_nobody() {
    let broker = Broker::builder().topic("orders", 3).start().await.unwrap();
    for index in 0..3 {
        (0..4).for_each(|_| produce(&broker, index, 300));
    }
    let config = FetchConfig { partition_max_bytes: 100, max_bytes: 100, ..earliest() };
    let mut rig = Rig::new(&broker.bootstrap(), config);
    rig.open_all(0..3, Start::Reset);
    let taken = rig.take(3600).await;
    assert!((0..3).all(|index| taken[&index] == names(index, 0..1200)));
}

#[tokio::test]
async fn what_unpacks_to_more_than_there_is_room_for_is_read_in_steps() {
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    let value = "x".repeat(1000);
    for index in 0..2 {
        for _ in 0..30 {
            let values = vec![value.clone(); 20];
            append(&broker, index, batch(BatchWriter::new(Compression::Zstd), &values)).await;
        }
    }
    // All batches of a partition fit one answer packed; unpacked, not even one does.
    let config = FetchConfig { partition_max_bytes: 8_000, max_bytes: 16_000, ..earliest() };
    let mut rig = Rig::new(&broker.bootstrap(), config);
    rig.open_all(0..2, Start::Reset);
    let taken = rig.take(1200).await;
    assert!((0..2).all(|index| taken[&index].len() == 600));
    let fetches = broker.requests().count(handover_broker::Api::Fetch);
    assert!(fetches < 20, "{fetches} fetches: what was kept packed is not fetched again");
}

async fn read(records: &[Bytes], from: i64, aborted: Option<Vec<(i64, i64)>>) -> (Unread, Reading) {
    let mut unread = Unread::new(records.concat().into(), from, aborted);
    let mut room = usize::MAX;
    let reading = unread.read(&mut room).await;
    (unread, reading)
}

/// For each piece, where it ends and whether there is something in it.
fn shape(reading: &Reading) -> Vec<(i64, bool)> {
    reading.pieces.iter().map(|piece| (piece.next, piece.batch.is_some())).collect()
}

fn transactional(producer: i64) -> Bytes {
    let writer = BatchWriter::new(Compression::None).producer(producer, 0, 0).transactional();
    batch(writer, &names(0, 0..10))
}

/// The broker's word on a transaction: 0 aborts, 1 commits.
fn marker(producer: i64, kind: u8) -> Bytes {
    let writer = BatchWriter::new(Compression::None).producer(producer, 0, -1);
    let mut writer = writer.transactional().control();
    let key = [0, 0, 0, kind];
    writer.push(NewRecord { key: Some(&key), ..NewRecord::default() }).unwrap();
    writer.finish().unwrap()
}

#[tokio::test]
async fn aborted_transactions_are_hidden_from_readers_of_committed_records() {
    let plain = batch(BatchWriter::new(Compression::Lz4), &names(0, 0..10));
    // Producer 1 aborts, commits and aborts; 2 commits; the others write without transactions.
    let log = [
        at(&transactional(1), 0),
        at(&plain, 10),
        at(&transactional(2), 20),
        at(&marker(1, 0), 30),
        at(&transactional(1), 31),
        at(&marker(2, 1), 41),
        at(&marker(1, 1), 42),
        at(&transactional(1), 43),
        at(&marker(1, 0), 53),
    ];
    let (_, all) = read(&log, 0, None).await;
    let visible: Vec<i64> = shape(&all).iter().filter(|p| p.1).map(|p| p.0).collect();
    assert_eq!(visible, [10, 20, 30, 41, 53], "control batches are for nobody");
    let (_, committed) = read(&log, 0, Some(vec![(1, 43), (1, 0)])).await;
    let visible: Vec<i64> = shape(&committed).iter().filter(|p| p.1).map(|p| p.0).collect();
    assert_eq!(visible, [20, 30, 41]);
    assert_eq!(committed.pieces.last().map(|piece| piece.next), Some(54));
    assert_eq!(committed.failed, None);
}

#[tokio::test]
async fn whatever_is_before_the_offset_or_cut_at_the_end_is_left_out() {
    let plain = batch(BatchWriter::new(Compression::None), &names(0, 0..10));
    let last = at(&plain, 30);
    let log = [at(&plain, 0), at(&plain, 10), last.slice(..last.len() - 1)];
    let (unread, reading) = read(&log, 15, None).await;
    assert_eq!(shape(&reading), [(20, true)]);
    assert_eq!((reading.failed, reading.more), (None, false));
    assert!(unread.left() > 0);
}

#[tokio::test]
async fn reading_stops_where_there_is_no_room_and_goes_on_from_there() {
    let plain = batch(BatchWriter::new(Compression::Gzip), &names(0, 0..10));
    let log: Vec<Bytes> = (0..5).map(|index| at(&plain, index * 10)).collect();
    let mut unread = Unread::new(log.concat().into(), 0, None);
    assert!(unread.read(&mut 0).await.pieces.is_empty(), "no room at all");
    for end in [10, 20, 30, 40, 50] {
        let reading = unread.read(&mut 1).await;
        assert_eq!((shape(&reading), reading.more), (vec![(end, true)], end < 50));
    }
}

#[tokio::test]
async fn batches_that_compaction_emptied_are_passed_over() {
    let mut emptied = BatchWriter::new(Compression::None);
    emptied.extend_to(9);
    let mut front = BatchWriter::new(Compression::None);
    front.push_at(2, NewRecord::default()).unwrap();
    front.extend_to(9);
    let log = [at(&emptied.finish().unwrap(), 0), at(&front.finish().unwrap(), 10)];
    let (_, reading) = read(&log, 0, None).await;
    assert_eq!(shape(&reading), [(10, false), (20, true)]);
    let (_, reading) = read(&log, 13, None).await;
    assert_eq!(shape(&reading), [(20, false)], "what is left of it is before the offset");
}

#[tokio::test]
async fn reading_stops_at_damage_wherever_it_is() {
    let plain = batch(BatchWriter::new(Compression::None), &names(0, 0..10));
    for byte in 16..plain.len() {
        let mut damaged = at(&plain, 10).to_vec();
        damaged[byte] ^= 0x80;
        let (_, reading) = read(&[at(&plain, 0), damaged.into()], 0, None).await;
        assert_eq!(shape(&reading), [(10, true)], "damage at byte {byte}");
        assert!(reading.failed.is_some(), "damage at byte {byte}");
    }
}

#[tokio::test]
async fn a_record_that_is_wrong_within_a_right_checksum_is_found_too() {
    let mut writer = BatchWriter::new(Compression::None);
    writer.push(NewRecord { value: Some(b"v"), ..NewRecord::default() }).unwrap();
    let mut bytes = writer.finish().unwrap().to_vec();
    // The record's length, and the checksum of the whole.
    bytes[61] ^= 0x40;
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let (_, reading) = read(&[bytes.into()], 0, None).await;
    assert!(matches!(reading.failed, Some(RecordError::Record { index: 0, .. })));
    assert!(reading.pieces.is_empty());
}

/// CRC-32C bit by bit, as tests need it seldom.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    })
}
