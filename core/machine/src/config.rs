//! The settings of a member, and what is wrong with them.

use alloc::{string::String, vec, vec::Vec};
use core::{fmt, time::Duration};

use crate::Name;

/// How a member takes part in its group. Every duration that the machine uses is here.
///
/// ```
/// use handover_machine::Config;
/// use std::time::Duration;
///
/// let mut config = Config::new("orders");
/// config.session_timeout = Duration::from_secs(10);
/// assert!(config.validate().is_ok());
///
/// config.heartbeat_interval = Duration::from_secs(30);
/// let wrong = config.validate().unwrap_err();
/// assert_eq!(wrong.setting, "heartbeat_interval");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// The group's id. Empty: no group, so partitions can only be assigned by hand.
    pub group: Name,
    /// The instance id of a static member (KIP-345): unique in the group, kept over restarts.
    pub instance: Option<Name>,
    /// The rack of this client, for rack-aware assignors (KIP-881).
    pub rack: Option<Name>,
    /// The assignors offered, most wanted first. All eager or all cooperative.
    pub assignors: Vec<Assignor>,
    /// Without a heartbeat for this long the coordinator removes the member. Default 45 s.
    pub session_timeout: Duration,
    /// How long the group waits for this member in a rebalance. Default 60 s.
    pub rebalance_timeout: Duration,
    /// The steady pace of heartbeats. Default 3 s.
    pub heartbeat_interval: Duration,
    /// Without a poll for this long the member gives its leases up. Default 5 min.
    pub max_poll_interval: Duration,
    /// How long a lease may be held once it is to be handed over; never longer than
    /// `rebalance_timeout`. Default 30 s.
    pub drain_timeout: Duration,
    /// How long one request may stay unanswered. JoinGroup and SyncGroup, which the coordinator
    /// parks, get `rebalance_timeout` on top. Default 30 s.
    pub request_timeout: Duration,
    /// The first and the longest wait before something is tried again; doubled each time, with
    /// 20 % of jitter either way. Default 100 ms and 1 s.
    pub retry_backoff: (Duration, Duration),
    /// Commit the marks this often, and before each hand-over and close. `None`: only what the
    /// application commits itself. Default 5 s.
    pub auto_commit: Option<Duration>,
    /// What becomes of the leases when no heartbeat was answered for a whole session.
    pub on_session_expiry: SessionExpiry,
}

/// An assignor that a member offers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Assignor {
    /// Its name on the wire, such as `cooperative-sticky`.
    pub name: Name,
    /// Whether members keep what they own while a rebalance runs (KIP-429).
    pub cooperative: bool,
}

impl Assignor {
    /// `range`: contiguous partitions of each topic for each member; eager.
    pub fn range() -> Assignor {
        Assignor { name: Name::from("range"), cooperative: false }
    }

    /// `cooperative-sticky`: balanced, moving as little as possible; cooperative.
    pub fn cooperative_sticky() -> Assignor {
        Assignor { name: Name::from("cooperative-sticky"), cooperative: true }
    }
}

/// What becomes of the leases of a member that has not reached its coordinator for a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SessionExpiry {
    /// Go on as if nothing were: the Java client's way. Peers may own the partitions already.
    Keep,
    /// Keep the leases but deliver nothing until the coordinator answers.
    #[default]
    Pause,
    /// Give all leases up as lost at once: librdkafka's way.
    Lost,
}

impl Config {
    /// The defaults for a dynamic member of `group` with the assignor `cooperative-sticky`.
    pub fn new(group: impl Into<Name>) -> Config {
        Config {
            group: group.into(),
            instance: None,
            rack: None,
            assignors: vec![Assignor::cooperative_sticky()],
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            retry_backoff: (Duration::from_millis(100), Duration::from_secs(1)),
            auto_commit: Some(Duration::from_secs(5)),
            on_session_expiry: SessionExpiry::default(),
        }
    }

    /// Whether the assignors offered are cooperative.
    pub fn cooperative(&self) -> bool {
        self.assignors.first().is_some_and(|a| a.cooperative)
    }

    /// Checks every setting, and says of the first wrong one what is wrong and what to do.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |setting, problem: &str, fix| {
            Err(ConfigError { setting, problem: String::from(problem), fix })
        };
        if self.instance.as_ref().is_some_and(|i| i.is_empty()) {
            return wrong("instance", "is empty", "name the instance, or leave it out");
        }
        if self.assignors.is_empty() {
            return wrong(
                "assignors",
                "is empty",
                "offer at least one, such as cooperative-sticky",
            );
        }
        if self.assignors.iter().any(|a| a.cooperative != self.cooperative()) {
            let fix = "offer only eager ones or only cooperative ones";
            return wrong("assignors", "mixes eager and cooperative ones", fix);
        }
        for (setting, value) in self.durations() {
            if value.is_zero() {
                return wrong(setting, "is zero", "give it at least a millisecond");
            }
            if i32::try_from(value.as_millis()).is_err() {
                return wrong(setting, "does not fit Kafka's 32 bits", "keep it under 24 days");
            }
        }
        if self.heartbeat_interval >= self.session_timeout {
            let fix = "make it a third of session_timeout or less";
            return wrong("heartbeat_interval", "is not shorter than session_timeout", fix);
        }
        if self.drain_timeout > self.rebalance_timeout {
            let fix = "shorten it, or lengthen rebalance_timeout";
            return wrong("drain_timeout", "is longer than rebalance_timeout", fix);
        }
        if self.retry_backoff.0 > self.retry_backoff.1 {
            return wrong("retry_backoff", "starts longer than it ends", "exchange the two");
        }
        Ok(())
    }

    fn durations(&self) -> [(&'static str, Duration); 9] {
        [
            ("session_timeout", self.session_timeout),
            ("rebalance_timeout", self.rebalance_timeout),
            ("heartbeat_interval", self.heartbeat_interval),
            ("max_poll_interval", self.max_poll_interval),
            ("drain_timeout", self.drain_timeout),
            ("request_timeout", self.request_timeout),
            ("retry_backoff", self.retry_backoff.0),
            ("retry_backoff", self.retry_backoff.1),
            ("auto_commit", self.auto_commit.unwrap_or(Duration::from_millis(1))),
        ]
    }
}

/// A setting that cannot stand.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting's name.
    pub setting: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub fix: &'static str,
}

impl ConfigError {
    /// An error about a setting of an adapter's own.
    pub fn new(setting: &'static str, problem: impl Into<String>, fix: &'static str) -> Self {
        ConfigError { setting, problem: problem.into(), fix }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; {}", self.setting, self.problem, self.fix)
    }
}

impl core::error::Error for ConfigError {}
