//! One leased partition as the engine sees it: where it is read, what it waits for.

use handover_core::Position;
use handover_core::machine::{ErrorCode, Mark, SeekTo, Start, TopicPartition};
use handover_wire::codec::Uuid;
use tokio::time::Instant;

use super::unread::Unread;
use super::{FetchReport, OffsetReset};
use crate::error::code;
use crate::net::{Backoff, Leader};
use crate::offsets::OffsetAt;

/// Numbers errands, so that what comes back late is told from what is waited for (SPEC F1).
pub(super) type Errand = u64;

/// A partition from the opening of its lease to its close.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: TopicPartition,
    /// Under which the core takes its batches.
    pub(super) position: Position,
    pub(super) stage: Stage,
    /// The errand that is out for it. A seek lets go of it.
    pub(super) errand: Option<Errand>,
    /// Not before this moment is the next one made.
    pub(super) retry: Option<Instant>,
    backoff: Backoff,
    /// What the application was told last.
    told: Option<FetchReport>,
    /// The topic as it was when the stage was entered; nil if that is not known.
    pub(super) topic_id: Uuid,
    /// A replica to read from in place of the leader, and until when.
    pub(super) replica: Option<(i32, Instant)>,
    /// When it was served last: the lower the sooner its turn.
    pub(super) turn: u64,
}

/// What is next for a partition.
#[derive(Debug)]
pub(super) enum Stage {
    /// To find out its offset.
    Locate(OffsetAt),
    /// To fetch from there.
    Fetch(Place),
    /// Nothing, until a seek.
    Stuck,
}

/// Where fetching stands.
#[derive(Debug)]
pub(super) struct Place {
    /// The next offset to fetch.
    pub(super) offset: i64,
    /// Where the last push ended. What lies between the two was passed over, and is covered by the
    /// next push (SPEC F2).
    pub(super) pushed: i64,
    /// The epoch of the record before `offset`, or -1.
    pub(super) epoch: i32,
    /// The election up to which the leader's log is known to go on from here (KIP-320).
    pub(super) compared: i32,
    /// What was fetched and not read yet.
    pub(super) unread: Option<Unread>,
    /// The offset at which the last batch could not be read.
    pub(super) suspect: Option<i64>,
}

impl Place {
    pub(super) fn new(mark: Mark) -> Place {
        Place {
            offset: mark.offset,
            pushed: mark.offset,
            epoch: mark.leader_epoch,
            compared: -1,
            unread: None,
            suspect: None,
        }
    }

    /// Whether it is open if the leader's log goes on from here: the last record was written in an
    /// earlier epoch, and may have been lost with its leader.
    pub(super) fn is_doubtful(&self, leader: Leader) -> bool {
        self.epoch >= 0 && leader.epoch > self.compared
    }
}

/// What an error of a partition asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Another offset.
    OutOfRange,
    /// Newer metadata.
    Stale,
    /// Patience.
    Wait,
    /// Somebody's help; and patience.
    Denied,
}

impl Verdict {
    /// As Kafka's `FetchCollector.handleInitializeErrors`.
    pub(super) fn of(error: ErrorCode) -> Verdict {
        match error {
            code::OFFSET_OUT_OF_RANGE => Verdict::OutOfRange,
            // The broker's own log is damaged.
            code::CORRUPT_MESSAGE => Verdict::Denied,
            // A broker that wants to be asked for metadata anew says the latter (KIP-1102).
            ErrorCode::UnknownServerError | code::REBOOTSTRAP_REQUIRED => Verdict::Wait,
            error if code::is_stale_metadata(error) => Verdict::Stale,
            error if code::is_retriable(error) => Verdict::Wait,
            _ => Verdict::Denied,
        }
    }
}

impl Partition {
    pub(super) fn new(
        name: TopicPartition,
        position: Position,
        stage: Stage,
        backoff: Backoff,
    ) -> Partition {
        Partition {
            name,
            position,
            stage,
            errand: None,
            retry: None,
            backoff,
            told: None,
            topic_id: Uuid::nil(),
            replica: None,
            turn: 0,
        }
    }

    /// Goes on from elsewhere; what is out for it does not count any more.
    pub(super) fn restart(&mut self, position: Position, stage: Stage) {
        self.position = position;
        self.enter(stage);
        self.backoff.reset();
        self.told = None;
    }

    /// The same, of its own accord.
    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.errand = None;
        self.retry = None;
    }

    /// It got on: what went wrong before is over.
    pub(super) fn progressed(&mut self) {
        self.retry = None;
        self.backoff.reset();
        self.told = None;
    }

    /// It did not: the next errand is made a little later.
    pub(super) fn failed(&mut self, now: Instant) {
        self.retry = Some(now + self.backoff.next());
    }

    /// Takes the errand off, if it is the one that is waited for.
    pub(super) fn returned(&mut self, errand: Errand) -> bool {
        let waited_for = self.errand == Some(errand);
        if waited_for {
            self.errand = None;
        }
        waited_for
    }

    /// What to tell the application, unless it is what it was told last.
    pub(super) fn tell(&mut self, report: FetchReport) -> Option<FetchReport> {
        if self.told.as_ref() == Some(&report) {
            return None;
        }
        self.told = Some(report.clone());
        Some(report)
    }

    /// The broker to fetch from.
    pub(super) fn source(&mut self, leader: Leader, now: Instant) -> i32 {
        self.replica = self.replica.filter(|(_, until)| *until > now);
        self.replica.map_or(leader.broker, |(broker, _)| broker)
    }
}

/// What a start asks for first.
pub(super) fn stage(start: Start, reset: OffsetReset) -> Option<Stage> {
    match start {
        Start::Committed(mark) => Some(Stage::Fetch(Place::new(mark))),
        Start::Seek(SeekTo::Offset(offset)) => Some(Stage::Fetch(Place::new(Mark::at(offset)))),
        Start::Seek(SeekTo::Beginning) => Some(Stage::Locate(OffsetAt::Earliest)),
        Start::Seek(SeekTo::End) => Some(Stage::Locate(OffsetAt::Latest)),
        Start::Reset => policy(reset).map(Stage::Locate),
    }
}

/// Where the policy starts, if it starts anywhere.
pub(super) fn policy(reset: OffsetReset) -> Option<OffsetAt> {
    match reset {
        OffsetReset::Earliest => Some(OffsetAt::Earliest),
        OffsetReset::Latest => Some(OffsetAt::Latest),
        OffsetReset::None => None,
    }
}
