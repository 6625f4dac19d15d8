//! What is told to the coordinator beside the requests.

use core::time::Duration;

use handover_machine::Name;

/// The broker's settings that a group notices. The defaults are Kafka's.
///
/// ```
/// use handover_world::CoordinatorConfig;
/// use std::time::Duration;
///
/// let mut config = CoordinatorConfig::default();
/// config.initial_rebalance_delay = Duration::ZERO;
/// assert_eq!(config.min_session_timeout, Duration::from_secs(6));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CoordinatorConfig {
    /// How long an empty group waits for more members after the first
    /// (`group.initial.rebalance.delay.ms`).
    pub initial_rebalance_delay: Duration,
    /// The shortest session timeout that is let in (`group.min.session.timeout.ms`).
    pub min_session_timeout: Duration,
    /// The longest session timeout that is let in (`group.max.session.timeout.ms`).
    pub max_session_timeout: Duration,
    /// How many members a group may have (`group.max.size`).
    pub max_group_size: usize,
    /// How long a member that never completed a join may stay parked in its first one. Fixed in
    /// Kafka (`GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`).
    pub new_member_join_timeout: Duration,
    /// How many characters of metadata a committed offset may carry
    /// (`offset.metadata.max.bytes`, which counts UTF-16 units in spite of its name).
    pub offset_metadata_max: usize,
    /// How many bytes one commit may fill in the offsets topic (`max.message.bytes`).
    pub commit_batch_max: usize,
}

impl Default for CoordinatorConfig {
    fn default() -> CoordinatorConfig {
        CoordinatorConfig {
            initial_rebalance_delay: Duration::from_secs(3),
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1_800),
            max_group_size: usize::MAX,
            new_member_join_timeout: Duration::from_secs(300),
            offset_metadata_max: 4_096,
            commit_batch_max: 1_048_588,
        }
    }
}

/// Names whoever waits for the answer to one request. Chosen by the user of the world, who
/// recognises the answer by it.
///
/// ```
/// use handover_world::Caller;
/// assert!(Caller(1) < Caller(2));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Caller(pub u64);

/// Who sends a request, as its header and its socket tell.
///
/// ```
/// use handover_world::Client;
/// let client = Client::new("orders-1", "127.0.0.1");
/// assert_eq!(&*client.id, "orders-1");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Client {
    /// The client id; the member ids of dynamic members begin with it.
    pub id: Name,
    /// The address, for DescribeGroups.
    pub host: Name,
    /// The version of the request at hand. Below 9, JoinGroup cannot tell a returning static
    /// leader to skip the assignment (KIP-814), and OffsetCommit answers ILLEGAL_GENERATION where
    /// later versions say GROUP_ID_NOT_FOUND.
    pub version: i16,
}

impl Client {
    /// A client that speaks the newest versions.
    pub fn new(id: impl Into<Name>, host: impl Into<Name>) -> Client {
        Client { id: id.into(), host: host.into(), version: 9 }
    }
}
