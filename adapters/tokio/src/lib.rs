//! Kafka for Tokio on the handover core.

mod config;
mod error;
mod net;

pub use config::ClientConfig;
pub use error::{ClusterError, ConnectionError};
