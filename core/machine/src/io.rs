//! The machine's two verbs in full: what goes in, what comes out.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{fmt, time::Duration};

use crate::{
    Api, CloseOptions, CloseReport, ErrorCode, Fatal, JoinedMember, LeaseEnd, LeaseId, LossReason,
    Mark, Name, Node, PartitionOutcome, Request, RequestId, Response, TicketId, Time,
    TopicPartition,
};

/// Something that happened outside. See [`Machine::handle`](crate::Machine::handle).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// Time passed: the moment asked for by [`Output::Wake`] came, or any other moment.
    Wake,
    /// The one answer to the [`Output::Send`] with this id.
    Answer {
        /// Which request.
        id: RequestId,
        /// What became of it.
        answer: Result<Response, Unanswered>,
    },
    /// The versions that the broker at the other end of a lane offers, told before the first
    /// answer that came over a new connection.
    Versions(Versions),
    /// The partition counts of the group's topics, told at each refresh of the cluster's metadata,
    /// changed or not. A leader rejoins when they differ from those that its plan was made for.
    Topics(BTreeMap<Name, u32>),
    /// The answer to [`Output::Assign`].
    Assigned {
        /// The round that was asked for; a plan of an older round is dropped.
        round: u64,
        /// The plan, or why there is none.
        plan: Result<Plan, AssignFailure>,
    },
    /// The application polled, or has a poll pending: it lives (the max poll interval).
    Polled,
    /// The last hold of a revoking lease was released. Told once or more often.
    Drained {
        /// Which lease.
        lease: LeaseId,
        /// Its mark, read after the last release; `None` if nothing was ever done.
        mark: Option<Mark>,
    },
    /// The answer to [`Output::ReadMarks`]: the marks that are there.
    Marks(Vec<(LeaseId, Mark)>),
    /// The data path moved a lease: an offset reset, a truncated log, a topic made anew. From
    /// here on a lower commit is meant.
    Moved {
        /// Which lease.
        lease: LeaseId,
        /// Where it delivers from now.
        to: i64,
    },
    /// The application calls. Each call gets exactly one [`Output::Resolve`].
    Call {
        /// Under which the outcome will be told.
        ticket: TicketId,
        /// What it wants.
        call: Call,
    },
    /// The caller no longer waits: what was not sent is withdrawn, what was sent finishes in
    /// order and nobody is told. Still followed by the one [`Output::Resolve`].
    Cancel(TicketId),
}

/// Why a request has no response.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unanswered {
    /// No byte of it reached the kernel: it certainly was not applied.
    NotSent,
    /// It may have been applied: the connection ended or the timeout passed first.
    Lost,
}

/// The highest version of each API that both sides speak; `None` where there is none.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Versions(pub BTreeMap<Api, i16>);

/// A leader's plan.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Plan {
    /// Each member's `ConsumerProtocolAssignment`.
    pub assignments: Vec<(Name, Vec<u8>)>,
    /// The partition counts that it was made for, of all topics that any member subscribes.
    pub topics: BTreeMap<Name, u32>,
}

/// Why a leader has no plan. The leader leaves the round and joins again.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AssignFailure {
    /// The assignor panicked, or its answer was dropped.
    Abandoned,
    /// No assignor of that name is at hand.
    UnknownAssignor,
    /// A member's subscription does not parse.
    BadSubscription(Name),
    /// The cluster's metadata could not be had.
    NoMetadata,
}

/// What an application asks for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Be a member that consumes these topics; none: leave the group. Withdrawn while
    /// partitions are assigned by hand.
    Subscribe(Vec<Name>),
    /// Consume just these partitions without membership. Withdrawn while topics are subscribed.
    Assign(Vec<TopicPartition>),
    /// Commit.
    Commit {
        /// What, at most one entry for each partition.
        entries: Vec<CommitEntry>,
        /// How long the outcome may take.
        timeout: Duration,
    },
    /// Read the committed offsets of any partitions.
    Committed {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// How long it may take.
        timeout: Duration,
    },
    /// Deliver a held partition from this offset on.
    Seek {
        /// Which.
        partition: TopicPartition,
        /// From where.
        to: SeekTo,
    },
    /// Rejoin the group now.
    Rejoin {
        /// Why, for the coordinator's log.
        reason: Name,
    },
    /// Hand everything over and leave.
    Close(CloseOptions),
}

/// One offset to commit.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CommitEntry {
    /// Whose.
    pub target: CommitTarget,
    /// How far.
    pub mark: Mark,
    /// A note that OffsetFetch returns.
    pub metadata: Option<Name>,
    /// Whether an offset below the highest committed one is meant (SPEC C4).
    pub rewind: bool,
}

/// What an offset belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CommitTarget {
    /// A lease: what a batch commits. The partition is told for the outcome.
    Lease(LeaseId, TopicPartition),
    /// Whatever lease this member holds of a partition: the raw form.
    Partition(TopicPartition),
}

/// Where a seek goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SeekTo {
    /// This offset.
    Offset(i64),
    /// The first record that is there.
    Beginning,
    /// Behind the last one.
    End,
}

/// Something to do outside. See [`Machine::poll_output`](crate::Machine::poll_output).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output {
    /// Send a request. It gets exactly one [`Input::Answer`].
    Send {
        /// Its name.
        id: RequestId,
        /// The connection to use; one request at a time is on each, in order.
        lane: Lane,
        /// The broker.
        to: Target,
        /// When to give up waiting: the answer is then `Lost` and the connection is closed.
        timeout: Duration,
        /// What to send.
        request: Request,
    },
    /// Come back with [`Input::Wake`] at a moment between the two, drawn at random so that
    /// members do not act in step. Replaces the one before.
    Wake {
        /// Not before.
        earliest: Time,
        /// Not after. [`Time::NEVER`]: nothing is awaited.
        latest: Time,
    },
    /// A new lease, active and without a position.
    Grant {
        /// Its name.
        lease: LeaseId,
        /// Its partition.
        partition: TopicPartition,
    },
    /// A lease changes. Applied to its word before anything later in the output.
    Lease(LeaseId, LeaseChange),
    /// Where a lease delivers from. Told first when the offset is known, then for each seek.
    Position {
        /// Which lease.
        lease: LeaseId,
        /// From where.
        start: Start,
    },
    /// Stop (`false`) or resume (`true`) delivering from all leases (SPEC S3).
    Deliver(bool),
    /// Read the marks of all leases and answer with [`Input::Marks`].
    ReadMarks,
    /// Tell the application, as an obligation.
    Event(Event),
    /// Tell the application, for its information.
    Notice(Notice),
    /// This member leads: make a plan and answer with [`Input::Assigned`].
    Assign {
        /// Names the request.
        round: u64,
        /// The assignor that the group chose.
        protocol: Name,
        /// Everybody, with their subscriptions.
        members: Vec<JoinedMember>,
    },
    /// The one outcome of a call.
    Resolve {
        /// Which call.
        ticket: TicketId,
        /// What came of it.
        outcome: Outcome,
    },
}

/// One of the three connections to the coordinator. A broker answers one request after the other
/// on a connection, so what may be parked must not stand before what must not wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// JoinGroup and SyncGroup, which the coordinator parks.
    Join,
    /// Heartbeat, LeaveGroup, FindCoordinator.
    Control,
    /// OffsetCommit, OffsetFetch.
    Commit,
}

impl Lane {
    /// All three.
    pub const ALL: [Lane; 3] = [Lane::Join, Lane::Control, Lane::Commit];
}

/// Which broker a request goes to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// Any that can be reached.
    Any,
    /// The coordinator that was found.
    Node(Node),
}

/// What becomes of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaseChange {
    /// No new delivery and no new hold; commits are still good. When no hold is left, answer
    /// with [`Input::Drained`].
    Revoke {
        /// The drain deadline.
        by: Time,
    },
    /// Handed over.
    End,
    /// Gone at once, whatever holds it.
    Lose(LossReason),
}

/// Where a lease delivers from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Start {
    /// The committed offset.
    Committed(Mark),
    /// Nothing was ever committed: as the reset policy says.
    Reset,
    /// The application's seek.
    Seek(SeekTo),
}

/// What the application is told as an obligation: it finishes each event, or is told it again.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A rebalance is complete. Told once for each, also when nothing is new.
    Assigned {
        /// The new generation.
        generation: i32,
        /// The leases that are new.
        leases: Vec<(LeaseId, TopicPartition)>,
    },
    /// Leases are to be handed over: finish and commit. Their end is told by another event.
    Revoking {
        /// Which.
        leases: Vec<LeaseId>,
        /// The drain deadline.
        by: Time,
    },
    /// The leases were handed over; the last commit was answered.
    Revoked {
        /// Which.
        leases: Vec<LeaseId>,
    },
    /// The leases are gone without a hand-over: somebody else may own the partitions already.
    Lost {
        /// Which.
        leases: Vec<LeaseId>,
        /// Why.
        reason: LossReason,
    },
    /// The member can't go on without the application's help. Told once for each cause.
    Fatal(Fatal),
}

/// What the application may want to know, and need not act on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The coordinator was found.
    Coordinator(Node),
    /// Something failed and is tried again.
    Retrying {
        /// What.
        api: Api,
        /// Why.
        cause: Cause,
    },
    /// A rebalance began.
    Rebalancing {
        /// Why, in the words that the coordinator is told.
        reason: Name,
    },
    /// No heartbeat was answered for a whole session; see [`SessionExpiry`](crate::SessionExpiry).
    SessionExpired,
    /// The coordinator answers again and the leases are still ours.
    SessionRestored,
    /// The offset of a partition cannot be had yet; its lease delivers nothing until then.
    PositionUnknown {
        /// Which.
        partition: TopicPartition,
        /// Why; `None` if the answer left it out.
        error: Option<ErrorCode>,
    },
    /// The application did not poll for the max poll interval: the member left.
    PollIntervalExceeded,
    /// As leader this member has no plan; it joins again.
    AssignFailed(AssignFailure),
    /// The member can't go on without the application's help. The same as the event of that name,
    /// for whoever does not listen to events.
    Fatal(Fatal),
    /// The assignment names a partition twice or one that cannot be; that part is left out.
    OddAssignment,
}

/// Why something is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// The broker answered with this error.
    Error(ErrorCode),
    /// There was no answer.
    Unanswered(Unanswered),
    /// The answer is not one to that request.
    Malformed,
}

/// What came of a [`Call`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// Of [`Call::Subscribe`], [`Call::Assign`] and [`Call::Rejoin`]: it is under way.
    Done,
    /// Of [`Call::Commit`]: one outcome for each entry, in the order of the entries.
    Commit(Vec<(TopicPartition, PartitionOutcome)>),
    /// Of [`Call::Committed`].
    Committed(Result<Vec<(TopicPartition, Option<Mark>)>, CommittedError>),
    /// Of [`Call::Seek`]: `Err` if the partition is not held.
    Seek(Result<(), LeaseEnd>),
    /// Of [`Call::Close`].
    Closed(CloseReport),
    /// Of any call that was cancelled before it came to anything, or made after the close.
    Withdrawn,
}

/// Why committed offsets could not be read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CommittedError {
    /// The whole request was refused.
    Group(ErrorCode),
    /// One partition was refused.
    Partition(TopicPartition, ErrorCode),
    /// The time was over before there was an answer.
    TimedOut,
}

impl fmt::Display for CommittedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommittedError::Group(error) => write!(f, "the coordinator refused: {error}"),
            CommittedError::Partition(partition, error) => {
                write!(f, "the coordinator refused {partition}: {error}")
            }
            CommittedError::TimedOut => f.write_str("the coordinator did not answer in time"),
        }
    }
}

impl core::error::Error for CommittedError {}
