//! End-to-end tests of handover: the harness that the tests in `tests/` share.

pub mod history;
#[cfg(feature = "kafka")]
pub mod java;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kafka")]
mod process;
#[cfg(feature = "kafka")]
pub mod trouble;
