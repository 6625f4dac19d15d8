//! The checks of handover: an exact search of the protocol, with the machine and the coordinator
//! that ship, and models of what threads share.

pub mod configs;
pub mod explore;
pub mod system;
