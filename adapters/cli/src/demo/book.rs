//! What happened, as the members tell it: the view shows it and the verdict judges it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handover_tokio::machine::{CloseReport, LossReason, TopicPartition};
use handover_tokio::{Commit, ConsumerHandle};
use tokio::sync::watch;

use super::actor::{CLOSE_DEADLINE, COMMIT_DEADLINE};
use crate::failure::Failure;

pub(super) struct Book {
    pages: Mutex<Pages>,
    changed: watch::Sender<u64>,
}

/// Calls that are held to a deadline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Commit,
    Close,
}

#[derive(Default)]
pub(super) struct Pages {
    pub(super) members: BTreeMap<&'static str, Page>,
    pub(super) partitions: Vec<Partition>,
    pub(super) commits: Vec<Duration>,
    pub(super) handovers: Vec<Duration>,
    pub(super) cancelled: u64,
    pub(super) fenced: u64,
    pub(super) rebalances: u64,
    /// What must not have happened.
    pub(super) violations: Vec<String>,
}

/// One member.
#[derive(Default)]
pub(super) struct Page {
    pub(super) handle: Option<ConsumerHandle>,
    pub(super) processed: u64,
    pub(super) end: Option<&'static str>,
    /// Processed, not yet acknowledged: what may come twice if it dies.
    open: BTreeSet<(i32, i64)>,
}

/// One partition.
#[derive(Default)]
pub(super) struct Partition {
    pub(super) produced: i64,
    pub(super) committed: i64,
    pub(super) processed: BTreeSet<i64>,
    pub(super) owner: Option<(&'static str, Instant)>,
    /// When its last owner let go of it.
    free: Option<Instant>,
    pub(super) twice: u64,
    /// Offsets that a member took with it when it died or lost the partition.
    forgiven: BTreeSet<i64>,
}

impl Book {
    pub(super) fn new(partitions: i32) -> Book {
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        let pages = Pages { partitions, ..Pages::default() };
        Book { pages: Mutex::new(pages), changed: watch::channel(0).0 }
    }

    pub(super) fn read(&self) -> MutexGuard<'_, Pages> {
        // Every change is made whole before anything can panic.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, change: impl FnOnce(&mut Pages)) {
        change(&mut self.read());
        self.changed.send_modify(|version| *version += 1);
    }

    pub(super) fn produced(&self, partition: i32) {
        self.write(|pages| pages.partitions[partition as usize].produced += 1);
    }

    pub(super) fn entered(&self, name: &'static str, handle: ConsumerHandle) {
        self.write(|pages| pages.members.entry(name).or_default().handle = Some(handle));
    }

    pub(super) fn assigned(&self, name: &'static str, generation: i32, new: &[TopicPartition]) {
        let now = Instant::now();
        self.write(|pages| {
            pages.rebalances = pages.rebalances.max(generation.unsigned_abs().into());
            for partition in new {
                let page = &mut pages.partitions[partition.partition as usize];
                // A member that works hears of its own hand-over late; its leases are the truth.
                let other = page.owner.filter(|(owner, _)| *owner != name).map(|(other, _)| other);
                let other = other.filter(|other| holds(&pages.members, other, partition));
                if let Some(other) = other {
                    let twice = format!("{partition} is owned by {other} and by {name}");
                    pages.violations.push(twice);
                }
                page.owner = Some((name, now));
                pages.handovers.extend(page.free.take().map(|free| now - free));
            }
        });
    }

    pub(super) fn handed_over(&self, name: &'static str, gone: &[TopicPartition]) {
        self.write(|pages| pages.release(name, gone));
    }

    pub(super) fn lost(&self, name: &'static str, gone: &[TopicPartition], reason: LossReason) {
        self.write(|pages| {
            pages.forgive(name, |partition| gone.iter().any(|g| g.partition == partition));
            pages.release(name, gone);
            let lost = format!("{name} lost {} partitions: {reason}", gone.len());
            pages.violations.push(lost);
        });
    }

    pub(super) fn processed(&self, name: &'static str, partition: i32, offset: i64) {
        self.write(|pages| {
            let page = &mut pages.partitions[partition as usize];
            if !page.processed.insert(offset) {
                page.twice += 1;
                if !page.forgiven.remove(&offset) {
                    let twice = format!("{partition}@{offset} came to {name} a second time");
                    pages.violations.push(twice);
                }
            }
            let member = pages.members.entry(name).or_default();
            member.processed += 1;
            member.open.insert((partition, offset));
        });
    }

    /// A call came to its end.
    pub(super) fn call(&self, name: &'static str, call: Call, took: Duration) {
        let (what, deadline) = match call {
            Call::Commit => ("a commit", COMMIT_DEADLINE),
            Call::Close => ("the close", CLOSE_DEADLINE),
        };
        self.write(|pages| {
            if call == Call::Commit {
                pages.commits.push(took);
            }
            // What the runtime itself may be late by is not the call's.
            if took > deadline + Duration::from_secs(1) {
                let late = format!("{what} of {name} took {took:?}, of {deadline:?} allowed");
                pages.violations.push(late);
            }
        });
    }

    /// A commit was dropped before it was answered. Its records are done, and come again only if
    /// their partition moves on before a later commit covers them.
    pub(super) fn cancelled(&self, name: &'static str, ranges: &[(i32, i64)], took: Duration) {
        self.call(name, Call::Commit, took);
        self.write(|pages| {
            pages.cancelled += 1;
            pages.forgive(name, |partition| ranges.iter().any(|(of, _)| *of == partition));
        });
    }

    /// A commit begun at `begun`, of everything before `until`, was answered.
    pub(super) fn answered(
        &self,
        name: &'static str,
        begun: Instant,
        partition: i32,
        until: i64,
        commit: Commit,
    ) {
        self.write(|pages| {
            let page = &mut pages.partitions[partition as usize];
            if !commit.is_committed() {
                pages.fenced += 1;
                return;
            }
            // Acknowledged by a non-owner: the partition was somebody else's when it was asked.
            if let Some((owner, _)) =
                page.owner.filter(|(owner, since)| *owner != name && *since < begun)
            {
                let stolen = format!("{name} committed {partition}, which {owner} owns");
                pages.violations.push(stolen);
            }
            if until < page.committed {
                let back =
                    format!("{name} committed {partition} back from {} to {until}", page.committed);
                pages.violations.push(back);
            }
            page.committed = until;
            if let Some(member) = pages.members.get_mut(name) {
                member.open.retain(|(p, offset)| *p != partition || *offset >= until);
            }
        });
    }

    pub(super) fn died(&self, name: &'static str) {
        self.write(|pages| {
            pages.forgive(name, |_| true);
            pages.gone(name, "died");
        });
    }

    pub(super) fn left(&self, name: &'static str, report: &CloseReport) {
        self.write(|pages| {
            if !report.is_clean() {
                pages.violations.push(format!("{name} did not leave cleanly: {report:?}"));
            }
            pages.gone(name, "left");
        });
    }

    async fn until(
        &self,
        what: &str,
        patience: Duration,
        mut done: impl FnMut(&Pages) -> bool,
    ) -> Result<(), Failure> {
        let mut changes = self.changed.subscribe();
        let waiting = changes.wait_for(|_| done(&self.read()));
        match tokio::time::timeout(patience, waiting).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let mut why = format!("{what} did not happen within {patience:?}");
                let pages = self.read();
                for (number, page) in pages.partitions.iter().enumerate() {
                    if page.committed < page.produced {
                        let owner = page.owner.map_or("nobody", |(owner, _)| owner);
                        let (done, all) = (page.processed.len(), page.produced);
                        let committed = page.committed;
                        why += &format!(
                            "; of partition {number}, owned by {owner}, {done} of {all} records are \
                             processed and {committed} committed"
                        );
                    }
                }
                let known = pages.violations.join("; ");
                Err(Failure::new("the group is stuck", format!("{why}. {known}")))
            }
        }
    }

    pub(super) async fn processed_at_least(&self, n: u64, p: Duration) -> Result<(), Failure> {
        self.until("enough progress", p, |pages| pages.processed() >= n).await
    }

    pub(super) async fn all_processed(&self, records: u64, p: Duration) -> Result<(), Failure> {
        self.until("the last record's turn", p, |pages| pages.processed() >= records).await
    }

    pub(super) async fn cancelled_once(&self, p: Duration) -> Result<(), Failure> {
        self.until("the cancelled commit", p, |pages| pages.cancelled > 0).await
    }

    pub(super) async fn all_committed(&self, p: Duration) -> Result<(), Failure> {
        self.until("the last commit", p, |pages| {
            pages.partitions.iter().all(|page| page.committed == page.produced)
        })
        .await
    }
}

/// Whether the member has a lease of the partition at this moment.
fn holds(members: &BTreeMap<&'static str, Page>, member: &str, partition: &TopicPartition) -> bool {
    let handle = members.get(member).and_then(|page| page.handle.as_ref());
    handle.is_some_and(|handle| handle.assignment().contains(partition))
}

impl Pages {
    /// Distinct records processed.
    pub(super) fn processed(&self) -> u64 {
        self.partitions.iter().map(|page| page.processed.len() as u64).sum()
    }

    fn release(&mut self, name: &'static str, gone: &[TopicPartition]) {
        for partition in gone {
            let page = &mut self.partitions[partition.partition as usize];
            if page.owner.is_some_and(|(owner, _)| owner == name) {
                page.owner = None;
                page.free = Some(Instant::now());
            }
        }
    }

    /// What `name` had not committed of these partitions may come to somebody else.
    fn forgive(&mut self, name: &'static str, of: impl Fn(i32) -> bool) {
        let Some(member) = self.members.get(name) else { return };
        for (partition, offset) in member.open.iter().filter(|(partition, _)| of(*partition)) {
            self.partitions[*partition as usize].forgiven.insert(*offset);
        }
    }

    fn gone(&mut self, name: &'static str, how: &'static str) {
        let member = self.members.entry(name).or_default();
        (member.handle, member.end) = (None, Some(how));
        for page in &mut self.partitions {
            if page.owner.is_some_and(|(owner, _)| owner == name) {
                page.owner = None;
            }
        }
    }
}
