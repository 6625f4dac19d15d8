//! The network: what waits for what, and what a broken connection leaves behind.

use std::time::Duration;

use handover_machine::*;
use handover_world::*;

use crate::bench::{GROUP, identity, join, to_commit};

const JOIN: Line = Line { member: 0, lane: Lane::Join };
const CONTROL: Line = Line { member: 0, lane: Lane::Control };
const COMMIT: Line = Line { member: 0, lane: Lane::Commit };

struct Net {
    network: Network,
    now: Time,
    requests: u64,
}

impl Net {
    fn new(faults: Faults) -> Net {
        let config = CoordinatorConfig {
            initial_rebalance_delay: Duration::ZERO,
            ..CoordinatorConfig::default()
        };
        let network = Network::new(Coordinator::new(config), 2, faults);
        Net { network, now: Time::ZERO, requests: 0 }
    }

    fn send(&mut self, line: Line, request: Request) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        let timeout = Duration::from_secs(120);
        self.network.send(self.now, line.member, line.lane, id, request, timeout);
        id
    }

    fn apply(&mut self, step: Step) -> Option<Answer> {
        let possible: Vec<Step> = self.network.steps(self.now).collect();
        assert!(possible.contains(&step), "{step:?} is none of {possible:?}");
        self.network.apply(self.now, step)
    }

    /// Lets all progress happen that can at this moment.
    fn settle(&mut self) -> Vec<Answer> {
        let mut answers = vec![];
        loop {
            let step = self.network.steps(self.now).find(|step| !step.is_fault());
            let Some(step) = step else { return answers };
            answers.extend(self.network.apply(self.now, step));
        }
    }

    fn call(&mut self, line: Line, request: Request) -> Response {
        let id = self.send(line, request);
        let mut answers = self.settle();
        let at = answers.iter().position(|answer| answer.id == id).expect("it is answered");
        answers.swap_remove(at).result.expect("a response")
    }

    fn pass(&mut self, millis: u64) -> Vec<Answer> {
        let end = self.now + Duration::from_millis(millis);
        let mut answers = self.settle();
        while self.network.next_wake() <= end {
            self.now = self.network.next_wake();
            answers.extend(self.settle());
        }
        self.now = end;
        answers
    }

    /// Makes member `line.member` the only one, in a stable generation 1.
    fn stable(&mut self, line: Line) -> Name {
        let id = match self.call(line, Request::JoinGroup(join(""))) {
            Response::JoinGroup(told) => told.member,
            other => panic!("{other:?}"),
        };
        self.call(line, Request::JoinGroup(join(&id)));
        self.call(line, sync(&id, 1));
        id
    }

    fn committed(&self) -> Option<i64> {
        self.network.coordinator().offsets(GROUP).next().map(|(_, c)| c.offset)
    }
}

fn sync(id: &str, generation: i32) -> Request {
    Request::SyncGroup(SyncGroup {
        group: GROUP.into(),
        identity: identity(id, generation),
        protocol_type: None,
        protocol: None,
        assignments: vec![],
    })
}

fn commit(id: &str, generation: i32, offset: i64) -> Request {
    Request::OffsetCommit(OffsetCommit {
        group: GROUP.into(),
        identity: identity(id, generation),
        offsets: vec![to_commit(0, offset, None)],
    })
}

fn beat(id: &str, generation: i32) -> Request {
    Request::Heartbeat(Heartbeat { group: GROUP.into(), identity: identity(id, generation) })
}

fn commit_error(response: &Response) -> ErrorCode {
    match response {
        Response::OffsetCommit(done) => done.partitions[0].1,
        other => panic!("{other:?}"),
    }
}

/// A stable group of member 0, whose next JoinGroup is parked: an id that was given to member 1
/// has not come back.
fn parked() -> (Net, Name, RequestId) {
    let mut net = Net::new(Faults::default());
    let id = net.stable(JOIN);
    net.call(Line { member: 1, ..JOIN }, Request::JoinGroup(join("")));
    let parked = net.send(JOIN, Request::JoinGroup(join(&id)));
    assert_eq!(net.settle(), []);
    (net, id, parked)
}

/// [ran] On a second connection the commit got NONE at once.
#[test]
fn a_commit_on_another_lane_passes_a_parked_join() {
    let (mut net, id, _) = parked();
    let done = net.call(COMMIT, commit(&id, 1, 5));
    assert_eq!(commit_error(&done), ErrorCode::None);
}

/// [ran] A commit behind a parked JoinGroup hung, and then got ILLEGAL_GENERATION.
#[test]
fn a_commit_on_the_same_lane_waits_for_the_parked_join_and_is_too_late() {
    let (mut net, id, parked) = parked();
    let late = net.send(JOIN, commit(&id, 1, 5));
    assert_eq!(net.pass(9_999), []);
    let answers = net.pass(1);
    let ids: Vec<RequestId> = answers.iter().map(|answer| answer.id).collect();
    assert_eq!(ids, [parked, late]);
    let done = answers[1].result.clone().unwrap();
    assert_eq!(commit_error(&done), ErrorCode::IllegalGeneration);
    assert_eq!(net.committed(), None);
}

/// [ran] Closing the socket during a parked first join leaves the member in the group, which
/// then waits its whole session timeout.
#[test]
fn a_closed_connection_leaves_its_parked_join_behind() {
    let (mut net, second) = (Net::new(Faults { cuts: 1, ..Faults::default() }), 1);
    let told = net.call(JOIN, Request::JoinGroup(join("")));
    let Response::JoinGroup(told) = told else { panic!("{told:?}") };
    let id = net.send(JOIN, Request::JoinGroup(join(&told.member)));
    net.apply(Step::Deliver(JOIN));
    let lost = net.apply(Step::Fault(Fault::Cut { line: JOIN, lingers: false })).unwrap();
    assert_eq!((lost.id, lost.result), (id, Err(Unanswered::Lost)));
    net.settle();

    let line = Line { member: second, ..JOIN };
    let newcomer = net.call(line, Request::JoinGroup(join("")));
    let Response::JoinGroup(newcomer) = newcomer else { panic!("{newcomer:?}") };
    net.send(line, Request::JoinGroup(join(&newcomer.member)));
    assert_eq!(net.pass(9_999), []);
    let answers = net.pass(1);
    assert_eq!(answers.len(), 1, "the dead member's session ended");
}

#[test]
fn a_closed_connection_leaves_its_parked_sync_behind() {
    let mut net = Net::new(Faults { cuts: 1, ..Faults::default() });
    let line = Line { member: 1, ..JOIN };
    let ids = [JOIN, line].map(|line| match net.call(line, Request::JoinGroup(join(""))) {
        Response::JoinGroup(told) => told.member,
        other => panic!("{other:?}"),
    });
    net.send(JOIN, Request::JoinGroup(join(&ids[0])));
    net.send(line, Request::JoinGroup(join(&ids[1])));
    assert_eq!(net.settle().len(), 2);
    net.send(line, sync(&ids[1], 1));
    net.apply(Step::Deliver(line));
    net.apply(Step::Fault(Fault::Cut { line, lingers: false }));
    let next = net.send(line, beat(&ids[1], 1));
    let answers = net.settle();
    assert_eq!((answers.len(), answers[0].id), (1, next));
    net.call(JOIN, sync(&ids[0], 1));
    assert_eq!(net.network.coordinator().parked().count(), 0, "nobody reads its answer");
}

/// [ran] LeaveGroup on a second connection frees it at once.
#[test]
fn a_leave_on_another_lane_frees_the_group_of_it() {
    let (mut net, id, parked) = parked();
    let members = vec![Leaver { member: id, instance: None, reason: None }];
    net.send(CONTROL, Request::LeaveGroup(LeaveGroup { group: GROUP.into(), members }));
    let answers = net.settle();
    assert_eq!(answers.len(), 2);
    let joined = answers.iter().find(|answer| answer.id == parked).unwrap();
    match &joined.result {
        Ok(Response::JoinGroup(joined)) => assert_eq!(joined.error, ErrorCode::UnknownMemberId),
        other => panic!("{other:?}"),
    }
}

/// [ran] Commit 100 written, connection closed; 200 acknowledged on a new connection; then the
/// committed offset was 100.
#[test]
fn a_straggler_rewinds_a_committed_offset() {
    let mut net = Net::new(Faults { cuts: 1, stragglers: 1, ..Faults::default() });
    let id = net.stable(JOIN);
    net.send(COMMIT, commit(&id, 1, 100));
    let lost = net.apply(Step::Fault(Fault::Cut { line: COMMIT, lingers: true })).unwrap();
    assert_eq!(lost.result, Err(Unanswered::Lost));
    let again = net.send(COMMIT, commit(&id, 1, 200));
    net.apply(Step::Deliver(COMMIT));
    let acknowledged = net.apply(Step::Answer(COMMIT)).unwrap();
    assert_eq!(acknowledged.id, again);
    assert_eq!(net.committed(), Some(200));
    assert_eq!(net.apply(Step::Stray(0)), None);
    assert_eq!(net.committed(), Some(100));
    assert_eq!(net.settle(), []);
}

#[test]
fn a_cut_before_the_broker_reads_applies_nothing_and_one_after_it_does() {
    let budget = Faults { cuts: 2, ..Faults::default() };
    let mut net = Net::new(budget);
    let id = net.stable(JOIN);
    let cut = Step::Fault(Fault::Cut { line: COMMIT, lingers: false });
    net.send(COMMIT, commit(&id, 1, 5));
    assert_eq!(net.apply(cut).unwrap().result, Err(Unanswered::Lost));
    assert_eq!(net.committed(), None);
    net.send(COMMIT, commit(&id, 1, 6));
    net.apply(Step::Deliver(COMMIT));
    assert_eq!(net.apply(cut).unwrap().result, Err(Unanswered::Lost));
    assert_eq!(net.committed(), Some(6));
    net.send(COMMIT, commit(&id, 1, 7));
    assert!(net.network.steps(net.now).all(|step| !step.is_fault()), "the budget is spent");
    assert_eq!(net.network.apply(net.now, cut), None);
    assert_eq!(net.settle().len(), 1);
}

#[test]
fn a_refused_connection_says_that_nothing_was_sent() {
    let mut net = Net::new(Faults { cuts: 1, ..Faults::default() });
    let id = net.stable(JOIN);
    net.send(COMMIT, commit(&id, 1, 5));
    let refused = net.apply(Step::Fault(Fault::Refuse(COMMIT))).unwrap();
    assert_eq!(refused.result, Err(Unanswered::NotSent));
    assert_eq!((net.settle(), net.committed()), (vec![], None));
}

#[test]
fn a_stalled_connection_is_closed_by_the_members_timeout() {
    let mut net = Net::new(Faults { stalls: 2, ..Faults::default() });
    let id = net.stable(JOIN);
    net.send(COMMIT, commit(&id, 1, 5));
    net.apply(Step::Fault(Fault::Stall(COMMIT)));
    net.send(COMMIT, commit(&id, 1, 6));
    assert_eq!(net.settle(), []);
    let until = net.now + Duration::from_secs(120);
    while net.now < until {
        net.call(CONTROL, beat(&id, 1));
        net.pass(4_000);
    }
    assert_eq!(net.committed(), Some(6), "the second went by a new connection");

    net.send(COMMIT, commit(&id, 1, 7));
    net.apply(Step::Deliver(COMMIT));
    net.apply(Step::Fault(Fault::Stall(COMMIT)));
    assert_eq!((net.settle(), net.committed()), (vec![], Some(7)));
}

#[test]
fn a_stalled_request_may_linger_when_it_is_given_up() {
    let mut net = Net::new(Faults { stalls: 1, stragglers: 1, ..Faults::default() });
    net.send(COMMIT, commit("", -1, 5));
    net.apply(Step::Fault(Fault::Stall(COMMIT)));
    net.now = net.network.next_wake();
    let lost = net.apply(Step::TimeOut { line: COMMIT, lingers: true }).unwrap();
    assert_eq!(lost.result, Err(Unanswered::Lost));
    assert_eq!(net.committed(), None);
    net.apply(Step::Stray(0));
    assert_eq!(net.committed(), Some(5));
}

#[test]
fn a_parked_request_is_given_up_after_its_timeout_and_one_behind_it_was_never_sent() {
    let (mut net, id, parked) = parked();
    let behind = RequestId(99);
    let timeout = Duration::from_secs(3);
    net.network.send(net.now, 0, Lane::Join, behind, commit(&id, 1, 5), timeout);
    let answers = net.pass(3_000);
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].id, answers[0].result.clone()), (behind, Err(Unanswered::NotSent)));

    let (mut short, id, _) = self::parked();
    short.network.abandon(0);
    let again = RequestId(98);
    let request = Request::JoinGroup(join(&id));
    short.network.send(short.now, 0, Lane::Join, again, request, timeout);
    let answers = short.pass(3_000);
    assert_eq!((answers[0].id, answers[0].result.clone()), (again, Err(Unanswered::Lost)));
    assert_eq!(short.network.coordinator().parked().count(), 1, "the broker still has it");
    assert_ne!(parked, again);
}

#[test]
fn a_late_write_is_applied_and_answered_with_an_error() {
    let mut net = Net::new(Faults { late_writes: 1, ..Faults::default() });
    let id = net.stable(JOIN);
    net.send(COMMIT, commit(&id, 1, 5));
    net.apply(Step::Fault(Fault::LateWrite(COMMIT)));
    let answer = net.apply(Step::Answer(COMMIT)).unwrap();
    assert_eq!(commit_error(&answer.result.unwrap()), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(net.committed(), Some(5));
}

#[test]
fn a_reload_answers_what_is_parked() {
    let mut net = Net::new(Faults { reloads: 1, ..Faults::default() });
    let id = net.stable(JOIN);
    net.call(Line { member: 1, ..JOIN }, Request::JoinGroup(join("")));
    let parked = net.send(JOIN, Request::JoinGroup(join(&id)));
    net.settle();
    net.apply(Step::Fault(Fault::Reload));
    let answer = net.apply(Step::Answer(JOIN)).unwrap();
    assert_eq!(answer.id, parked);
    match answer.result {
        Ok(Response::JoinGroup(joined)) => assert_eq!(joined.error, ErrorCode::NotCoordinator),
        other => panic!("{other:?}"),
    }
    assert_eq!(net.call(CONTROL, beat(&id, 1)), Response::Heartbeat(ErrorCode::None));
}

#[test]
fn while_the_coordinator_is_away_nobody_finds_it() {
    let mut net = Net::new(Faults { unloads: 1, ..Faults::default() });
    let id = net.stable(JOIN);
    net.apply(Step::Fault(Fault::Unload));
    let find = Request::FindCoordinator(FindCoordinator { group: GROUP.into() });
    let ask = |net: &mut Net, request: &Request| {
        net.send(CONTROL, request.clone());
        net.apply(Step::Deliver(CONTROL));
        net.apply(Step::Answer(CONTROL)).unwrap().result.unwrap()
    };
    let found = |error, node| Response::FindCoordinator(FoundCoordinator { error, node });
    let away = found(ErrorCode::CoordinatorNotAvailable, None);
    assert_eq!(ask(&mut net, &find), away);
    assert_eq!(ask(&mut net, &beat(&id, 1)), Response::Heartbeat(ErrorCode::NotCoordinator));
    assert_eq!(net.network.apply(net.now, Step::Load), None);
    assert_eq!(ask(&mut net, &find), away, "it can't load before it is there");
    net.apply(Step::StartLoad);
    let there = found(ErrorCode::None, Some(Network::node()));
    assert_eq!(ask(&mut net, &find), there);
    assert_eq!(ask(&mut net, &beat("x", 9)), Response::Heartbeat(ErrorCode::None));
    net.apply(Step::Load);
    assert_eq!(ask(&mut net, &beat(&id, 1)), Response::Heartbeat(ErrorCode::None));
}

#[test]
fn a_dead_members_requests_are_applied_and_not_answered() {
    let mut net = Net::new(Faults::default());
    let id = net.stable(JOIN);
    net.send(COMMIT, commit(&id, 1, 5));
    net.send(COMMIT, commit(&id, 1, 6));
    net.network.abandon(0);
    assert_eq!((net.settle(), net.committed()), (vec![], Some(5)), "only what was written");
}

#[test]
fn what_differs_by_the_clock_and_by_request_ids_alone_is_equal() {
    let world = |start: u64, id: u64| {
        let mut net = Net::new(Faults::default());
        net.now = Time::from_millis(start);
        net.requests = id;
        let member = net.stable(JOIN);
        net.send(COMMIT, commit(&member, 1, 5));
        net.network.rebase(net.now);
        net.network.rename_requests(0, |_| RequestId(0));
        net.network
    };
    assert_eq!(world(0, 0), world(77_000, 500));
}
