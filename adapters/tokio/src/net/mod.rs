//! Connections and what is known of the cluster. Nothing here decides about groups.

mod backoff;
mod connection;
mod exchange;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use backoff::Backoff;
pub(crate) use connection::Connection;
pub(crate) use exchange::{Exchange, pause};
