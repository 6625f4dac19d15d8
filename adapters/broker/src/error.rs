//! What a user of the broker can get wrong.

use std::net::SocketAddr;
use std::{fmt, io};

use handover_machine::TopicPartition;

use crate::topics::TopicError;

/// Why a broker does not start.
///
/// ```
/// use handover_broker::{Broker, StartError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let refused = Broker::builder().nodes(-1).start().await.unwrap_err();
/// assert_eq!(refused, StartError::Nodes(-1));
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A node can't listen at its address.
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What kind of failure it was.
        kind: io::ErrorKind,
        /// What the operating system says.
        detail: String,
    },
    /// There is to be no node, or more than there are ports for.
    Nodes(i32),
    /// A topic can't be created.
    Topic(BrokerError),
}

impl StartError {
    pub(crate) fn listen(address: SocketAddr, error: &io::Error) -> StartError {
        StartError::Listen { address, kind: error.kind(), detail: error.to_string() }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { address, detail, .. } => write!(
                f,
                "expected to listen at {address}, but: {detail}; choose another port, or none for a free one"
            ),
            StartError::Nodes(nodes) => write!(
                f,
                "expected 1 to 1000 nodes, each with a port of its own, but {nodes} are asked for"
            ),
            StartError::Topic(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for StartError {}

/// Why a broker does not do what it is told.
///
/// ```
/// use handover_broker::{Broker, BrokerError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), handover_broker::StartError> {
/// let broker = Broker::start().await?;
/// let refused = broker.offsets("orders").unwrap_err();
/// assert_eq!(refused, BrokerError::UnknownTopic("orders".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BrokerError {
    /// There is no topic of this name.
    UnknownTopic(String),
    /// The topic has no such partition.
    UnknownPartition(TopicPartition),
    /// There is no node with this id, or it is stopped.
    UnknownNode(i32),
    /// A topic can't be created.
    Topic {
        /// Its name.
        name: String,
        /// Why.
        detail: String,
    },
    /// These records are no batch that can be appended.
    Records(String),
    /// A node that is to start again can't listen.
    Listen(Box<StartError>),
}

impl BrokerError {
    pub(crate) fn unknown_topic(name: &str) -> BrokerError {
        BrokerError::UnknownTopic(name.to_owned())
    }

    pub(crate) fn topic(name: &str, error: &TopicError) -> BrokerError {
        BrokerError::Topic { name: name.to_owned(), detail: error.to_string() }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerError::UnknownTopic(name) => {
                write!(f, "expected a topic that exists, but there is no {name:?}: create it first")
            }
            BrokerError::UnknownPartition(at) => {
                write!(f, "expected a partition that exists, but there is no {at}")
            }
            BrokerError::UnknownNode(id) => {
                write!(
                    f,
                    "expected a node that is up, but there is no node {id}: see Broker::nodes"
                )
            }
            BrokerError::Topic { name, detail } => {
                write!(f, "the topic {name:?} can't be created: {detail}")
            }
            BrokerError::Records(detail) => {
                write!(f, "expected one batch of records, but {detail}")
            }
            BrokerError::Listen(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for BrokerError {}
