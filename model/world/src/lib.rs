//! A Kafka group coordinator without sockets, and the connections that lead to it.
//!
//! [`Coordinator`] behaves as the one of Apache Kafka 4.x does for the classic protocol, down to
//! what it forgets when it moves. It owns no clock: `now` is an argument and the next moment at
//! which it wants to be woken is an answer. The exhaustive search, the bodies that run under loom
//! and shuttle, the simulation and the embedded broker all drive this very code.
//!
//! Not modelled: expiry of committed offsets, transactions (so no offset is ever unstable), and
//! the time that a record takes to be replicated.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod coordinator;
mod network;

pub use coordinator::{
    Caller, Client, Committed, Coordinator, CoordinatorConfig, GroupDescription, GroupListing,
    GroupState, MemberDescription,
};
pub use network::{Answer, Connection, Fault, Faults, Line, Network, Outside, Parts, Step};
