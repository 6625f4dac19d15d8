//! Connections and what is known of the cluster. Nothing here decides about groups.

mod backoff;
mod cluster;
mod connection;
mod directory;
mod exchange;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use backoff::Backoff;
pub use cluster::Cluster;
pub(crate) use cluster::{Line, Use, address};
pub(crate) use connection::Connection;
pub(crate) use directory::{Leader, Topic};
pub(crate) use exchange::{AtMost, Group};
