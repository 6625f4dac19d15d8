//! Why a consumer can't be made, or can't go on.

use std::fmt;

use crate::fetch::FetchReport;
use handover_core::machine::{ErrorCode, Fatal, TopicPartition};

/// Why [`Consumer::poll`](crate::Consumer::poll) can't go on without the application's help.
///
/// Told once for each cause. Everything else is tried again, and told by notices.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PollError {
    /// The coordinator refuses the member. Subscribe again once the cause is gone.
    Member(Fatal),
    /// There is no offset to start from: none is committed, or the committed one is gone, and
    /// the reset policy is [`OffsetReset::None`](crate::OffsetReset::None). Seek.
    NoOffset {
        /// Which partition.
        partition: TopicPartition,
    },
    /// The broker refuses to let this client read. It is asked again now and then.
    Denied {
        /// Which partition.
        partition: TopicPartition,
        /// How.
        error: ErrorCode,
    },
    /// Records can't be read. They are asked for again, in vain unless the broker mends them;
    /// seek beyond them to go on.
    Corrupt {
        /// Which partition.
        partition: TopicPartition,
        /// From which offset on.
        offset: i64,
        /// What is wrong with them.
        problem: String,
    },
}

impl fmt::Display for PollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PollError::Member(fatal) => fatal.fmt(f),
            PollError::NoOffset { partition } => write!(
                f,
                "{partition} has no offset to start from and the reset policy is none; seek to one"
            ),
            PollError::Denied { partition, error } => {
                write!(f, "{partition} can't be read: {error}; grant the client READ on the topic")
            }
            PollError::Corrupt { partition, offset, problem } => write!(
                f,
                "the records of {partition} from offset {offset} on can't be read: {problem}; seek \
                 beyond them to go on"
            ),
        }
    }
}

impl std::error::Error for PollError {}

impl From<FetchReport> for PollError {
    fn from(report: FetchReport) -> PollError {
        match report {
            FetchReport::NoOffset { partition } => PollError::NoOffset { partition },
            FetchReport::Denied { partition, error } => PollError::Denied { partition, error },
            FetchReport::Corrupt { partition, offset, error } => {
                PollError::Corrupt { partition, offset, problem: error.to_string() }
            }
        }
    }
}
