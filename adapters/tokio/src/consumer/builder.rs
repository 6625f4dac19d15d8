//! The settings of a consumer.

use std::fmt;
use std::io;
use std::time::Duration;

use handover_core::machine::{Assignor, Config, ConfigError, Name, SessionExpiry, TopicPartition};

use super::Consumer;
use crate::ClientConfig;
use crate::fetch::{FetchConfig, Isolation, OffsetReset};

/// Makes a [`Consumer`]. Every setting has a default but the brokers and what to consume.
///
/// ```
/// use handover_tokio::Consumer;
///
/// # run(async {
/// let wrong = Consumer::builder(["localhost"]).group("orders").topics(["orders"]).build().await;
/// assert_eq!(
///     wrong.unwrap_err().to_string(),
///     "bootstrap names \"localhost\", which has no port; write it as host:port, such as localhost:9092",
/// );
/// # });
/// # fn run(test: impl Future<Output = ()>) {
/// #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before build"]
pub struct ConsumerBuilder {
    pub(crate) client: ClientConfig,
    pub(crate) member: Config,
    pub(crate) fetch: FetchConfig,
    pub(crate) source: Source,
    pub(crate) max_records: usize,
    pub(crate) buffer_bytes: usize,
    pub(crate) commit_timeout: Duration,
    pub(crate) events: bool,
    pub(crate) on_runtime: bool,
}

/// What to consume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Nothing,
    Topics(Vec<Name>),
    Partitions(Vec<TopicPartition>),
}

impl ConsumerBuilder {
    pub(crate) fn new<A: Into<String>>(bootstrap: impl IntoIterator<Item = A>) -> ConsumerBuilder {
        let mut client = ClientConfig::new("");
        client.bootstrap = bootstrap.into_iter().map(Into::into).collect();
        ConsumerBuilder {
            client,
            member: Config::new(""),
            fetch: FetchConfig::default(),
            source: Source::Nothing,
            max_records: 500,
            buffer_bytes: 32 << 20,
            commit_timeout: Duration::from_secs(60),
            events: false,
            on_runtime: false,
        }
    }

    /// The group's id.
    pub fn group(mut self, group: impl Into<Name>) -> Self {
        self.member.group = group.into();
        self
    }

    /// Be a member of the group that consumes these topics.
    pub fn topics<N: Into<Name>>(mut self, topics: impl IntoIterator<Item = N>) -> Self {
        self.source = Source::Topics(topics.into_iter().map(Into::into).collect());
        self
    }

    /// Consume just these partitions, without membership. With a group, offsets are committed
    /// to it; without, there are none.
    pub fn assign(mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Self {
        self.source = Source::Partitions(partitions.into_iter().collect());
        self
    }

    /// The instance id of a static member (KIP-345): unique in the group, kept over restarts.
    pub fn instance_id(mut self, instance: impl Into<Name>) -> Self {
        self.member.instance = Some(instance.into());
        self
    }

    /// The rack of this client: for assignors (KIP-881), and to fetch from a replica that is near
    /// (KIP-392).
    pub fn rack(mut self, rack: impl Into<Name>) -> Self {
        let rack = rack.into();
        self.fetch.rack = Some(rack.to_string());
        self.member.rack = Some(rack);
        self
    }

    /// The assignors offered, most wanted first. Default: `cooperative-sticky`.
    pub fn assignors(mut self, assignors: impl IntoIterator<Item = Assignor>) -> Self {
        self.member.assignors = assignors.into_iter().collect();
        self
    }

    /// Without a heartbeat for this long the coordinator removes the member. Default 45 s.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.member.session_timeout = timeout;
        self
    }

    /// How long the group waits for this member in a rebalance. Default 60 s.
    pub fn rebalance_timeout(mut self, timeout: Duration) -> Self {
        self.member.rebalance_timeout = timeout;
        self
    }

    /// The steady pace of heartbeats. Default 3 s.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.member.heartbeat_interval = interval;
        self
    }

    /// Without a poll for this long the member gives its partitions up; a poll that is pending
    /// counts. Default 5 min.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.member.max_poll_interval = interval;
        self
    }

    /// How long a batch may be held once its partition is to be handed over. Default 30 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.member.drain_timeout = timeout;
        self
    }

    /// How long a broker may take to answer. Default 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.member.request_timeout = timeout;
        self.client.request_timeout = timeout;
        self
    }

    /// Commit what is done this often, and before each hand-over and close; `None`: only what
    /// the application commits itself. Default 5 s.
    pub fn auto_commit(mut self, every: impl Into<Option<Duration>>) -> Self {
        self.member.auto_commit = every.into();
        self
    }

    /// What becomes of the partitions when no heartbeat was answered for a whole session.
    pub fn on_session_expiry(mut self, policy: SessionExpiry) -> Self {
        self.member.on_session_expiry = policy;
        self
    }

    /// Where to start where nothing was committed. Default: the end, as in Kafka's clients.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.fetch.reset = reset;
        self
    }

    /// Whether records of open and aborted transactions are delivered. Default: they are.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.fetch.isolation = isolation;
        self
    }

    /// The most records that one poll returns. Default 500.
    pub fn max_records(mut self, records: usize) -> Self {
        self.max_records = records;
        self
    }

    /// The least and the most bytes of one fetch, of all partitions of a broker. A broker waits
    /// for the least as long as [`fetch_max_wait`](Self::fetch_max_wait). Default 1 and 50 MiB.
    pub fn fetch_bytes(mut self, least: i32, most: i32) -> Self {
        self.fetch.min_bytes = least;
        self.fetch.max_bytes = most;
        self
    }

    /// How long a broker waits for the least bytes of a fetch. Default 500 ms.
    pub fn fetch_max_wait(mut self, wait: Duration) -> Self {
        self.fetch.max_wait = wait;
        self
    }

    /// How many bytes of records may wait to be polled before fetching pauses. Default 32 MiB.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// How long a commit may take before its outcome is `Unknown` or `Withdrawn`. Default 60 s.
    pub fn commit_timeout(mut self, timeout: Duration) -> Self {
        self.commit_timeout = timeout;
        self
    }

    /// The name under which the broker's log and quotas know this client.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client.client_id = id.into();
        self
    }

    /// Listen to events, by [`Consumer::events`]. A hand-over then waits until its `Revoking`
    /// event is finished. Default: not.
    pub fn events(mut self, listen: bool) -> Self {
        self.events = listen;
        self
    }

    /// Run the member as a task of the runtime that calls [`build`](Self::build), which saves a
    /// hop between threads for each commit, but lets a handler that blocks that runtime cost the
    /// membership. Default: on a thread of its own.
    pub fn on_runtime(mut self) -> Self {
        self.on_runtime = true;
        self
    }

    /// Checks the settings and starts the consumer. Brokers that can't be reached yet are tried
    /// again in the background.
    ///
    /// # Errors
    /// The first setting that can't stand, or a thread that can't be started.
    pub async fn build(self) -> Result<Consumer, BuildError> {
        self.validate()?;
        Consumer::start(self).await
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.client.validate()?;
        self.member.validate()?;
        let wrong = |setting, problem: &str, fix| Err(ConfigError::new(setting, problem, fix));
        match &self.source {
            Source::Nothing => {
                return wrong("topics", "are not given", "name the topics, or assign partitions");
            }
            Source::Topics(topics) if topics.is_empty() => {
                return wrong("topics", "are empty", "name at least one");
            }
            Source::Topics(_) if self.member.group.is_empty() => {
                let fix = "name a group, or assign partitions instead";
                return wrong("group", "is missing", fix);
            }
            Source::Partitions(partitions) if partitions.is_empty() => {
                return wrong("assign", "has no partitions", "name at least one");
            }
            Source::Partitions(partitions) if partitions.iter().any(|p| p.partition < 0) => {
                return wrong("assign", "has a negative partition", "count partitions from 0");
            }
            Source::Topics(_) | Source::Partitions(_) => {}
        }
        if self.max_records == 0 {
            return wrong("max_records", "is zero", "allow at least one");
        }
        if self.buffer_bytes == 0 {
            return wrong("buffer_bytes", "is zero", "allow some, such as 32 MiB");
        }
        if self.commit_timeout.is_zero() {
            return wrong("commit_timeout", "is zero", "give it at least a millisecond");
        }
        if self.fetch.min_bytes < 1 || self.fetch.max_bytes < self.fetch.min_bytes {
            let fix = "give a least of 1 or more, and a most that is not less";
            return wrong("fetch_bytes", "is no range", fix);
        }
        Ok(())
    }
}

/// Why a consumer could not be made.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting can't stand.
    Config(ConfigError),
    /// The driver's thread or its runtime can't be started.
    Thread(io::ErrorKind),
    /// The member ended before it began.
    Stopped,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Config(error) => error.fmt(f),
            BuildError::Thread(kind) => write!(f, "the driver's thread can't be started: {kind}"),
            BuildError::Stopped => f.write_str("the member stopped before it began"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<ConfigError> for BuildError {
    fn from(error: ConfigError) -> BuildError {
        BuildError::Config(error)
    }
}

impl From<io::Error> for BuildError {
    fn from(error: io::Error) -> BuildError {
        BuildError::Thread(error.kind())
    }
}
