//! Records into batches, batches into requests, in order within each partition. Pure: `sender.rs`
//! carries what is due and brings back what came of it.
//!
//! A partition has one batch out at a time, so a retry can't overtake or be overtaken (SPEC R1).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handover_core::machine::{Name, TopicPartition};
use handover_wire::records::{
    BatchReader, BatchWriter, Header, MAX_DECOMPRESSED, NewRecord as RawRecord, RecordError,
};
use tokio::time::Instant;

use super::delivery::{Delivery, Outcome, Promise, Written};
use super::{NewRecord, ProduceError, ProducerConfig, partitioner};
use crate::error::ConnectionError;
use crate::net::Backoff;

/// What the header of a batch takes, about.
const BATCH_OVERHEAD: usize = 61;
/// What a record takes besides its key, value and headers, at most; so for each header.
const RECORD_OVERHEAD: usize = 32;

/// A producer's name at the brokers and how often it was renewed (KIP-98).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ProducerId {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// All that waits to be written, by partition.
pub(super) struct Batcher {
    config: ProducerConfig,
    retry_backoff: (Duration, Duration),
    /// Of an idempotent producer, once it has one. A partition that goes on under another name
    /// takes it with it: the next one begins its sequence anew.
    name: Option<ProducerId>,
    queues: BTreeMap<TopicPartition, Queue>,
    /// Where the records of a topic that have no key go for now.
    sticky: BTreeMap<Name, i32>,
    /// How the last question about leaders or names failed: why batches wait that never went out.
    trouble: Option<ConnectionError>,
}

struct Queue {
    /// Oldest first. Only the last takes more records.
    batches: VecDeque<Batch>,
    /// Whether the first is on its way to a broker.
    out: bool,
    /// Not before this moment is the first sent again.
    retry: Option<Instant>,
    backoff: Backoff,
    /// Under which name the next batch goes, and its first sequence number.
    session: Option<(ProducerId, i32)>,
}

struct Batch {
    body: Body,
    records: i32,
    created: Instant,
    deadline: Instant,
    /// What it holds of the producer's buffer.
    reserved: usize,
    promise: Promise,
    /// Whether an attempt went unanswered, so that it may be written already.
    unanswered: bool,
    last_failure: Option<ConnectionError>,
}

enum Body {
    Open(BatchWriter),
    Sealed(Bytes),
}

/// What is due.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// For each broker, batches of one request.
    pub(super) requests: BTreeMap<i32, Vec<(TopicPartition, Bytes)>>,
    /// Topics of which the leader of a partition is not known.
    pub(super) leaderless: Vec<Name>,
    /// A name for this producer is wanted.
    pub(super) nameless: bool,
    /// When to look again.
    pub(super) next: Option<Instant>,
    /// Bytes of the buffer that are free again.
    pub(super) freed: usize,
}

/// What became of a batch that was out.
#[derive(Debug)]
pub(super) enum Fate {
    /// It stands in the log.
    Written(Written),
    /// It was refused for good.
    Refused(ProduceError),
    /// Try again; whether it may have been written, and how the attempt failed.
    Again { maybe_written: bool, failure: Option<ConnectionError> },
    /// The broker does not know the sequence any more: go on under another name.
    Renew,
}

impl Batcher {
    pub(super) fn new(config: ProducerConfig, retry_backoff: (Duration, Duration)) -> Batcher {
        Batcher {
            config,
            retry_backoff,
            name: None,
            queues: BTreeMap::new(),
            sticky: BTreeMap::new(),
            trouble: None,
        }
    }

    /// Takes a record in, among `count` partitions. Says whether there is something new to look
    /// at: another batch, or a full one.
    pub(super) fn append(
        &mut self,
        record: &NewRecord,
        count: usize,
        now: Instant,
    ) -> Result<(Delivery, bool), ProduceError> {
        let size = size_of(record);
        let partition = self.partition(record, count, size)?;
        let new = || Queue::new(self.retry_backoff);
        let queue = self.queues.entry(partition.clone()).or_insert_with(new);
        let fits = queue.has_room(size, &self.config);
        let mut batch = match queue.batches.pop_back() {
            Some(batch) if fits => batch,
            full => {
                queue.batches.extend(full);
                Batch::new(partition, &self.config, now)
            }
        };
        let pushed = batch.push(record, size);
        let full = batch.is_full(&self.config);
        if batch.records > 0 {
            queue.batches.push_back(batch);
        }
        Ok((pushed?, full || !fits))
    }

    /// Why nothing goes on at the moment; `None` if it does.
    pub(super) fn set_trouble(&mut self, trouble: Option<ConnectionError>) {
        self.trouble = trouble;
    }

    /// The name under which an idempotent producer goes on.
    pub(super) fn set_name(&mut self, name: ProducerId) {
        self.name = Some(name);
    }

    /// What is to be sent now. `leader` says who leads a partition; `room` whether a broker may have
    /// another request; `hurry` does without linger.
    pub(super) fn due(
        &mut self,
        now: Instant,
        leader: impl Fn(&TopicPartition) -> Option<i32>,
        room: impl Fn(i32) -> bool,
        hurry: bool,
    ) -> Due {
        let mut due = Due::default();
        let mut filled: BTreeMap<i32, usize> = BTreeMap::new();
        for (partition, queue) in &mut self.queues {
            let before = queue.name();
            due.freed += queue.expire(now, &self.config, self.trouble.as_ref());
            retire(&mut self.name, before, queue);
            let Some(at) = queue.due_at(&self.config, now, hurry) else { continue };
            due.look_at(queue.deadline());
            if at > now {
                due.look_at(at);
                continue;
            }
            let Some(broker) = leader(partition) else {
                due.leaderless.push(partition.topic.clone());
                continue;
            };
            if self.config.idempotent && queue.session.is_none() && self.name.is_none() {
                due.nameless = true;
                continue;
            }
            let filled = filled.entry(broker).or_insert(0);
            let size = queue.size();
            let fits = *filled == 0 || *filled + size <= self.config.request_bytes;
            if !fits || !room(broker) {
                // Looked at again when a request of this broker is answered.
                continue;
            }
            match queue.send(self.name.filter(|_| self.config.idempotent)) {
                Ok(bytes) => {
                    *filled += size;
                    due.requests.entry(broker).or_default().push((partition.clone(), bytes));
                }
                Err(error) => due.freed += queue.finish(Err(ProduceError::Unencodable(error))),
            }
        }
        due.leaderless.dedup();
        due
    }

    /// What became of the batch of `partition` that was out. Gives the bytes of the buffer that
    /// are free again.
    pub(super) fn settle(&mut self, partition: &TopicPartition, fate: Fate, now: Instant) -> usize {
        let Some(queue) = self.queues.get_mut(partition) else { return 0 };
        let before = queue.name();
        queue.out = false;
        let freed = match fate {
            Fate::Written(written) => {
                queue.count_sequence();
                queue.finish(Ok(written))
            }
            Fate::Refused(error) => queue.finish(Err(error)),
            Fate::Again { maybe_written, failure } => {
                queue.retry = Some(now + queue.backoff.next());
                if let Some(batch) = queue.batches.front_mut() {
                    batch.came_back(maybe_written, failure);
                }
                0
            }
            Fate::Renew => queue.renew(now, &self.config),
        };
        retire(&mut self.name, before, queue);
        freed
    }

    /// Ends what is not out of the partitions `of`. Gives the bytes that are free again.
    pub(super) fn fail(
        &mut self,
        error: &ProduceError,
        of: impl Fn(&TopicPartition) -> bool,
    ) -> usize {
        let waiting = self.queues.iter_mut().filter(|(place, queue)| !queue.out && of(place));
        waiting.map(|(_, queue)| queue.fail(error)).sum()
    }

    /// All that has no outcome yet.
    pub(super) fn unsettled(&self) -> Vec<Arc<Outcome>> {
        let batches = self.queues.values().flat_map(|queue| &queue.batches);
        batches.map(|batch| batch.promise.outcome()).collect()
    }

    fn partition(
        &mut self,
        record: &NewRecord,
        count: usize,
        size: usize,
    ) -> Result<TopicPartition, ProduceError> {
        let topic = &record.topic;
        let chosen = match (record.partition, &record.key) {
            (Some(partition), _) => Some(partition)
                .filter(|p| usize::try_from(*p).is_ok_and(|partition| partition < count)),
            (None, Some(key)) => partitioner::of_key(key, count),
            (None, None) => self.sticky(topic, count, size),
        };
        chosen.map(|partition| TopicPartition::new(topic.clone(), partition)).ok_or_else(|| {
            let partition = TopicPartition::new(topic.clone(), record.partition.unwrap_or(0));
            ProduceError::NoPartition { partition, count }
        })
    }

    /// The same partition as the last time while its batch has room, then another.
    fn sticky(&mut self, topic: &Name, count: usize, size: usize) -> Option<i32> {
        let last = self.sticky.get(topic).copied();
        let stays = last.filter(|partition| {
            let place = TopicPartition::new(topic.clone(), *partition);
            self.queues.get(&place).is_some_and(|queue| queue.has_room(size, &self.config))
        });
        let chosen = stays.or_else(|| partitioner::any(count, last))?;
        self.sticky.insert(topic.clone(), chosen);
        Some(chosen)
    }
}

/// A name under which a partition could not go on is none for others either.
fn retire(name: &mut Option<ProducerId>, before: Option<ProducerId>, queue: &Queue) {
    if before.is_some() && queue.session.is_none() && *name == before {
        *name = None;
    }
}

impl Due {
    fn look_at(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

impl Queue {
    fn new(retry_backoff: (Duration, Duration)) -> Queue {
        Queue {
            batches: VecDeque::new(),
            out: false,
            retry: None,
            backoff: Backoff::new(retry_backoff),
            session: None,
        }
    }

    /// Whether the last batch takes a record of this size.
    fn has_room(&self, size: usize, config: &ProducerConfig) -> bool {
        let open = |batch: &&Batch| matches!(batch.body, Body::Open(_));
        let last = self.batches.back().filter(open);
        last.is_some_and(|batch| batch.size() + size <= config.batch_bytes)
    }

    fn name(&self) -> Option<ProducerId> {
        self.session.map(|(name, _)| name)
    }

    /// When the first batch is to be sent; `None` if there is none or it is out.
    fn due_at(&self, config: &ProducerConfig, now: Instant, hurry: bool) -> Option<Instant> {
        let first = self.batches.front().filter(|_| !self.out)?;
        let waits = self.batches.len() == 1 && !first.is_full(config) && !hurry;
        let at = if waits { first.created + config.linger } else { now };
        Some(self.retry.map_or(at, |retry| retry.max(at)))
    }

    fn deadline(&self) -> Instant {
        // Asked only of a queue in which something is due.
        self.batches.front().map_or_else(Instant::now, |first| first.deadline)
    }

    fn size(&self) -> usize {
        self.batches.front().map_or(0, Batch::size)
    }

    /// Seals the first batch, if it is not, and sends it.
    fn send(&mut self, name: Option<ProducerId>) -> Result<Bytes, RecordError> {
        if self.session.is_none() {
            self.session = name.map(|name| (name, 0));
        }
        let Some(first) = self.batches.front_mut() else { return Ok(Bytes::new()) };
        let bytes = match std::mem::replace(&mut first.body, Body::Sealed(Bytes::new())) {
            Body::Sealed(bytes) => bytes,
            Body::Open(writer) => seal(writer, self.session)?,
        };
        first.body = Body::Sealed(bytes.clone());
        // Until it is known to be otherwise: the producer may go away before the answer.
        first.promise.maybe_written = true;
        self.out = true;
        Ok(bytes)
    }

    /// The first batch is written: the next one's sequence begins behind it.
    fn count_sequence(&mut self) {
        let records = self.batches.front().map_or(0, |first| first.records);
        if let Some((_, sequence)) = &mut self.session {
            // It wraps to zero behind 2^31 - 1 (`DefaultRecordBatch.incrementSequence`).
            *sequence = sequence.wrapping_add(records) & i32::MAX;
        }
    }

    /// The end of the first batch. Gives what it held of the buffer.
    fn finish(&mut self, result: Result<Written, ProduceError>) -> usize {
        self.retry = None;
        self.backoff.reset();
        let Some(first) = self.batches.pop_front() else { return 0 };
        if result.as_ref().is_err_and(ProduceError::may_be_written) {
            // Its sequence may be taken or not, so nothing can follow it under this name.
            self.session = None;
        }
        let reserved = first.reserved;
        first.promise.keep(result);
        reserved
    }

    fn expire(
        &mut self,
        now: Instant,
        config: &ProducerConfig,
        trouble: Option<&ConnectionError>,
    ) -> usize {
        let mut freed = 0;
        while let Some(first) = self.batches.front().filter(|b| !self.out && b.deadline <= now) {
            let error = first.out_of_time(config, trouble);
            freed += self.finish(Err(error));
        }
        freed
    }

    /// Goes on under another name. A batch that may have been written can't be sent under it: the
    /// broker would not recognise it.
    fn renew(&mut self, now: Instant, config: &ProducerConfig) -> usize {
        self.session = None;
        self.retry = Some(now + self.backoff.next());
        let Some(first) = self.batches.front_mut() else { return 0 };
        first.came_back(false, None);
        if first.unanswered {
            let last = first.last_failure.take();
            return self.finish(Err(ProduceError::Unknown { last }));
        }
        match reopen(&first.body, config) {
            Ok(writer) => {
                first.body = Body::Open(writer);
                0
            }
            Err(error) => self.finish(Err(ProduceError::Unencodable(error))),
        }
    }

    fn fail(&mut self, error: &ProduceError) -> usize {
        let mut freed = 0;
        while let Some(first) = self.batches.front_mut() {
            let last = first.last_failure.take();
            let unknown = first.unanswered;
            let error = if unknown { ProduceError::Unknown { last } } else { error.clone() };
            freed += self.finish(Err(error));
        }
        freed
    }
}

impl Batch {
    fn new(partition: TopicPartition, config: &ProducerConfig, now: Instant) -> Batch {
        Batch {
            body: Body::Open(BatchWriter::new(config.compression)),
            records: 0,
            created: now,
            deadline: now + config.delivery_timeout,
            reserved: 0,
            promise: Promise::new(partition),
            unanswered: false,
            last_failure: None,
        }
    }

    /// Only an open one is pushed to.
    fn push(&mut self, record: &NewRecord, size: usize) -> Result<Delivery, ProduceError> {
        let Body::Open(writer) = &mut self.body else { return Err(ProduceError::Closed) };
        write(writer, record).map_err(ProduceError::Unencodable)?;
        let delivery = self.promise.delivery(self.records.unsigned_abs());
        self.records += 1;
        self.reserved += size;
        Ok(delivery)
    }

    /// An attempt has ended without saying that it is written or refused.
    fn came_back(&mut self, maybe_written: bool, failure: Option<ConnectionError>) {
        self.unanswered |= maybe_written;
        self.promise.maybe_written = self.unanswered;
        self.last_failure = failure.or(self.last_failure.take());
    }

    fn size(&self) -> usize {
        match &self.body {
            Body::Open(writer) => writer.size(),
            Body::Sealed(bytes) => bytes.len(),
        }
    }

    fn is_full(&self, config: &ProducerConfig) -> bool {
        matches!(self.body, Body::Sealed(_)) || self.size() >= config.batch_bytes
    }

    fn out_of_time(
        &self,
        config: &ProducerConfig,
        trouble: Option<&ConnectionError>,
    ) -> ProduceError {
        let last = self.last_failure.as_ref().or(trouble).cloned();
        match self.unanswered {
            true => ProduceError::Unknown { last },
            false => ProduceError::Expired { after: config.delivery_timeout, last },
        }
    }
}

/// What a record takes in a batch, at most.
pub(super) fn size_of(record: &NewRecord) -> usize {
    let optional = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers: usize = headers.map(|(k, v)| k.len() + optional(v) + RECORD_OVERHEAD).sum();
    BATCH_OVERHEAD + RECORD_OVERHEAD + optional(&record.key) + optional(&record.value) + headers
}

fn write(writer: &mut BatchWriter, record: &NewRecord) -> Result<(), RecordError> {
    let header = |(key, value)| Header { key: str::as_bytes(key), value };
    let headers = record.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
    let headers: Vec<Header<'_>> = headers.map(header).collect();
    writer.push(RawRecord {
        timestamp: record.timestamp.unwrap_or_else(now_millis),
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
    })
}

fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn seal(writer: BatchWriter, session: Option<(ProducerId, i32)>) -> Result<Bytes, RecordError> {
    match session {
        Some((name, sequence)) => writer.producer(name.id, name.epoch, sequence).finish(),
        None => writer.finish(),
    }
}

/// The records of a batch in a new one, that it can be sealed under another name. A batch of our
/// own making decodes; one that does not is told like any other that can't be written.
fn reopen(body: &Body, config: &ProducerConfig) -> Result<BatchWriter, RecordError> {
    let bytes = match body {
        Body::Open(writer) => return Ok(writer.clone()),
        Body::Sealed(bytes) => bytes.clone(),
    };
    let mut writer = BatchWriter::new(config.compression);
    for batch in BatchReader::new(bytes) {
        for record in batch?.decode(MAX_DECOMPRESSED)?.records() {
            let record = record?;
            let headers: Vec<Header<'_>> = record.headers.collect();
            writer.push(RawRecord {
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: &headers,
            })?;
        }
    }
    Ok(writer)
}
