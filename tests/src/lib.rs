//! End-to-end tests of handover: the harness that the tests in `tests/` share.

pub mod bed;
pub mod history;
#[cfg(feature = "kafka")]
pub mod java;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod ours;
#[cfg(feature = "kafka")]
mod process;
pub mod scenes;
#[cfg(feature = "kafka")]
pub mod trouble;
