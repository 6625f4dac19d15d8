//! Errands: what waits for a broker or unpacks records. Each is given all that it needs and gives
//! back an outcome; it decides nothing.

use std::time::Duration;

use bytes::Bytes;
use handover_core::machine::{ErrorCode, LeaseId, Name};
use handover_wire::codec::messages::FetchResponse;
use handover_wire::codec::messages::fetch_response::PartitionData;
use tokio::time::Instant;

use super::epochs::{self, Ends};
use super::request::{self, Asked};
use super::unread::{Reading, Unread};
use super::{FetchConfig, Isolation};
use crate::error::{ClusterError, ConnectionError, Unanswered};
use crate::net::{Cluster, Connection, Line, Use};
use crate::offsets::Found;

/// Room for what is not records in an answer, below the limit of a frame.
const ANSWER_OVERHEAD: usize = 64 << 10;

/// What came of an errand.
pub(super) enum Outcome {
    /// The line's connection stands.
    Connected(Line, Result<(), ConnectionError>),
    Fetched(Line, Result<Fetched, ConnectionError>),
    /// Where partitions begin or end.
    Located(Result<Found, ConnectionError>),
    /// Where leader epochs end; with the questions, in the order of the leases.
    Compared(Vec<epochs::Ask>, Result<Ends, ConnectionError>),
    /// What was read of what was fetched before.
    Read(LeaseId, Unread, Reading),
    /// The topics of which there is no metadata, and why.
    Refreshed(Result<Vec<(Name, ErrorCode)>, ClusterError>),
}

/// What a fetch brought.
pub(super) struct Fetched {
    /// Of the whole request.
    pub(super) error: ErrorCode,
    pub(super) answers: Vec<Answer>,
    /// How long the broker took, of how long it was allowed to wait.
    pub(super) took: Duration,
    pub(super) wait: Duration,
}

/// What a fetch says of one partition.
pub(super) struct Answer {
    pub(super) lease: LeaseId,
    pub(super) asked_epoch: i32,
    pub(super) error: ErrorCode,
    /// The end of what may be read, if the broker tells.
    pub(super) high: Option<i64>,
    /// Where to read rather than here.
    pub(super) replica: Option<i32>,
    /// How many bytes of records came.
    pub(super) bytes: usize,
    pub(super) reading: Reading,
    pub(super) unread: Unread,
}

/// Connects the line; which waits as long as its backoff says.
pub(super) async fn connect(cluster: Cluster, mut line: Line, broker: i32) -> Outcome {
    let connected = cluster.reach(&mut line, broker, Use::Fetch).await.map(drop);
    Outcome::Connected(line, connected)
}

/// What a fetch needs.
pub(super) struct Fetching {
    pub(super) cluster: Cluster,
    pub(super) config: FetchConfig,
    pub(super) line: Line,
    pub(super) connection: Connection,
    pub(super) asked: Vec<Asked>,
    pub(super) wait: Duration,
}

impl Fetching {
    pub(super) async fn run(self) -> Outcome {
        let fetched = self.fetch().await;
        Outcome::Fetched(self.line, fetched)
    }

    async fn fetch(&self) -> Result<Fetched, ConnectionError> {
        let client = self.cluster.config();
        let most = client.max_answer_bytes.saturating_sub(ANSWER_OVERHEAD);
        let max_bytes = self.config.max_bytes.min(i32::try_from(most).unwrap_or(i32::MAX));
        let versions = self.connection.versions();
        let call = request::fetch(&self.config, self.wait, max_bytes, versions, &self.asked)?;
        let begun = Instant::now();
        let timeout = client.request_timeout + self.wait;
        let answer = self.connection.call(&call, timeout).await;
        let answer = answer.map_err(Unanswered::into_reason)?;
        let took = begun.elapsed();
        let error = ErrorCode::from_code(answer.error_code);
        let answers = self.read(answer).await;
        Ok(Fetched { error, answers, took, wait: self.wait })
    }

    /// Unpacks as much of the answer as was asked for, and leaves the rest packed.
    async fn read(&self, answer: FetchResponse) -> Vec<Answer> {
        for node in &answer.node_endpoints {
            self.cluster.learn_node(node.node_id.0, &node.host, node.port);
        }
        let found = request::split(answer, &self.asked);
        let size = |(_, data): &(_, PartitionData)| data.records.as_ref().map_or(0, Bytes::len);
        let total: usize = found.iter().map(size).sum();
        let mut room = usize::try_from(self.config.max_bytes).unwrap_or(0);
        let mut answers = Vec::with_capacity(found.len());
        for (asked, data) in found {
            answers.push(self.read_partition(asked, data, total, &mut room).await);
        }
        answers
    }

    async fn read_partition(
        &self,
        asked: &Asked,
        data: PartitionData,
        total: usize,
        room: &mut usize,
    ) -> Answer {
        let leader = &data.current_leader;
        self.cluster.learn_leader(&asked.partition, leader.leader_id.0, leader.leader_epoch);
        let committed = self.config.isolation == Isolation::ReadCommitted;
        let aborted = committed.then(|| {
            let listed = data.aborted_transactions.unwrap_or_default();
            listed.into_iter().map(|t| (t.producer_id.0, t.first_offset)).collect()
        });
        let records = unshared(data.records.unwrap_or_default(), total);
        let bytes = records.len();
        let mut unread = Unread::new(records, asked.offset, aborted);
        let reading = unread.read(room).await;
        let high = if committed { data.last_stable_offset } else { data.high_watermark };
        Answer {
            lease: asked.lease,
            asked_epoch: asked.leader_epoch,
            error: ErrorCode::from_code(data.error_code),
            high: (high >= 0).then_some(high),
            replica: Some(data.preferred_read_replica.0).filter(|replica| *replica >= 0),
            bytes,
            reading,
            unread,
        }
    }
}

/// Records keep alive the bytes that they are cut from. A partition that is read slowly must not
/// keep a whole answer of other partitions with it, so it gets bytes of its own (SPEC F4).
fn unshared(records: Bytes, total: usize) -> Bytes {
    if records.len() * 2 < total { Bytes::copy_from_slice(&records) } else { records }
}

/// Reads on in what was fetched before.
pub(super) async fn read(lease: LeaseId, mut unread: Unread, mut room: usize) -> Outcome {
    let reading = unread.read(&mut room).await;
    Outcome::Read(lease, unread, reading)
}

/// Asks anew for what is known of these topics, where it is wrong or old.
pub(super) async fn refresh(cluster: Cluster, topics: Vec<Name>) -> Outcome {
    Outcome::Refreshed(cluster.update(&topics).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_part_of_an_answer_does_not_keep_the_whole() {
        let answer = Bytes::from(vec![7; 1000]);
        let small = unshared(answer.slice(..100), answer.len());
        let large = unshared(answer.slice(100..), answer.len());
        assert_eq!((small.len(), large.len()), (100, 900));
        assert!(small.is_unique(), "it has bytes of its own");
        assert!(!large.is_unique(), "it is not copied");
    }
}
