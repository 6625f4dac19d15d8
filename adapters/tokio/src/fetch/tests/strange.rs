//! What honest brokers do not say every day, and what no honest broker says.

use std::time::{Duration, Instant};

use bytes::Bytes;
use handover_core::machine::{Mark, Start};
use handover_wire::codec::messages::BrokerId;
use handover_wire::codec::messages::fetch_request::FetchPartition;
use handover_wire::codec::messages::fetch_response::{LeaderIdAndEpoch, PartitionData};
use handover_wire::records::{
    BatchWriter, Compression, NewRecord, RecordError, rewrite_base_offset,
};
use handover_wire::{ApiKey, ApiRange, SPOKEN};

use super::fake::{Fake, Script, batch, data, refusal};
use super::rig::{LONG, Rig, client, committed, earliest, names, partition, values};
use crate::fetch::{FetchConfig, FetchReport, Isolation, OffsetReset};

/// A log of batches of ten, to be read as far as `end`; and what is wrong with it.
struct Log {
    end: i64,
    offers: Vec<ApiRange>,
    /// How often the batch at 10 is damaged on its way.
    damaged: u32,
    /// The versions that were used.
    version: i16,
    fetches: u32,
}

impl Log {
    fn new(end: i64) -> Log {
        Log { end, offers: SPOKEN.to_vec(), damaged: 0, version: -1, fetches: 0 }
    }

    /// Offers no higher version than `max` of an API.
    fn at_most(mut self, api: i16, max: i16) -> Log {
        for range in self.offers.iter_mut().filter(|range| range.api == ApiKey(api)) {
            range.max = max;
        }
        self
    }

    fn without(mut self, api: i16) -> Log {
        self.offers.retain(|range| range.api != ApiKey(api));
        self
    }
}

impl Script for Log {
    fn versions(&self) -> Vec<ApiRange> {
        self.offers.clone()
    }

    fn topic(&self) -> (u128, Vec<(i32, i32)>) {
        (1, vec![(1, 0); 2])
    }

    fn end_of_epoch(&mut self, epoch: i32) -> (i32, i64) {
        (epoch, self.end)
    }

    fn fetch(&mut self, _: i32, asked: &FetchPartition, version: i16) -> PartitionData {
        self.version = version;
        self.fetches += 1;
        let base = asked.fetch_offset / 10 * 10;
        if base >= self.end {
            return data(Bytes::new(), self.end);
        }
        let mut records = batch(asked.partition, base, 10, 0).to_vec();
        if base == 10 && asked.partition == 0 && self.damaged > 0 {
            self.damaged -= 1;
            records[70] ^= 1;
        }
        data(records.into(), self.end)
    }
}

#[tokio::test]
async fn a_batch_damaged_on_its_way_is_fetched_again() {
    let fake = Fake::start(1, Log { damaged: 1, ..Log::new(30) }).await;
    let mut rig = Rig::new(&fake.bootstrap, earliest());
    rig.open(0, Start::Reset);
    assert_eq!(rig.take(30).await[&0], names(0, 0..30));
    assert!(rig.reports.try_recv().is_err(), "once is nothing to speak of");
}

#[tokio::test]
async fn a_batch_damaged_for_good_is_told_once_never_passed_over_and_holds_up_nobody_else() {
    let fake = Fake::start(1, Log { damaged: u32::MAX, ..Log::new(30) }).await;
    let mut rig = Rig::new(&fake.bootstrap, earliest());
    rig.open_all(0..2, Start::Reset);
    let taken = rig.take(40).await;
    assert_eq!((&taken[&0], &taken[&1]), (&names(0, 0..10), &names(1, 0..30)));
    let report = rig.report().await;
    let FetchReport::Corrupt { partition: told, offset: 10, error } = report else {
        panic!("expected a batch that is corrupt at 10, got {report:?}");
    };
    assert_eq!(told, partition(0));
    assert!(matches!(error, RecordError::Crc { .. }));
    assert!(rig.reports.try_recv().is_err());
    // It heals, as when a replica that is whole comes to lead.
    fake.script().damaged = 0;
    assert_eq!(rig.take(20).await[&0], names(0, 10..30));
}

#[tokio::test]
async fn older_brokers() {
    let logs = [
        (Log::new(30).at_most(1, 12), 12),
        (Log::new(30).at_most(1, 4), 4),
        // Without topic ids in the metadata they can't be used.
        (Log::new(30).at_most(3, 9), 12),
        (Log::new(30).without(23), 18),
        (Log::new(30).at_most(2, 1).at_most(3, 1).at_most(1, 8).at_most(23, 2), 8),
    ];
    for (log, version) in logs {
        let fake = Fake::start(1, log).await;
        let mut rig = Rig::new(&fake.bootstrap, earliest());
        rig.open(0, Start::Committed(Mark { offset: 5, leader_epoch: 0 }));
        assert_eq!(rig.take(25).await[&0], names(0, 5..30));
        assert_eq!(fake.script().version, version);
    }
}

#[tokio::test]
async fn a_broker_that_cannot_fetch_is_told() {
    let fake = Fake::start(1, Log::new(30).without(1)).await;
    let mut rig = Rig::new(&fake.bootstrap, earliest());
    rig.open(0, Start::Reset);
    let report = rig.report().await;
    assert!(matches!(report, FetchReport::Denied { error, .. } if error.code() == 35));
}

/// A broker that has nothing, and says so at once, for the first so many times.
struct Hasty(u32);

impl Script for Hasty {
    fn is_patient(&self) -> bool {
        false
    }

    fn fetch(&mut self, _: i32, asked: &FetchPartition, _: i16) -> PartitionData {
        if self.0 == 0 {
            return data(batch(0, asked.fetch_offset, 10, 0), 10);
        }
        self.0 -= 1;
        data(Bytes::new(), 10)
    }
}

#[tokio::test]
async fn a_broker_that_does_not_wait_is_not_asked_as_fast_as_it_answers() {
    let fake = Fake::start(1, Hasty(10)).await;
    let mut client = client(&fake.bootstrap);
    client.retry_backoff = (Duration::from_millis(10), Duration::from_millis(10));
    let mut rig = Rig::with(client, earliest(), 1 << 20);
    let begun = Instant::now();
    rig.open(0, committed(0));
    rig.take(10).await;
    assert!(begun.elapsed() >= Duration::from_millis(10 * 8), "ten pauses less their jitter");
}

/// The leader of epoch 1 is node 1, that of epoch 2 is node 2, whose log parts at `parts`.
struct Election {
    parts: i64,
    epoch: i32,
    refused: u32,
}

impl Script for Election {
    fn topic(&self) -> (u128, Vec<(i32, i32)>) {
        (1, vec![(self.epoch, self.epoch)])
    }

    fn end_of_epoch(&mut self, epoch: i32) -> (i32, i64) {
        assert_eq!(epoch, 1);
        (1, self.parts)
    }

    fn fetch(&mut self, node: i32, asked: &FetchPartition, _: i16) -> PartitionData {
        let at = asked.fetch_offset;
        match node {
            1 if at < 20 => data(batch(0, at / 10 * 10, 10, 1), 20),
            1 => {
                self.epoch = 2;
                self.refused += 1;
                let leader =
                    LeaderIdAndEpoch::default().with_leader_id(BrokerId(2)).with_leader_epoch(2);
                refusal(6).with_current_leader(leader)
            }
            _ if at < 30 => data(batch(0, at, 30 - at, 2), 30),
            _ => data(Bytes::new(), 30),
        }
    }
}

#[tokio::test]
async fn a_new_leader_goes_on_where_the_old_one_ended() {
    let fake = Fake::start(2, Election { parts: 20, epoch: 1, refused: 0 }).await;
    let mut client = client(&fake.bootstrap);
    // Whoever waits before he asks the new leader is late.
    client.retry_backoff = (LONG * 2, LONG * 2);
    let mut rig = Rig::with(client, earliest(), 1 << 20);
    rig.open(0, committed(0));
    assert_eq!(rig.take(30).await[&0], names(0, 0..30));
    assert_eq!(fake.script().refused, 1, "the refusal said who leads");
}

#[tokio::test]
async fn a_log_that_was_truncated_is_read_again_from_where_it_parts() {
    let fake = Fake::start(2, Election { parts: 14, epoch: 1, refused: 0 }).await;
    let mut rig = Rig::new(&fake.bootstrap, FetchConfig::default());
    let lease = rig.open(0, committed(0));
    assert_eq!(rig.take(20).await[&0], names(0, 0..20));
    assert_eq!(rig.moved(&lease).await, 14);
    let delivery = rig.next().await;
    assert_eq!(delivery.range(), 14..30);
    assert_eq!(values(&delivery).len(), 16);
    assert_eq!(delivery.leader_epoch(), 2);
}

#[tokio::test]
async fn a_log_that_was_truncated_is_told_where_there_is_no_policy() {
    let fake = Fake::start(2, Election { parts: 14, epoch: 1, refused: 0 }).await;
    let config = FetchConfig { reset: OffsetReset::None, ..FetchConfig::default() };
    let mut rig = Rig::new(&fake.bootstrap, config);
    rig.open(0, committed(0));
    rig.take(20).await;
    assert_eq!(rig.report().await, FetchReport::NoOffset { partition: partition(0) });
}

/// Node 1 leads; node 2 is a replica near by, which lags behind at `lag`.
struct Near {
    lag: i64,
    asked: Vec<(i32, i64)>,
}

impl Script for Near {
    fn fetch(&mut self, node: i32, asked: &FetchPartition, _: i16) -> PartitionData {
        let at = asked.fetch_offset;
        if self.asked.last() != Some(&(node, at)) {
            self.asked.push((node, at));
        }
        let sent = |asked: &[(i32, i64)]| asked.iter().filter(|(node, _)| *node == 1).count();
        match node {
            1 if at >= 40 => data(Bytes::new(), 40),
            // The leader sends its client away the first time only.
            1 if sent(&self.asked) == 1 => {
                data(Bytes::new(), 40).with_preferred_read_replica(BrokerId(2))
            }
            2 if at > self.lag => refusal(1),
            _ => data(batch(0, at, 10, 0), 40),
        }
    }
}

#[tokio::test]
async fn a_replica_is_read_until_it_refuses_and_then_the_leader() {
    let fake = Fake::start(2, Near { lag: 10, asked: Vec::new() }).await;
    let config = FetchConfig { rack: Some("here".into()), ..FetchConfig::default() };
    let mut rig = Rig::new(&fake.bootstrap, config);
    rig.open(0, committed(0));
    assert_eq!(rig.take(40).await[&0], names(0, 0..40));
    let asked = &fake.script().asked[..6];
    assert_eq!(asked, [(1, 0), (2, 0), (2, 10), (2, 20), (1, 20), (1, 30)]);
}

/// A topic that is made anew once ten records were read.
struct Remade(u128);

impl Script for Remade {
    fn topic(&self) -> (u128, Vec<(i32, i32)>) {
        (self.0, vec![(1, 0)])
    }

    fn fetch(&mut self, _: i32, asked: &FetchPartition, _: i16) -> PartitionData {
        match (self.0, asked.fetch_offset) {
            (1, 10) => {
                self.0 = 2;
                refusal(100)
            }
            (_, 10) => data(Bytes::new(), 10),
            (_, at) => data(batch(0, at, 10 - at, 0), 10),
        }
    }
}

#[tokio::test]
async fn a_topic_made_anew_is_read_from_its_beginning() {
    let fake = Fake::start(1, Remade(1)).await;
    let mut rig = Rig::new(&fake.bootstrap, earliest());
    let lease = rig.open(0, committed(5));
    assert_eq!(rig.take(5).await[&0], names(0, 5..10));
    assert_eq!(rig.moved(&lease).await, 0);
    assert_eq!(rig.take(10).await[&0], names(0, 0..10));
}

/// Ten records, a control batch of two offsets, and the same again; of the second transaction only
/// the first five offsets are decided.
struct Marked;

fn marker(offset: i64) -> Vec<u8> {
    let mut marker =
        BatchWriter::new(Compression::None).producer(1, 0, -1).transactional().control();
    marker.push(NewRecord { key: Some(&[0, 0, 0, 1]), ..NewRecord::default() }).unwrap();
    marker.extend_to(1);
    let mut marker = marker.finish().unwrap().to_vec();
    rewrite_base_offset(&mut marker, offset).unwrap();
    marker
}

impl Script for Marked {
    fn fetch(&mut self, _: i32, asked: &FetchPartition, _: i16) -> PartitionData {
        let parts = [batch(0, 0, 10, 0).into(), marker(10), batch(0, 12, 10, 0).into(), marker(22)];
        let log = if asked.fetch_offset < 24 { parts.concat() } else { Vec::new() };
        data(log.into(), 24).with_last_stable_offset(17)
    }
}

#[tokio::test]
async fn control_batches_count_as_done_also_at_the_end_of_the_log() {
    let fake = Fake::start(1, Marked).await;
    let mut rig = Rig::new(&fake.bootstrap, earliest());
    let lease = rig.open(0, committed(0));
    rig.take(10).await;
    let delivery = rig.next().await;
    assert_eq!((delivery.range(), values(&delivery).len()), (10..22, 10));
    delivery.finish();
    assert_eq!(rig.moved(&lease).await, 24);
    assert_eq!(lease.mark().map(|mark| mark.offset), Some(24));
}

#[tokio::test]
async fn the_end_for_readers_of_committed_records_is_the_last_stable_offset() {
    for (isolation, end) in [(Isolation::ReadCommitted, 17), (Isolation::ReadUncommitted, 24)] {
        let fake = Fake::start(1, Marked).await;
        let mut rig = Rig::new(&fake.bootstrap, FetchConfig { isolation, ..earliest() });
        rig.open(0, committed(0));
        rig.take(10).await;
        assert_eq!(rig.watermarks.high(&partition(0)), Some(end));
    }
}

/// Two endless logs, and answers that have room for one batch.
struct Narrow {
    full: bool,
}

impl Script for Narrow {
    fn topic(&self) -> (u128, Vec<(i32, i32)>) {
        (1, vec![(1, 0); 2])
    }

    fn begin(&mut self) {
        self.full = false;
    }

    fn fetch(&mut self, _: i32, asked: &FetchPartition, _: i16) -> PartitionData {
        let records = match std::mem::replace(&mut self.full, true) {
            true => Bytes::new(),
            false => batch(asked.partition, asked.fetch_offset, 10, 0),
        };
        data(records, i64::MAX)
    }
}

#[tokio::test]
async fn partitions_take_turns_where_there_is_room_for_one() {
    let fake = Fake::start(1, Narrow { full: false }).await;
    let mut rig = Rig::new(&fake.bootstrap, earliest());
    rig.open_all(0..2, committed(0));
    let mut seen = [0_u32; 2];
    while seen.iter().any(|seen| *seen < 10) {
        let delivery = rig.next().await;
        seen[usize::try_from(delivery.partition().partition).unwrap()] += 1;
        delivery.finish();
        assert!(seen[0].abs_diff(seen[1]) <= 6, "{seen:?}");
    }
}

/// Answers that no broker gives.
struct Liar(u32);

impl Script for Liar {
    fn fetch(&mut self, _: i32, asked: &FetchPartition, _: i16) -> PartitionData {
        self.0 += 1;
        let at = asked.fetch_offset;
        match self.0 {
            // Garbage; records of before; half a batch; offsets from nowhere; a negative end.
            1 => data(Bytes::from_static(&[0xff; 100]), 10),
            2 => data(batch(0, 0, 5, 0), i64::MIN),
            3 => data(batch(0, at, 10, 0).slice(..50), 10),
            4 => data(Bytes::from_static(&[0; 17]), i64::MAX),
            5 => refusal(-7).with_preferred_read_replica(BrokerId(77)),
            6 => data(Bytes::new(), 10).with_preferred_read_replica(BrokerId(99)),
            _ if at >= 30 => data(Bytes::new(), 30),
            _ => data(batch(0, at, 30 - at, 0), 30),
        }
    }
}

#[tokio::test]
async fn lies_do_no_harm() {
    let fake = Fake::start(1, Liar(0)).await;
    let mut rig = Rig::new(&fake.bootstrap, earliest());
    rig.open(0, committed(7));
    assert_eq!(rig.take(23).await[&0], names(0, 7..30));
    rig.queue.shut();
    tokio::time::timeout(LONG, &mut rig.engine).await.expect("an end in time").unwrap();
}
