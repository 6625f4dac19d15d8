//! The batcher by itself: what is due, in what order, and what becomes of failures.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use handover_core::machine::{ErrorCode, TopicPartition};
use handover_wire::records::BatchReader;

use super::batcher::{Due, Fate, ProducerId};
use super::delivery::Written;
use super::*;

const NAME: ProducerId = ProducerId { id: 7, epoch: 1 };

struct Bench {
    batcher: Batcher,
    now: Instant,
    deliveries: Vec<Delivery>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut ProducerConfig)) -> Bench {
        let mut config = ProducerConfig { linger: Duration::ZERO, ..ProducerConfig::default() };
        change(&mut config);
        let pause = Duration::from_millis(10);
        let mut batcher = Batcher::new(config, (pause, pause));
        batcher.set_name(NAME);
        Bench { batcher, now: Instant::now(), deliveries: Vec::new() }
    }

    fn append(&mut self, partition: i32, value: &'static str) {
        let record = NewRecord::to("t").partition(partition).value(value);
        let (delivery, _) = self.batcher.append(&record, 4, self.now).unwrap();
        self.deliveries.push(delivery);
    }

    fn due(&mut self) -> Due {
        self.batcher.due(self.now, |place| Some(place.partition % 2), |_| true, false)
    }

    /// What goes to the broker of partition 0: partition, first sequence, values.
    fn sent(&mut self) -> Vec<(i32, i64, i32, Vec<String>)> {
        let requests = self.due().requests.remove(&0).unwrap_or_default();
        let batch = |(place, bytes): (TopicPartition, Bytes)| {
            let batch = BatchReader::new(bytes).next().unwrap().unwrap();
            let header = *batch.header();
            let batch = batch.decode(1 << 20).unwrap();
            let value = |r: Option<&[u8]>| String::from_utf8(r.unwrap().to_vec()).unwrap();
            let values = batch.records().map(|record| value(record.unwrap().value)).collect();
            (place.partition, header.producer_id, header.base_sequence, values)
        };
        requests.into_iter().map(batch).collect()
    }

    fn settle(&mut self, partition: i32, fate: Fate) -> usize {
        self.batcher.settle(&TopicPartition::new("t", partition), fate, self.now)
    }

    fn outcome(&mut self, record: usize) -> Option<Result<Option<i64>, ProduceError>> {
        let delivery = Pin::new(&mut self.deliveries[record]);
        match delivery.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result.map(|metadata| metadata.offset)),
            Poll::Pending => None,
        }
    }
}

fn written(base: i64) -> Fate {
    Fate::Written(Written { base: Some(base), append_time: None })
}

fn again(maybe_written: bool) -> Fate {
    Fate::Again { maybe_written, failure: None }
}

fn values(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn one_batch_of_a_partition_is_out_at_a_time_and_a_retry_comes_first() {
    let mut bench = Bench::new(|_| {});
    bench.append(0, "a");
    bench.append(0, "b");
    assert_eq!(bench.sent(), [(0, 7, 0, values(&["a", "b"]))]);
    bench.append(0, "c");
    assert_eq!(bench.sent(), [], "the first is out");
    bench.settle(0, again(true));
    assert_eq!(bench.sent(), [], "not before the backoff");
    bench.now += Duration::from_millis(13);
    assert_eq!(bench.sent(), [(0, 7, 0, values(&["a", "b"]))], "the same batch, the same sequence");
    bench.settle(0, written(10));
    assert_eq!(bench.sent(), [(0, 7, 2, values(&["c"]))]);
    bench.settle(0, written(12));
    assert_eq!(bench.outcome(1), Some(Ok(Some(11))));
    assert_eq!(bench.outcome(2), Some(Ok(Some(12))));
}

#[test]
fn a_batch_lingers_unless_it_is_full_or_followed_or_there_is_a_hurry() {
    let mut bench = Bench::new(|c| {
        c.linger = Duration::from_millis(100);
        c.batch_bytes = 400;
    });
    bench.append(0, "a");
    let due = bench.due();
    assert!(due.requests.is_empty());
    assert_eq!(due.next, Some(bench.now + Duration::from_millis(100)));
    let hurried = bench.batcher.due(bench.now, |_| Some(0), |_| true, true);
    assert_eq!(hurried.requests.len(), 1);
    bench.settle(0, again(false));
    bench.now += Duration::from_millis(100);
    assert_eq!(bench.sent().len(), 1);
    bench.settle(0, written(0));
    for _ in 0..40 {
        bench.append(2, "some more bytes");
    }
    let full = bench.sent();
    assert!(full.len() == 1 && full[0].3.len() < 40, "without linger, and not all of it");
}

#[test]
fn requests_are_cut_at_their_size_and_brokers_have_room_for_so_many() {
    let mut bench = Bench::new(|c| {
        c.request_bytes = 1000;
        c.batch_bytes = 1000;
        c.buffer_bytes = 1000;
    });
    let long = Box::leak("x".repeat(600).into_boxed_str());
    bench.append(0, long);
    bench.append(2, long);
    bench.append(1, "b");
    let none = bench.batcher.due(bench.now, |_| Some(0), |_| false, false);
    assert!(none.requests.is_empty());
    let due = bench.due();
    assert_eq!((due.requests[&0].len(), due.requests[&1].len()), (1, 1));
    assert_eq!(bench.due().requests[&0].len(), 1, "the other one in another request");
}

#[test]
fn out_of_time_it_says_whether_it_may_be_written() {
    let late = Duration::from_secs(120);
    let mut bench = Bench::new(|_| {});
    bench.append(0, "never sent");
    bench.now += late;
    let due = bench.due();
    assert!(due.freed > 0 && due.requests.is_empty());
    assert_eq!(bench.outcome(0), Some(Err(ProduceError::Expired { after: late, last: None })));
    for (maybe_written, expected) in [
        (true, ProduceError::Unknown { last: None }),
        (false, ProduceError::Expired { after: late, last: None }),
    ] {
        let mut bench = Bench::new(|_| {});
        bench.append(0, "sent");
        assert_eq!(bench.sent().len(), 1);
        bench.now += late;
        assert_eq!(bench.due().freed, 0, "what is out is waited for");
        bench.settle(0, again(maybe_written));
        bench.due();
        assert_eq!(bench.outcome(0), Some(Err(expected)));
    }
}

#[test]
fn behind_an_unknown_batch_the_partition_goes_on_under_another_name() {
    let mut bench = Bench::new(|_| {});
    bench.append(0, "a");
    bench.append(2, "other");
    assert_eq!(bench.sent().len(), 2);
    bench.settle(2, written(0));
    bench.settle(0, again(true));
    bench.now += Duration::from_secs(120);
    bench.due();
    bench.append(0, "b");
    bench.append(2, "more");
    let due = bench.due();
    assert!(due.nameless, "the name is spent where its sequence is not known");
    let others: Vec<_> = due.requests[&0].iter().map(|(place, _)| place.partition).collect();
    assert_eq!(others, [2], "elsewhere it is good");
    bench.batcher.set_name(ProducerId { id: 8, epoch: 0 });
    assert_eq!(bench.sent(), [(0, 8, 0, values(&["b"]))]);
}

#[test]
fn a_sequence_that_the_broker_lost_is_begun_anew_unless_the_batch_may_be_written() {
    let mut bench = Bench::new(|_| {});
    bench.append(0, "a");
    assert_eq!(bench.sent()[0].1, 7);
    bench.settle(0, Fate::Renew);
    bench.batcher.set_name(ProducerId { id: 8, epoch: 0 });
    bench.now += Duration::from_millis(13);
    assert_eq!(bench.sent(), [(0, 8, 0, values(&["a"]))]);
    bench.settle(0, again(true));
    bench.now += Duration::from_millis(13);
    assert_eq!(bench.sent().len(), 1);
    bench.settle(0, Fate::Renew);
    assert_eq!(bench.outcome(0), Some(Err(ProduceError::Unknown { last: None })));
}

#[test]
fn a_refused_batch_takes_no_sequence() {
    let mut bench = Bench::new(|_| {});
    bench.append(0, "a");
    bench.sent();
    bench.append(0, "b");
    let refused = ProduceError::Refused { error: ErrorCode::MessageTooLarge, message: None };
    assert!(bench.settle(0, Fate::Refused(refused.clone())) > 0);
    assert_eq!(bench.outcome(0), Some(Err(refused)));
    assert_eq!(bench.sent(), [(0, 7, 0, values(&["b"]))]);
}

#[test]
fn records_without_a_key_stay_with_a_partition_for_a_batch() {
    let mut bench = Bench::new(|c| c.linger = Duration::from_secs(1));
    let record = NewRecord::to("t").value("v");
    for _ in 0..50 {
        let _ = bench.batcher.append(&record, 4, bench.now).unwrap();
    }
    let due = bench.batcher.due(bench.now, |_| Some(0), |_| true, true);
    assert_eq!(due.requests[&0].len(), 1);
    let first = due.requests[&0][0].0.partition;
    let _ = bench.batcher.append(&record, 4, bench.now).unwrap();
    let due = bench.batcher.due(bench.now, |_| Some(0), |_| true, true);
    assert_ne!(due.requests[&0][0].0.partition, first);
}

#[test]
fn a_producer_that_goes_away_says_of_what_is_out_that_it_may_be_written() {
    let mut bench = Bench::new(|_| {});
    bench.append(0, "out");
    bench.append(2, "waiting");
    let due = bench.batcher.due(bench.now, |p| (p.partition == 0).then_some(0), |_| true, false);
    assert_eq!(due.requests.len(), 1);
    let deliveries = std::mem::take(&mut bench.deliveries);
    drop(bench);
    let mut bench = Bench { deliveries, ..Bench::new(|_| {}) };
    assert_eq!(bench.outcome(0), Some(Err(ProduceError::Unknown { last: None })));
    assert_eq!(bench.outcome(1), Some(Err(ProduceError::Closed)));
}
