//! A machine with a test at the other end of its lanes: the test is coordinator, clock and
//! application, and says every answer itself.

use std::time::Duration;

use handover_machine::assign::Assignment;
use handover_machine::{
    Call, CloseOptions, CommitEntry, CommitTarget, Config, ErrorCode, Event, FetchedOffset,
    FoundCoordinator, Input, Joined, Lane, LeaseChange, LeaseId, Left, Machine, Mark, Node,
    OffsetCommitted, OffsetsFetched, Outcome, Output, PartitionOutcome, Phase, Request, RequestId,
    Response, Synced, TicketId, Time, TopicPartition, Unanswered,
};

/// A machine under test. Everything it put out is kept until a test takes it.
pub(crate) struct Peer {
    pub(crate) machine: Machine,
    pub(crate) now: Time,
    out: Vec<Output>,
    requests: Vec<(RequestId, Lane, Request)>,
    tickets: u64,
    /// The window told last.
    pub(crate) wake: (Time, Time),
}

impl Peer {
    pub(crate) fn new(config: Config) -> Peer {
        config.validate().expect("valid settings");
        Peer {
            machine: Machine::new(config),
            now: Time::from_millis(1_000),
            out: Vec::new(),
            requests: Vec::new(),
            tickets: 0,
            wake: (Time::NEVER, Time::NEVER),
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { id, lane, request, .. } => self.requests.push((id, lane, request)),
                Output::Wake { earliest, latest } => self.wake = (earliest, latest),
                other => self.out.push(other),
            }
        }
    }

    pub(crate) fn call(&mut self, call: Call) -> TicketId {
        self.tickets += 1;
        let ticket = TicketId(self.tickets);
        self.input(Input::Call { ticket, call });
        ticket
    }

    pub(crate) fn subscribe(&mut self, topics: &[&str]) {
        let topics = topics.iter().map(|topic| (*topic).into()).collect();
        self.call(Call::Subscribe(topics));
    }

    pub(crate) fn commit(
        &mut self,
        lease: LeaseId,
        partition: &TopicPartition,
        offset: i64,
    ) -> TicketId {
        let entry = CommitEntry {
            target: CommitTarget::Lease(lease, partition.clone()),
            mark: Mark::at(offset),
            metadata: None,
            rewind: false,
        };
        self.call(Call::Commit { entries: vec![entry], timeout: Duration::from_secs(20) })
    }

    pub(crate) fn close(&mut self) -> TicketId {
        self.call(Call::Close(CloseOptions::default()))
    }

    /// Lets time pass until the end of the window, and wakes the machine there.
    pub(crate) fn wake(&mut self) {
        assert_ne!(self.wake.1, Time::NEVER, "nothing is awaited in {:?}", self.machine.status());
        assert!(self.wake.1 >= self.now, "the machine wants to be woken in the past");
        self.now = self.wake.1;
        self.wake = (Time::NEVER, Time::NEVER);
        self.input(Input::Wake);
    }

    /// Wakes the machine until `millis` have passed.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.wake.1 <= end {
            self.wake();
        }
        self.now = end;
    }

    /// The request that is out on a lane, if one is.
    pub(crate) fn out(&self, lane: Lane) -> Option<&Request> {
        let mut found = self.requests.iter().filter(|(_, on, _)| *on == lane);
        let first = found.next();
        assert!(found.next().is_none(), "two requests are out on {lane:?}");
        first.map(|(_, _, request)| request)
    }

    pub(crate) fn answer(&mut self, lane: Lane, answer: Result<Response, Unanswered>) {
        let at = self.requests.iter().position(|(_, on, _)| *on == lane);
        let at = at.unwrap_or_else(|| panic!("nothing is out on {lane:?}"));
        let (id, _, _) = self.requests.remove(at);
        self.input(Input::Answer { id, answer });
    }

    pub(crate) fn found(&mut self) {
        assert!(matches!(self.out(Lane::Control), Some(Request::FindCoordinator(_))));
        let node = Some(Node { id: 1, host: "broker".into(), port: 9092 });
        let found = FoundCoordinator { error: ErrorCode::None, node };
        self.answer(Lane::Control, Ok(Response::FindCoordinator(found)));
    }

    pub(crate) fn joined(&mut self, generation: i32) {
        let joined = Joined {
            error: ErrorCode::None,
            generation,
            protocol_type: Some("consumer".into()),
            protocol: Some(self.machine_protocol()),
            leader: "leader".into(),
            member: "me".into(),
            skip_assignment: false,
            members: Vec::new(),
        };
        self.answer(Lane::Join, Ok(Response::JoinGroup(joined)));
    }

    fn machine_protocol(&self) -> handover_machine::Name {
        match self.requests.iter().find(|(_, lane, _)| *lane == Lane::Join) {
            Some((_, _, Request::JoinGroup(join))) => join.protocols[0].name.clone(),
            other => panic!("no JoinGroup is out but {other:?}"),
        }
    }

    pub(crate) fn join_refused(&mut self, error: ErrorCode, member: &str) {
        let joined = Joined {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: "".into(),
            member: member.into(),
            skip_assignment: false,
            members: Vec::new(),
        };
        self.answer(Lane::Join, Ok(Response::JoinGroup(joined)));
    }

    pub(crate) fn synced(&mut self, partitions: &[TopicPartition]) {
        let assignment = Assignment { partitions: partitions.to_vec(), user_data: Vec::new() };
        self.sync_answered(ErrorCode::None, assignment.encode());
    }

    pub(crate) fn sync_answered(&mut self, error: ErrorCode, assignment: Vec<u8>) {
        let synced = Synced { error, protocol_type: None, protocol: None, assignment };
        self.answer(Lane::Join, Ok(Response::SyncGroup(synced)));
    }

    pub(crate) fn beaten(&mut self, error: ErrorCode) {
        assert!(matches!(self.out(Lane::Control), Some(Request::Heartbeat(_))));
        self.answer(Lane::Control, Ok(Response::Heartbeat(error)));
    }

    pub(crate) fn left(&mut self, error: ErrorCode) {
        assert!(matches!(self.out(Lane::Control), Some(Request::LeaveGroup(_))));
        let left = Left { error, members: Vec::new() };
        self.answer(Lane::Control, Ok(Response::LeaveGroup(left)));
    }

    /// Answers the commit that is out, the same for all partitions.
    pub(crate) fn committed(&mut self, error: ErrorCode) {
        let Some(Request::OffsetCommit(commit)) = self.out(Lane::Commit) else {
            panic!("no commit is out but {:?}", self.out(Lane::Commit))
        };
        let partitions = commit.offsets.iter().map(|o| (o.partition.clone(), error)).collect();
        self.answer(Lane::Commit, Ok(Response::OffsetCommit(OffsetCommitted { partitions })));
    }

    /// Answers the offset fetch that is out, the same for all partitions.
    pub(crate) fn fetched(&mut self, offset: i64, error: ErrorCode) {
        let Some(Request::OffsetFetch(fetch)) = self.out(Lane::Commit) else {
            panic!("no offset fetch is out but {:?}", self.out(Lane::Commit))
        };
        let partitions = fetch.partitions.clone().unwrap_or_default();
        let offsets = partitions.into_iter().map(|partition| FetchedOffset {
            partition,
            offset,
            leader_epoch: -1,
            metadata: None,
            error,
        });
        let fetched = OffsetsFetched { error: ErrorCode::None, offsets: offsets.collect() };
        self.answer(Lane::Commit, Ok(Response::OffsetFetch(fetched)));
    }

    /// A member of generation 1 that holds `partitions` from offset 0 on.
    pub(crate) fn member(config: Config, partitions: &[TopicPartition]) -> Peer {
        let mut peer = Peer::new(config);
        peer.subscribe(&["t"]);
        peer.found();
        peer.join_refused(ErrorCode::MemberIdRequired, "me");
        peer.joined(1);
        peer.synced(partitions);
        if !partitions.is_empty() {
            peer.fetched(0, ErrorCode::None);
        }
        assert_eq!(peer.phase(), Phase::Stable);
        peer.take();
        peer
    }

    pub(crate) fn phase(&self) -> Phase {
        self.machine.status().phase
    }

    pub(crate) fn leases(&self) -> Vec<(LeaseId, TopicPartition)> {
        let status = self.machine.status();
        status.leases.into_iter().map(|lease| (lease.lease, lease.partition)).collect()
    }

    /// Everything put out since the last take, but for requests and wakes.
    pub(crate) fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.take()
            .into_iter()
            .filter_map(|output| match output {
                Output::Event(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    /// The outcome of a call, which must be there exactly once.
    pub(crate) fn outcome(&mut self, of: TicketId) -> Outcome {
        self.try_outcome(of).unwrap_or_else(|| panic!("{of:?} has no outcome"))
    }

    pub(crate) fn try_outcome(&mut self, of: TicketId) -> Option<Outcome> {
        let mut found = None;
        self.out.retain(|output| match output {
            Output::Resolve { ticket, outcome } if *ticket == of => {
                assert!(found.replace(outcome.clone()).is_none(), "{of:?} is resolved twice");
                false
            }
            _ => true,
        });
        found
    }

    /// The only partition's outcome of a commit.
    pub(crate) fn commit_outcome(&mut self, of: TicketId) -> PartitionOutcome {
        match self.outcome(of) {
            Outcome::Commit(outcomes) if outcomes.len() == 1 => outcomes[0].1,
            other => panic!("{other:?}"),
        }
    }

    /// Releases the holds of every lease that is revoked in the output.
    pub(crate) fn release_all(&mut self) {
        let revoked: Vec<LeaseId> = self
            .out
            .iter()
            .filter_map(|output| match output {
                Output::Lease(id, LeaseChange::Revoke { .. }) => Some(*id),
                _ => None,
            })
            .collect();
        for lease in revoked {
            self.input(Input::Drained { lease, mark: None });
        }
    }
}

pub(crate) fn t(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

pub(crate) fn eager() -> Config {
    let mut config = Config::new("g");
    config.assignors = vec![handover_machine::Assignor::range()];
    config
}

pub(crate) fn cooperative() -> Config {
    Config::new("g")
}
