//! A batch: records in the application's hands, until they are done.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handover_core::machine::{
    CommitEntry, CommitTarget, Mark, Name, PartitionOutcome, Time, TopicPartition,
};
use handover_core::{CallError, Delivery, Handle, LeaseState, Reply};
use handover_wire::records::{DecodedBatch, Records};

use super::outcome::{Commit, CommitOutcome};
use super::record::Record;

/// What [`Consumer::poll`](crate::Consumer::poll) returns: records of one or more partitions, in
/// order within each.
///
/// **A batch is an obligation.** Until its records are done - by [`commit`](Batch::commit),
/// [`mark`](Batch::mark) or [`skip`](Batch::skip) - they are this application's: a batch that is
/// dropped before, also by an early return, a `?` or a panic, is delivered again, from the first
/// record that is not done. With automatic commits a batch whose records were all iterated over
/// counts as done when it is dropped, unless the thread is panicking.
///
/// While a batch is out the partitions that it has records of are not handed over, until their
/// drain deadline; [`handover_wanted`](Batch::handover_wanted) tells when somebody waits.
#[must_use = "a batch that is dropped is delivered again"]
pub struct Batch {
    parts: Vec<Part>,
    handle: Handle,
    timeout: Duration,
    /// Whether iterating to the end is what marks.
    auto: bool,
    /// Set by an iterator that came to its end.
    exhausted: AtomicBool,
}

/// The records of one delivery.
struct Part {
    /// A second view of the records, so that they can be read while the delivery is changed.
    records: DecodedBatch,
    partition: TopicPartition,
    /// The offsets that this batch is for.
    from: i64,
    until: i64,
    delivery: Mutex<Delivery<DecodedBatch>>,
}

impl Batch {
    pub(crate) fn new(handle: Handle, timeout: Duration, auto: bool) -> Batch {
        Batch { parts: Vec::new(), handle, timeout, auto, exhausted: AtomicBool::new(false) }
    }

    /// Adds a delivery, or as much of it as `room` records; tells how many it was, and up to
    /// which offset.
    pub(crate) fn push(&mut self, delivery: Delivery<DecodedBatch>, room: usize) -> (usize, i64) {
        let range = delivery.range();
        let records = delivery.payload().clone();
        let mut count = 0;
        let mut until = range.end;
        for record in records.records().flatten().filter(|r| range.contains(&r.offset)) {
            if count == room {
                until = record.offset;
                break;
            }
            count += 1;
        }
        let partition = delivery.partition().clone();
        let delivery = Mutex::new(delivery);
        self.parts.push(Part { records, partition, from: range.start, until, delivery });
        (count, until)
    }

    /// The records.
    pub fn iter(&self) -> Iter<'_> {
        Iter { batch: self, part: 0, records: None }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.walk().count()).sum()
    }

    /// Whether there are none: a range of the log from which everything was compacted away.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.walk().next().is_none())
    }

    /// The partitions that there are records of, in the order of the records.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.parts.iter().map(|part| &part.partition)
    }

    /// For each partition the offsets that the batch covers, from the first to after the last.
    pub fn ranges(&self) -> impl Iterator<Item = (&TopicPartition, std::ops::Range<i64>)> {
        self.parts.iter().map(|part| (&part.partition, part.from..part.until))
    }

    /// By when to let go, if a hand-over waits for this batch.
    pub fn handover_wanted(&self) -> Option<Time> {
        self.parts.iter().filter_map(|part| part.delivery().handover_wanted()).min()
    }

    /// All records are done: commits them.
    ///
    /// # Cancel safety
    /// The records are done from the call on. Dropping the future withdraws the commit if it was
    /// not sent; the next commit of the same partitions covers it.
    ///
    /// # Errors
    /// Only if the consumer was closed or its driver has stopped. What became of each partition
    /// is in the outcome.
    pub async fn commit(self) -> Result<CommitOutcome, CallError> {
        self.commit_with(None).await
    }

    /// As [`commit`](Batch::commit), with a note that is stored beside the offsets.
    ///
    /// # Errors
    /// As [`commit`](Batch::commit).
    pub async fn commit_with(
        self,
        metadata: impl Into<Option<Name>>,
    ) -> Result<CommitOutcome, CallError> {
        let metadata = metadata.into();
        let pending: Vec<Pending> =
            self.parts.iter().map(|part| part.done_through(part.until - 1)).collect();
        let asked = Asked::new(&self.handle, self.timeout, pending, metadata);
        // Released once the commit is posted, so that a hand-over finds it before it finds the
        // batch gone; and before the answer, so that none waits for this caller.
        drop(self);
        asked.outcome().await
    }

    /// The records up to and including this one are done: commits them. The rest stays out.
    ///
    /// # Errors
    /// As [`commit`](Batch::commit).
    pub async fn commit_through(&self, record: &Record<'_>) -> Result<CommitOutcome, CallError> {
        let pending = self.done_until(record);
        Asked::new(&self.handle, self.timeout, pending, None).outcome().await
    }

    /// The records up to and including this one are done, without committing them.
    pub fn mark_through(&self, record: &Record<'_>) {
        self.done_until(record);
    }

    /// All records are done, without committing them: the next commit covers them.
    pub fn mark(self) {
        for part in &self.parts {
            part.done_through(part.until - 1);
        }
    }

    /// Passes over what is not done: it is not delivered again to this member, and later commits
    /// cover it.
    pub fn skip(self) {
        self.mark();
    }

    fn done_until(&self, record: &Record<'_>) -> Vec<Pending> {
        // In order: of two parts of a partition the later one counts only after the earlier.
        let earlier = self.parts.iter().take(record.part).map(|part| (part, part.until - 1));
        let this = self.parts.get(record.part).map(|part| (part, record.offset()));
        earlier.chain(this).map(|(part, offset)| part.done_through(offset)).collect()
    }
}

impl Part {
    fn delivery(&self) -> std::sync::MutexGuard<'_, Delivery<DecodedBatch>> {
        // Nothing of the application's runs under the lock, and the delivery stays whole.
        self.delivery.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn walk(&self) -> impl Iterator<Item = handover_wire::records::Record<'_>> {
        let range = self.from..self.until;
        self.records.records().flatten().filter(move |record| range.contains(&record.offset))
    }

    fn done_through(&self, offset: i64) -> Pending {
        let mut delivery = self.delivery();
        let epoch = self.records.header().leader_epoch;
        let counts = delivery.done_through(offset, epoch);
        let lease = delivery.lease();
        let fenced = matches!(lease.state(), LeaseState::Ended | LeaseState::Lost);
        let wanted = Mark { offset: offset + 1, leader_epoch: epoch };
        let mark = match lease.mark() {
            // The lease is over: the machine says how it ended.
            _ if fenced => Ok(wanted),
            _ if !counts => Err(Commit::Sought),
            Some(mark) if mark.offset > offset => Ok(wanted),
            // Done up to an earlier batch only. That much is worth committing.
            _ => Err(Commit::Behind),
        };
        let target = CommitTarget::Lease(lease.id(), self.partition.clone());
        Pending { partition: self.partition.clone(), target, mark }
    }
}

/// A partition's share of a commit, before it is sent.
struct Pending {
    partition: TopicPartition,
    target: CommitTarget,
    /// What may be committed, or why nothing.
    mark: Result<Mark, Commit>,
}

/// A commit that was posted.
struct Asked {
    pending: Vec<Pending>,
    /// None if there was nothing to post.
    reply: Option<Reply<Vec<(TopicPartition, PartitionOutcome)>>>,
}

impl Asked {
    fn new(
        handle: &Handle,
        timeout: Duration,
        pending: Vec<Pending>,
        metadata: Option<Name>,
    ) -> Asked {
        let mut entries: Vec<CommitEntry> = Vec::new();
        for part in &pending {
            let Ok(mark) = part.mark else { continue };
            // Two deliveries of one lease are one entry: the later one covers the earlier.
            match entries.iter_mut().find(|entry| entry.target == part.target) {
                Some(entry) => entry.mark = mark,
                None => entries.push(CommitEntry {
                    target: part.target.clone(),
                    mark,
                    metadata: metadata.clone(),
                    rewind: false,
                }),
            }
        }
        let reply = (!entries.is_empty()).then(|| handle.commit(entries, timeout));
        Asked { pending, reply }
    }

    async fn outcome(self) -> Result<CommitOutcome, CallError> {
        let answered = match self.reply {
            Some(reply) => reply.await?,
            None => Vec::new(),
        };
        let mut outcomes: Vec<(TopicPartition, Commit)> = Vec::with_capacity(self.pending.len());
        for part in self.pending {
            let answer = answered.iter().find(|(partition, _)| *partition == part.partition);
            let commit = match (part.mark, answer) {
                (Ok(_), Some((_, outcome))) => Commit::Answered(*outcome),
                (Err(commit), _) => commit,
                // One outcome comes for each entry.
                (Ok(_), None) => continue,
            };
            match outcomes.iter_mut().find(|(partition, _)| *partition == part.partition) {
                Some((_, known)) => *known = commit,
                None => outcomes.push((part.partition, commit)),
            }
        }
        Ok(CommitOutcome::new(outcomes))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.auto && self.exhausted.load(Ordering::Relaxed) && !std::thread::panicking() {
            for part in &self.parts {
                part.done_through(part.until - 1);
            }
        }
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Record<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The records of a [`Batch`].
pub struct Iter<'a> {
    batch: &'a Batch,
    part: usize,
    records: Option<Records<'a>>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            let Some(part) = self.batch.parts.get(self.part) else {
                self.batch.exhausted.store(true, Ordering::Relaxed);
                return None;
            };
            let records = self.records.get_or_insert_with(|| part.records.records());
            // The fetcher walked the batch before: no record of it fails.
            match records.next() {
                Some(Ok(record)) if record.offset < part.from => {}
                Some(Ok(record)) if record.offset < part.until => {
                    let epoch = part.records.header().leader_epoch;
                    return Some(Record::new(record, &part.partition, epoch, self.part));
                }
                _ => {
                    self.records = None;
                    self.part += 1;
                }
            }
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.ranges()).finish()
    }
}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("batch", self.batch).field("part", &self.part).finish()
    }
}
