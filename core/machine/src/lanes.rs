//! What is on its way to the coordinator: at most one request on each lane.

use core::time::Duration;

use alloc::vec::Vec;

use crate::heartbeat::Heard;
use crate::machine::Machine;
use crate::{
    Api, Cause, Lane, LeaseId, Names, Node, Notice, Output, Request, RequestId, Response, Target,
    TicketId, Time, Unanswered,
};

/// One slot a lane (SPEC J3): a broker serves one request per connection at a time, so a second
/// one would only wait in a socket, out of our sight.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Lanes {
    next: u64,
    out: [Option<Sent>; 3],
}

/// A request that is not answered yet, and under which circumstances it was sent. Its answer is
/// judged against these, since the member may be another one by then (SPEC J2, P3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Sent {
    pub(crate) id: RequestId,
    /// What an acknowledgement is worth.
    pub(crate) heard: Heard,
    /// The identity's epoch at the time.
    pub(crate) epoch: u64,
    /// The join attempt at the time.
    pub(crate) attempt: u64,
    /// The coordinator it went to; none for FindCoordinator.
    pub(crate) node: Option<Node>,
    pub(crate) what: What,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum What {
    Find,
    Join,
    Sync,
    Beat,
    Leave,
    Commit,
    Positions(Vec<LeaseId>),
    Lookup(TicketId),
}

impl What {
    pub(crate) fn api(&self) -> Api {
        match self {
            What::Find => Api::FindCoordinator,
            What::Join => Api::JoinGroup,
            What::Sync => Api::SyncGroup,
            What::Beat => Api::Heartbeat,
            What::Leave => Api::LeaveGroup,
            What::Commit => Api::OffsetCommit,
            What::Positions(_) | What::Lookup(_) => Api::OffsetFetch,
        }
    }
}

impl Lanes {
    pub(crate) fn is_free(&self, lane: Lane) -> bool {
        self.out[lane as usize].is_none()
    }

    pub(crate) fn is_out(&self, fits: impl Fn(&What) -> bool) -> bool {
        self.out.iter().flatten().any(|sent| fits(&sent.what))
    }

    fn take(&mut self, id: RequestId) -> Option<Sent> {
        self.out.iter_mut().find(|slot| slot.as_ref().is_some_and(|sent| sent.id == id))?.take()
    }

    pub(crate) fn rebase(&mut self, by: Time) {
        for sent in self.out.iter_mut().flatten() {
            sent.heard.rebase(by);
        }
    }

    pub(crate) fn speak(&self, names: &mut Names) {
        for sent in self.out.iter().flatten() {
            match &sent.what {
                What::Positions(leases) => leases.iter().for_each(|l| names.speak_of_lease(*l)),
                What::Lookup(ticket) => names.speak_of_ticket(*ticket),
                _ => {}
            }
        }
    }

    /// Of identities only those that still stand differ from the others.
    pub(crate) fn rename(&mut self, names: &Names, epoch: u64, attempt: u64) {
        self.next = Lane::ALL.len() as u64;
        for (lane, slot) in self.out.iter_mut().enumerate() {
            let Some(sent) = slot else { continue };
            sent.id = RequestId(lane as u64);
            sent.epoch = u64::from(sent.epoch == epoch);
            sent.attempt = u64::from(sent.attempt == attempt);
            match &mut sent.what {
                What::Positions(leases) => {
                    leases.iter_mut().for_each(|lease| *lease = names.lease(*lease));
                }
                What::Lookup(ticket) => *ticket = names.ticket(*ticket),
                _ => {}
            }
        }
    }
}

impl Machine {
    /// Sends to the coordinator, which must be known, on a lane, which must be free.
    pub(crate) fn send(&mut self, now: Time, lane: Lane, request: Request, what: What) {
        let node = self.coordinator.clone();
        let to = match (&what, &node) {
            (What::Find, _) | (_, None) => Target::Any,
            (_, Some(node)) => Target::Node(node.clone()),
        };
        debug_assert!(self.lanes.is_free(lane), "{lane:?} is busy");
        debug_assert!(to != Target::Any || what == What::Find, "{what:?} to no coordinator");
        let timeout = self.timeout(&what);
        let heard = self.heard_at(now);
        let id = RequestId(self.lanes.next);
        self.lanes.next += 1;
        let (epoch, attempt) = (self.member.epoch, self.member.attempt);
        self.lanes.out[lane as usize] = Some(Sent { id, heard, epoch, attempt, node, what });
        self.push(Output::Send { id, lane, to, timeout, request });
    }

    /// The coordinator parks JoinGroup and SyncGroup for as long as a rebalance may take.
    fn timeout(&self, what: &What) -> Duration {
        match what {
            What::Join | What::Sync => {
                self.config.request_timeout.saturating_add(self.config.rebalance_timeout)
            }
            // A heartbeat that is out for a session says nothing any more.
            What::Beat => self.config.request_timeout.min(self.config.session_timeout),
            _ => self.config.request_timeout,
        }
    }

    /// An answer came. One to no request of ours is dropped: a driver that answers twice must
    /// not be able to confuse us.
    pub(crate) fn answered(
        &mut self,
        now: Time,
        id: RequestId,
        answer: Result<Response, Unanswered>,
    ) {
        let Some(sent) = self.lanes.take(id) else { return };
        let answer = answer.map_err(Cause::Unanswered);
        match (sent.what.clone(), answer) {
            (What::Find, Ok(Response::FindCoordinator(found))) => self.found(now, Ok(found)),
            (What::Find, answer) => self.found(now, Err(cause(answer))),
            (What::Join, Ok(Response::JoinGroup(joined))) => self.joined(now, &sent, Ok(joined)),
            (What::Join, answer) => self.joined(now, &sent, Err(cause(answer))),
            (What::Sync, Ok(Response::SyncGroup(synced))) => self.synced(now, &sent, Ok(synced)),
            (What::Sync, answer) => self.synced(now, &sent, Err(cause(answer))),
            (What::Beat, Ok(Response::Heartbeat(error))) => self.beaten(now, &sent, Ok(error)),
            (What::Beat, answer) => self.beaten(now, &sent, Err(cause(answer))),
            (What::Leave, Ok(Response::LeaveGroup(left))) => self.left(now, &sent, Ok(left)),
            (What::Leave, answer) => self.left(now, &sent, Err(cause(answer))),
            (What::Commit, Ok(Response::OffsetCommit(done))) => {
                self.committed(now, &sent, Ok(done.partitions));
            }
            (What::Commit, answer) => self.committed(now, &sent, Err(cause(answer))),
            (What::Positions(leases), Ok(Response::OffsetFetch(fetched))) => {
                self.positions_fetched(now, &sent, leases, Ok(fetched));
            }
            (What::Positions(leases), answer) => {
                self.positions_fetched(now, &sent, leases, Err(cause(answer)));
            }
            (What::Lookup(ticket), Ok(Response::OffsetFetch(fetched))) => {
                self.looked_up(now, &sent, ticket, Ok(fetched));
            }
            (What::Lookup(ticket), answer) => {
                self.looked_up(now, &sent, ticket, Err(cause(answer)));
            }
        }
    }

    /// Tells that something is tried again.
    pub(crate) fn retrying(&mut self, api: Api, cause: Cause) {
        self.notice(Notice::Retrying { api, cause });
    }

    /// Forgets the coordinator that `sent` went to, unless another one is known by now.
    pub(crate) fn rediscover(&mut self, sent: &Sent) {
        if self.coordinator.is_some() && self.coordinator == sent.node {
            self.coordinator = None;
            self.changed();
        }
    }

    /// No answer, or not one to the request: forget the coordinator and say so.
    pub(crate) fn unanswered(&mut self, sent: &Sent, cause: Cause) {
        self.rediscover(sent);
        self.retrying(sent.what.api(), cause);
    }
}

/// Why an answer that does not fit its request is none.
fn cause(answer: Result<Response, Cause>) -> Cause {
    answer.err().unwrap_or(Cause::Malformed)
}
