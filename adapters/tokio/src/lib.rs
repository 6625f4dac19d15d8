//! Kafka for Tokio on the handover core.

mod admin;
mod config;
mod error;
mod link;
mod net;
mod offsets;
pub mod producer;

pub use admin::NewTopic;
pub use config::ClientConfig;
pub use error::{ClusterError, ConnectionError};
pub use link::TokioLink;
pub use net::Cluster;
pub use offsets::{Isolation, OffsetAt};
