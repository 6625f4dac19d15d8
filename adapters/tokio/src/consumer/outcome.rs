//! What committing a batch came to.

use std::fmt;

use handover_core::machine::{LeaseEnd, PartitionOutcome, TopicPartition};

/// What became of a commit, partition by partition.
///
/// ```
/// use handover_tokio::{CommitOutcome, machine::{LeaseEnd, PartitionOutcome, TopicPartition}};
///
/// let orders = TopicPartition::new("orders", 0);
/// let outcome = CommitOutcome::from(vec![(orders, PartitionOutcome::Fenced(LeaseEnd::Revoked))]);
/// assert!(!outcome.is_complete());
/// let gone: Vec<_> = outcome.fenced().into_iter().flatten().collect();
/// assert_eq!(gone[0].to_string(), "orders-0");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use = "a commit may have been fenced, rejected or never sent"]
pub struct CommitOutcome {
    partitions: Vec<(TopicPartition, Commit)>,
}

/// What became of one partition of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Commit {
    /// What the coordinator made of it.
    Answered(PartitionOutcome),
    /// The records are done, but an earlier batch of the partition is not: nothing beyond it may
    /// be committed. They are committed together with that one.
    Behind,
    /// A seek came after the batch was taken: it no longer counts.
    Sought,
}

impl Commit {
    /// Whether it is certain that the coordinator has it.
    pub fn is_committed(&self) -> bool {
        matches!(self, Commit::Answered(outcome) if outcome.is_committed())
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Commit::Answered(outcome) => outcome.fmt(f),
            Commit::Behind => f.write_str("done, behind an earlier batch that is not"),
            Commit::Sought => f.write_str("void: a seek came after"),
        }
    }
}

impl CommitOutcome {
    pub(crate) fn new(partitions: Vec<(TopicPartition, Commit)>) -> CommitOutcome {
        CommitOutcome { partitions }
    }

    /// Whether every partition is certainly committed.
    pub fn is_complete(&self) -> bool {
        self.partitions.iter().all(|(_, commit)| commit.is_committed())
    }

    /// The partitions whose lease ended before they were committed, if there are any. Their
    /// records will be consumed again by whoever owns them now.
    pub fn fenced(&self) -> Option<Vec<&TopicPartition>> {
        let fenced: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, c)| matches!(c, Commit::Answered(PartitionOutcome::Fenced(_))))
            .map(|(partition, _)| partition)
            .collect();
        (!fenced.is_empty()).then_some(fenced)
    }

    /// How the lease of a partition ended, if it was fenced.
    pub fn end_of(&self, partition: &TopicPartition) -> Option<LeaseEnd> {
        self.iter().find_map(|(of, commit)| match commit {
            Commit::Answered(PartitionOutcome::Fenced(end)) if of == partition => Some(end),
            _ => None,
        })
    }

    /// What became of each partition.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, Commit)> {
        self.partitions.iter().map(|(partition, commit)| (partition, *commit))
    }
}

impl From<Vec<(TopicPartition, PartitionOutcome)>> for CommitOutcome {
    fn from(outcomes: Vec<(TopicPartition, PartitionOutcome)>) -> CommitOutcome {
        let answered = |(partition, outcome)| (partition, Commit::Answered(outcome));
        CommitOutcome { partitions: outcomes.into_iter().map(answered).collect() }
    }
}

impl fmt::Display for CommitOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (partition, commit)) in self.partitions.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{partition} {commit}")?;
        }
        Ok(())
    }
}
