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

    /// Where the leader epoch `epoch` ends, while the leader's is `current`: the largest epoch that
    /// is not later and wrote something, and the offset behind its last record
    /// (`LeaderEpochFileCache.endOffsetFor`). `None` if it is no epoch of this log.
    pub(crate) fn end_of_epoch(&self, epoch: i32, current: i32) -> Option<(i32, i64)> {
        if epoch == current {
            return Some((current, self.end));
        }
        if !(0..current).contains(&epoch) {
            return None;
        }
        let next = self.epochs.partition_point(|(begun, _)| *begun <= epoch);
        let end = self.epochs.get(next).map_or(self.end, |(_, start)| *start);
        // Before the first epoch there was nothing: it ended where that one begins.
        let wrote = next.checked_sub(1).map_or(epoch, |at| self.epochs[at].0);
        Some((wrote, end))
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
        // Of the epochs that began at or before the first offset, the last one wrote it.
        let gone = self.epochs.partition_point(|(_, start)| *start <= self.start);
        self.epochs.drain(..gone.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::record::to_batch;

    fn batch(records: usize) -> Batch {
        to_batch(&vec![Record::from("0123456789"); records]).unwrap()
    }

    /// Batches at 0..2, 2..5 and 5..6, in the epochs 0, 2 and 2.
    fn log(retention: Option<usize>) -> Log {
        let mut log = Log::new(retention);
        for (records, epoch, base) in [(2, 0, 0), (3, 2, 2), (1, 2, 5)] {
            assert_eq!(log.append(&batch(records), epoch), Appended::At(base));
        }
        log
    }

    #[test]
    fn reads_whole_batches_from_the_one_that_holds_the_offset() {
        let log = log(None);
        let one = batch(1).bytes.len();
        let bases = |bytes: Bytes| -> Vec<i64> {
            batch::stamps(&bytes).iter().map(|stamp| stamp.offset).collect()
        };
        assert_eq!(bases(log.read(3, usize::MAX, false)), [2, 3, 4, 5]);
        assert_eq!(bases(log.read(5, one, false)), [5]);
        assert!(log.read(5, one - 1, false).is_empty());
        assert_eq!(bases(log.read(5, 0, true)), [5]);
        assert!(log.read(6, usize::MAX, true).is_empty());
        assert_eq!(log.readable(0, usize::MAX), log.size);
        assert_eq!(log.readable(5, usize::MAX), one);
        assert_eq!(log.readable(0, 7), 7);
        assert_eq!(log.readable(6, 1), 0);
    }

    #[test]
    fn epochs_end_where_the_next_that_wrote_begins() {
        let log = log(None);
        assert_eq!(log.end_of_epoch(0, 4), Some((0, 2)));
        assert_eq!(log.end_of_epoch(1, 4), Some((0, 2)));
        assert_eq!(log.end_of_epoch(2, 4), Some((2, 6)));
        assert_eq!(log.end_of_epoch(3, 4), Some((2, 6)));
        assert_eq!(log.end_of_epoch(4, 4), Some((4, 6)));
        assert_eq!(log.end_of_epoch(5, 4), None);
        assert_eq!(log.end_of_epoch(-1, 4), None);
        assert_eq!((log.epoch_at(1), log.epoch_at(2)), (Some(0), Some(2)));
    }

    #[test]
    fn retention_forgets_batches_and_the_epochs_they_began() {
        let log = log(Some(1));
        assert_eq!((log.start(), log.end()), (5, 6), "never the newest");
        assert_eq!(log.epochs, [(2, 2)]);
        assert_eq!(log.end_of_epoch(0, 4), Some((0, 2)), "before the first that is known");
        assert_eq!(Log::new(None).end_of_epoch(0, 1), Some((0, 0)));
    }
}
