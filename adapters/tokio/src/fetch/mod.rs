//! The fetching engine: brings records from the brokers that lead the assigned partitions into the
//! core's delivery queue.
//!
//! One task decides (`engine.rs`), on behalf of the leases that the queue knows; whatever waits
//! for a broker or unpacks records is an errand, a task of its own that is given all it needs and
//! gives back an outcome (`errands.rs`). An outcome counts only for leases that still wait for
//! that very errand (SPEC F1), so seeks and revocations need not wait for what is under way.

mod answers;
mod engine;
mod epochs;
mod errands;
mod partition;
mod positions;
mod request;
mod schedule;
mod unread;
mod watermarks;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use handover_core::Feed;
use handover_core::machine::{ErrorCode, TopicPartition};
use handover_wire::records::{DecodedBatch, RecordError};
use tokio::sync::mpsc;

pub(crate) use crate::offsets::Isolation;
pub(crate) use watermarks::Watermarks;

use crate::net::Cluster;

/// Where to start where nothing is committed, or where what is committed is no longer there.
///
/// ```
/// use handover_tokio::OffsetReset;
/// assert_eq!(OffsetReset::default(), OffsetReset::Latest);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OffsetReset {
    /// At the first record that is there.
    Earliest,
    /// Behind the last record: Kafka's default (`auto.offset.reset`).
    #[default]
    Latest,
    /// Nowhere: the application is told, and seeks.
    None,
}

/// How to fetch.
#[derive(Clone, Debug)]
pub(crate) struct FetchConfig {
    /// A broker answers once it has this many bytes for us, of all partitions together.
    pub(crate) min_bytes: i32,
    /// Or after this long.
    pub(crate) max_wait: Duration,
    /// The most bytes of one answer, one batch excepted: the first is sent whatever its size.
    pub(crate) max_bytes: i32,
    /// The most bytes of one partition in an answer, one batch excepted.
    pub(crate) partition_max_bytes: i32,
    /// Which records are delivered.
    pub(crate) isolation: Isolation,
    /// Where to start.
    pub(crate) reset: OffsetReset,
    /// Where this client is: a broker may name a replica that is near (KIP-392).
    pub(crate) rack: Option<String>,
}

impl Default for FetchConfig {
    fn default() -> FetchConfig {
        FetchConfig {
            min_bytes: 1,
            max_wait: Duration::from_millis(500),
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            isolation: Isolation::default(),
            reset: OffsetReset::default(),
            rack: None,
        }
    }
}

/// What the application must know, since the partition brings nothing until somebody acts. Told
/// once for each cause, and again if it comes back after records or a seek.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FetchReport {
    /// Nothing is committed, or what is committed is not in the log, and the policy is
    /// [`OffsetReset::None`]. Nothing is fetched until a seek.
    NoOffset {
        /// Of which.
        partition: TopicPartition,
    },
    /// The broker refuses, and time alone does not change that. It is asked again with pauses.
    Denied {
        /// What.
        partition: TopicPartition,
        /// How.
        error: ErrorCode,
    },
    /// Twice in a row the batch at this offset could not be read. It is fetched again with pauses
    /// and never passed over.
    Corrupt {
        /// Of which.
        partition: TopicPartition,
        /// The fetch position.
        offset: i64,
        /// What is wrong.
        error: RecordError,
    },
}

/// Fetches what `feed` asks for, until the member's driver ends.
///
/// It runs within a Tokio runtime, on which its errands are spawned; they end with it, also when
/// it is dropped.
pub(crate) async fn run(
    feed: Feed<DecodedBatch>,
    cluster: Cluster,
    config: FetchConfig,
    reports: mpsc::Sender<FetchReport>,
    watermarks: Arc<Watermarks>,
) {
    engine::Engine::new(feed, cluster, config, watermarks).run(reports).await;
}
