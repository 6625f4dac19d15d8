//! The leases of this member, and how they end: drain, then commit, then give up (SPEC P6).

use alloc::vec::Vec;
use core::time::Duration;

use crate::clock::{Tick, Window, rebase};
use crate::machine::Machine;
use crate::{
    Event, LeaseChange, LeaseEnd, LeaseId, LossReason, Mark, Names, Output, Time, TopicPartition,
    Waiting,
};

/// Leases in the order of their grant.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Leases {
    next: u64,
    held: Vec<Lease>,
    /// Handed over while others of the same hand-over still drain; told together.
    handed: Vec<LeaseId>,
    /// How leases ended since the last assignment, for commits that come late.
    ended: Vec<(LeaseId, LeaseEnd)>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) partition: TopicPartition,
    pub(crate) stage: Stage,
    pub(crate) position: Position,
    /// Assigned by the application, so no rebalance takes it.
    pub(crate) by_hand: bool,
}

/// How far a lease is on its way out. `by` is its drain deadline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Stage {
    Active,
    Draining { by: Time },
    Committing { by: Time },
}

/// Whether it is known where a lease delivers from (SPEC L5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Position {
    Unknown,
    Fetching,
    Known,
}

impl Lease {
    pub(crate) fn is_active(&self) -> bool {
        self.stage == Stage::Active
    }

    pub(crate) fn waiting(&self) -> Option<Waiting> {
        match self.stage {
            Stage::Active => None,
            Stage::Draining { by } => Some(Waiting::Holds { by }),
            Stage::Committing { by } => Some(Waiting::Commit { by }),
        }
    }

    fn deadline(&self) -> Time {
        match self.stage {
            Stage::Active => Time::NEVER,
            Stage::Draining { by } | Stage::Committing { by } => by,
        }
    }
}

impl Leases {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.held.iter()
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = &Lease> {
        self.held.iter().filter(|lease| lease.is_active())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether a hand-over is under way.
    pub(crate) fn any_revoking(&self) -> bool {
        self.held.iter().any(|lease| !lease.is_active())
    }

    pub(crate) fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.held.iter().find(|lease| lease.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.held.iter_mut().find(|lease| lease.id == id)
    }

    /// The lease of a partition, also one on its way out: commits for it are still good.
    pub(crate) fn of(&self, partition: &TopicPartition) -> Option<&Lease> {
        self.held.iter().find(|lease| lease.partition == *partition)
    }

    /// How a lease that is not held ended, as far as it is remembered.
    pub(crate) fn end_of(&self, id: LeaseId) -> LeaseEnd {
        let known = self.ended.iter().find(|(ended, _)| *ended == id);
        known.map_or(LeaseEnd::NotHeld, |(_, end)| *end)
    }

    /// A new assignment: what ended before it is history.
    pub(crate) fn forget_ended(&mut self) {
        self.ended.clear();
    }

    fn remove(&mut self, id: LeaseId, end: LeaseEnd) {
        self.held.retain(|lease| lease.id != id);
        self.ended.push((id, end));
    }

    /// No two leases of one partition at a time: an incarnation must never meet the next (P14).
    pub(crate) fn assert_invariants(&self) {
        for (index, lease) in self.held.iter().enumerate() {
            let twin = self.held[..index].iter().find(|other| other.partition == lease.partition);
            debug_assert!(twin.is_none(), "{lease:?} and {twin:?}");
        }
    }

    pub(crate) fn speak(&self, names: &mut Names) {
        let held = self.held.iter().map(|lease| lease.id);
        held.chain(self.handed.iter().copied()).for_each(|lease| names.speak_of_lease(lease));
    }

    /// How a lease ended that nobody speaks of will not be asked any more.
    pub(crate) fn rename(&mut self, names: &Names) {
        self.next = names.next_lease();
        self.ended.retain(|(lease, _)| names.speaks_of(*lease));
        let held = self.held.iter_mut().map(|lease| &mut lease.id);
        let ended = self.ended.iter_mut().map(|(lease, _)| lease);
        for lease in held.chain(self.handed.iter_mut()).chain(ended) {
            *lease = names.lease(*lease);
        }
    }

    pub(crate) fn rebase(&mut self, by: Time) {
        for lease in &mut self.held {
            match &mut lease.stage {
                Stage::Active => {}
                Stage::Draining { by: end } | Stage::Committing { by: end } => rebase(end, by),
            }
        }
    }
}

impl Machine {
    /// Grants leases of partitions that are not held, and gives their names.
    pub(crate) fn grant(
        &mut self,
        partitions: Vec<TopicPartition>,
        by_hand: bool,
    ) -> Vec<(LeaseId, TopicPartition)> {
        let mut granted = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let id = LeaseId(self.leases.next);
            self.leases.next += 1;
            let (stage, position) = (Stage::Active, Position::Unknown);
            let lease = Lease { id, partition: partition.clone(), stage, position, by_hand };
            self.leases.held.push(lease);
            self.ledger.open(id, partition.clone());
            self.push(Output::Grant { lease: id, partition: partition.clone() });
            granted.push((id, partition));
        }
        self.changed();
        granted
    }

    /// Begins the hand-over of leases, or hastens it for those that are on their way out.
    pub(crate) fn revoke(&mut self, by: Time, fits: impl Fn(&Lease) -> bool) {
        let mut announced = Vec::new();
        let mut changes = Vec::new();
        for lease in self.leases.held.iter_mut().filter(|lease| fits(lease)) {
            match &mut lease.stage {
                stage @ Stage::Active => {
                    *stage = Stage::Draining { by };
                    announced.push(lease.id);
                }
                Stage::Draining { by: end } | Stage::Committing { by: end } if by < *end => {
                    *end = by;
                }
                Stage::Draining { .. } | Stage::Committing { .. } => continue,
            }
            changes.push(lease.id);
        }
        if changes.is_empty() {
            return;
        }
        // A straggler of a dead connection may have moved an offset back (SPEC C8).
        self.ledger.mend();
        if !announced.is_empty() {
            self.event(Event::Revoking { leases: announced, by });
        }
        for id in changes {
            self.push(Output::Lease(id, LeaseChange::Revoke { by }));
        }
        self.changed();
    }

    /// The last hold of a lease is gone. Its mark was read after that, so it covers all that
    /// was done; what was not done is delivered again by the next owner.
    pub(crate) fn drained(&mut self, id: LeaseId, mark: Option<Mark>) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        if let Stage::Draining { by } = lease.stage {
            lease.stage = Stage::Committing { by };
            if let (Some(mark), true) = (mark, self.config.auto_commit.is_some()) {
                self.ledger.mark(id, mark);
            }
            self.changed();
        }
    }

    /// Ends what is drained and committed, and what overran its deadline.
    pub(crate) fn step_leases(&mut self, tick: Tick) {
        if self.is_leaving() {
            let by = self.leave_drain_deadline(tick.now);
            self.revoke(by, |lease| lease.is_active());
        }
        let mut handed = Vec::new();
        let mut overrun = Vec::new();
        for lease in &self.leases.held {
            match lease.stage {
                Stage::Committing { .. } if !self.ledger.outstanding(lease.id) => {
                    handed.push(lease.id);
                }
                _ if tick.now >= lease.deadline() => overrun.push(lease.id),
                _ => {}
            }
        }
        for &id in &handed {
            self.end(id, LeaseEnd::Revoked, LeaseChange::End);
        }
        self.leases.handed.extend(handed);
        self.lose(overrun, LossReason::Overrun);
        if !self.leases.any_revoking() {
            self.tell_handed();
        }
    }

    fn tell_handed(&mut self) {
        let leases = core::mem::take(&mut self.leases.handed);
        if !leases.is_empty() {
            self.event(Event::Revoked { leases });
            self.changed();
        }
    }

    /// Loses every lease that the membership gave. Lost is not revoked: nothing is committed.
    pub(crate) fn lose_all(&mut self, reason: LossReason) {
        self.tell_handed();
        let all = self.leases.iter().filter(|lease| !lease.by_hand).map(|lease| lease.id).collect();
        self.lose(all, reason);
    }

    fn lose(&mut self, leases: Vec<LeaseId>, reason: LossReason) {
        if leases.is_empty() {
            return;
        }
        for &id in &leases {
            if let (LossReason::Overrun, Some(lease)) = (reason, self.leases.get(id)) {
                let partition = lease.partition.clone();
                self.note_overrun(partition);
            }
            self.end(id, LeaseEnd::Lost(reason), LeaseChange::Lose(reason));
        }
        self.event(Event::Lost { leases, reason });
    }

    fn end(&mut self, id: LeaseId, how: LeaseEnd, change: LeaseChange) {
        self.note_uncommitted(id);
        self.ledger.end(id, how);
        self.leases.remove(id, how);
        self.push(Output::Lease(id, change));
        self.changed();
    }

    /// When leases that a rebalance takes must be given up (SPEC H1): the sooner of our own
    /// drain timeout and the soonest moment at which the coordinator may stop waiting for us,
    /// less a margin for the last commit and the join.
    pub(crate) fn drain_deadline(&self, now: Time, rejoin_by: Time) -> Time {
        (now + self.config.drain_timeout).min(rejoin_by.saturating_sub(self.margin())).max(now)
    }

    /// What a last commit and a join are given: a tenth of the rebalance timeout, 3 s at most.
    pub(crate) fn margin(&self) -> Duration {
        (self.config.rebalance_timeout / 10).min(Duration::from_secs(3))
    }

    pub(crate) fn lease_windows(&self) -> impl Iterator<Item = Window> + '_ {
        let soonest = self.leases.iter().map(Lease::deadline).min().unwrap_or(Time::NEVER);
        let due = self.leases.active().next().map_or(Time::NEVER, |_| self.auto_commit);
        [Window::at(soonest), Window::at(due)].into_iter()
    }
}
