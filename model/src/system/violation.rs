//! What must hold after every step, and what it looks like when it does not.

use std::fmt;

/// A property of the protocol (SPEC X2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Property {
    /// Of the members that the coordinator counts, at most one has a lease of a partition.
    OneOwner,
    /// A commit that the coordinator accepts comes from the member to which the last plan gave
    /// the partition.
    OneCommitter,
    /// A committed offset goes back only by the request of a dead connection.
    NoRewind,
    /// What such a request moved back is mended at the next hand-over.
    Mended,
    /// Each call resolves once; none is open after the close.
    TicketOnce,
    /// The outcome of a commit is true.
    HonestOutcome,
    /// Each lease is granted once and ended once, and its end is told once.
    LeaseOnce,
    /// No lease is handed over while a batch of it is held.
    DrainFirst,
    /// No lease is handed over before its marks are committed.
    MarksCovered,
    /// What was handed over is not consumed again.
    NothingTwice,
    /// Requests carry the identity that the member has.
    OwnIdentity,
    /// One request is on a lane at a time.
    OneRequest,
    /// A close is over at its deadline.
    CloseBounded,
    /// Neither the machine nor the world fails an assertion of its own.
    NoPanic,
    /// From every state the goal can be reached.
    GoalReachable,
    /// No fair run avoids the goal for ever.
    GoalReached,
}

/// A property that does not hold, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// What is the case instead.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(property: Property, what: impl Into<String>) -> Violation {
        Violation { property, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} does not hold: {}", self.property, self.what)
    }
}

impl std::error::Error for Violation {}
