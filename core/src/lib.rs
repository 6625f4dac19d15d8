//! The consumer-group core for any Rust client: membership, leases, commits.
mod sync;
pub use handover_machine as machine;
