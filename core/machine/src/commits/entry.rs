//! One thing that somebody wants committed.

use crate::{ErrorCode, Mark, Name, PartitionOutcome, TicketId};

/// An offset with its own leader epoch and note: the three travel together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Bid {
    pub(super) mark: Mark,
    pub(super) metadata: Option<Name>,
}

impl Bid {
    /// The bare offset; none if it is bare already.
    pub(super) fn without_note(self) -> Option<Bid> {
        self.metadata.is_some().then_some(Bid { metadata: None, ..self })
    }
}

/// Who is told what becomes of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Owner {
    /// The entry of this index in a call.
    Ticket(TicketId, usize),
    /// The machine itself: auto-commit, hand-over.
    Mark,
    /// A caller that gave up while the entry was out. The entry keeps its place until the answer
    /// and is not sent again.
    Nobody,
}

/// See the module. Lives in its account's queue until it has an outcome.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    pub(super) bid: Bid,
    /// The application rewound to this offset before it asked for this (SPEC C4). Taken when the
    /// entry comes to the head of its queue.
    pub(super) rewind: Option<i64>,
    /// Covered by the request that is out.
    pub(super) sending: bool,
    /// Covered by an earlier request that may have been applied. Never unset: the request may
    /// still be on its way (SPEC C5).
    pub(super) in_doubt: bool,
    /// The last answer: the coordinator does not know the partition (SPEC C9).
    pub(super) refused: Option<ErrorCode>,
}

impl Entry {
    pub(super) fn new(owner: Owner, bid: Bid, rewind: Option<i64>) -> Entry {
        Entry { owner, bid, rewind, sending: false, in_doubt: false, refused: None }
    }

    /// What it comes to if nobody sends or answers it any more; `otherwise` if certainly nothing
    /// of it was applied and the coordinator had no objection.
    pub(super) fn outcome(&self, otherwise: PartitionOutcome) -> PartitionOutcome {
        match self.refused {
            _ if self.sending || self.in_doubt => PartitionOutcome::Unknown,
            Some(error) => PartitionOutcome::Rejected(error),
            None => otherwise,
        }
    }
}
