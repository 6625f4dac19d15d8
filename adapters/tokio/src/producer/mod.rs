//! Writing records: batches, compression, retries, in order within each partition.

mod batcher;
mod config;
mod delivery;
mod error;
mod partitioner;
mod sender;
#[cfg(test)]
mod tests;

pub use config::{Acks, ProducerConfig};
pub use delivery::{Delivery, RecordMetadata};
pub use error::ProduceError;
pub use handover_wire::records::Compression;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use handover_core::machine::{ConfigError, Name};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::error::ClusterError;
use crate::net::{Backoff, Cluster};
use batcher::Batcher;

/// A record to be written.
///
/// ```
/// use handover_tokio::producer::NewRecord;
///
/// let record = NewRecord::to("orders").key("customer-7").value("a book").header("trace", "4711");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRecord {
    topic: Name,
    partition: Option<i32>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
    timestamp: Option<i64>,
}

impl NewRecord {
    /// A record of `topic`, with neither key nor value.
    pub fn to(topic: impl Into<Name>) -> NewRecord {
        NewRecord {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// The key. Records of one key go to one partition, the same as with the Java client.
    pub fn key(self, key: impl Into<Bytes>) -> NewRecord {
        NewRecord { key: Some(key.into()), ..self }
    }

    /// The value.
    pub fn value(self, value: impl Into<Bytes>) -> NewRecord {
        NewRecord { value: Some(value.into()), ..self }
    }

    /// The partition, whatever the key.
    pub fn partition(self, partition: i32) -> NewRecord {
        NewRecord { partition: Some(partition), ..self }
    }

    /// Adds a header.
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> NewRecord {
        self.headers.push((key.into(), Some(value.into())));
        self
    }

    /// The time in milliseconds since 1970; the time of its acceptance if it has none.
    pub fn timestamp(self, millis: i64) -> NewRecord {
        NewRecord { timestamp: Some(millis), ..self }
    }
}

/// Writes records. A clone is the same producer.
///
/// Records are gathered into batches, one for each partition, and sent when a batch is full or has
/// lingered. A batch that fails is sent again, to whoever leads the partition then, until it is
/// written or out of time; a partition has one batch out at a time, so records keep their order
/// (SPEC R1). An idempotent producer, which is the default, writes no record twice; another one
/// may, after an answer was lost.
///
/// Who closes it has an outcome for everything. Dropping the last clone discards what was not
/// sent; the outcomes say so.
///
/// ```no_run
/// use handover_tokio::producer::{NewRecord, Producer, ProducerConfig};
/// use handover_tokio::{ClientConfig, Cluster};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::new(ClientConfig::new("localhost:9092"))?;
/// let producer = Producer::new(&cluster, ProducerConfig::default())?;
/// let written = producer.send(NewRecord::to("orders").key("k").value("v")).await?;
/// println!("{} at {:?}", written.partition, written.offset);
/// producer.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The promises that are dropped with it tell what is known.
        self.task.abort();
        self.shared.batcher().fail(&ProduceError::Closed, |_| true);
    }
}

/// What the producer and its sender share.
struct Shared {
    cluster: Cluster,
    config: ProducerConfig,
    /// Locked for moments, never across an await.
    batcher: Mutex<Batcher>,
    /// Bytes of the buffer that are free. Closed when the producer is.
    room: Semaphore,
    /// How many wait for room, or for a flush: while there are any, nothing lingers.
    hurrying: AtomicUsize,
    /// There is something to look at.
    work: Notify,
}

impl Shared {
    fn batcher(&self) -> MutexGuard<'_, Batcher> {
        // Nothing in a critical section panics half way through a change.
        self.batcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it is there, nothing lingers.
struct Hurry<'a>(&'a Shared);

impl<'a> Hurry<'a> {
    fn new(shared: &'a Shared) -> Hurry<'a> {
        // A hint to the sender, which takes the batcher's lock before it acts on it.
        shared.hurrying.fetch_add(1, Ordering::Relaxed);
        shared.work.notify_one();
        Hurry(shared)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurrying.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Producer {
    /// A producer on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// The first setting that cannot stand.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new(cluster: &Cluster, config: ProducerConfig) -> Result<Producer, ConfigError> {
        config.validate()?;
        let shared = Arc::new(Shared {
            cluster: cluster.clone(),
            batcher: Mutex::new(Batcher::new(config.clone(), cluster.config().retry_backoff)),
            room: Semaphore::new(config.buffer_bytes),
            config,
            hurrying: AtomicUsize::new(0),
            work: Notify::new(),
        });
        let task = tokio::spawn(sender::run(Arc::clone(&shared))).abort_handle();
        Ok(Producer(Arc::new(Handle { shared, task })))
    }

    /// Writes a record and waits for its outcome. For throughput use [`Producer::enqueue`].
    ///
    /// Dropped before it returns, the record may be written or not.
    ///
    /// # Errors
    ///
    /// See [`ProduceError`]; [`ProduceError::may_be_written`] says whether it may be there all the
    /// same.
    pub async fn send(&self, record: NewRecord) -> Result<RecordMetadata, ProduceError> {
        self.enqueue(record).await?.await
    }

    /// Accepts a record, waiting while the buffer is full; what comes of it is told by the
    /// [`Delivery`]. Records that one task enqueues for one partition are written in that order.
    ///
    /// Cancel safe: dropped before it returns, the record is not written.
    ///
    /// # Errors
    ///
    /// [`ProduceError::TooLarge`], [`ProduceError::Topic`], [`ProduceError::NoPartition`],
    /// [`ProduceError::BufferFull`], [`ProduceError::Unencodable`], [`ProduceError::Closed`]. In
    /// none of these cases was it written.
    pub async fn enqueue(&self, record: NewRecord) -> Result<Delivery, ProduceError> {
        let shared = &*self.0.shared;
        let (size, limit) = (batcher::size_of(&record), shared.config.request_bytes);
        if size > limit {
            return Err(ProduceError::TooLarge { size, limit });
        }
        let deadline = Instant::now() + shared.config.max_block;
        let count = self.partitions(&record.topic, deadline).await?;
        // At most 4 GiB, since it is not greater than `request_bytes`.
        let permits = u32::try_from(size).unwrap_or(u32::MAX);
        let room = match shared.room.try_acquire_many(permits) {
            Ok(room) => room,
            Err(_) => {
                let _hurry = Hurry::new(shared);
                let room = timeout_at(deadline, shared.room.acquire_many(permits)).await;
                let full = ProduceError::BufferFull { after: shared.config.max_block };
                room.map_err(|_| full)?.map_err(|_| ProduceError::Closed)?
            }
        };
        let (delivery, news) = {
            let mut batcher = shared.batcher();
            // Under the lock: what a close does not find there must not come there later.
            if shared.room.is_closed() {
                return Err(ProduceError::Closed);
            }
            batcher.append(&record, count, Instant::now())?
        };
        // Given back by the sender, when the record's batch is settled.
        room.forget();
        if news {
            shared.work.notify_one();
        }
        Ok(delivery)
    }

    /// Sends everything that was accepted so far at once, and returns when each record of it has
    /// an outcome. Cancel safe.
    pub async fn flush(&self) {
        let shared = &*self.0.shared;
        let _hurry = Hurry::new(shared);
        let unsettled = shared.batcher().unsettled();
        for outcome in unsettled {
            outcome.settled().await;
        }
    }

    /// Takes no more records, and returns when all that were accepted have an outcome: at the
    /// latest after [`ProducerConfig::delivery_timeout`] and one request's timeout. Cancel safe:
    /// dropped, the producer stays closed to new records and goes on with the others.
    pub async fn close(&self) {
        self.0.shared.room.close();
        self.flush().await;
    }

    /// How many partitions the topic has. Asks until it is there or `deadline` has passed.
    async fn partitions(&self, topic: &Name, deadline: Instant) -> Result<usize, ProduceError> {
        let cluster = &self.0.shared.cluster;
        if self.0.shared.room.is_closed() {
            return Err(ProduceError::Closed);
        }
        // What is known is good enough to choose by, also while a leader is being looked for.
        if let Some(known) = cluster.known(topic) {
            return Ok(known.count());
        }
        let mut backoff = Backoff::new(cluster.config().retry_backoff);
        let mut last = None;
        loop {
            let error = match timeout_at(deadline, cluster.topic(topic, true)).await {
                Ok(Ok(known)) => return Ok(known.count()),
                Ok(Err(error)) => error,
                Err(_) => return Err(ProduceError::Topic(last.unwrap_or_else(nobody))),
            };
            let again = Instant::now() + backoff.next();
            if !error.is_retriable() || again > deadline {
                return Err(ProduceError::Topic(error));
            }
            last = Some(error);
            tokio::time::sleep_until(again).await;
        }
    }
}

/// What is said if not even one attempt ended in time.
fn nobody() -> ClusterError {
    ClusterError::Connection(crate::ConnectionError::Closed)
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("config", &self.0.shared.config).finish_non_exhaustive()
    }
}
