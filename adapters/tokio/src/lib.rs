//! Kafka for Tokio on the handover core.

mod admin;
mod config;
mod consumer;
mod error;
mod fetch;
mod link;
mod net;
mod offsets;
pub mod producer;

pub use admin::NewTopic;
pub use config::ClientConfig;
pub use consumer::{
    Batch, BuildError, Commit, CommitOutcome, CommittedOffsetsError, Consumer, ConsumerBuilder,
    ConsumerHandle, Header, Headers, Iter, OwnedRecord, PollError, Record, SeekError,
};
pub use error::{ClusterError, ConnectionError};
pub use fetch::OffsetReset;
pub use handover_core::{CallError, EventGuard, Events, Lease, LeaseState, machine};
pub use link::TokioLink;
pub use net::Cluster;
pub use offsets::{Isolation, OffsetAt};
