//! The consumer-group member of Kafka as a pure state machine.
//!
//! It owns no socket, clock, thread, lock or random number: what happens goes in by
//! [`Machine::handle`], what is to be done comes out by [`Machine::poll_output`]. Two runs with
//! equal inputs are equal, which is what makes an exhaustive search of it possible.
//! `handover-core` puts threads and a driver around it; most readers want that crate.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

pub mod assign;
mod calls;
mod canonical;
mod clock;
mod closing;
mod commits;
mod config;
mod discovery;
mod error;
mod heartbeat;
mod identities;
mod install;
mod io;
mod judge;
mod lanes;
mod leases;
mod machine;
mod membership;
mod offsets;
mod outcome;
mod request;
mod status;
mod types;

pub use canonical::Names;
pub use config::{Assignor, Config, ConfigError, SessionExpiry};
pub use error::ErrorCode;
pub use heartbeat::EARLY_BEATS;
pub use identities::Identities;
pub use io::{
    AssignFailure, Call, Cause, CommitEntry, CommitTarget, CommittedError, Event, Input, Lane,
    LeaseChange, Notice, Outcome, Output, Plan, SeekTo, Start, Target, Unanswered, Versions,
};
pub use judge::{Verdict, judge};
pub use machine::Machine;
pub use outcome::{
    CloseOptions, CloseReport, Fatal, LeaseEnd, Leave, LeaveOutcome, LossReason, PartitionOutcome,
};
pub use request::{
    Api, FetchedOffset, FindCoordinator, FoundCoordinator, Heartbeat, Identity, JoinGroup, Joined,
    JoinedMember, LeaveGroup, Leaver, Left, Node, OffsetCommit, OffsetCommitted, OffsetFetch,
    OffsetToCommit, OffsetsFetched, Protocol, Request, Response, SyncGroup, Synced,
};
pub use status::{LeaseStatus, Phase, Status, Waiting};
pub use types::{LeaseId, Mark, Name, RequestId, TicketId, Time, TopicPartition};
