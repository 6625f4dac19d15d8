//! The broker over real sockets, spoken to with raw requests.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod admin;
mod client;
mod faults;
mod members;
mod nodes;
mod records;
mod refusals;
mod sessions;
