//! The handle: what an application asks of its consumer, from anywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_core::machine::{
    CloseOptions, CloseReport, CommitEntry, CommitTarget, CommittedError, Identity, LeaseEnd,
    LeaseId, Mark, Name, SeekTo, Status, TopicPartition,
};
use handover_core::{CallError, Handle, Valve};
use handover_wire::records::DecodedBatch;

use super::outcome::CommitOutcome;
use crate::fetch::Watermarks;
use crate::net::Cluster;

/// Commits, seeks, pauses and closes from anywhere: cheap to clone, usable from any task, also
/// while a batch or an event is held.
#[derive(Clone)]
pub struct ConsumerHandle {
    core: Handle,
    valve: Valve<DecodedBatch>,
    cluster: Cluster,
    watermarks: Arc<Watermarks>,
    timeout: Duration,
    /// The next offset that a poll will return, where one has returned something.
    positions: Arc<Mutex<BTreeMap<TopicPartition, (LeaseId, i64)>>>,
}

impl ConsumerHandle {
    pub(super) fn new(
        core: Handle,
        valve: Valve<DecodedBatch>,
        cluster: Cluster,
        watermarks: Arc<Watermarks>,
        timeout: Duration,
    ) -> ConsumerHandle {
        let positions = Arc::default();
        ConsumerHandle { core, valve, cluster, watermarks, timeout, positions }
    }

    pub(super) fn core(&self) -> &Handle {
        &self.core
    }

    /// Consume these topics from now on; none: leave the group.
    ///
    /// # Errors
    /// If the consumer was closed, or partitions are assigned by hand.
    pub async fn subscribe<N: Into<Name>>(
        &self,
        topics: impl IntoIterator<Item = N>,
    ) -> Result<(), CallError> {
        self.core.subscribe(topics).await
    }

    /// Consume just these partitions from now on.
    ///
    /// # Errors
    /// If the consumer was closed, or topics are subscribed.
    pub async fn assign(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<(), CallError> {
        self.core.assign(partitions).await
    }

    /// Commits offsets as they are: the raw form, which no batch stands behind. An offset that is
    /// lower than the committed one is meant.
    ///
    /// # Errors
    /// If the consumer was closed or has stopped.
    pub async fn commit_offsets(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, Mark)>,
    ) -> Result<CommitOutcome, CallError> {
        let entry = |(partition, mark)| CommitEntry {
            target: CommitTarget::Partition(partition),
            mark,
            metadata: None,
            rewind: true,
        };
        let entries: Vec<_> = offsets.into_iter().map(entry).collect();
        Ok(CommitOutcome::from(self.core.commit(entries, self.timeout).await?))
    }

    /// The group's committed offsets; `None` where there is none.
    ///
    /// # Errors
    /// If the consumer was closed, or the coordinator refused or did not answer in time.
    pub async fn committed(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Option<Mark>>, CommittedOffsetsError> {
        let committed = self.core.committed(partitions, self.timeout).await?;
        Ok(committed?.into_iter().collect())
    }

    /// Delivers a partition that is held from elsewhere.
    ///
    /// # Errors
    /// If the partition is not held, or the consumer was closed.
    pub async fn seek(&self, partition: TopicPartition, to: SeekTo) -> Result<(), SeekError> {
        self.positions().remove(&partition);
        Ok(self.core.seek(partition, to).await??)
    }

    /// Delivers nothing more of these partitions until they are resumed. What is held stays
    /// held. Tells which of them are held at all.
    pub fn pause(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Vec<TopicPartition> {
        self.flow(partitions, |valve, lease| valve.pause(lease))
    }

    /// Undoes [`pause`](ConsumerHandle::pause). Tells which of them are held at all.
    pub fn resume(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Vec<TopicPartition> {
        self.flow(partitions, |valve, lease| valve.resume(lease))
    }

    fn flow(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        change: impl Fn(&Valve<DecodedBatch>, LeaseId) -> bool,
    ) -> Vec<TopicPartition> {
        let leases = self.leases();
        let held = |partition: &TopicPartition| {
            leases.get(partition).is_some_and(|lease| change(&self.valve, *lease))
        };
        partitions.into_iter().filter(held).collect()
    }

    /// Goes through a rebalance now. The coordinator is told the reason, for its log (KIP-568).
    ///
    /// # Errors
    /// If the consumer was closed.
    pub async fn enforce_rebalance(&self, reason: impl Into<Name>) -> Result<(), CallError> {
        self.core.rejoin(reason).await
    }

    /// Who this member is to its group: what a transactional producer needs (KIP-447).
    pub fn group_metadata(&self) -> Identity {
        self.core.status().identity
    }

    /// What the member is doing: its phase, its partitions, and what a hand-over waits for.
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// The partitions that are held.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.leases().into_keys().collect()
    }

    /// The offset of the next record that a poll will return of a partition; `None` if it is not
    /// held, or nothing was returned of it and its start is not known.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        let leases = self.leases();
        let held = leases.get(partition)?;
        let returned = self.positions().get(partition).copied();
        match returned {
            Some((lease, offset)) if lease == *held => Some(offset),
            _ => {
                let status = self.core.status();
                status.leases.iter().find(|lease| lease.lease == *held)?.committed
            }
        }
    }

    /// How many records of a partition are behind its [`position`](ConsumerHandle::position);
    /// `None` if either end is not known yet. Asks nobody: it is as fresh as the last fetch.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let end = self.watermarks.high(partition)?;
        Some((end - self.position(partition)?).max(0))
    }

    /// The cluster that is consumed from.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Hands everything over, commits what is done, and leaves the group.
    ///
    /// Idempotent, callable from anywhere, and bounded by its deadline. A close that has begun
    /// goes on when its future is dropped; closing again gives the same report.
    ///
    /// # Errors
    /// Only if the driver stopped.
    pub async fn close(&self, options: CloseOptions) -> Result<CloseReport, CallError> {
        self.core.close(options).await
    }

    fn leases(&self) -> BTreeMap<TopicPartition, LeaseId> {
        let status = self.core.status();
        status.leases.into_iter().map(|lease| (lease.partition, lease.lease)).collect()
    }

    /// A poll returned the records of a lease up to there.
    pub(super) fn took(&self, partition: TopicPartition, lease: LeaseId, until: i64) {
        self.positions().insert(partition, (lease, until));
    }

    fn positions(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, (LeaseId, i64)>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a seek came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SeekError {
    /// The partition is not held, or on its way out.
    NotHeld(LeaseEnd),
    /// The consumer was closed or has stopped.
    Call(CallError),
}

impl fmt::Display for SeekError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeekError::NotHeld(end) => write!(f, "the partition {end}; seek after it is assigned"),
            SeekError::Call(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SeekError {}

impl From<LeaseEnd> for SeekError {
    fn from(end: LeaseEnd) -> SeekError {
        SeekError::NotHeld(end)
    }
}

impl From<CallError> for SeekError {
    fn from(error: CallError) -> SeekError {
        SeekError::Call(error)
    }
}

/// Why committed offsets could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CommittedOffsetsError {
    /// The coordinator refused, or did not answer in time.
    Refused(CommittedError),
    /// The consumer was closed or has stopped.
    Call(CallError),
}

impl fmt::Display for CommittedOffsetsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommittedOffsetsError::Refused(error) => error.fmt(f),
            CommittedOffsetsError::Call(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CommittedOffsetsError {}

impl From<CommittedError> for CommittedOffsetsError {
    fn from(error: CommittedError) -> CommittedOffsetsError {
        CommittedOffsetsError::Refused(error)
    }
}

impl From<CallError> for CommittedOffsetsError {
    fn from(error: CallError) -> CommittedOffsetsError {
        CommittedOffsetsError::Call(error)
    }
}

impl fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHandle").field("core", &self.core).finish_non_exhaustive()
    }
}
