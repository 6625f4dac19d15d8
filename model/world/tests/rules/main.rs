//! The coordinator's rules, each in one test, and a random driver over all of them.

mod bench;
mod canonical;
mod commit;
mod connections;
mod driver;
mod fetch;
mod heartbeat;
mod join;
mod leave;
mod rebalance;
mod records;
mod service;
mod statics;
mod sync;
