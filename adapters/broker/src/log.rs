//! One partition's log, in memory: batches as the producers sent them, with the offsets and the
//! leader epoch written in.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::batch::{self, Batch};
use crate::producers::{Producers, Sequence};

/// The log of a partition. Its high watermark is its end: what is appended is committed.
#[derive(Debug)]
pub(crate) struct Log {
    /// In the order of their offsets, without gaps between them.
    batches: VecDeque<Stored>,
    /// The first offset that can be read.
    start: i64,
    /// The offset that the next record gets.
    end: i64,
    /// The bytes of all batches.
    size: usize,
    /// Above this many bytes the oldest batches go, but never the newest.
    retention: Option<usize>,
    /// Where each leader epoch began, for the epochs that wrote something.
    epochs: Vec<(i32, i64)>,
    producers: Producers,
}

#[derive(Debug)]
struct Stored {
    last: i64,
    max_timestamp: i64,
    bytes: Bytes,
}

/// What came of an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Appended {
    /// The first record has this offset.
    At(i64),
    /// The batch was there already, at this offset.
    Duplicate(i64),
    /// An idempotent producer's batch before this one is missing.
    OutOfOrder,
    /// The producer was fenced by a newer incarnation of itself.
    Fenced,
}

/// A record's place in time and in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamped {
    pub(crate) timestamp: i64,
    pub(crate) offset: i64,
    pub(crate) epoch: i32,
}

impl Log {
    pub(crate) fn new(retention: Option<usize>) -> Log {
        Log {
            batches: VecDeque::new(),
            start: 0,
            end: 0,
            size: 0,
            retention,
            epochs: Vec::new(),
            producers: Producers::default(),
        }
    }

    /// The first offset that can be read.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The offset behind the last record.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// Appends a batch in the leader epoch `epoch`.
    pub(crate) fn append(&mut self, batch: &Batch, epoch: i32) -> Appended {
        if let Some(sequenced) = batch.sequenced {
            match self.producers.check(sequenced) {
                Sequence::Next => self.producers.appended(sequenced, self.end),
                Sequence::Duplicate { base } => return Appended::Duplicate(base),
                Sequence::OutOfOrder => return Appended::OutOfOrder,
                Sequence::Fenced => return Appended::Fenced,
            }
        }
        let base = self.end;
        let bytes = batch::place(&batch.bytes, base, epoch);
        self.size += bytes.len();
        self.end += i64::from(batch.records);
        let stored = Stored { last: self.end - 1, max_timestamp: batch.max_timestamp, bytes };
        self.batches.push_back(stored);
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.push((epoch, base));
        }
        self.retain();
        Appended::At(base)
    }

    /// Batches from the one that holds `offset` on: as many whole ones as fit in `limit` bytes,
    /// and the first one in any case if `at_least_one`.
    pub(crate) fn read(&self, offset: i64, limit: usize, at_least_one: bool) -> Bytes {
        let first = self.batches.partition_point(|batch| batch.last < offset);
        let mut size = 0;
        let mut count = 0;
        for batch in self.batches.range(first..) {
            let fits = size + batch.bytes.len() <= limit;
            if !fits && (count > 0 || !at_least_one) {
                break;
            }
            size += batch.bytes.len();
            count += 1;
        }
        let mut wanted = self.batches.range(first..first + count);
        if count == 1 {
            return wanted.next().map(|batch| batch.bytes.clone()).unwrap_or_default();
        }
        let mut bytes = BytesMut::with_capacity(size);
        wanted.for_each(|batch| bytes.extend_from_slice(&batch.bytes));
        bytes.freeze()
    }

    /// How many bytes are readable from `offset` on, but no more than `enough`.
    pub(crate) fn readable(&self, offset: i64, enough: usize) -> usize {
        let mut size = 0;
        for batch in self.batches.iter().rev().take_while(|batch| batch.last >= offset) {
            size += batch.bytes.len();
            if size >= enough {
                return enough;
            }
        }
        size
    }

    /// The first record with this timestamp or a later one.
    pub(crate) fn first_since(&self, timestamp: i64) -> Option<Stamped> {
        let late = self.batches.iter().filter(|batch| batch.max_timestamp >= timestamp);
        let mut records = late.filter_map(|stored| {
            let found = batch::stamps(&stored.bytes)
                .into_iter()
                .find(|stamp| stamp.timestamp >= timestamp)?;
            (found.offset >= self.start).then_some(found)
        });
        records.next()
    }

    /// The first of the records with the highest timestamp.
    pub(crate) fn newest(&self) -> Option<Stamped> {
        let newest = self.batches.iter().map(|batch| batch.max_timestamp).max()?;
        self.first_since(newest)
    }

    /// Where the leader epoch `epoch` ends: the largest epoch that is not later, and the offset
    /// behind its last record (`LeaderEpochFileCache.endOffsetFor`).
    pub(crate) fn end_of_epoch(&self, epoch: i32, current: i32) -> Option<(i32, i64)> {
        if epoch == current {
            return Some((current, self.end));
        }
        let next = self.epochs.partition_point(|(begun, _)| *begun <= epoch);
        let end = self.epochs.get(next).map_or(self.end, |(_, start)| *start);
        match next.checked_sub(1) {
            Some(at) if epoch < current => Some((self.epochs[at].0, end)),
            // Before the first epoch there was nothing: it ended where that one begins.
            None if epoch < current && next < self.epochs.len() => Some((epoch, end)),
            _ => None,
        }
    }

    /// The leader epoch that wrote `offset`; `None` if it is not there.
    pub(crate) fn epoch_at(&self, offset: i64) -> Option<i32> {
        let next = self.epochs.partition_point(|(_, start)| *start <= offset);
        Some(self.epochs.get(next.checked_sub(1)?)?.0)
    }

    fn retain(&mut self) {
        let Some(retention) = self.retention else { return };
        while self.size > retention && self.batches.len() > 1 {
            let Some(oldest) = self.batches.pop_front() else { return };
            self.size -= oldest.bytes.len();
            self.start = oldest.last + 1;
        }
        // An epoch all of whose records are gone no longer has a beginning to tell of.
        let gone = self.epochs.iter().skip(1).take_while(|(_, start)| *start <= self.start).count();
        self.epochs.drain(..gone);
    }
}
