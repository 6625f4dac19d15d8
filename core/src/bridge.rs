//! The bridge between the machine and the shared memory: mail goes in as inputs, outputs are
//! applied to leases, queues and tickets. Everything but the link, so everything that must end
//! when the driver does (SPEC D1).

use std::collections::BTreeMap;
use std::mem;
use std::task::{Context, Poll};

use handover_machine::{
    Call, CloseOptions, CloseReport, Event, Input, Lane, LeaseChange, LeaseId, LossReason, Machine,
    Mark, Notice, Outcome, Output, TicketId, Time,
};

use crate::link::Outgoing;
use crate::random::Random;
use crate::shared::assignments::{Assign, Desk};
use crate::shared::deliveries::Queue;
use crate::shared::events::EventQueue;
use crate::shared::lease::{Hold, Lease};
use crate::shared::liveness::Seen;
use crate::shared::mailbox::{Letter, Mail};
use crate::shared::notices::Ring;
use crate::shared::ticket::Resolver;
use crate::status::Board;
use crate::sync::Arc;

/// The ends of the shared pieces that belong to the driver.
pub(crate) struct Ends<B> {
    pub(crate) board: Arc<Board>,
    pub(crate) queue: Arc<Queue<B>>,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) notices: Arc<Ring>,
    pub(crate) assignments: Arc<Desk>,
}

pub(crate) struct Bridge<B> {
    machine: Machine,
    ends: Ends<B>,
    /// Leases from their grant to their end.
    leases: BTreeMap<LeaseId, Lease>,
    /// Calls that have no outcome yet.
    tickets: BTreeMap<TicketId, Resolver<Outcome>>,
    /// The next request of each lane. The machine has one out a lane (SPEC J3).
    requests: [Option<Outgoing>; 3],
    /// Events of the outputs that are being applied: told when all of them are, so that whoever
    /// is told of a change finds it made.
    untold: Vec<(Event, Vec<Lease>, Vec<Hold>)>,
    /// When the machine wants to be woken.
    timer: Option<Time>,
    random: Random,
    /// The machine asked for the marks.
    marks_wanted: bool,
    polls: Seen,
    /// The revision of the status that was published last.
    published: Option<u64>,
    stopped: bool,
}

impl<B> Bridge<B> {
    pub(crate) fn new(machine: Machine, ends: Ends<B>, random: Random) -> Bridge<B> {
        Bridge {
            machine,
            ends,
            leases: BTreeMap::new(),
            tickets: BTreeMap::new(),
            requests: [const { None }; 3],
            untold: Vec::new(),
            timer: None,
            random,
            marks_wanted: false,
            polls: Seen::default(),
            published: None,
            stopped: false,
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether the member was closed in order.
    pub(crate) fn is_closed(&self) -> bool {
        self.machine.is_closed()
    }

    pub(crate) fn timer(&self) -> Option<Time> {
        self.timer
    }

    pub(crate) fn next_request(&mut self, lane: Lane) -> &mut Option<Outgoing> {
        &mut self.requests[lane as usize]
    }

    /// At the beginning of each poll: who polls, and whether the application did.
    pub(crate) fn begin(&mut self, now: Time) {
        self.ends.queue.mailbox.driver_is_here();
        if self.ends.queue.liveness.lives(&mut self.polls) {
            self.handle(now, Input::Polled);
        }
    }

    /// Tells the machine what happened, and does what it says.
    pub(crate) fn handle(&mut self, now: Time, input: Input) {
        if matches!(input, Input::Wake) {
            self.timer = None;
        }
        self.machine.handle(now, input);
        while let Some(output) = self.machine.poll_output() {
            self.apply(output);
        }
        for (event, leases, holds) in mem::take(&mut self.untold) {
            self.ends.events.push(event, leases, holds);
        }
    }

    /// Handles what was posted, and the marks if they are wanted. Whether there was anything.
    ///
    /// The order is what makes marks and commits fall on the right side of a move of the data
    /// path. Marks are read first: one that was made after a move was made after its post, which
    /// is then in the mail. A lease that moved is left out, since its mark may be the one of
    /// before. Calls come before drained leases: they may commit what was done under the holds.
    pub(crate) fn read_mail(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let marks = mem::take(&mut self.marks_wanted).then(|| self.marks());
        let mail = match self.ends.queue.mailbox.poll_collect(cx) {
            Poll::Ready(mail) => mail,
            Poll::Pending if marks.is_none() => return false,
            Poll::Pending => Mail::default(),
        };
        if mail.nudged && self.ends.queue.liveness.lives(&mut self.polls) {
            self.handle(now, Input::Polled);
        }
        if let Some(mut marks) = marks {
            marks.retain(|(lease, _)| !mail.moved.contains_key(lease));
            self.read_moves(now, mail.moved);
            self.handle(now, Input::Marks(marks));
        } else {
            self.read_moves(now, mail.moved);
        }
        if let Some(topics) = mail.topics {
            self.handle(now, Input::Topics(topics));
        }
        for (round, plan) in mail.plans {
            self.handle(now, Input::Assigned { round, plan });
        }
        for (ticket, Letter { call, resolver }) in mail.calls {
            self.tickets.insert(ticket, resolver);
            self.handle(now, Input::Call { ticket, call });
        }
        for ticket in mail.cancelled {
            if self.tickets.contains_key(&ticket) {
                self.handle(now, Input::Cancel(ticket));
            }
        }
        for id in mail.drained {
            let mark = self.leases.get(&id).and_then(Lease::mark);
            self.handle(now, Input::Drained { lease: id, mark });
        }
        true
    }

    fn read_moves(&mut self, now: Time, moved: BTreeMap<LeaseId, i64>) {
        for (lease, to) in moved {
            self.handle(now, Input::Moved { lease, to });
        }
    }

    fn marks(&self) -> Vec<(LeaseId, Mark)> {
        self.leases.iter().filter_map(|(id, lease)| Some((*id, lease.mark()?))).collect()
    }

    /// Shows the application what the member is doing, if that changed.
    pub(crate) fn publish(&mut self) {
        let revision = Some(self.machine.revision());
        if mem::replace(&mut self.published, revision) != revision {
            self.ends.board.publish(self.machine.status());
        }
    }

    fn apply(&mut self, output: Output) {
        match output {
            Output::Send { id, lane, to, timeout, request } => {
                let slot = self.next_request(lane);
                debug_assert!(slot.is_none(), "two requests on {lane:?}");
                *slot = Some(Outgoing { id, lane, to, timeout, request });
            }
            Output::Wake { latest: Time::NEVER, .. } => self.timer = None,
            Output::Wake { earliest, latest } => {
                self.timer = Some(self.random.between(earliest, latest));
            }
            Output::Grant { lease: id, partition } => {
                let mailbox = self.ends.queue.mailbox.clone();
                let lease = Lease::new(id, partition, mailbox);
                self.ends.queue.grant(lease.clone());
                self.leases.insert(id, lease);
            }
            Output::Lease(id, change) => self.change(id, change),
            Output::Position { lease, start } => self.ends.queue.start(lease, start),
            Output::Deliver(deliver) => self.ends.queue.deliver(deliver),
            Output::ReadMarks => self.marks_wanted = true,
            Output::Event(event) => self.event(event),
            Output::Notice(notice) => self.notice(notice),
            Output::Assign { round, protocol, members } => {
                let mailbox = self.ends.queue.mailbox.clone();
                self.ends.assignments.put(Assign::new(round, protocol, members, mailbox));
            }
            Output::Resolve { ticket, outcome } => {
                if let Some(resolver) = self.tickets.remove(&ticket) {
                    resolver.resolve(outcome);
                }
            }
        }
    }

    /// The word first, so that no delivery is taken any more; then what is queued goes.
    fn change(&mut self, id: LeaseId, change: LeaseChange) {
        let Some(lease) = self.leases.get(&id) else { return };
        match change {
            LeaseChange::Revoke { by } => {
                lease.revoke(by);
                self.ends.queue.close(id);
                return;
            }
            LeaseChange::End => lease.end(),
            LeaseChange::Lose(_) => lease.lose(),
        }
        self.ends.queue.remove(id);
        self.leases.remove(&id);
    }

    /// The machine announces a hand-over before it begins it, so the holds can still be taken.
    fn event(&mut self, event: Event) {
        let find = |ids: Vec<LeaseId>| -> Vec<Lease> {
            ids.iter().filter_map(|id| self.leases.get(id)).cloned().collect()
        };
        let (mut granted, mut holds) = (Vec::new(), Vec::new());
        match &event {
            Event::Assigned { leases, .. } => {
                granted = find(leases.iter().map(|(id, _)| *id).collect());
            }
            Event::Revoking { leases, .. } if self.ends.events.listening() => {
                holds = find(leases.clone()).iter().filter_map(Lease::hold).collect();
            }
            _ => {}
        }
        self.untold.push((event, granted, holds));
    }

    fn notice(&mut self, notice: Notice) {
        if notice == Notice::PollIntervalExceeded {
            // The next poll brings the member back. If it came already, look again at once.
            if self.ends.queue.liveness.wait_for_poll(&mut self.polls) {
                self.ends.queue.mailbox.nudge();
            }
        }
        self.ends.notices.push(notice);
    }

    /// The member was closed in order: shows it, and tells those who close once more.
    pub(crate) fn finish(&mut self) {
        self.publish();
        let report = self.report();
        self.stop(report);
    }

    /// What the close came to: the machine answers it again to whoever asks.
    fn report(&mut self) -> Option<CloseReport> {
        let ticket = TicketId(u64::MAX);
        let call = Call::Close(CloseOptions::default());
        self.machine.handle(Time::NEVER, Input::Call { ticket, call });
        let mut report = None;
        while let Some(output) = self.machine.poll_output() {
            if let Output::Resolve { outcome: Outcome::Closed(closed), .. } = output {
                report = Some(closed);
            }
        }
        report
    }

    /// Ends everything that waits for the driver or is given out by it (SPEC D1). Once; in an
    /// order in which whoever is woken finds what woke it already true.
    pub(crate) fn stop(&mut self, report: Option<CloseReport>) {
        if mem::replace(&mut self.stopped, true) {
            return;
        }
        let leases = mem::take(&mut self.leases);
        leases.values().for_each(Lease::lose);
        self.ends.queue.shut();
        if !leases.is_empty() {
            let leases = leases.into_keys().collect();
            let lost = Event::Lost { leases, reason: LossReason::Stopped };
            self.ends.events.push(lost, Vec::new(), Vec::new());
        }
        self.ends.events.close();
        self.ends.notices.close();
        self.ends.queue.mailbox.close(report);
        drop(mem::take(&mut self.tickets));
        self.ends.assignments.close();
        drop(mem::take(&mut self.untold));
        self.requests = [const { None }; 3];
    }
}

impl<B> Drop for Bridge<B> {
    fn drop(&mut self) {
        self.stop(None);
    }
}
