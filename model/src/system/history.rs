//! What no member and no broker remembers, and the invariants need.

use handover_machine::PartitionOutcome;

use super::setup::Setup;
use super::violation::{Property, Violation};

/// The past, as far as it decides whether the next step is right.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct History {
    /// By partition.
    partitions: Vec<Partition>,
    /// How often time may still pass although a message could arrive.
    pub(super) delays: u8,
    /// How many members may still die.
    pub(super) crashes: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Partition {
    /// The member to which the last plan that named the partition gave it.
    owner: Option<usize>,
    /// The highest offset that was ever committed.
    high: i64,
    /// Who committed that first.
    writer: Option<usize>,
    /// Up to where a member handed the partition over: nobody consumes that again.
    handed: i64,
    /// Whose request of a dead connection moved the committed offset back, until it is forward
    /// again or another lease began where it stands.
    rewound_by: Option<usize>,
    /// That member began to hand over after it, and owes a commit.
    owed: bool,
    /// Which members have a lease that began to deliver, a bit for each.
    started: u8,
}

/// What a member's driver saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fact {
    /// The hand-over of a lease began.
    Revoking(i32),
    /// A lease was lost.
    Lost(i32),
    /// A lease was handed over; the application had done everything below this.
    HandedOver(i32, Option<i64>),
    /// A lease begins to deliver from here.
    Starts(i32, i64),
    /// The application was told what became of a commit of this offset.
    Told(i32, i64, PartitionOutcome),
}

/// A commit that the coordinator accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Accepted {
    pub(super) member: usize,
    pub(super) partition: i32,
    pub(super) before: i64,
    pub(super) offset: i64,
    /// It came over a connection that was closed already.
    pub(super) stray: bool,
}

impl History {
    pub(super) fn new(setup: &Setup) -> History {
        let partition = Partition {
            owner: None,
            high: -1,
            writer: None,
            handed: 0,
            rewound_by: None,
            owed: false,
            started: 0,
        };
        let partitions = vec![partition; setup.partitions as usize];
        History { partitions, delays: setup.delays, crashes: setup.crashes }
    }

    /// Whether the committed offset of a partition is what it should be.
    pub(super) fn stands(&self, partition: i32, committed: i64) -> bool {
        let known = &self.partitions[partition as usize];
        known.rewound_by.is_some() || committed == known.high
    }

    /// A leader's plan was taken: it names the owner of each partition in it.
    pub(super) fn planned(&mut self, partition: i32, member: usize) {
        self.partitions[partition as usize].owner = Some(member);
    }

    pub(super) fn crashed(&mut self, member: usize) {
        self.crashes -= 1;
        self.partitions.iter_mut().for_each(|known| known.started &= !(1 << member));
    }

    pub(super) fn accepted(&mut self, commit: Accepted) -> Result<(), Violation> {
        let Accepted { member, partition, before, offset, stray } = commit;
        let known = &mut self.partitions[partition as usize];
        if known.owner != Some(member) {
            let what = format!(
                "member {member} committed {offset} of partition {partition}, which the last plan \
                 gave to {:?}",
                known.owner
            );
            return Err(Violation::new(Property::OneCommitter, what));
        }
        if offset < before && !stray {
            let what = format!(
                "member {member} moved partition {partition} back from {before} to {offset}"
            );
            return Err(Violation::new(Property::NoRewind, what));
        }
        if offset < before {
            known.rewound_by = Some(member);
            known.handed = known.handed.min(offset);
        } else if offset >= known.high {
            (known.rewound_by, known.owed) = (None, false);
        }
        if offset > known.high {
            (known.high, known.writer) = (offset, Some(member));
        }
        Ok(())
    }

    pub(super) fn saw(&mut self, member: usize, fact: Fact) -> Result<(), Violation> {
        match fact {
            Fact::Revoking(partition) => {
                let known = &mut self.partitions[partition as usize];
                let started = known.started & (1 << member) > 0;
                known.owed |= started && known.rewound_by == Some(member);
                Ok(())
            }
            Fact::Lost(partition) => {
                self.partitions[partition as usize].started &= !(1 << member);
                Ok(())
            }
            Fact::HandedOver(partition, done) => self.handed_over(member, partition, done),
            Fact::Starts(partition, at) => self.starts(member, partition, at),
            Fact::Told(partition, offset, outcome) => self.told(member, partition, offset, outcome),
        }
    }

    fn handed_over(
        &mut self,
        member: usize,
        partition: i32,
        done: Option<i64>,
    ) -> Result<(), Violation> {
        let known = &mut self.partitions[partition as usize];
        let done = done.unwrap_or(0);
        if done > known.high.max(0) {
            let what = format!(
                "member {member} handed partition {partition} over with {done} done and {} \
                 committed",
                known.high
            );
            return Err(Violation::new(Property::MarksCovered, what));
        }
        if known.owed {
            let what = format!(
                "member {member} handed partition {partition} over where its own straggler left it"
            );
            return Err(Violation::new(Property::Mended, what));
        }
        known.started &= !(1 << member);
        if known.rewound_by.is_none() {
            known.handed = known.handed.max(done);
        }
        Ok(())
    }

    fn starts(&mut self, member: usize, partition: i32, at: i64) -> Result<(), Violation> {
        let known = &mut self.partitions[partition as usize];
        if at < known.handed {
            let what = format!(
                "member {member} starts at {at} of partition {partition}, which was handed over \
                 at {}",
                known.handed
            );
            return Err(Violation::new(Property::NothingTwice, what));
        }
        if known.rewound_by.is_some() {
            known.high = at;
        }
        (known.rewound_by, known.owed) = (None, false);
        known.started |= 1 << member;
        Ok(())
    }

    fn told(
        &self,
        member: usize,
        partition: i32,
        offset: i64,
        outcome: PartitionOutcome,
    ) -> Result<(), Violation> {
        let known = &self.partitions[partition as usize];
        let there = known.high >= offset;
        let ours = known.high == offset && known.writer == Some(member);
        let honest = match outcome {
            PartitionOutcome::Committed { at } => there && at <= known.high && at >= offset,
            PartitionOutcome::Fenced(_)
            | PartitionOutcome::Withdrawn
            | PartitionOutcome::Rejected(_) => !ours,
            PartitionOutcome::Unknown => true,
        };
        if honest {
            return Ok(());
        }
        let what = format!(
            "member {member} was told that its commit of {offset} is {outcome}; the highest of \
             partition {partition} is {}, by {:?}",
            known.high, known.writer
        );
        Err(Violation::new(Property::HonestOutcome, what))
    }
}
