//! What can go wrong, one small enum for each kind of operation.

use std::{fmt, io, time::Duration};

use handover_core::machine::{ErrorCode, Name, TopicPartition};
use handover_wire::{ApiKey, WireError};

/// Why a connection to a broker could not be opened, or is closed now.
///
/// ```
/// use handover_tokio::ConnectionError;
/// use std::time::Duration;
///
/// let error = ConnectionError::TimedOut { after: Duration::from_secs(30) };
/// assert!(error.to_string().contains("30s"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Nobody could be reached at the address.
    Unreachable {
        /// As `host:port`.
        address: String,
        /// What the operating system says.
        kind: io::ErrorKind,
    },
    /// The connection could not be opened in time.
    ConnectTimedOut {
        /// As `host:port`.
        address: String,
        /// The time allowed: [`ClientConfig::connect_timeout`](crate::ClientConfig::connect_timeout).
        after: Duration,
    },
    /// The broker refused the exchange of versions.
    Handshake(ErrorCode),
    /// Reading or writing failed.
    Io(io::ErrorKind),
    /// The broker closed the connection.
    ClosedByPeer {
        /// Bytes that had come of an answer that is not complete.
        of_answer: usize,
    },
    /// This side closed it.
    Closed,
    /// The broker did not answer in time.
    TimedOut {
        /// The time allowed.
        after: Duration,
    },
    /// An answer came that nothing asked for.
    Unasked,
    /// What came, or what was to be sent, does not follow Kafka's protocol.
    Protocol(WireError),
    /// The cluster does not know of this broker, or not any more.
    UnknownBroker {
        /// The broker's id.
        id: i32,
    },
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Unreachable { address, kind } => {
                write!(f, "no broker can be reached at {address} ({kind}): see whether it runs")
            }
            ConnectionError::ConnectTimedOut { address, after } => write!(
                f,
                "{address} did not answer within {after:?}: see whether it is a broker without TLS"
            ),
            ConnectionError::Handshake(error) => {
                write!(f, "the broker refused to tell its versions: {}", Named(*error))
            }
            ConnectionError::Io(kind) => write!(f, "the connection failed: {kind}"),
            ConnectionError::ClosedByPeer { of_answer: 0 } => {
                f.write_str("the broker closed the connection")
            }
            ConnectionError::ClosedByPeer { of_answer } => write!(
                f,
                "the broker closed the connection after {of_answer} bytes of an answer that is \
                 not complete"
            ),
            ConnectionError::Closed => f.write_str("the connection was closed by this client"),
            ConnectionError::TimedOut { after } => {
                write!(f, "expected an answer within {after:?}, but none came")
            }
            ConnectionError::Unasked => {
                f.write_str("an answer came that nothing asked for: the peer is no broker")
            }
            ConnectionError::Protocol(error) => error.fmt(f),
            ConnectionError::UnknownBroker { id } => {
                write!(f, "the cluster has no broker {id}: it may have been replaced")
            }
        }
    }
}

impl std::error::Error for ConnectionError {}

impl From<WireError> for ConnectionError {
    fn from(error: WireError) -> ConnectionError {
        ConnectionError::Protocol(error)
    }
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> ConnectionError {
        ConnectionError::Io(error.kind())
    }
}

impl ConnectionError {
    /// Whether trying again cannot help: the two sides do not speak the same protocol.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            ConnectionError::Protocol(WireError::NotOffered { .. } | WireError::Unencodable { .. })
                | ConnectionError::Handshake(_)
        )
    }
}

/// Why a request has no answer, and whether it may have been applied all the same (SPEC N1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unanswered {
    /// No byte of it reached the kernel: it certainly was not applied.
    NotSent(ConnectionError),
    /// It may have been applied.
    Lost(ConnectionError),
}

impl Unanswered {
    /// Why.
    pub(crate) fn reason(&self) -> &ConnectionError {
        match self {
            Unanswered::NotSent(reason) | Unanswered::Lost(reason) => reason,
        }
    }

    /// Why, when it does not matter whether it was sent.
    pub(crate) fn into_reason(self) -> ConnectionError {
        match self {
            Unanswered::NotSent(reason) | Unanswered::Lost(reason) => reason,
        }
    }
}

/// Why the state of the cluster could not be read or changed.
///
/// ```
/// use handover_core::machine::{ErrorCode, TopicPartition};
/// use handover_tokio::ClusterError;
///
/// let partition = TopicPartition::new("orders", 3);
/// let refused = ClusterError::Partition { partition, error: ErrorCode::LeaderNotAvailable };
/// assert!(refused.is_retriable());
/// assert_eq!(refused.to_string(), "partition orders-3 was refused with LEADER_NOT_AVAILABLE (5)");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClusterError {
    /// No broker answered; the last one tried failed like this.
    Connection(ConnectionError),
    /// The broker refused the whole request.
    Refused {
        /// Which request.
        api: ApiKey,
        /// How.
        error: ErrorCode,
        /// The broker's own words.
        message: Option<String>,
    },
    /// The broker refused a topic.
    Topic {
        /// Which.
        topic: Name,
        /// How.
        error: ErrorCode,
        /// The broker's own words.
        message: Option<String>,
    },
    /// The broker refused a partition, or there is no such partition.
    Partition {
        /// Which.
        partition: TopicPartition,
        /// How.
        error: ErrorCode,
    },
    /// The answer left out something that was asked for.
    Incomplete {
        /// Which request.
        api: ApiKey,
        /// What is missing.
        missing: String,
    },
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterError::Connection(error) => error.fmt(f),
            ClusterError::Refused { api, error, message } => {
                write!(f, "the broker refused {api} with {}{}", Named(*error), Words(message))
            }
            ClusterError::Topic { topic, error, message } => {
                write!(f, "topic {topic} was refused with {}{}", Named(*error), Words(message))
            }
            ClusterError::Partition { partition, error } => {
                write!(f, "partition {partition} was refused with {}", Named(*error))
            }
            ClusterError::Incomplete { api, missing } => {
                write!(f, "expected {missing} in the answer to {api}, but it is not there")
            }
        }
    }
}

impl std::error::Error for ClusterError {}

impl From<ConnectionError> for ClusterError {
    fn from(error: ConnectionError) -> ClusterError {
        ClusterError::Connection(error)
    }
}

impl From<Unanswered> for ClusterError {
    fn from(unanswered: Unanswered) -> ClusterError {
        ClusterError::Connection(unanswered.into_reason())
    }
}

impl ClusterError {
    /// Whether the same request may succeed a little later.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClusterError::Connection(error) => !error.is_lasting(),
            ClusterError::Refused { error, .. }
            | ClusterError::Topic { error, .. }
            | ClusterError::Partition { error, .. } => code::is_retriable(*error),
            ClusterError::Incomplete { .. } => false,
        }
    }
}

/// Kafka's name of an error, also of those that a group member never meets.
#[derive(Clone, Copy)]
pub(crate) struct Named(pub(crate) ErrorCode);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match code::NAMES.iter().find(|(known, _)| *known == self.0) {
            Some((known, name)) => write!(f, "{name} ({})", known.code()),
            None => self.0.fmt(f),
        }
    }
}

/// What the broker adds in its own words.
pub(crate) struct Words<'a>(pub(crate) &'a Option<String>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |words| write!(f, ": {words}"))
    }
}

/// The codes that producing and fetching meet and a group member does not.
pub(crate) mod code {
    use handover_core::machine::ErrorCode;

    pub(crate) const OFFSET_OUT_OF_RANGE: ErrorCode = ErrorCode::Other(1);
    pub(crate) const CORRUPT_MESSAGE: ErrorCode = ErrorCode::Other(2);
    pub(crate) const REPLICA_NOT_AVAILABLE: ErrorCode = ErrorCode::Other(9);
    pub(crate) const NOT_ENOUGH_REPLICAS: ErrorCode = ErrorCode::Other(19);
    pub(crate) const NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode = ErrorCode::Other(20);
    pub(crate) const NOT_CONTROLLER: ErrorCode = ErrorCode::Other(41);
    pub(crate) const OUT_OF_ORDER_SEQUENCE_NUMBER: ErrorCode = ErrorCode::Other(45);
    pub(crate) const DUPLICATE_SEQUENCE_NUMBER: ErrorCode = ErrorCode::Other(46);
    pub(crate) const INVALID_PRODUCER_EPOCH: ErrorCode = ErrorCode::Other(47);
    pub(crate) const CONCURRENT_TRANSACTIONS: ErrorCode = ErrorCode::Other(51);
    pub(crate) const UNKNOWN_PRODUCER_ID: ErrorCode = ErrorCode::Other(59);
    pub(crate) const FENCED_LEADER_EPOCH: ErrorCode = ErrorCode::Other(74);
    pub(crate) const UNKNOWN_LEADER_EPOCH: ErrorCode = ErrorCode::Other(75);
    pub(crate) const OFFSET_NOT_AVAILABLE: ErrorCode = ErrorCode::Other(78);
    pub(crate) const INCONSISTENT_TOPIC_ID: ErrorCode = ErrorCode::Other(103);
    pub(crate) const REBOOTSTRAP_REQUIRED: ErrorCode = ErrorCode::Other(129);

    pub(crate) const NAMES: &[(ErrorCode, &str)] = &[
        (OFFSET_OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE"),
        (CORRUPT_MESSAGE, "CORRUPT_MESSAGE"),
        (REPLICA_NOT_AVAILABLE, "REPLICA_NOT_AVAILABLE"),
        (ErrorCode::Other(18), "RECORD_LIST_TOO_LARGE"),
        (NOT_ENOUGH_REPLICAS, "NOT_ENOUGH_REPLICAS"),
        (NOT_ENOUGH_REPLICAS_AFTER_APPEND, "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
        (ErrorCode::Other(21), "INVALID_REQUIRED_ACKS"),
        (ErrorCode::Other(32), "INVALID_TIMESTAMP"),
        (ErrorCode::Other(36), "TOPIC_ALREADY_EXISTS"),
        (ErrorCode::Other(37), "INVALID_PARTITIONS"),
        (ErrorCode::Other(38), "INVALID_REPLICATION_FACTOR"),
        (NOT_CONTROLLER, "NOT_CONTROLLER"),
        (ErrorCode::Other(44), "POLICY_VIOLATION"),
        (OUT_OF_ORDER_SEQUENCE_NUMBER, "OUT_OF_ORDER_SEQUENCE_NUMBER"),
        (DUPLICATE_SEQUENCE_NUMBER, "DUPLICATE_SEQUENCE_NUMBER"),
        (INVALID_PRODUCER_EPOCH, "INVALID_PRODUCER_EPOCH"),
        (CONCURRENT_TRANSACTIONS, "CONCURRENT_TRANSACTIONS"),
        (UNKNOWN_PRODUCER_ID, "UNKNOWN_PRODUCER_ID"),
        (ErrorCode::Other(73), "TOPIC_DELETION_DISABLED"),
        (FENCED_LEADER_EPOCH, "FENCED_LEADER_EPOCH"),
        (UNKNOWN_LEADER_EPOCH, "UNKNOWN_LEADER_EPOCH"),
        (ErrorCode::Other(76), "UNSUPPORTED_COMPRESSION_TYPE"),
        (OFFSET_NOT_AVAILABLE, "OFFSET_NOT_AVAILABLE"),
        (ErrorCode::Other(87), "INVALID_RECORD"),
        (INCONSISTENT_TOPIC_ID, "INCONSISTENT_TOPIC_ID"),
        (REBOOTSTRAP_REQUIRED, "REBOOTSTRAP_REQUIRED"),
    ];

    /// Whether the broker may answer otherwise a little later, as `RetriableException` says in the
    /// Java client.
    pub(crate) fn is_retriable(error: ErrorCode) -> bool {
        is_stale_metadata(error)
            || matches!(
                error,
                ErrorCode::RequestTimedOut
                    | ErrorCode::NetworkException
                    | ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::ThrottlingQuotaExceeded
                    | CORRUPT_MESSAGE
                    | NOT_ENOUGH_REPLICAS
                    | NOT_ENOUGH_REPLICAS_AFTER_APPEND
                    | NOT_CONTROLLER
                    | CONCURRENT_TRANSACTIONS
                    | OFFSET_NOT_AVAILABLE
            )
    }

    /// Whether what is known of the topic's leaders is out of date.
    pub(crate) fn is_stale_metadata(error: ErrorCode) -> bool {
        matches!(
            error,
            ErrorCode::UnknownTopicOrPartition
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::StorageError
                | ErrorCode::UnknownTopicId
                | REPLICA_NOT_AVAILABLE
                | FENCED_LEADER_EPOCH
                | UNKNOWN_LEADER_EPOCH
                | INCONSISTENT_TOPIC_ID
        )
    }
}
