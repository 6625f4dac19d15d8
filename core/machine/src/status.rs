//! What a member is doing, for people: a live view, a log line, `group_metadata()`.

use alloc::vec::Vec;
use core::fmt;

use crate::{Identity, LeaseId, Name, Node, Time, TopicPartition};

/// A snapshot of a member. See [`Machine::status`](crate::Machine::status).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// The group.
    pub group: Name,
    /// Who this member is to the coordinator: what a transactional producer needs (KIP-447).
    pub identity: Identity,
    /// Where it stands.
    pub phase: Phase,
    /// Whether it leads the group.
    pub leader: bool,
    /// The assignor that the group chose in this generation.
    pub protocol: Option<Name>,
    /// The coordinator, once it is found.
    pub coordinator: Option<Node>,
    /// The leases, in the order in which they were granted.
    pub leases: Vec<LeaseStatus>,
}

/// Where a member stands in its group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// It is no member and does not want to be one.
    Idle,
    /// It wants to join and can't yet: leases are being handed over, the coordinator is not
    /// known, or it waits after a failure.
    Preparing,
    /// JoinGroup is on its way; the coordinator waits for the other members.
    Joining,
    /// It leads and waits for its assignor.
    Assigning,
    /// SyncGroup is on its way; the coordinator waits for the leader's plan.
    Syncing,
    /// It is a member with an assignment.
    Stable,
    /// It can't go on without the application's help.
    Failed,
    /// It was closed.
    Closed,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 8] = [
        Phase::Idle,
        Phase::Preparing,
        Phase::Joining,
        Phase::Assigning,
        Phase::Syncing,
        Phase::Stable,
        Phase::Failed,
        Phase::Closed,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Idle => "idle",
            Phase::Preparing => "preparing",
            Phase::Joining => "joining",
            Phase::Assigning => "assigning",
            Phase::Syncing => "syncing",
            Phase::Stable => "stable",
            Phase::Failed => "failed",
            Phase::Closed => "closed",
        })
    }
}

/// One lease of a [`Status`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LeaseStatus {
    /// Its name.
    pub lease: LeaseId,
    /// Its partition.
    pub partition: TopicPartition,
    /// What keeps it from being handed over, if it is to be.
    pub waiting: Option<Waiting>,
    /// The highest offset that the coordinator acknowledged.
    pub committed: Option<i64>,
}

/// What a hand-over waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Waiting {
    /// The application holds records of it, and may until then.
    Holds {
        /// The drain deadline.
        by: Time,
    },
    /// Its last commit is not answered yet.
    Commit {
        /// The drain deadline.
        by: Time,
    },
}
