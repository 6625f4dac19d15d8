//! The machine's requests and responses, to bytes and back.

mod client;
mod convert;
mod server;

pub use client::{Sent, encode_group_request};
pub use server::{Reply, decode_group_request};
