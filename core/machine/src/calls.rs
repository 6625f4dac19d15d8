//! What the application asks for.

use alloc::{collections::BTreeSet, vec::Vec};

use crate::commits::ResolvedEntry;
use crate::machine::Machine;
use crate::membership::Want;
use crate::{
    Call, CommitEntry, CommitTarget, Event, Input, LeaseEnd, LeaseId, Mark, Name, Outcome, Output,
    PartitionOutcome, Phase, SeekTo, Start, TicketId, Time, TopicPartition,
};

impl Machine {
    pub(crate) fn call(&mut self, now: Time, ticket: TicketId, call: Call) {
        match call {
            Call::Subscribe(topics) => self.subscribe(now, ticket, topics),
            Call::Assign(partitions) => self.assign_by_hand(now, ticket, partitions),
            Call::Commit { entries, timeout } => {
                let entries = entries.into_iter().map(|entry| self.locate(entry)).collect();
                self.ledger.commit(now, ticket, entries, now + timeout);
                self.changed();
            }
            Call::Committed { partitions, timeout } => {
                self.look_up(ticket, partitions, now + timeout);
            }
            Call::Seek { partition, to } => self.seek(ticket, &partition, to),
            Call::Rejoin { reason } => {
                if matches!(self.want, Want::Topics(_)) {
                    self.revive();
                    self.want_rejoin(&reason);
                }
                self.resolve(ticket, Outcome::Done);
            }
            Call::Close(options) => self.close(now, ticket, options),
        }
    }

    fn subscribe(&mut self, now: Time, ticket: TicketId, topics: Vec<Name>) {
        if self.want == Want::ByHand {
            return self.resolve(ticket, Outcome::Withdrawn);
        }
        let topics: BTreeSet<Name> = topics.into_iter().collect();
        let want = if topics.is_empty() { Want::Nothing } else { Want::Topics(topics) };
        if want != self.want {
            self.want = want;
            self.want_rejoin("the subscription changed");
        }
        self.revive();
        self.polled_at(now);
        self.changed();
        self.resolve(ticket, Outcome::Done);
    }

    /// The application has done something about what failed.
    fn revive(&mut self) {
        if self.phase == Phase::Failed {
            self.joining.succeeded();
            self.set_phase(Phase::Idle);
        }
    }

    fn assign_by_hand(&mut self, now: Time, ticket: TicketId, partitions: Vec<TopicPartition>) {
        if matches!(self.want, Want::Topics(_)) {
            return self.resolve(ticket, Outcome::Withdrawn);
        }
        self.want = Want::ByHand;
        let wanted: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        let by = now + self.config.drain_timeout;
        self.revoke(by, |lease| !wanted.contains(&lease.partition));
        let new = wanted.into_iter().filter(|p| self.leases.of(p).is_none()).collect();
        let leases = self.grant(new, true);
        self.restart_auto_commit(now);
        if self.config.group.is_empty() {
            for (lease, _) in &leases {
                self.position(*lease, Start::Reset);
            }
        }
        self.event(Event::Assigned { generation: -1, leases });
        self.resolve(ticket, Outcome::Done);
    }

    /// Finds the lease that an offset belongs to, or says how it ended.
    fn locate(&self, entry: CommitEntry) -> ResolvedEntry {
        let (partition, lease) = match entry.target {
            CommitTarget::Lease(id, partition) => match self.leases.get(id) {
                Some(lease) => (lease.partition.clone(), Ok(id)),
                None => (partition, Err(self.leases.end_of(id))),
            },
            CommitTarget::Partition(partition) => {
                let lease = self.leases.of(&partition).map(|lease| lease.id);
                (partition, lease.ok_or(LeaseEnd::NotHeld))
            }
        };
        let CommitEntry { mark, metadata, rewind, .. } = entry;
        ResolvedEntry { partition, lease, mark, metadata, rewind }
    }

    /// Where it is known: a late answer to an offset fetch must not overwrite it.
    fn seek(&mut self, ticket: TicketId, partition: &TopicPartition, to: SeekTo) {
        let lease = self.leases.of(partition).filter(|lease| lease.is_active());
        let Some(id) = lease.map(|lease| lease.id) else {
            return self.resolve(ticket, Outcome::Seek(Err(LeaseEnd::NotHeld)));
        };
        // To the beginning or the end: which offset that is, the data path tells by `Moved`.
        if let SeekTo::Offset(offset) = to {
            self.ledger.rewind(id, offset);
        }
        self.position(id, Start::Seek(to));
        self.changed();
        self.resolve(ticket, Outcome::Seek(Ok(())));
    }

    pub(crate) fn moved(&mut self, lease: LeaseId, to: i64) {
        self.ledger.rewind(lease, to);
    }

    pub(crate) fn expire_auto_commit(&mut self, now: Time) {
        if now >= self.auto_commit && self.leases.active().next().is_some() {
            self.push(Output::ReadMarks);
            self.restart_auto_commit(now);
        }
    }

    pub(crate) fn restart_auto_commit(&mut self, now: Time) {
        self.auto_commit = self.config.auto_commit.map_or(Time::NEVER, |every| now + every);
    }

    pub(crate) fn marks_read(&mut self, marks: Vec<(LeaseId, Mark)>) {
        for (lease, mark) in marks {
            if self.leases.get(lease).is_some() {
                self.ledger.mark(lease, mark);
            }
        }
        self.changed();
    }

    /// Withdraws a call. What was sent finishes in its order; nobody is told (SPEC P2).
    pub(crate) fn cancel(&mut self, ticket: TicketId) {
        self.ledger.cancel(ticket);
        if self.drop_lookup(ticket) || self.drop_closer(ticket) {
            self.resolve(ticket, Outcome::Withdrawn);
        }
        self.changed();
    }

    /// After the close only calls are answered.
    pub(crate) fn refuse(&mut self, input: Input) {
        let Input::Call { ticket, call } = input else { return };
        let outcome = match call {
            Call::Close(_) => Outcome::Closed(self.closed.clone().unwrap_or_default()),
            Call::Commit { entries, .. } => Outcome::Commit(
                entries
                    .into_iter()
                    .map(|entry| self.locate(entry))
                    .map(|entry| (entry.partition, PartitionOutcome::Withdrawn))
                    .collect(),
            ),
            Call::Seek { .. } => Outcome::Seek(Err(LeaseEnd::NotHeld)),
            _ => Outcome::Withdrawn,
        };
        self.resolve(ticket, outcome);
    }
}
