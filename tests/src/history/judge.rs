//! The judgement: one pass over the events in the order of time, then a look at who had what when.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use super::{Event, History, Kind, Loss, Partition};

/// A promise of a consumer group that was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Violation {
    /// Records were produced and acknowledged, and nobody consumed them.
    Unconsumed {
        /// Where.
        partition: Partition,
        /// The lowest offset of them.
        first: i64,
        /// How many.
        records: usize,
    },
    /// A member got a partition while another, which nothing had befallen, had it.
    OwnedTwice {
        /// Which.
        partition: Partition,
        /// Who had it.
        owner: Arc<str>,
        /// Who got it.
        other: Arc<str>,
        /// When.
        at: u64,
    },
    /// Records were consumed again though nothing befell their first consumer.
    ConsumedTwice {
        /// Where.
        partition: Partition,
        /// The lowest offset of them.
        first: i64,
        /// How many.
        records: u64,
        /// Who consumed them first.
        by: Arc<str>,
        /// Who consumed them then.
        again_by: Arc<str>,
    },
    /// A member consumed what it did not have.
    ConsumedUnowned {
        /// Where.
        partition: Partition,
        /// The lowest offset.
        first: i64,
        /// Who.
        member: Arc<str>,
    },
    /// A member committed what it did not have.
    CommittedUnowned {
        /// Where.
        partition: Partition,
        /// What was committed.
        offset: i64,
        /// Who.
        member: Arc<str>,
    },
    /// A commit was acknowledged that is lower than one acknowledged before, unasked.
    CommitWentBack {
        /// Where.
        partition: Partition,
        /// The commit before.
        from: i64,
        /// This one.
        to: i64,
        /// Who.
        member: Arc<str>,
    },
    /// A commit covers a record that nobody had consumed by then.
    CommitAhead {
        /// Where.
        partition: Partition,
        /// What was committed.
        offset: i64,
        /// A record that it covers.
        covers: i64,
        /// Who.
        member: Arc<str>,
    },
}

/// Why a record was consumed twice: what befell its first consumer; or the second, if that had the
/// partition before the first and did not notice that the group went on without it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// Nothing: it handed over or stopped in good order, or goes on. A violation.
    Clean,
    /// Nothing, but its last commit of the partition failed.
    CommitFailed,
    /// It is the same member, and still had the partition: it was delivered again.
    Redelivered,
    /// It held the partition for too long.
    Overrun,
    /// Its session expired.
    SessionExpired,
    /// It lost the partition otherwise.
    Lost,
    /// It was killed.
    Killed,
    /// It was cut off or paused.
    Cut,
}

/// What [`History::judge`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Broken promises; empty if all is well.
    pub violations: Vec<Violation>,
    /// How many records were consumed again, by cause.
    pub twice: BTreeMap<Cause, u64>,
    /// How many records were produced and acknowledged.
    pub produced: usize,
    /// How many records were consumed by anybody, each counted once.
    pub consumed: usize,
    /// How many commits were acknowledged and how many failed, partition by partition.
    pub commits: (usize, usize),
}

impl Verdict {
    /// Panics with all that is wrong, if anything is.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.violations.is_empty(), "{self}");
    }

    /// How many records were consumed again for this cause.
    pub fn twice_by(&self, cause: Cause) -> u64 {
        self.twice.get(&cause).copied().unwrap_or(0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { violations, twice, produced, consumed, commits: (done, failed) } = self;
        write!(f, "{produced} records produced, {consumed} consumed, again {twice:?}; ")?;
        write!(f, "{done} commits, {failed} failed; {} violations", violations.len())?;
        violations.iter().take(20).try_for_each(|violation| write!(f, "\n  {violation:?}"))
    }
}

/// One member's time with one partition.
struct Tenure {
    member: Arc<str>,
    start: u64,
    end: Option<(u64, End)>,
    /// Whether the harness cut the member off meanwhile.
    cut: bool,
    /// Whether its last commit of the partition failed.
    commit_failed: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Revoked,
    Stopped,
    Lost(Loss),
    Killed,
}

impl Tenure {
    /// Why what was consumed in it may be consumed again.
    fn excuse(&self) -> Cause {
        match self.end.map(|(_, end)| end) {
            Some(End::Killed) => Cause::Killed,
            Some(End::Lost(Loss::Overrun)) => Cause::Overrun,
            Some(End::Lost(Loss::SessionExpired)) => Cause::SessionExpired,
            // Java tells a loss as a revocation, so that a cut decides before it.
            _ if self.cut => Cause::Cut,
            Some(End::Lost(Loss::Other)) => Cause::Lost,
            _ if self.commit_failed => Cause::CommitFailed,
            _ => Cause::Clean,
        }
    }

    /// Whether the group may go on without its member, which need not know.
    fn may_overlap(&self) -> bool {
        !matches!(self.excuse(), Cause::Clean | Cause::CommitFailed)
    }

    fn covers(&self, at: u64) -> bool {
        self.end.is_none_or(|(end, _)| at <= end)
    }
}

/// All that is known of one partition.
#[derive(Default)]
struct Log {
    tenures: Vec<Tenure>,
    /// By offset: in which tenure it was consumed last; `None` once it is asked for again.
    consumed: BTreeMap<i64, Option<usize>>,
    /// The highest offset committed since the last rewind.
    committed: i64,
    produced: BTreeMap<i64, ()>,
    /// First and second tenure of records consumed twice: lowest offset and number.
    again: BTreeMap<(usize, usize), (i64, u64)>,
}

impl Log {
    fn current(&self, member: &str, at: u64) -> Option<usize> {
        self.tenures.iter().rposition(|tenure| *tenure.member == *member && tenure.covers(at))
    }
}

#[derive(Default)]
struct Judge {
    logs: HashMap<Partition, Log>,
    verdict: Verdict,
}

pub(super) fn judge(history: &History) -> Verdict {
    let mut judge = Judge::default();
    for event in history.events() {
        if let Kind::Produced { partition, offset } = &event.kind {
            let log = judge.logs.entry(partition.clone()).or_default();
            log.produced.insert(*offset, ());
        }
    }
    // Events of one member were told in their order; the clock merges the members.
    let mut events: Vec<&Event> = history.events().iter().collect();
    events.sort_by_key(|event| event.at);
    for event in events {
        judge.see(event);
    }
    judge.unconsumed(history);
    judge.verdict.consumed = judge.logs.values().map(|log| log.consumed.len()).sum();
    judge.verdict.produced = judge.logs.values().map(|log| log.produced.len()).sum();
    let mut logs: Vec<(Partition, Log)> = judge.logs.into_iter().collect();
    logs.sort_by(|a, b| a.0.cmp(&b.0));
    for (partition, log) in &logs {
        owned_twice(partition, log, &mut judge.verdict);
        consumed_twice(partition, log, &mut judge.verdict);
    }
    judge.verdict
}

impl Judge {
    fn see(&mut self, event: &Event) {
        let Event { at, member, kind } = event;
        match kind {
            Kind::Assigned(partitions) => {
                partitions.iter().for_each(|partition| self.assign(partition, member, *at));
            }
            Kind::Revoked(partitions) => self.end(Some(partitions), member, *at, End::Revoked),
            Kind::Lost(partitions, loss) => {
                self.end(Some(partitions), member, *at, End::Lost(*loss));
            }
            Kind::Stopped => self.end(None, member, *at, End::Stopped),
            Kind::Killed => self.end(None, member, *at, End::Killed),
            Kind::Cut => self.open(member).for_each(|tenure| tenure.cut = true),
            Kind::Consumed { partition, first, last } => {
                self.consume(partition, (*first, *last), member, *at);
            }
            Kind::Committed { partition, offset } => {
                self.commit(partition, *offset, member, *at);
            }
            Kind::CommitFailed { partition, .. } => {
                self.verdict.commits.1 += 1;
                let log = self.logs.entry(partition.clone()).or_default();
                if let Some(tenure) = log.current(member, *at) {
                    log.tenures[tenure].commit_failed = true;
                }
            }
            Kind::Rewound { partition, to } => {
                let log = self.logs.entry(partition.clone()).or_default();
                log.committed = log.committed.min(*to);
                log.consumed.range_mut(to..).for_each(|(_, tenure)| *tenure = None);
            }
            Kind::Started | Kind::Produced { .. } => {}
        }
    }

    fn assign(&mut self, partition: &Partition, member: &Arc<str>, at: u64) {
        let log = self.logs.entry(partition.clone()).or_default();
        let open = |tenure: &Tenure| tenure.member == *member && tenure.end.is_none();
        if !log.tenures.iter().any(open) {
            let (member, start) = (member.clone(), at);
            log.tenures.push(Tenure { member, start, end: None, cut: false, commit_failed: false });
        }
    }

    /// The tenures that a member has now.
    fn open(&mut self, member: &Arc<str>) -> impl Iterator<Item = &mut Tenure> {
        let tenures = self.logs.values_mut().flat_map(|log| &mut log.tenures);
        tenures.filter(move |tenure| tenure.end.is_none() && tenure.member == *member)
    }

    /// Ends a member's tenures of these partitions, or of all.
    fn end(&mut self, of: Option<&Vec<Partition>>, member: &Arc<str>, at: u64, end: End) {
        for (partition, log) in &mut self.logs {
            if of.is_none_or(|of| of.contains(partition)) {
                let mine = |t: &&mut Tenure| t.end.is_none() && t.member == *member;
                log.tenures.iter_mut().filter(mine).for_each(|t| t.end = Some((at, end)));
            }
        }
    }

    fn consume(
        &mut self,
        partition: &Partition,
        (first, last): (i64, i64),
        by: &Arc<str>,
        at: u64,
    ) {
        let log = self.logs.entry(partition.clone()).or_default();
        let Some(tenure) = log.current(by, at) else {
            let (partition, member) = (partition.clone(), by.clone());
            let unowned = Violation::ConsumedUnowned { partition, first, member };
            self.verdict.violations.push(unowned);
            return;
        };
        for offset in first..=last {
            if let Some(Some(before)) = log.consumed.insert(offset, Some(tenure)) {
                let again = log.again.entry((before, tenure)).or_insert((offset, 0));
                *again = (again.0.min(offset), again.1 + 1);
            }
        }
    }

    fn commit(&mut self, partition: &Partition, offset: i64, by: &Arc<str>, at: u64) {
        self.verdict.commits.0 += 1;
        let log = self.logs.entry(partition.clone()).or_default();
        let tenure = log.current(by, at);
        if let Some(tenure) = tenure {
            log.tenures[tenure].commit_failed = false;
        }
        let (partition, member) = (partition.clone(), by.clone());
        // An answer that reaches a cut member late says nothing about the order of commits.
        let cut = tenure.is_some_and(|tenure| log.tenures[tenure].cut);
        let violation = if tenure.is_none() {
            Violation::CommittedUnowned { partition, offset, member }
        } else if let Some(covers) = ahead(log, offset) {
            Violation::CommitAhead { partition, offset, covers, member }
        } else if offset < log.committed && !cut {
            Violation::CommitWentBack { partition, from: log.committed, to: offset, member }
        } else {
            log.committed = log.committed.max(offset);
            return;
        };
        self.verdict.violations.push(violation);
    }

    fn unconsumed(&mut self, history: &History) {
        let mut left: BTreeMap<&Partition, (i64, usize)> = BTreeMap::new();
        for (partition, offset) in history.outstanding() {
            left.entry(partition).or_insert((*offset, 0)).1 += 1;
        }
        for (partition, (first, records)) in left {
            let partition = partition.clone();
            self.verdict.violations.push(Violation::Unconsumed { partition, first, records });
        }
    }
}

/// A record below `offset` that nobody had consumed. Offsets between records, which transactions
/// and compaction leave, may be covered, but not the end of what was consumed.
fn ahead(log: &Log, offset: i64) -> Option<i64> {
    let new = log.committed..offset.max(log.committed);
    let skipped = log.produced.range(new).map(|(offset, ())| *offset);
    let mut skipped = skipped.filter(|offset| !log.consumed.contains_key(offset));
    let next = log.consumed.last_key_value().map_or(0, |(last, _)| last + 1);
    skipped.next().or((offset > next.max(log.committed)).then_some(offset - 1))
}

fn owned_twice(partition: &Partition, log: &Log, verdict: &mut Verdict) {
    for (at, other) in log.tenures.iter().enumerate() {
        for owner in &log.tenures[..at] {
            // Both within one millisecond: the clock can't tell, and the hand-over took longer.
            let meanwhile = owner.end.is_none_or(|(end, _)| other.start < end);
            if meanwhile && owner.member != other.member && !owner.may_overlap() {
                verdict.violations.push(Violation::OwnedTwice {
                    partition: partition.clone(),
                    owner: owner.member.clone(),
                    other: other.member.clone(),
                    at: other.start,
                });
            }
        }
    }
}

fn consumed_twice(partition: &Partition, log: &Log, verdict: &mut Verdict) {
    for (&(before, after), &(first, records)) in &log.again {
        let (earlier, later) = (&log.tenures[before], &log.tenures[after]);
        let cause = if before == after {
            Cause::Redelivered
        } else if after < before && later.may_overlap() {
            // Whom the group had gone on without went on as well.
            later.excuse()
        } else {
            earlier.excuse()
        };
        *verdict.twice.entry(cause).or_default() += records;
        if cause == Cause::Clean {
            verdict.violations.push(Violation::ConsumedTwice {
                partition: partition.clone(),
                first,
                records,
                by: earlier.member.clone(),
                again_by: later.member.clone(),
            });
        }
    }
}
