//! End-to-end tests of handover: the harness that the tests in `tests/` share.

pub mod history;
