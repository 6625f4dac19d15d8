//! What happened to a group, as its members told it, and a judgement on it.
//!
//! A history does not care where its events come from: our members, foreign clients that print
//! them, the harness that kills and cuts. The judgement knows the promises of a consumer group
//! and nothing of how anybody keeps them.

mod judge;
mod recorder;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

pub use judge::{Cause, Verdict, Violation};
pub use recorder::{Recorder, TimedOut, now};

/// A topic's name and a partition's number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub Arc<str>, pub i32);

impl Partition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: &str, partition: i32) -> Partition {
        Partition(topic.into(), partition)
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// Something that happened to a member, or that a producer or the harness did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Milliseconds of the wall clock, which all processes of one machine share.
    pub at: u64,
    /// Whose event it is. A client that is started again is another member.
    pub member: Arc<str>,
    /// What happened.
    pub kind: Kind,
}

/// The kinds of [`Event`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The member's process or task began.
    Started,
    /// These partitions are the member's now, on top of what it has.
    Assigned(Vec<Partition>),
    /// The member handed these over.
    Revoked(Vec<Partition>),
    /// The member was told that these were taken from it.
    Lost(Vec<Partition>, Loss),
    /// The application got the records from `first` to `last`, both included.
    Consumed {
        /// Where.
        partition: Partition,
        /// The lowest offset.
        first: i64,
        /// The highest.
        last: i64,
    },
    /// A commit of the next offset to consume was acknowledged.
    Committed {
        /// Where.
        partition: Partition,
        /// The next offset.
        offset: i64,
    },
    /// A commit was refused or its outcome is not known.
    CommitFailed {
        /// Where.
        partition: Partition,
        /// The offset that was to be committed.
        offset: i64,
    },
    /// The application asked to consume again from here on.
    Rewound {
        /// Where.
        partition: Partition,
        /// The next offset to be consumed.
        to: i64,
    },
    /// The member left in good order; it has nothing any more.
    Stopped,
    /// The harness killed it; it did not notice.
    Killed,
    /// The harness cut its links or paused it: from here on the group may go on without it.
    Cut,
    /// A record was produced and acknowledged. The member is the producer.
    Produced {
        /// Where.
        partition: Partition,
        /// Its offset.
        offset: i64,
    },
}

/// Why a member lost partitions, as it was told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Loss {
    /// It held them past the drain deadline, or did not poll in time.
    Overrun,
    /// It did not reach its coordinator for a session.
    SessionExpired,
    /// Anything else: fenced, failed, driver dropped.
    Other,
}

/// Events in the order in which they were told, and how far consumption has come.
#[derive(Clone, Default, Debug)]
pub struct History {
    events: Vec<Event>,
    consumed: HashMap<Partition, BTreeSet<i64>>,
    outstanding: BTreeSet<(Partition, i64)>,
    owned: HashMap<Arc<str>, BTreeSet<Partition>>,
}

impl History {
    /// Adds an event.
    pub fn record(&mut self, event: Event) {
        let owned = self.owned.entry(event.member.clone()).or_default();
        match &event.kind {
            Kind::Assigned(partitions) => owned.extend(partitions.iter().cloned()),
            Kind::Revoked(partitions) | Kind::Lost(partitions, _) => {
                owned.retain(|partition| !partitions.contains(partition));
            }
            Kind::Stopped | Kind::Killed => owned.clear(),
            Kind::Produced { partition, offset } => {
                let consumed = self.consumed.get(partition);
                if !consumed.is_some_and(|offsets| offsets.contains(offset)) {
                    self.outstanding.insert((partition.clone(), *offset));
                }
            }
            Kind::Consumed { partition, first, last } => {
                let consumed = self.consumed.entry(partition.clone()).or_default();
                for offset in *first..=*last {
                    if consumed.insert(offset) {
                        self.outstanding.remove(&(partition.clone(), offset));
                    }
                }
            }
            Kind::Started
            | Kind::Committed { .. }
            | Kind::CommitFailed { .. }
            | Kind::Rewound { .. }
            | Kind::Cut => {}
        }
        self.events.push(event);
    }

    /// All events, in the order in which they were told.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events of one member.
    pub fn of<'a>(&'a self, member: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| &*event.member == member)
    }

    /// What was produced and acknowledged and not yet consumed by anybody.
    pub fn outstanding(&self) -> &BTreeSet<(Partition, i64)> {
        &self.outstanding
    }

    /// What a member has, as far as was told. Quick, as tests ask after each event.
    pub fn owned_by(&self, member: &str) -> BTreeSet<Partition> {
        self.owned.get(member).cloned().unwrap_or_default()
    }

    /// Judges the whole history; see [`Violation`] for what is checked.
    pub fn judge(&self) -> Verdict {
        judge::judge(self)
    }
}

/// One line for each event, in the order of time: what to read when a judgement surprises.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut events: Vec<&Event> = self.events.iter().collect();
        events.sort_by_key(|event| event.at);
        events.iter().try_for_each(|e| writeln!(f, "{} {}: {:?}", e.at, e.member, e.kind))
    }
}
