//! Equal futures, equal states: what the exact search compares (SPEC X1).

use alloc::collections::BTreeSet;

use crate::clock::rebase;
use crate::machine::Machine;
use crate::{LeaseId, TicketId, Time};

/// The leases and tickets that somebody still speaks of. The canonical name of one is its rank
/// among them, so names stay small and keep their order however long a machine runs.
///
/// ```
/// use handover_machine::{LeaseId, Names};
///
/// let mut names = Names::default();
/// names.speak_of_lease(LeaseId(7));
/// names.speak_of_lease(LeaseId(3));
/// assert_eq!(names.lease(LeaseId(7)), LeaseId(1));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    leases: BTreeSet<LeaseId>,
    tickets: BTreeSet<TicketId>,
}

impl Names {
    /// Keeps a lease apart from all others.
    pub fn speak_of_lease(&mut self, lease: LeaseId) {
        self.leases.insert(lease);
    }

    /// Keeps a ticket apart from all others.
    pub fn speak_of_ticket(&mut self, ticket: TicketId) {
        self.tickets.insert(ticket);
    }

    /// The canonical name of a lease.
    pub fn lease(&self, lease: LeaseId) -> LeaseId {
        LeaseId(self.leases.range(..lease).count() as u64)
    }

    /// The canonical name of a ticket.
    pub fn ticket(&self, ticket: TicketId) -> TicketId {
        TicketId(self.tickets.range(..ticket).count() as u64)
    }

    /// The canonical name of the lease that is granted next.
    pub(crate) fn next_lease(&self) -> u64 {
        self.leases.len() as u64
    }

    pub(crate) fn speaks_of(&self, lease: LeaseId) -> bool {
        self.leases.contains(&lease)
    }
}

impl Machine {
    /// This machine as if `now` were [`Time::ZERO`]: every moment that it keeps is a deadline, so
    /// all count from now, and what is past is past.
    ///
    /// Two machines with equal canonical forms behave equally from here on, whenever they are.
    pub fn canonical(&self, now: Time) -> Machine {
        let mut same = self.clone();
        same.joining.rebase(now);
        same.discovery.rebase(now);
        same.beat.rebase(now);
        same.beat.forget_spent_steps(same.config.heartbeat_interval);
        same.leases.rebase(now);
        same.ledger.rebase(now);
        same.offsets.rebase(now);
        same.round.rebase(now);
        same.lanes.rebase(now);
        rebase(&mut same.poll_by, now);
        rebase(&mut same.auto_commit, now);
        if let Some(closing) = &mut same.closing {
            closing.rebase(now);
        }
        same.forget_revision();
        same.forget_wake();
        same
    }

    /// This machine with canonical names for all that it counts: leases, tickets, requests,
    /// plans, identities.
    ///
    /// `outside` holds the leases and tickets that others speak of; the machine adds its own.
    /// Afterwards the others must rename theirs by it too, call each request that is out by the
    /// number of its lane, and have no plan under way.
    pub fn renamed(mut self, outside: &mut Names) -> Machine {
        self.leases.speak(outside);
        self.ledger.speak(outside);
        self.offsets.speak(outside);
        self.lanes.speak(outside);
        if let Some(closing) = &self.closing {
            closing.speak(outside);
        }
        self.leases.rename(outside);
        self.ledger.rename(outside);
        self.offsets.rename(outside);
        let (epoch, attempt) = (self.member.epoch, self.member.attempt);
        self.lanes.rename(outside, epoch, attempt);
        (self.member.epoch, self.member.attempt) = (1, 1);
        self.round.number = 0;
        if let Some(closing) = &mut self.closing {
            closing.rename(outside);
        }
        self
    }
}
