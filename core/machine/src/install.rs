//! An assignment arrives: what is new is granted, what is gone is handed over.

use alloc::{collections::BTreeSet, vec::Vec};

use crate::assign::Assignment;
use crate::lanes::Sent;
use crate::machine::Machine;
use crate::membership::{PROTOCOL_TYPE, Want};
use crate::{Cause, Event, Name, Notice, Phase, Synced, Time, TopicPartition};

impl Machine {
    /// The round is complete (Java: `ConsumerCoordinator.onJoinComplete`).
    pub(crate) fn install(&mut self, now: Time, sent: &Sent, synced: Synced) {
        let kind = synced.protocol_type.as_deref().is_none_or(|kind| kind == PROTOCOL_TYPE);
        let protocol = synced.protocol.is_none() || synced.protocol == self.round.protocol;
        let assignment = Assignment::decode(&synced.assignment);
        let Some(assignment) = assignment.ok().filter(|_| kind && protocol) else {
            self.unanswered(sent, Cause::Malformed);
            self.joining.failed(now, self.config.retry_backoff);
            self.rejoin = Some(Name::from("the assignment could not be read"));
            self.set_phase(Phase::Preparing);
            return;
        };
        self.set_phase(Phase::Stable);
        let heard = self.heard_at(now);
        self.beat.quicken(now, heard, self.config.heartbeat_interval);
        self.leases.forget_ended();
        let wanted = self.wanted(assignment.partitions);
        self.hand_out(now, wanted);
    }

    /// The partitions of an assignment that may become leases. A subscription that changed
    /// while the round ran brings another round, so its former topics are left alone.
    fn wanted(&mut self, partitions: Vec<TopicPartition>) -> BTreeSet<TopicPartition> {
        let given = partitions.len();
        let sane: BTreeSet<TopicPartition> =
            partitions.into_iter().filter(|p| p.partition >= 0 && !p.topic.is_empty()).collect();
        if sane.len() < given {
            self.notice(Notice::OddAssignment);
        }
        match &self.want {
            Want::Topics(topics) => {
                sane.into_iter().filter(|p| topics.contains(&p.topic)).collect()
            }
            Want::Nothing | Want::ByHand => BTreeSet::new(),
        }
    }

    fn hand_out(&mut self, now: Time, assigned: BTreeSet<TopicPartition>) {
        let generation = self.member.generation;
        // The coordinator waits for nobody between two rounds; the next one starts its clock
        // after this answer at the earliest.
        let by = self.drain_deadline(now, self.heard_at(now).rejoin_by);
        let mut taken = false;
        for lease in self.leases.active() {
            taken |= !lease.by_hand && !assigned.contains(&lease.partition);
        }
        self.round.followup = taken;
        self.revoke(by, |lease| !lease.by_hand && !assigned.contains(&lease.partition));
        let new = match self.is_leaving() {
            true => Vec::new(),
            false => assigned.into_iter().filter(|p| self.leases.of(p).is_none()).collect(),
        };
        let leases = self.grant(new, false);
        if self.auto_commit == Time::NEVER {
            self.restart_auto_commit(now);
        }
        // Told once for each rebalance, also when nothing is new (SPEC E6).
        self.event(Event::Assigned { generation, leases });
    }
}
