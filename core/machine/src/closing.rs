//! Leaving the group, and closing for good.
//!
//! Both drain, commit and hand over what is held, then tell the coordinator by the Control lane,
//! whatever the Join lane waits for. A close is bounded by its deadline (SPEC P10).

use alloc::vec::Vec;

use crate::clock::{Tick, Window, rebase};
use crate::lanes::{Sent, What};
use crate::machine::Machine;
use crate::membership::Want;
use crate::{
    Api, Cause, CloseOptions, CloseReport, ErrorCode, Lane, LeaseId, Leave, LeaveGroup,
    LeaveOutcome, Leaver, Left, Name, Names, Outcome, Phase, Request, TicketId, Time,
    TopicPartition, Verdict, judge,
};

/// A close under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Closing {
    /// Who waits for it. May be nobody: a close whose caller went away goes on.
    tickets: Vec<TicketId>,
    deadline: Time,
    leave: Leave,
    /// Whether the coordinator has been dealt with.
    left: bool,
    report: CloseReport,
}

impl Closing {
    pub(crate) fn rebase(&mut self, by: Time) {
        rebase(&mut self.deadline, by);
    }

    pub(crate) fn speak(&self, names: &mut Names) {
        self.tickets.iter().for_each(|ticket| names.speak_of_ticket(*ticket));
    }

    pub(crate) fn rename(&mut self, names: &Names) {
        self.tickets.iter_mut().for_each(|ticket| *ticket = names.ticket(*ticket));
    }
}

impl Machine {
    pub(crate) fn close(&mut self, now: Time, ticket: TicketId, options: CloseOptions) {
        let deadline = now + options.deadline;
        match &mut self.closing {
            // Closing twice is one close; the more patient of two callers gets no longer.
            Some(closing) => {
                closing.tickets.push(ticket);
                closing.deadline = closing.deadline.min(deadline);
            }
            None => {
                let report = CloseReport::default();
                let (tickets, leave) = (Vec::from([ticket]), options.leave);
                self.closing = Some(Closing { tickets, deadline, leave, left: false, report });
            }
        }
        let by = self.leave_drain_deadline(now);
        self.revoke(by, |_| true);
        self.changed();
    }

    pub(crate) fn drop_closer(&mut self, ticket: TicketId) -> bool {
        let Some(closing) = &mut self.closing else { return false };
        let before = closing.tickets.len();
        closing.tickets.retain(|closer| *closer != ticket);
        closing.tickets.len() < before
    }

    /// Whether the group is to be left: for good, until the next subscription, or until the
    /// application polls again.
    pub(crate) fn is_leaving(&self) -> bool {
        let member = !self.member.id.is_empty()
            || self.lanes.is_out(|what| matches!(what, What::Join))
            || !matches!(self.phase, Phase::Idle | Phase::Failed | Phase::Closed);
        self.closing.is_some() || (member && (self.absent || self.want == Want::Nothing))
    }

    /// Until when what is held may be held: enough is left for the last commit and the leave.
    pub(crate) fn leave_drain_deadline(&self, now: Time) -> Time {
        let by = now + self.config.drain_timeout;
        match &self.closing {
            Some(closing) => {
                let margin = self.margin().min(closing.deadline.since(now) / 4);
                by.min(closing.deadline.saturating_sub(margin)).max(now)
            }
            None => by,
        }
    }

    /// Leaves once everything is handed over and every commit is answered.
    pub(crate) fn step_leave(&mut self, tick: Tick) {
        let done = self.closing.as_ref().is_some_and(|closing| closing.left);
        if !self.is_leaving() || done || self.leases.any_revoking() || self.ledger.in_flight() {
            return;
        }
        if self.leases.iter().any(|lease| !lease.by_hand) {
            return;
        }
        if self.member.id.is_empty() {
            // A first JoinGroup is answered at once with the id that must be given back.
            if !self.lanes.is_out(|what| *what == What::Join) {
                self.gone(LeaveOutcome::Stayed);
            }
        } else if !self.tells_coordinator() {
            self.gone(LeaveOutcome::Stayed);
        } else if self.coordinator.is_some()
            && self.lanes.is_free(Lane::Control)
            && self.discovery.is_over(tick)
        {
            let request = Request::LeaveGroup(self.leave_request());
            self.send(tick.now, Lane::Control, request, What::Leave);
            self.give_up_round();
        }
    }

    /// From here on the coordinator may take us for gone: no round that is still answered, and no
    /// heartbeat, is ours any more. Only the id is kept, until it is certain (SPEC P15).
    fn give_up_round(&mut self) {
        self.forget_generation();
        if self.phase != Phase::Failed {
            self.set_phase(Phase::Idle);
        }
    }

    fn tells_coordinator(&self) -> bool {
        match self.closing.as_ref().map_or(Leave::Default, |closing| closing.leave) {
            Leave::Default => self.config.instance.is_none(),
            Leave::Leave => true,
            Leave::Stay => false,
        }
    }

    fn leave_request(&self) -> LeaveGroup {
        let reason = match (&self.closing, self.absent) {
            (Some(_), _) => "the consumer is being closed",
            (None, true) => "no poll within the max poll interval",
            (None, false) => "the consumer unsubscribed",
        };
        let leaver = Leaver {
            member: self.member.id.clone(),
            instance: self.config.instance.clone(),
            reason: Some(Name::from(reason)),
        };
        LeaveGroup { group: self.config.group.clone(), members: Vec::from([leaver]) }
    }

    pub(crate) fn left(&mut self, now: Time, sent: &Sent, answer: Result<Left, Cause>) {
        let error = match answer {
            Ok(left) if !left.error.is_none() => left.error,
            Ok(left) => left.members.first().map_or(ErrorCode::None, |(_, _, error)| *error),
            Err(cause) => {
                // Leaving twice does no harm, so what may have been lost is said again.
                self.discovery.failed(now, self.config.retry_backoff);
                return self.unanswered(sent, cause);
            }
        };
        match judge(Api::LeaveGroup, error) {
            Verdict::Fine => self.gone(LeaveOutcome::Left),
            Verdict::Retry | Verdict::Rediscover => {
                self.discovery.failed(now, self.config.retry_backoff);
                self.unanswered(sent, Cause::Error(error));
            }
            _ => self.gone(LeaveOutcome::Refused(error)),
        }
    }

    /// No member any more.
    fn gone(&mut self, leave: LeaveOutcome) {
        if let Some(closing) = &mut self.closing {
            closing.left = true;
            closing.report.leave = leave;
        }
        self.member.id = Name::from("");
        self.rejoin = None;
        self.joining.succeeded();
        self.give_up_round();
    }

    /// Closed: when all is done, or at the deadline with a report of what is not.
    pub(crate) fn step_close(&mut self, tick: Tick) {
        let Some(closing) = &self.closing else { return };
        let late = tick.now >= closing.deadline;
        if !(late || (closing.left && self.leases.is_empty())) {
            return;
        }
        let by = tick.now;
        if late {
            // Each lease that is still there overran the deadline of the close itself.
            self.revoke(by, |_| true);
            self.step_leases(tick);
        }
        let Some(mut closing) = self.closing.take() else { return };
        if !closing.left {
            closing.report.leave = match self.member.id.is_empty() {
                true => LeaveOutcome::Stayed,
                false => LeaveOutcome::Unanswered,
            };
        }
        self.ledger.close_off();
        self.end_lookups();
        for ticket in closing.tickets {
            self.resolve(ticket, Outcome::Closed(closing.report.clone()));
        }
        self.forget_generation();
        self.set_phase(Phase::Closed);
        self.closed = Some(closing.report);
    }

    /// For the report of a close: somebody still held it.
    pub(crate) fn note_overrun(&mut self, partition: TopicPartition) {
        if let Some(closing) = &mut self.closing {
            closing.report.overrun.push(partition);
        }
    }

    /// For the report of a close: its last commit came to nothing certain.
    pub(crate) fn note_uncommitted(&mut self, id: LeaseId) {
        let Some(failure) = self.ledger.last_failure(id) else { return };
        let partition = self.leases.get(id).map(|lease| lease.partition.clone());
        if let (Some(closing), Some(partition)) = (&mut self.closing, partition) {
            closing.report.uncommitted.push((partition, failure));
        }
    }

    pub(crate) fn closing_windows(&self) -> [Window; 2] {
        let deadline = self.closing.as_ref().map_or(Time::NEVER, |closing| closing.deadline);
        let leaving = self.is_leaving() && !self.member.id.is_empty();
        let again = if leaving { self.discovery.until() } else { Window::NEVER };
        [Window::at(deadline), again]
    }
}
