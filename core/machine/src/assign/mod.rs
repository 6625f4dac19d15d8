//! Assignors, and the bytes of `ConsumerProtocol` in which members and leader speak to each other.

mod consumer_protocol;

pub use consumer_protocol::{Assignment, DecodeError, Subscription};
