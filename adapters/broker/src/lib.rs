//! An embedded Kafka broker for tests: real protocol, in-memory log, faults on demand.
//!
//! [`Broker`] speaks Kafka's protocol on loopback, so that any Kafka client can be tested against
//! it, in-process and without Java: it takes milliseconds to start and goes when it is dropped.
//! Its group coordinator is the one that handover's exhaustive search and its models under loom
//! and shuttle run against; its faults are made by code, so that a test can have a commit lost
//! after it was applied, an answer cut at the third byte, or a coordinator moved in the middle of
//! a rebalance, and can wait for that to have happened instead of sleeping.
//!
//! ```
//! use handover_broker::{Api, Broker, ErrorCode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), handover_broker::StartError> {
//! let broker = Broker::builder().topic("orders", 12).start().await?;
//! let refused = broker.faults().on(Api::OffsetCommit).nth(3).answer(ErrorCode::NotCoordinator);
//! // … run the consumer under test against `broker.bootstrap()`, then:
//! // refused.hit().await;
//! // broker.until(|broker| broker.committed("billing").len() == 12).await;
//! # assert_eq!(refused.hits(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! What it is not: durable, replicated (a node that is stopped takes no record with it, since all
//! share one log), or a transaction coordinator. Topics are not compacted. Members of groups speak
//! the classic protocol.

mod api;
mod batch;
mod broker;
mod builder;
mod cluster;
mod dispatch;
mod error;
mod faults;
mod groups;
mod handlers;
mod log;
mod producers;
mod record;
mod server;
mod sessions;
mod topics;

pub use api::Api;
pub use broker::Broker;
pub use builder::Builder;
pub use error::{BrokerError, StartError};
pub use faults::{Cut, Direction, Fault, FaultBuilder, Faults, RequestInfo, Requests};
pub use record::Record;

pub use handover_machine::{ErrorCode, Mark, Name, Node, TopicPartition};
pub use handover_world::{CoordinatorConfig, GroupDescription, GroupState, MemberDescription};
