//! The broker as its user sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_machine::{Mark, Name, Node, TopicPartition};
use handover_world::GroupDescription;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::builder::Builder;
use crate::cluster::{Cluster, NodeState, State};
use crate::error::{BrokerError, StartError};
use crate::groups::Groups;
use crate::server;
use crate::sessions::Sessions;
use crate::topics::Topics;
use crate::{Api, Faults, Record, Requests, record};

/// A Kafka cluster inside this process, for tests: the real protocol over TCP on loopback, the
/// group coordinator that handover is model-checked with, logs in memory, faults on demand.
///
/// It runs as tasks of the Tokio runtime on which it was started. Dropping it stops them all and
/// closes every connection.
///
/// ```
/// use handover_broker::{Broker, Record};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::builder().nodes(2).topic("orders", 12).start().await?;
/// // … a Kafka client connects to `broker.bootstrap()`, such as "127.0.0.1:40123,127.0.0.1:38041"
/// broker.produce("orders", 3, [Record::from("a"), Record::from(("key", "b"))])?;
/// assert_eq!(broker.offsets("orders")?[3], 0..2);
/// assert_eq!(broker.group("billing"), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Broker {
    cluster: Arc<Cluster>,
    /// The listeners of the nodes that are up, by node id.
    listeners: Mutex<BTreeMap<i32, Listener>>,
    clock: JoinHandle<()>,
}

impl Broker {
    /// A broker to be configured: one node, free ports, no topic.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A broker with one node and no topic.
    ///
    /// # Errors
    ///
    /// As for [`Builder::start`].
    pub async fn start() -> Result<Broker, StartError> {
        Broker::builder().start().await
    }

    pub(crate) async fn launch(builder: Builder) -> Result<Broker, StartError> {
        let mut nodes = Vec::new();
        let mut sockets = Vec::new();
        for (id, port) in builder.ports()? {
            let socket = bind((builder.address, port).into()).await?;
            let address = socket
                .local_addr()
                .map_err(|error| StartError::listen((builder.address, port).into(), &error))?;
            nodes.push(NodeState { id, address, up: true });
            sockets.push((id, socket));
        }
        let seed = RandomState::new().hash_one("topic ids");
        let groups = Groups::new(builder.groups, nodes.len());
        let state = State {
            nodes,
            topics: Topics::new(seed),
            groups,
            sessions: Sessions::default(),
            producers: 0,
        };
        let cluster = Arc::new(Cluster::new(format!("handover-{seed:x}"), builder.settings, state));
        let clock = tokio::spawn(server::clock(Arc::clone(&cluster)));
        let broker = Broker { cluster, listeners: Mutex::default(), clock };
        for (name, partitions, settings) in builder.topics {
            broker.create(&name, partitions, settings).map_err(StartError::Topic)?;
        }
        for (id, socket) in sockets {
            broker.listen(id, socket);
        }
        Ok(broker)
    }

    /// Where to connect: `host:port` of each node, separated by commas, as `bootstrap.servers`
    /// wants it.
    pub fn bootstrap(&self) -> String {
        let nodes = self.nodes();
        let addresses = nodes.iter().map(|node| format!("{}:{}", node.host, node.port));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The nodes, also those that were stopped. Their ids go from 1 up.
    pub fn nodes(&self) -> Vec<Node> {
        let state = self.cluster.lock();
        state.nodes.iter().map(|node| self.cluster.announce(node)).collect()
    }

    /// Creates a topic.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Topic`] if it exists, or its name or the number of partitions is not valid.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), BrokerError> {
        self.create(name, partitions, BTreeMap::new())
    }

    fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: BTreeMap<String, String>,
    ) -> Result<(), BrokerError> {
        let mut state = self.cluster.lock();
        let live = state.live();
        let created = state.topics.create(name, partitions, settings, &live).map(drop);
        drop(state);
        self.cluster.changed.send_replace(());
        created.map_err(|error| BrokerError::topic(name, &error))
    }

    /// What can be read of each partition: the first offset, and the one behind the last record.
    ///
    /// # Errors
    ///
    /// [`BrokerError::UnknownTopic`].
    pub fn offsets(&self, topic: &str) -> Result<Vec<std::ops::Range<i64>>, BrokerError> {
        let state = self.cluster.lock();
        let found = state.topics.get(topic).ok_or_else(|| BrokerError::unknown_topic(topic))?;
        Ok(found.partitions.iter().map(|part| part.log.start()..part.log.end()).collect())
    }

    /// Appends records to a partition as one batch and gives the offset of the first.
    ///
    /// # Errors
    ///
    /// [`BrokerError::UnknownTopic`], [`BrokerError::UnknownPartition`]; [`BrokerError::Records`]
    /// if there is none, or too much for one batch.
    pub fn produce(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<i64, BrokerError> {
        let batch = record::to_batch(&records.into_iter().collect::<Vec<_>>())?;
        let mut state = self.cluster.lock();
        let found = state.topics.get(topic).ok_or_else(|| BrokerError::unknown_topic(topic))?;
        let limit = found.batch_limit();
        if batch.bytes.len() > limit {
            let detail = format!("{} bytes, of {limit} allowed in one batch", batch.bytes.len());
            return Err(BrokerError::Records(detail));
        }
        let missing = || BrokerError::UnknownPartition(TopicPartition::new(topic, partition));
        let found = state.topics.partition_mut(topic, partition).ok_or_else(missing)?;
        let base = found.log.end();
        found.log.append(&batch, found.epoch);
        drop(state);
        self.cluster.appended.send_replace(());
        self.cluster.changed.send_replace(());
        Ok(base)
    }

    /// The records of a partition, with their offsets, from `offset` on.
    ///
    /// # Errors
    ///
    /// [`BrokerError::UnknownTopic`], [`BrokerError::UnknownPartition`].
    pub fn records(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Vec<(i64, Record)>, BrokerError> {
        let state = self.cluster.lock();
        state.topics.get(topic).ok_or_else(|| BrokerError::unknown_topic(topic))?;
        let missing = || BrokerError::UnknownPartition(TopicPartition::new(topic, partition));
        let found = state.topics.partition(topic, partition).ok_or_else(missing)?;
        let bytes = found.log.read(offset, usize::MAX, true);
        drop(state);
        let records = record::of_batches(&bytes).into_iter();
        Ok(records.filter(|(at, _)| *at >= offset).collect())
    }

    /// A group: its state, generation, leader, and members with what they hold. `None` if there is
    /// no such group.
    pub fn group(&self, name: &str) -> Option<GroupDescription> {
        self.cluster.lock().groups.look(name)
    }

    /// The ids of the members that a rebalance of the group waits for: those that have not joined
    /// again, ids that were given and have not come back, then the leader until it brings its
    /// plan. Empty if nothing is waited for.
    pub fn awaited(&self, group: &str) -> Vec<Name> {
        self.cluster.lock().groups.awaited(group)
    }

    /// The committed offsets of a group; empty if there are none.
    pub fn committed(&self, group: &str) -> BTreeMap<TopicPartition, Mark> {
        let committed = self.cluster.lock().groups.committed(group);
        let mark = |offset, leader_epoch| Mark { offset, leader_epoch };
        committed.into_iter().map(|(at, c)| (at, mark(c.offset, c.leader_epoch))).collect()
    }

    /// The node that coordinates a group; `None` while no node is up.
    pub fn coordinator(&self, group: &str) -> Option<i32> {
        let state = self.cluster.lock();
        state.groups.node_of(group, &state.live())
    }

    /// Moves a group's coordinator to another node, as when the leader of its partition of the
    /// offsets topic changes: parked requests are answered NOT_COORDINATOR, generations whose
    /// leader has not synced are forgotten, offsets stay, sessions begin afresh. Moving it to
    /// where it is is a restart of the coordinator alone.
    ///
    /// # Errors
    ///
    /// [`BrokerError::UnknownNode`], also if the node is stopped.
    pub fn move_coordinator(&self, group: &str, to_node: i32) -> Result<(), BrokerError> {
        let mut state = self.cluster.lock();
        if !state.live().contains(&to_node) {
            return Err(BrokerError::UnknownNode(to_node));
        }
        state.groups.move_to(self.cluster.now(), group, to_node);
        drop(state);
        self.cluster.rearm.notify_one();
        Ok(())
    }

    /// Stops a node as a kill would: its connections are closed, the partitions that it led and
    /// the groups that it coordinated move to the nodes that are left, if any. Records and
    /// committed offsets survive. Returns when the port is closed; stopping a stopped node does
    /// nothing.
    ///
    /// Not cancel safe: a dropped call may leave the node's partitions with it until the next
    /// stop or restart.
    ///
    /// # Errors
    ///
    /// [`BrokerError::UnknownNode`].
    pub async fn stop_node(&self, id: i32) -> Result<(), BrokerError> {
        self.address(id)?;
        let listener = self.listeners().remove(&id);
        if let Some(listener) = listener {
            listener.stop().await;
        }
        self.set_up(id, false);
        Ok(())
    }

    /// Starts a stopped node again, at the address that it had. Partitions and groups that have no
    /// node move to it; the others stay where they are. Restarting a running node does nothing.
    ///
    /// # Errors
    ///
    /// [`BrokerError::UnknownNode`]; [`BrokerError::Listen`] if somebody took the port meanwhile.
    pub async fn restart_node(&self, id: i32) -> Result<(), BrokerError> {
        let address = self.address(id)?;
        if self.listeners().contains_key(&id) {
            return Ok(());
        }
        let socket = bind(address).await.map_err(|error| BrokerError::Listen(Box::new(error)))?;
        self.set_up(id, true);
        self.listen(id, socket);
        Ok(())
    }

    /// The faults, to be added to and cleared at any time.
    pub fn faults(&self) -> Faults {
        self.cluster.faults.clone()
    }

    /// How many requests came, by API. A request counts when it was read, before it is served.
    pub fn requests(&self) -> Requests {
        self.cluster.requests().borrow().clone()
    }

    /// Returns once `condition` is true of this broker. It is asked again after each request,
    /// timer and append, so that a test waits for what is to happen and not for a time. Cancel
    /// safe.
    ///
    /// ```
    /// # use handover_broker::{Api, Broker};
    /// # async fn test(broker: &Broker) {
    /// broker.until(|broker| broker.requests().count(Api::Heartbeat) >= 3).await;
    /// broker.until(|broker| broker.group("billing").is_some_and(|g| g.members.len() == 2)).await;
    /// # }
    /// ```
    pub async fn until(&self, mut condition: impl FnMut(&Broker) -> bool) {
        let mut changed = self.cluster.changed.subscribe();
        while !condition(self) {
            // The sender is in `self`, so the channel can't be closed while this waits.
            let _ = changed.changed().await;
        }
    }

    /// Returns once `n` requests of `api` have come. Cancel safe.
    pub async fn requested(&self, api: Api, n: u64) {
        // As above.
        let _ = self.cluster.requests().wait_for(|requests| requests.count(api) >= n).await;
    }

    /// Stops the broker and returns when every task of it has ended. Dropping it does the same
    /// without waiting.
    pub async fn stop(mut self) {
        self.clock.abort();
        // It ends by being aborted, which is an error that tells nothing.
        let _ = (&mut self.clock).await;
        let listeners = std::mem::take(&mut *self.listeners());
        for listener in listeners.into_values() {
            listener.stop().await;
        }
    }

    fn listen(&self, id: i32, socket: TcpListener) {
        let (stop, stopped) = watch::channel(false);
        let task = server::listen(Arc::clone(&self.cluster), id, socket, stopped);
        let listener = Listener { stop, task: tokio::spawn(task) };
        self.listeners().insert(id, listener);
    }

    fn set_up(&self, id: i32, up: bool) {
        self.cluster.lock().set_up(self.cluster.now(), id, up);
        self.cluster.rearm.notify_one();
        self.cluster.appended.send_replace(());
    }

    fn address(&self, id: i32) -> Result<SocketAddr, BrokerError> {
        let state = self.cluster.lock();
        state.node(id).map(|node| node.address).ok_or(BrokerError::UnknownNode(id))
    }

    fn listeners(&self) -> MutexGuard<'_, BTreeMap<i32, Listener>> {
        // Each use is one operation on the map: a panic elsewhere leaves it whole.
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.clock.abort();
        for listener in self.listeners().values() {
            listener.task.abort();
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bootstrap())
    }
}

/// A node's listener and all its connections, which end with it.
#[derive(Debug)]
struct Listener {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    async fn stop(self) {
        self.stop.send_replace(true);
        // It fails only if the task panicked, and then it is over too.
        let _ = self.task.await;
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::listen(address, &error))
}
