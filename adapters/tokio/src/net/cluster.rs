//! A cluster as this client knows it: its brokers, its leaders, and connections to them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_core::machine::{ConfigError, ErrorCode, Name, Node, TopicPartition};
use handover_wire::ApiKey;
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::metadata_request::MetadataRequestTopic;
use handover_wire::codec::messages::{MetadataRequest, MetadataResponse, TopicName};
use tokio::time::Instant;

use super::directory::{Directory, Leader, Topic};
use super::{Backoff, Connection};
use crate::config::ClientConfig;
use crate::error::{ClusterError, ConnectionError};

const METADATA: ApiKey = ApiKey(3);
/// The first version of Metadata that says whether topics may be made by asking for them.
const METADATA_AUTO_CREATE: i16 = 4;

/// A cluster: what producers, consumers and the admin calls share. A clone is the same one.
///
/// It knows the brokers, the topics and the partitions' leaders, asks for them when they are
/// wanted, when a broker says that they have changed, and when they are old; and it keeps a few
/// connections to each broker. Nothing is sent before something is asked for. It must be used
/// within a Tokio runtime.
///
/// ```no_run
/// use handover_tokio::{ClientConfig, Cluster};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::new(ClientConfig::new("localhost:9092"))?;
/// for (topic, partitions) in cluster.topics().await? {
///     println!("{topic}: {partitions} partitions");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    config: ClientConfig,
    /// Locked for moments, never across an await.
    directory: Mutex<Directory>,
    /// Connections by broker and use. Locked for moments; the slot in it for as long as it takes
    /// to connect, so that callers of one broker wait for one attempt.
    slots: Mutex<BTreeMap<(i32, Use), Arc<Slot>>>,
    /// A connection to whichever broker could be reached.
    any: Slot,
    /// Held while metadata is asked for, so that many who miss it ask once.
    asking: tokio::sync::Mutex<()>,
}

/// What a connection is for. A broker answers one request after the other on a connection, so
/// what may wait there must not stand before what should not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Use {
    /// Fetches, which wait for records.
    Fetch,
    /// Produce requests, which wait for replicas.
    Produce,
    /// Whatever is answered at once.
    Query,
}

impl Use {
    fn in_flight(self) -> usize {
        if self == Use::Fetch { 1 } else { 5 }
    }
}

type Slot = tokio::sync::Mutex<Line>;

/// One connection at a time to one broker, with the pauses between the attempts. Whoever holds one
/// has connections to itself; what many share is in the cluster's slots.
pub(crate) struct Line {
    connection: Option<Connection>,
    backoff: Backoff,
    /// Not before this moment is the next attempt made.
    retry: Option<Instant>,
}

impl Line {
    /// Not connected, and free to be at once.
    pub(crate) fn new(config: &ClientConfig) -> Line {
        Line { connection: None, backoff: Backoff::new(config.retry_backoff), retry: None }
    }

    /// The connection, if it stands.
    pub(crate) fn standing(&mut self) -> Option<Connection> {
        let connection = self.connection.as_ref()?;
        if !connection.is_closed() {
            return Some(connection.clone());
        }
        // A broker that accepts and hangs up is tried again no faster than one that refuses.
        if connection.has_answered() {
            self.backoff.reset();
        } else {
            self.retry = Some(Instant::now() + self.backoff.next());
        }
        self.connection = None;
        None
    }

    fn opened(&mut self, connection: &Connection) {
        self.connection = Some(connection.clone());
        self.retry = None;
    }

    fn failed(&mut self) {
        self.retry = Some(Instant::now() + self.backoff.next());
    }

    async fn pause(&self) {
        if let Some(retry) = self.retry {
            tokio::time::sleep_until(retry).await;
        }
    }
}

impl Cluster {
    /// A cluster, of which nothing is known but the addresses in `config`.
    ///
    /// # Errors
    ///
    /// The first setting that cannot stand.
    pub fn new(config: ClientConfig) -> Result<Cluster, ConfigError> {
        config.validate()?;
        Ok(Cluster(Arc::new(Inner {
            any: Slot::new(Line::new(&config)),
            config,
            directory: Mutex::default(),
            slots: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })))
    }

    /// The settings.
    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// All topics with the number of their partitions, as a broker knows them now.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// No broker could be reached, or it refused.
    pub async fn topics(&self) -> Result<BTreeMap<Name, usize>, ClusterError> {
        let answer = self.ask_metadata(None, false).await?;
        let listed = answer.topics.iter().filter(|topic| topic.error_code == 0);
        let counted = listed.filter_map(|topic| {
            let name = topic.name.as_ref()?;
            Some((Name::from(name.as_str()), topic.partitions.len()))
        });
        Ok(counted.collect())
    }

    /// How many partitions a topic has, as far as is known: it is asked for if it is not known or
    /// older than [`ClientConfig::metadata_max_age`]. Cancel safe.
    ///
    /// # Errors
    ///
    /// No broker could be reached, or there is no such topic.
    pub async fn partitions(&self, topic: &str) -> Result<usize, ClusterError> {
        Ok(self.topic(&Name::from(topic), false).await?.count())
    }

    /// What is known of a topic, asking for it if that is nothing, wrong or old. `create` lets the
    /// broker make it, if it is configured to (`auto.create.topics.enable`).
    pub(crate) async fn topic(
        &self,
        name: &Name,
        create: bool,
    ) -> Result<Arc<Topic>, ClusterError> {
        if let Some(topic) = self.fresh(name) {
            return Ok(topic);
        }
        let _asking = self.0.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(topic) = self.fresh(name) {
            return Ok(topic);
        }
        let refused = self.refresh(std::slice::from_ref(name), create).await?;
        match self.fresh(name) {
            Some(topic) => Ok(topic),
            None => Err(refusal(name, &refused)),
        }
    }

    /// Asks anew for all of `names` that are unknown, wrong or old. Gives those that were refused.
    pub(crate) async fn update(
        &self,
        names: &[Name],
    ) -> Result<Vec<(Name, ErrorCode)>, ClusterError> {
        let _asking = self.0.asking.lock().await;
        let missing: Vec<Name> =
            names.iter().filter(|name| self.fresh(name).is_none()).cloned().collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let refused = self.refresh(&missing, false).await?;
        for (topic, error) in &refused {
            tracing::debug!(%topic, %error, "no metadata of a topic");
        }
        Ok(refused)
    }

    /// What is known of a topic, if it is neither wrong nor old.
    pub(crate) fn fresh(&self, name: &str) -> Option<Arc<Topic>> {
        self.directory().fresh(name, Instant::now(), self.0.config.metadata_max_age)
    }

    /// What is known of a topic, also if it is wrong or old.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<Topic>> {
        self.directory().known(name)
    }

    /// A broker said that what is known of this topic is wrong: it is asked for anew.
    pub(crate) fn mark_stale(&self, name: &str) {
        self.directory().mark_stale(name);
    }

    /// A broker said who leads a partition in its place (KIP-951); -1 is nobody.
    pub(crate) fn learn_leader(&self, partition: &TopicPartition, broker: i32, epoch: i32) {
        if broker >= 0 && epoch >= 0 {
            let leader = Leader { broker, epoch };
            self.directory().learn(&partition.topic, partition.partition, leader);
        }
    }

    /// A broker said where another one is.
    pub(crate) fn learn_node(&self, id: i32, host: &str, port: i32) {
        self.directory().learn_node(id, host, port);
    }

    /// The addresses to try when any broker will do, in random order, so that clients spread.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let mut all: Vec<String> = self.directory().nodes().map(address).collect();
        fastrand::shuffle(&mut all);
        let mut first: Vec<String> = self.0.config.bootstrap.clone();
        fastrand::shuffle(&mut first);
        all.extend(first);
        all
    }

    /// The controller, or any broker if it is not known.
    pub(crate) async fn controller(&self) -> Result<Connection, ClusterError> {
        let controller = self.directory().controller();
        match controller {
            Some(id) => Ok(self.broker(id, Use::Query).await?),
            None => Ok(self.any().await?),
        }
    }

    /// A connection to a broker: one that stands, or a new one. After a failure the next attempt
    /// is made no sooner than the backoff says. Cancel safe.
    pub(crate) async fn broker(&self, id: i32, of: Use) -> Result<Connection, ConnectionError> {
        let slot = {
            let mut slots = self.slots();
            let new = || Arc::new(Slot::new(Line::new(&self.0.config)));
            Arc::clone(slots.entry((id, of)).or_insert_with(new))
        };
        let mut line = slot.lock().await;
        self.reach(&mut line, id, of).await
    }

    /// The same over a line of the caller's own, which must not be used for another broker.
    pub(crate) async fn reach(
        &self,
        line: &mut Line,
        id: i32,
        of: Use,
    ) -> Result<Connection, ConnectionError> {
        if let Some(connection) = line.standing() {
            return Ok(connection);
        }
        line.pause().await;
        let address = self.directory().node(id).map(address);
        let opened = match address {
            Some(address) => Connection::open(&address, &self.0.config, of.in_flight()).await,
            None => Err(ConnectionError::UnknownBroker { id }),
        };
        match &opened {
            Ok(connection) => line.opened(connection),
            Err(error) => {
                line.failed();
                tracing::debug!(broker = id, %error, failures = line.backoff.failures(), "retrying");
            }
        }
        opened
    }

    /// A connection to whichever broker can be reached. Cancel safe.
    pub(crate) async fn any(&self) -> Result<Connection, ConnectionError> {
        let mut line = self.0.any.lock().await;
        if let Some(connection) = line.standing() {
            return Ok(connection);
        }
        line.pause().await;
        let mut last = ConnectionError::Closed;
        for address in self.addresses() {
            match Connection::open(&address, &self.0.config, Use::Query.in_flight()).await {
                Ok(connection) => {
                    line.opened(&connection);
                    return Ok(connection);
                }
                Err(error) => last = error,
            }
        }
        line.failed();
        Err(last)
    }

    /// Asks for `names` and for what is wrong or old besides. The caller holds `asking`.
    async fn refresh(
        &self,
        names: &[Name],
        create: bool,
    ) -> Result<Vec<(Name, ErrorCode)>, ClusterError> {
        let mut wanted = self.directory().stale(Instant::now(), self.0.config.metadata_max_age);
        wanted.extend_from_slice(names);
        wanted.sort();
        wanted.dedup();
        let answer = self.ask_metadata(Some(&wanted), create).await?;
        let refused = self.directory().install(answer, Instant::now());
        self.drop_strangers();
        tracing::debug!(topics = wanted.len(), refused = refused.len(), "metadata");
        Ok(refused)
    }

    async fn ask_metadata(
        &self,
        names: Option<&[Name]>,
        create: bool,
    ) -> Result<MetadataResponse, ClusterError> {
        let connection = self.any().await?;
        let version = connection.versions().version_of::<MetadataRequest>();
        let version = version.map_err(ConnectionError::from)?;
        let topic = |name: &Name| {
            let name = TopicName(StrBytes::from_string(name.to_string()));
            MetadataRequestTopic::default().with_name(Some(name))
        };
        let mut request = MetadataRequest::default();
        request.topics = names.map(|names| names.iter().map(topic).collect());
        if version >= METADATA_AUTO_CREATE {
            request.allow_auto_topic_creation = create;
        }
        if names.is_none() && version == 0 {
            // Where there is no null, nothing means everything.
            request.topics = Some(Vec::new());
        }
        let answer = connection.call(&request, self.0.config.request_timeout).await?;
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => Ok(answer),
            error => Err(ClusterError::Refused { api: METADATA, error, message: None }),
        }
    }

    /// Closes the connections to brokers that are not there any more.
    fn drop_strangers(&self) {
        let directory = self.directory();
        self.slots().retain(|(id, _), _| directory.node(*id).is_some());
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        // Nothing in a critical section panics half way through a change.
        self.0.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<(i32, Use), Arc<Slot>>> {
        // As above.
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// Where a broker is, as `host:port`.
pub(crate) fn address(node: &Node) -> String {
    // An IPv6 address needs brackets before a port.
    let host = &node.host;
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{}", node.port)
    } else {
        format!("{host}:{}", node.port)
    }
}

fn refusal(name: &Name, refused: &[(Name, ErrorCode)]) -> ClusterError {
    match refused.iter().find(|(topic, _)| topic == name) {
        Some((topic, error)) => {
            ClusterError::Topic { topic: topic.clone(), error: *error, message: None }
        }
        None => ClusterError::Incomplete { api: METADATA, missing: format!("topic {name}") },
    }
}
