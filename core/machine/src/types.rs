//! The small words that every other file uses: time, identifiers, partitions.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

/// A name that Kafka gave or takes: a topic, group, member or instance id. Cheap to clone.
pub type Name = Arc<str>;

/// Milliseconds since the driver started.
///
/// Our own number and never an `Instant`, so that the search can step it and two runs with equal
/// inputs are equal.
///
/// ```
/// use handover_machine::Time;
/// use std::time::Duration;
///
/// let at = Time::from_millis(1_000) + Duration::from_secs(2);
/// assert_eq!(at.as_millis(), 3_000);
/// assert_eq!(at.since(Time::ZERO), Duration::from_secs(3));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The moment at which the driver started.
    pub const ZERO: Time = Time(0);
    /// Later than every moment that occurs: a deadline that is not there.
    pub const NEVER: Time = Time(u64::MAX);

    /// The moment `millis` milliseconds after the driver started.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis)
    }

    /// Milliseconds since the driver started.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment less `by`, or the start.
    pub fn saturating_sub(self, by: Duration) -> Time {
        if self == Time::NEVER { self } else { Time(self.0.saturating_sub(millis(by))) }
    }
}

impl core::ops::Add<Duration> for Time {
    type Output = Time;
    /// Saturates at [`Time::NEVER`].
    fn add(self, by: Duration) -> Time {
        Time(self.0.saturating_add(millis(by)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Time::NEVER { f.write_str("never") } else { write!(f, "{}ms", self.0) }
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// Names one request from [`Output::Send`](crate::Output::Send) to its one answer. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Names one call of the application, from [`Input::Call`](crate::Input::Call) to its one
/// outcome. Given out by whoever posts the call; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TicketId(pub u64);

/// One assignment of one partition to this member: an incarnation that is never reused (SPEC L1).
///
/// A partition that is revoked and assigned again has another lease, so that nothing queued under
/// the first can act on the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseId(pub u64);

/// A partition of a topic.
///
/// ```
/// use handover_machine::TopicPartition;
/// assert_eq!(TopicPartition::new("orders", 3).to_string(), "orders-3");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Name,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Name>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a partition's log that can be committed: everything before `offset` is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark {
    /// The next offset to be consumed.
    pub offset: i64,
    /// The leader epoch of the last record done, or -1 if it is not known (KIP-320).
    pub leader_epoch: i32,
}

impl Mark {
    /// A mark whose leader epoch is not known.
    pub const fn at(offset: i64) -> Mark {
        Mark { offset, leader_epoch: -1 }
    }
}
