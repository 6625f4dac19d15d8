//! The whole core with a coordinator behind it: a driver with the shipped machine, whose link
//! runs the world's coordinator inline, on the thread that polls the driver.
//!
//! The clock stands still while two threads race: what a timer would do is done by the script
//! before. So a schedule is a choice of steps and nothing else, and there are few enough to
//! explore them all.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use handover_machine::assign::{self, Subscription};
use handover_machine::{
    Api, Assignor, CommitEntry, CommitTarget, Config, Event, JoinGroup, Lane, Mark, Protocol,
    Request, RequestId, Start, Time, TopicPartition,
};
use handover_world::{Coordinator, CoordinatorConfig, Faults, Network};

use super::fixture::once;
use crate::backend::block_on;
use crate::backend::core::{
    Assignments, Batch, Change, Deliveries, Driver, Events, Feed, Handle, Incoming, Lease, Link,
    Member, Options, Outgoing, member,
};

const GROUP: &str = "g";
const TOPIC: &str = "t";

/// The network and what went over it. A mutex of std's: only one thread at a time comes here, and
/// none stays.
#[derive(Clone)]
pub(crate) struct Town(Arc<Mutex<Inner>>);

struct Inner {
    network: Network,
    now: Time,
    /// The requests that the member sent, in order.
    sent: Vec<Api>,
}

impl Town {
    fn new() -> Town {
        let config =
            CoordinatorConfig { initial_rebalance_delay: Duration::ZERO, ..Default::default() };
        let network = Network::new(Coordinator::new(config), 2, Faults::default());
        Town(Arc::new(Mutex::new(Inner { network, now: Time::ZERO, sent: Vec::new() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests of this kind the member has sent.
    pub(crate) fn sent(&self, api: Api) -> usize {
        self.inner().sent.iter().filter(|sent| **sent == api).count()
    }

    /// Whether the member has answered the rebalance. Settling took it two JoinGroups: one to be
    /// given its id.
    pub(crate) fn has_rejoined(&self) -> bool {
        self.sent(Api::JoinGroup) == 3
    }

    /// The offset that the coordinator has.
    pub(crate) fn committed(&self) -> Option<i64> {
        let inner = self.inner();
        let offset = inner.network.coordinator().offsets(GROUP).next();
        offset.map(|(_, committed)| committed.offset)
    }

    /// Another member joins, so the group waits for ours; and ours is due for a heartbeat.
    pub(crate) fn begin_rebalance(&self) {
        let inner = &mut *self.inner();
        inner.now = inner.now + Duration::from_secs(3);
        let subscription = Subscription { topics: vec![TOPIC.into()], ..Default::default() };
        let join = JoinGroup {
            group: GROUP.into(),
            member: "".into(),
            instance: None,
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".into(),
            protocols: vec![Protocol { name: "range".into(), metadata: subscription.encode() }],
            reason: None,
            member_id_required: false,
        };
        let timeout = Duration::from_secs(60);
        inner.network.send(inner.now, 1, Lane::Join, RequestId(0), join_request(join), timeout);
        assert_eq!(inner.answer(), None, "it waits for our member");
    }
}

fn join_request(join: JoinGroup) -> Request {
    Request::JoinGroup(join)
}

impl Inner {
    /// Whatever can happen without a fault, until our member has an answer.
    fn answer(&mut self) -> Option<Incoming> {
        while let Some(step) = self.network.steps(self.now).next() {
            let answer = self.network.apply(self.now, step);
            if let Some(answer) = answer.filter(|answer| answer.member == 0) {
                return Some(Incoming::Answer { id: answer.id, answer: answer.result });
            }
        }
        None
    }
}

impl Link for Town {
    fn now(&mut self) -> Time {
        self.inner().now
    }

    fn poll_send(&mut self, _: &mut Context<'_>, request: &mut Option<Outgoing>) -> Poll<()> {
        let Some(Outgoing { id, lane, timeout, request, .. }) = request.take() else {
            return Poll::Ready(());
        };
        let inner = &mut *self.inner();
        inner.sent.push(request.api());
        inner.network.send(inner.now, 0, lane, id, request, timeout);
        Poll::Ready(())
    }

    /// Nothing happens in the network unless the driver sends: no waker is kept.
    fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<Incoming> {
        self.inner().answer().map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_timer(&mut self, _: &mut Context<'_>, at: Time) -> Poll<()> {
        if at <= self.inner().now { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A member that owns the one partition there is, with a batch of ten records to deliver.
pub(crate) struct Settled {
    pub(crate) town: Town,
    pub(crate) handle: Handle,
    pub(crate) events: Events,
    pub(crate) deliveries: Deliveries<()>,
    /// Kept, so that the queue stays open.
    pub(crate) feed: Feed<()>,
    pub(crate) assignments: Assignments,
    pub(crate) lease: Lease,
    pub(crate) driver: Driver<Town, ()>,
}

/// Joins, leads, assigns itself the partition, and has taken the event of it.
pub(crate) fn settled(listen: bool) -> Settled {
    let town = Town::new();
    let config = Config { assignors: vec![Assignor::range()], ..Config::new(GROUP) };
    let options = Options { listen: true, seed: Some(0), ..Options::default() };
    let Member { handle, mut events, mut deliveries, mut feed, mut assignments, driver, .. } =
        member(config, options).expect("the settings are right");
    let mut driver = driver.run(town.clone());
    // The application lives: the max poll interval is of no concern here.
    assert!(once(|cx| deliveries.poll_next(cx)).is_none());
    let subscribed = handle.subscribe([TOPIC]);
    let mut cx = Context::from_waker(Waker::noop());
    while Pin::new(&mut driver).poll(&mut cx).is_pending() && plan(&mut assignments) {}
    drop(subscribed);

    let assigned = once(|cx| events.poll_next(cx)).flatten().expect("it is assigned");
    assert!(matches!(assigned.event(), Event::Assigned { .. }));
    let lease = assigned.leases()[0].clone();
    assigned.done();
    if !listen {
        // Nobody is told of the hand-over, so it waits for nobody's event.
        let (_, nobody) = crate::backend::core::parts::events(false);
        drop(std::mem::replace(&mut events, nobody));
    }
    fill(&mut feed);
    Settled { town, handle, events, deliveries, feed, assignments, lease, driver }
}

/// Runs the assignor, if it is asked for a plan.
pub(crate) fn plan(assignments: &mut Assignments) -> bool {
    let Some(Some(request)) = once(|cx| assignments.poll_next(cx)) else { return false };
    let topics = [(TOPIC.into(), 1)].into();
    let plan = assign::plan(request.protocol(), request.members(), &topics);
    request.done(plan.expect("the members are ours"));
    true
}

fn fill(feed: &mut Feed<()>) {
    let Some(Some(Change::Open { lease, start, position, .. })) = once(|cx| feed.poll_change(cx))
    else {
        panic!("the position is known");
    };
    assert_eq!(start, Start::Reset, "nothing was committed");
    let batch =
        Batch { lease, position, first: 0, next: 10, leader_epoch: 1, bytes: 10, payload: () };
    feed.push(batch).expect("it is open");
}

/// Polls the driver until things are as wanted, or it has ended.
pub(crate) fn drive(driver: &mut Driver<Town, ()>, mut until: impl FnMut() -> bool) {
    block_on(poll_fn(|cx| {
        let ended = Pin::new(&mut *driver).poll(cx).is_ready();
        if ended || until() { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// A commit of this lease, up to `offset`.
pub(crate) fn entry(lease: &Lease, offset: i64) -> CommitEntry {
    CommitEntry {
        target: CommitTarget::Lease(lease.id(), TopicPartition::clone(lease.partition())),
        mark: Mark::at(offset),
        metadata: None,
        rewind: false,
    }
}
