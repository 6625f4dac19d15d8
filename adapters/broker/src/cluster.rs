//! What all connections of a broker share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use handover_machine::{Name, Node, Time};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::faults::Faults;
use crate::groups::Groups;
use crate::sessions::Sessions;
use crate::topics::Topics;
use crate::{Api, Requests};

/// The cluster: its state behind one lock, which is never held across an await, and the ways by
/// which waiting connections learn of a change.
#[derive(Debug)]
pub(crate) struct Cluster {
    state: Mutex<State>,
    pub(crate) id: String,
    pub(crate) faults: Faults,
    pub(crate) settings: Settings,
    requests: watch::Sender<Requests>,
    /// How many connections there were.
    connections: AtomicU64,
    /// Changed after every append and every change of leaders: parked fetches look again.
    pub(crate) appended: watch::Sender<()>,
    /// Changed after every request and every timer: whoever waits for a condition looks again.
    pub(crate) changed: watch::Sender<()>,
    /// Told when the coordinators may want to be woken earlier than the clock task believes.
    pub(crate) rearm: Notify,
    started: Instant,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) sessions: Sessions,
    /// How many producer ids were given.
    pub(crate) producers: i64,
}

/// A node of the cluster.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) id: i32,
    pub(crate) address: SocketAddr,
    /// Whether it listens.
    pub(crate) up: bool,
}

/// What the builder chose.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The host name that clients are told.
    pub(crate) host: Name,
    /// With how many partitions a topic is created that a client only asks about.
    pub(crate) auto_create: Option<i32>,
    /// The partitions of a topic whose creator leaves the choice to the broker.
    pub(crate) default_partitions: i32,
    /// The largest request.
    pub(crate) frame_limit: usize,
}

impl Cluster {
    pub(crate) fn new(id: String, settings: Settings, state: State) -> Cluster {
        Cluster {
            state: Mutex::new(state),
            id,
            faults: Faults::default(),
            settings,
            requests: watch::Sender::new(Requests::default()),
            connections: AtomicU64::new(0),
            appended: watch::Sender::new(()),
            changed: watch::Sender::new(()),
            rearm: Notify::new(),
            started: Instant::now(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a handler must not turn every later request into one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The coordinators' clock: milliseconds since the broker started, on Tokio's clock.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// The moment `time` on Tokio's clock; `None` for never.
    pub(crate) fn instant(&self, time: Time) -> Option<Instant> {
        (time != Time::NEVER).then(|| self.started + time.since(Time::ZERO))
    }

    /// The number of a new connection, from 1.
    pub(crate) fn number_connection(&self) -> u64 {
        // Relaxed: only the number matters.
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn count(&self, api: Api) {
        self.requests.send_modify(|requests| requests.add(api));
        self.changed.send_replace(());
    }

    pub(crate) fn requests(&self) -> watch::Receiver<Requests> {
        self.requests.subscribe()
    }

    /// The node as clients are told of it.
    pub(crate) fn announce(&self, node: &NodeState) -> Node {
        Node { id: node.id, host: self.settings.host.clone(), port: node.address.port() }
    }
}

impl State {
    /// The ids of the nodes that are up, in order.
    pub(crate) fn live(&self) -> Vec<i32> {
        self.nodes.iter().filter(|node| node.up).map(|node| node.id).collect()
    }

    pub(crate) fn node(&self, id: i32) -> Option<&NodeState> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// A node stops or comes back: partitions and groups without a node find one.
    pub(crate) fn set_up(&mut self, now: Time, id: i32, up: bool) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
            node.up = up;
        }
        self.sessions.forget_node(id);
        let live = self.live();
        self.topics.elect(&live);
        self.groups.elect(now, &live);
    }
}
