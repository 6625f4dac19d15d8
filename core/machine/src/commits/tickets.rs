//! The calls that wait for their outcome.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;

use super::ResolvedEntry;
use super::entry::Owner;
use crate::clock::rebase;
use crate::{LeaseId, Names, PartitionOutcome, TicketId, Time, TopicPartition};

/// Collects one outcome for each entry of each call, and gives a call out when it has them all
/// (SPEC C1).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Tickets {
    open: BTreeMap<TicketId, Ticket>,
    /// The deadlines of `open`, soonest first.
    deadlines: BTreeSet<(Time, TicketId)>,
    resolved: VecDeque<(TicketId, Vec<(TopicPartition, PartitionOutcome)>)>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Ticket {
    deadline: Time,
    slots: Vec<Slot>,
    /// How many slots have no outcome.
    unsettled: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Slot {
    partition: TopicPartition,
    /// Where the entry waits; the fenced ones have none.
    lease: Option<LeaseId>,
    outcome: Option<PartitionOutcome>,
}

impl Tickets {
    pub(super) fn open(&mut self, ticket: TicketId, entries: &[ResolvedEntry], deadline: Time) {
        debug_assert!(!self.open.contains_key(&ticket), "{ticket:?} is never reused");
        if entries.is_empty() {
            self.resolved.push_back((ticket, Vec::new()));
            return;
        }
        let slot = |e: &ResolvedEntry| Slot {
            partition: e.partition.clone(),
            lease: e.lease.ok(),
            outcome: None,
        };
        let slots: Vec<Slot> = entries.iter().map(slot).collect();
        self.deadlines.insert((deadline, ticket));
        self.open.insert(ticket, Ticket { deadline, unsettled: slots.len(), slots });
    }

    /// Writes the outcome of one entry down. The last one resolves the call.
    pub(super) fn settle(&mut self, owner: Owner, outcome: PartitionOutcome) {
        let Owner::Ticket(id, index) = owner else { return };
        let Some(ticket) = self.open.get_mut(&id) else { return };
        let Some(slot @ Slot { outcome: None, .. }) = ticket.slots.get_mut(index) else { return };
        slot.outcome = Some(outcome);
        ticket.unsettled -= 1;
        if ticket.unsettled > 0 {
            return;
        }
        if let Some(ticket) = self.open.remove(&id) {
            self.deadlines.remove(&(ticket.deadline, id));
            let outcome = |slot: Slot| slot.outcome.map(|outcome| (slot.partition, outcome));
            self.resolved.push_back((id, ticket.slots.into_iter().filter_map(outcome).collect()));
        }
    }

    /// The entries of a call that have no outcome, and where they wait.
    pub(super) fn unsettled(&self, ticket: TicketId) -> Vec<(usize, LeaseId)> {
        let slots = self.open.get(&ticket).map_or(&[][..], |ticket| &ticket.slots);
        let open = slots.iter().enumerate().filter(|(_, slot)| slot.outcome.is_none());
        open.filter_map(|(index, slot)| Some((index, slot.lease?))).collect()
    }

    pub(super) fn poll_resolved(
        &mut self,
    ) -> Option<(TicketId, Vec<(TopicPartition, PartitionOutcome)>)> {
        self.resolved.pop_front()
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.deadlines.first().map_or(Time::NEVER, |(at, _)| *at)
    }

    /// A call whose deadline is not after `now`.
    pub(super) fn due(&self, now: Time) -> Option<TicketId> {
        let (at, ticket) = self.deadlines.first()?;
        (*at <= now).then_some(*ticket)
    }

    pub(super) fn rebase(&mut self, by: Time) {
        for ticket in self.open.values_mut() {
            rebase(&mut ticket.deadline, by);
        }
        for (mut at, ticket) in mem::take(&mut self.deadlines) {
            rebase(&mut at, by);
            self.deadlines.insert((at, ticket));
        }
    }

    pub(super) fn speak(&self, names: &mut Names) {
        self.open.keys().for_each(|ticket| names.speak_of_ticket(*ticket));
    }

    pub(super) fn rename(&mut self, names: &Names) {
        let open = mem::take(&mut self.open).into_iter();
        self.open = open.map(|(id, ticket)| (names.ticket(id), ticket)).collect();
        for slot in self.open.values_mut().flat_map(|ticket| &mut ticket.slots) {
            // Where an entry waited that has its outcome is nothing that anybody asks.
            let open = slot.outcome.is_none();
            slot.lease = slot.lease.filter(|_| open).map(|lease| names.lease(lease));
        }
        let deadlines = self.deadlines.iter();
        self.deadlines = deadlines.map(|(at, id)| (*at, names.ticket(*id))).collect();
    }

    /// `owners`: of all entries that wait. Each open slot has exactly one.
    pub(super) fn invariants(&self, mut owners: Vec<Owner>) {
        owners.retain(|owner| matches!(owner, Owner::Ticket(..)));
        owners.sort_unstable();
        let slots = |(id, ticket): (&TicketId, &Ticket)| -> Vec<Owner> {
            debug_assert!(ticket.unsettled > 0, "{id:?} is resolved");
            debug_assert!(self.deadlines.contains(&(ticket.deadline, *id)), "{id:?} has an end");
            let open = self.unsettled(*id);
            debug_assert_eq!(open.len(), ticket.unsettled, "{id:?} counts its open entries");
            open.into_iter().map(|(slot, _)| Owner::Ticket(*id, slot)).collect()
        };
        let open: Vec<Owner> = self.open.iter().flat_map(slots).collect();
        debug_assert_eq!(owners, open, "each open slot has one entry");
        debug_assert_eq!(self.deadlines.len(), self.open.len(), "one deadline for each call");
    }
}
