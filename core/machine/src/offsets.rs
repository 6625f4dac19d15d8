//! The Commit lane: commits go out, positions and committed offsets come in.

use alloc::{collections::VecDeque, vec::Vec};

use crate::clock::{Backoff, Tick, Window, rebase};
use crate::commits::CommitEffect;
use crate::lanes::{Sent, What};
use crate::leases::Position;
use crate::machine::Machine;
use crate::membership::Want;
use crate::{
    Api, Cause, CommittedError, ErrorCode, Fatal, FetchedOffset, Lane, LeaseId, Mark, Names,
    Notice, OffsetCommit, OffsetFetch, OffsetsFetched, Outcome, Output, Phase, Request, Start,
    TicketId, Time, TopicPartition, Unanswered, Verdict, judge,
};

/// What is to be read from the coordinator besides the leases' positions.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Offsets {
    backoff: Backoff,
    lookups: VecDeque<Lookup>,
    /// Commits and fetches take turns on their lane, so that neither starves the other.
    fetch_next: bool,
    /// Partitions whose refusal the application was told, so that it is told once.
    refused: Vec<LeaseId>,
}

impl Default for Offsets {
    fn default() -> Self {
        Offsets {
            backoff: Backoff::NONE,
            lookups: VecDeque::new(),
            fetch_next: false,
            refused: Vec::new(),
        }
    }
}

/// A call for committed offsets.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Lookup {
    ticket: TicketId,
    partitions: Vec<TopicPartition>,
    by: Time,
}

/// What a lookup comes to.
type Read = Result<Vec<(TopicPartition, Option<Mark>)>, CommittedError>;

impl Offsets {
    pub(crate) fn backoff_mut(&mut self) -> &mut Backoff {
        &mut self.backoff
    }

    pub(crate) fn rebase(&mut self, by: Time) {
        self.backoff.rebase(by);
        for lookup in &mut self.lookups {
            rebase(&mut lookup.by, by);
        }
    }

    pub(crate) fn speak(&self, names: &mut Names) {
        self.lookups.iter().for_each(|lookup| names.speak_of_ticket(lookup.ticket));
        self.refused.iter().for_each(|lease| names.speak_of_lease(*lease));
    }

    pub(crate) fn rename(&mut self, names: &Names) {
        self.lookups.iter_mut().for_each(|l| l.ticket = names.ticket(l.ticket));
        self.refused.iter_mut().for_each(|lease| *lease = names.lease(*lease));
    }
}

impl Machine {
    /// Whether somebody other than the membership needs the coordinator.
    pub(crate) fn has_errands(&self) -> bool {
        !self.offsets.lookups.is_empty() || !self.leases.is_empty() || self.ledger.in_flight()
    }

    pub(crate) fn step_commits(&mut self, tick: Tick) {
        if self.coordinator.is_none() || !self.lanes.is_free(Lane::Commit) {
            return;
        }
        let sent = match self.offsets.fetch_next {
            true => self.fetch_if_needed(tick) || self.commit_if_needed(tick),
            false => self.commit_if_needed(tick) || self.fetch_if_needed(tick),
        };
        if sent {
            self.offsets.fetch_next = self.lanes.is_out(|what| *what == What::Commit);
        }
    }

    /// A commit goes at once under the generation held, also while a JoinGroup is parked; only
    /// between the answers of JoinGroup and SyncGroup would it be refused with
    /// REBALANCE_IN_PROGRESS, so there it is kept back (SPEC C12).
    fn commit_if_needed(&mut self, tick: Tick) -> bool {
        let able = self.member.generation >= 0 || self.want == Want::ByHand;
        if !able || matches!(self.phase, Phase::Assigning | Phase::Syncing) {
            return false;
        }
        let Some(offsets) = self.ledger.next(tick) else { return false };
        let group = self.config.group.clone();
        let request = OffsetCommit { group, identity: self.identity(), offsets };
        self.send(tick.now, Lane::Commit, Request::OffsetCommit(request), What::Commit);
        true
    }

    pub(crate) fn committed(
        &mut self,
        now: Time,
        sent: &Sent,
        answer: Result<Vec<(TopicPartition, ErrorCode)>, Cause>,
    ) {
        let answer = match answer {
            Ok(partitions) => Ok(partitions),
            Err(cause) => {
                self.unanswered(sent, cause);
                Err(match cause {
                    Cause::Unanswered(why) => why,
                    // Whatever it said, the request was there.
                    Cause::Error(_) | Cause::Malformed => Unanswered::Lost,
                })
            }
        };
        let effect = self.ledger.answered(now, answer);
        self.changed();
        match effect {
            CommitEffect::Nothing => {}
            CommitEffect::Rediscover => self.rediscover(sent),
            _ if !self.is_current(sent) => {}
            CommitEffect::Rejoin if self.phase == Phase::Stable => {
                self.want_rejoin("a commit met a rebalance");
            }
            CommitEffect::Rejoin => {}
            CommitEffect::IdentityLost(error) => {
                self.lose_identity(now, judge(Api::OffsetCommit, error));
            }
            CommitEffect::Fatal(error) => self.fail(Fatal { api: Api::OffsetCommit, error }),
        }
    }

    fn fetch_if_needed(&mut self, tick: Tick) -> bool {
        if !self.offsets.backoff.is_over(tick) {
            return false;
        }
        let unknown = |lease: &&crate::leases::Lease| lease.position == Position::Unknown;
        let leases: Vec<LeaseId> = self.leases.active().filter(unknown).map(|l| l.id).collect();
        let (partitions, what) = if !leases.is_empty() {
            let mut partitions = Vec::with_capacity(leases.len());
            for &id in &leases {
                if let Some(lease) = self.leases.get_mut(id) {
                    lease.position = Position::Fetching;
                    partitions.push(lease.partition.clone());
                }
            }
            (partitions, What::Positions(leases))
        } else if let Some(lookup) = self.offsets.lookups.front() {
            (lookup.partitions.clone(), What::Lookup(lookup.ticket))
        } else {
            return false;
        };
        let group = self.config.group.clone();
        let request = OffsetFetch { group, partitions: Some(partitions), require_stable: true };
        self.send(tick.now, Lane::Commit, Request::OffsetFetch(request), what);
        true
    }

    /// A lease delivers only after a fetch that succeeded; an error never triggers an offset
    /// reset, only the answer -1 does (SPEC L5).
    pub(crate) fn positions_fetched(
        &mut self,
        now: Time,
        sent: &Sent,
        leases: Vec<LeaseId>,
        answer: Result<OffsetsFetched, Cause>,
    ) {
        let offsets = self.fetched(now, sent, answer);
        let mut all_known = true;
        for id in leases {
            let Some(lease) = self.leases.get_mut(id) else { continue };
            // A seek came first, or the lease is on its way out.
            if lease.position != Position::Fetching {
                continue;
            }
            lease.position = Position::Unknown;
            let partition = lease.partition.clone();
            match &offsets {
                Err(_) => all_known = false,
                Ok(offsets) => {
                    let found = offsets.iter().find(|offset| offset.partition == partition);
                    all_known &= self.position_fetched(id, partition, found);
                }
            }
        }
        match all_known {
            true => self.offsets.backoff.succeeded(),
            false => self.offsets.backoff.failed(now, self.config.retry_backoff),
        }
        self.changed();
    }

    /// Whether the position is known now.
    fn position_fetched(
        &mut self,
        lease: LeaseId,
        partition: TopicPartition,
        found: Option<&FetchedOffset>,
    ) -> bool {
        let error = found.map(|offset| offset.error);
        let start = match found {
            Some(offset) if offset.error.is_none() && offset.offset >= 0 => {
                let mark = Mark { offset: offset.offset, leader_epoch: offset.leader_epoch };
                self.ledger.acknowledged(lease, mark, offset.metadata.clone());
                Start::Committed(mark)
            }
            Some(offset) if offset.error.is_none() => Start::Reset,
            _ => {
                let refused = error.filter(|error| {
                    judge(Api::OffsetFetch, *error) == Verdict::RejectPartition
                        && !self.offsets.refused.contains(&lease)
                });
                if let Some(error) = refused {
                    self.offsets.refused.push(lease);
                    self.tell_fatal(Fatal { api: Api::OffsetFetch, error });
                }
                self.notice(Notice::PositionUnknown { partition, error });
                return false;
            }
        };
        self.offsets.refused.retain(|refused| *refused != lease);
        self.position(lease, start);
        true
    }

    pub(crate) fn position(&mut self, id: LeaseId, start: Start) {
        if let Some(lease) = self.leases.get_mut(id) {
            lease.position = Position::Known;
            self.push(Output::Position { lease: id, start });
        }
    }

    /// What an answer says of the group as a whole.
    fn fetched(
        &mut self,
        now: Time,
        sent: &Sent,
        answer: Result<OffsetsFetched, Cause>,
    ) -> Result<Vec<FetchedOffset>, CommittedError> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(cause) => {
                self.unanswered(sent, cause);
                return Err(CommittedError::TimedOut);
            }
        };
        let error = answer.error;
        let verdict = judge(Api::OffsetFetch, error);
        match verdict {
            Verdict::Fine => return Ok(answer.offsets),
            Verdict::Rediscover => self.unanswered(sent, Cause::Error(error)),
            Verdict::LoseGeneration | Verdict::LoseMember if self.is_current(sent) => {
                self.lose_identity(now, verdict);
            }
            Verdict::Fatal | Verdict::RejectPartition => {
                self.fail(Fatal { api: Api::OffsetFetch, error });
            }
            _ => self.retrying(Api::OffsetFetch, Cause::Error(error)),
        }
        Err(CommittedError::Group(error))
    }

    pub(crate) fn look_up(&mut self, ticket: TicketId, partitions: Vec<TopicPartition>, by: Time) {
        self.offsets.lookups.push_back(Lookup { ticket, partitions, by });
        self.changed();
    }

    pub(crate) fn looked_up(
        &mut self,
        now: Time,
        sent: &Sent,
        ticket: TicketId,
        answer: Result<OffsetsFetched, Cause>,
    ) {
        self.changed();
        let result = match self.fetched(now, sent, answer) {
            Ok(offsets) => self.read_lookup(ticket, &offsets),
            Err(CommittedError::Group(error))
                if judge(Api::OffsetFetch, error) == Verdict::Fatal =>
            {
                Some(Err(CommittedError::Group(error)))
            }
            Err(_) => None,
        };
        match result {
            Some(result) => {
                self.offsets.backoff.succeeded();
                if self.drop_lookup(ticket) {
                    self.resolve(ticket, Outcome::Committed(result));
                }
            }
            None => self.offsets.backoff.failed(now, self.config.retry_backoff),
        }
    }

    /// The result of a lookup, or none if it is worth asking again.
    fn read_lookup(&self, ticket: TicketId, offsets: &[FetchedOffset]) -> Option<Read> {
        let lookup = self.offsets.lookups.iter().find(|lookup| lookup.ticket == ticket)?;
        let mut read = Vec::with_capacity(lookup.partitions.len());
        for partition in &lookup.partitions {
            let found = offsets.iter().find(|offset| offset.partition == *partition)?;
            match judge(Api::OffsetFetch, found.error) {
                Verdict::Fine => {}
                Verdict::Retry | Verdict::Rediscover => return None,
                _ => {
                    let refused = CommittedError::Partition(partition.clone(), found.error);
                    return Some(Err(refused));
                }
            }
            let mark = Mark { offset: found.offset, leader_epoch: found.leader_epoch };
            read.push((partition.clone(), (found.offset >= 0).then_some(mark)));
        }
        Some(Ok(read))
    }

    /// Whether it was there.
    pub(crate) fn drop_lookup(&mut self, ticket: TicketId) -> bool {
        let before = self.offsets.lookups.len();
        self.offsets.lookups.retain(|lookup| lookup.ticket != ticket);
        self.offsets.lookups.len() < before
    }

    pub(crate) fn expire_lookups(&mut self, now: Time) {
        let over: Vec<TicketId> =
            self.offsets.lookups.iter().filter(|l| now >= l.by).map(|l| l.ticket).collect();
        for ticket in over {
            self.drop_lookup(ticket);
            self.resolve(ticket, Outcome::Committed(Err(CommittedError::TimedOut)));
        }
    }

    pub(crate) fn end_lookups(&mut self) {
        self.expire_lookups(Time::NEVER);
    }

    pub(crate) fn offset_windows(&self) -> [Window; 2] {
        let soonest = self.offsets.lookups.iter().map(|lookup| lookup.by).min();
        let waiting = !self.offsets.lookups.is_empty()
            || self.leases.active().any(|lease| lease.position == Position::Unknown);
        let backoff = if waiting { self.offsets.backoff.until() } else { Window::NEVER };
        [Window::at(soonest.unwrap_or(Time::NEVER)), backoff]
    }
}
