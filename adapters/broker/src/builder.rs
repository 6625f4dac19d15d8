//! How a broker is to be.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use handover_machine::Name;
use handover_world::CoordinatorConfig;

use crate::cluster::Settings;
use crate::{Broker, StartError};

/// More nodes than this are a mistake.
const NODE_LIMIT: i32 = 1_000;

/// A broker that is not started yet. Made by [`Broker::builder`].
///
/// ```
/// use handover_broker::Broker;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), handover_broker::StartError> {
/// let broker = Broker::builder()
///     .nodes(3)
///     .topic("orders", 12)
///     .topic_with("audit", 1, [("retention.bytes", "1000000")])
///     .min_session_timeout(Duration::from_millis(100))
///     .start()
///     .await?;
/// assert_eq!(broker.nodes().len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a broker runs once it is started"]
pub struct Builder {
    nodes: i32,
    pub(crate) address: IpAddr,
    port: u16,
    pub(crate) topics: Vec<(String, i32, BTreeMap<String, String>)>,
    pub(crate) groups: CoordinatorConfig,
    pub(crate) settings: Settings,
}

impl Default for Builder {
    fn default() -> Builder {
        let settings = Settings {
            host: Name::from("127.0.0.1"),
            auto_create: None,
            default_partitions: 1,
            frame_limit: handover_wire::FrameLimit::DEFAULT.bytes(),
        };
        let groups = CoordinatorConfig {
            // Tests want the first rebalance now. Kafka's own default is three seconds.
            initial_rebalance_delay: Duration::ZERO,
            // And sessions that end within a test. Kafka's own default is six seconds.
            min_session_timeout: Duration::ZERO,
            ..CoordinatorConfig::default()
        };
        Builder {
            nodes: 1,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            topics: Vec::new(),
            groups,
            settings,
        }
    }
}

impl Builder {
    /// How many nodes there are, each with a listener of its own. The leaders of partitions and
    /// the coordinators of groups are spread over them. Default 1.
    pub fn nodes(mut self, nodes: i32) -> Self {
        self.nodes = nodes;
        self
    }

    /// The address to listen at. Default 127.0.0.1.
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = address;
        self.settings.host = Name::from(address.to_string());
        self
    }

    /// The host name that clients are told to connect to, where it is not the address.
    pub fn advertise(mut self, host: impl Into<Name>) -> Self {
        self.settings.host = host.into();
        self
    }

    /// The port of the first node; the others follow it. Default 0: free ports.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Creates a topic.
    pub fn topic(self, name: impl Into<String>, partitions: i32) -> Self {
        self.topic_with(name, partitions, [])
    }

    /// Creates a topic with settings, which have Kafka's names. The broker acts on
    /// `retention.bytes`, of a partition, and on `max.message.bytes`, of a batch; the others that
    /// it knows are kept and told.
    pub fn topic_with<'a>(
        mut self,
        name: impl Into<String>,
        partitions: i32,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let own = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.topics.push((name.into(), partitions, own.collect()));
        self
    }

    /// Creates topics that clients only ask about or produce to, with this many partitions
    /// (`auto.create.topics.enable`). Default: no such topic is created.
    pub fn auto_create_topics(mut self, partitions: i32) -> Self {
        self.settings.auto_create = Some(partitions);
        self.settings.default_partitions = partitions;
        self
    }

    /// How long an empty group waits for more members after the first one
    /// (`group.initial.rebalance.delay.ms`). Default zero; Kafka's default is 3 s.
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.groups.initial_rebalance_delay = delay;
        self
    }

    /// The shortest session timeout that members may ask for (`group.min.session.timeout.ms`).
    /// Default zero; Kafka's default is 6 s.
    pub fn min_session_timeout(mut self, timeout: Duration) -> Self {
        self.groups.min_session_timeout = timeout;
        self
    }

    /// Everything about groups at once.
    pub fn groups(mut self, config: CoordinatorConfig) -> Self {
        self.groups = config;
        self
    }

    /// The largest request, in bytes (`socket.request.max.bytes`). Default 100 MiB.
    pub fn frame_limit(mut self, bytes: usize) -> Self {
        self.settings.frame_limit = bytes;
        self
    }

    /// Starts the broker on the current Tokio runtime, which needs its I/O and time drivers.
    /// Returns when every node listens.
    ///
    /// # Errors
    ///
    /// [`StartError`] if an address is taken or a topic is not valid. Nothing is left running.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn start(self) -> Result<Broker, StartError> {
        if !(1..=NODE_LIMIT).contains(&self.nodes) {
            return Err(StartError::Nodes(self.nodes));
        }
        Broker::launch(self).await
    }

    /// The nodes' ids and ports.
    pub(crate) fn ports(&self) -> Result<Vec<(i32, u16)>, StartError> {
        let port = |place: u16| match self.port {
            0 => Some(0),
            first => first.checked_add(place),
        };
        let nodes = (1..=self.nodes).zip(0..);
        let ports = nodes.map(|(id, place)| port(place).map(|port| (id, port)));
        ports.collect::<Option<_>>().ok_or(StartError::Nodes(self.nodes))
    }
}
