//! What calls come to: commits, closes, leases that end, errors that need the application.

use alloc::vec::Vec;
use core::{fmt, time::Duration};

use crate::{Api, ErrorCode, TopicPartition};

/// What became of one partition of a commit (SPEC C3).
///
/// ```
/// use handover_machine::{LeaseEnd, PartitionOutcome};
/// assert!(PartitionOutcome::Committed { at: 7 }.is_committed());
/// assert!(!PartitionOutcome::Fenced(LeaseEnd::Revoked).is_committed());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PartitionOutcome {
    /// The coordinator has an offset that covers this one.
    Committed {
        /// The highest offset acknowledged: not less than what was asked.
        at: i64,
    },
    /// The lease ended first and nothing was applied: another member goes on from what was
    /// committed before, and will consume these records again.
    Fenced(LeaseEnd),
    /// The coordinator refused this partition, and will again.
    Rejected(ErrorCode),
    /// It was sent, and whether it was applied is not known.
    Unknown,
    /// It was never sent: cancelled, or out of time first.
    Withdrawn,
}

impl PartitionOutcome {
    /// Whether it is certain that the coordinator has it.
    pub const fn is_committed(&self) -> bool {
        matches!(self, PartitionOutcome::Committed { .. })
    }
}

impl fmt::Display for PartitionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionOutcome::Committed { at } => write!(f, "committed at {at}"),
            PartitionOutcome::Fenced(end) => write!(f, "not committed: the lease {end}"),
            PartitionOutcome::Rejected(error) => write!(f, "rejected: {error}"),
            PartitionOutcome::Unknown => f.write_str("sent, outcome unknown"),
            PartitionOutcome::Withdrawn => f.write_str("never sent"),
        }
    }
}

/// How a lease ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LeaseEnd {
    /// Handed over: drained, committed, given up, in that order.
    Revoked,
    /// Gone without a hand-over.
    Lost(LossReason),
    /// This member never held it, or no longer knows of it.
    NotHeld,
}

impl fmt::Display for LeaseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeaseEnd::Revoked => f.write_str("was handed over"),
            LeaseEnd::Lost(reason) => write!(f, "was lost: {reason}"),
            LeaseEnd::NotHeld => f.write_str("is not held"),
        }
    }
}

/// Why a lease was lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum LossReason {
    /// It was still held at the drain deadline.
    Overrun,
    /// The coordinator no longer knows the member.
    UnknownMember,
    /// The group went on to another generation without the member.
    IllegalGeneration,
    /// Another client took the instance id.
    FencedInstance,
    /// No heartbeat was answered for a whole session, and the policy is to give up.
    SessionExpired,
    /// The application did not poll for the max poll interval.
    PollInterval,
    /// The member failed for good; a [`Fatal`] event says why.
    Failed,
    /// The driver was dropped or panicked.
    Stopped,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossReason::Overrun => "still held at the drain deadline",
            LossReason::UnknownMember => "the coordinator no longer knows the member",
            LossReason::IllegalGeneration => "the group went on without the member",
            LossReason::FencedInstance => "another client took the instance id",
            LossReason::SessionExpired => "no heartbeat was answered for a session",
            LossReason::PollInterval => "no poll within the max poll interval",
            LossReason::Failed => "the member failed",
            LossReason::Stopped => "the driver stopped",
        })
    }
}

/// Why the member can't go on without the application's help.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fatal {
    /// The request that was refused.
    pub api: Api,
    /// The coordinator's error.
    pub error: ErrorCode,
}

impl Fatal {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self.error {
            ErrorCode::GroupAuthorizationFailed => "grant the client READ on the group",
            ErrorCode::TopicAuthorizationFailed => "grant the client READ on the topic",
            ErrorCode::FencedInstanceId => "another client runs with this instance id; stop one",
            ErrorCode::InconsistentGroupProtocol => {
                "offer an assignor that the other members of the group offer too"
            }
            ErrorCode::InvalidSessionTimeout => {
                "keep session_timeout within the broker's group.min and group.max.session.timeout.ms"
            }
            ErrorCode::InvalidGroupId => "use a group id that the broker accepts",
            ErrorCode::GroupMaxSizeReached => {
                "raise the broker's group.max.size or use fewer members"
            }
            ErrorCode::UnsupportedVersion => "use a newer broker, or leave out what it lacks",
            _ => "see the broker's log",
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} was refused with {}: {}", self.api, self.error, self.help())
    }
}

impl core::error::Error for Fatal {}

/// How to close (SPEC K1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CloseOptions {
    /// How long all of it may take. Default 30 s.
    pub deadline: Duration,
    /// Whether to leave the group.
    pub leave: Leave,
}

impl Default for CloseOptions {
    fn default() -> Self {
        CloseOptions { deadline: Duration::from_secs(30), leave: Leave::Default }
    }
}

/// Whether a closing member leaves its group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Leave {
    /// A dynamic member leaves, a static one stays and may come back within its session.
    #[default]
    Default,
    /// Leave, also as a static member.
    Leave,
    /// Stay: the group waits out the session.
    Stay,
}

/// What a close did, and what it could not do.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct CloseReport {
    /// Whether the coordinator was told, and how it answered.
    pub leave: LeaveOutcome,
    /// Partitions that were still held at the deadline: their leases were lost.
    pub overrun: Vec<TopicPartition>,
    /// Partitions whose last commit did not come to an acknowledgement, and what it came to.
    pub uncommitted: Vec<(TopicPartition, PartitionOutcome)>,
}

impl CloseReport {
    /// Whether everything was drained, committed and told.
    pub fn is_clean(&self) -> bool {
        let told = matches!(self.leave, LeaveOutcome::Left | LeaveOutcome::Stayed);
        told && self.overrun.is_empty() && self.uncommitted.is_empty()
    }
}

/// How leaving the group went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LeaveOutcome {
    /// It was not a member, or was meant to stay one.
    #[default]
    Stayed,
    /// The coordinator acknowledged it, or no longer knew the member.
    Left,
    /// The coordinator refused; the member remains until its session ends.
    Refused(ErrorCode),
    /// There was no answer within the deadline; the member may remain until its session ends.
    Unanswered,
}
