//! What a partition remembers of its idempotent producers: sequences checked, duplicates known.
//!
//! The rules are those of Kafka's `ProducerAppendInfo` and `ProducerStateEntry` (KIP-98, KIP-360).

use std::collections::{HashMap, VecDeque};

/// Of this many batches per producer a repetition is recognised (`ProducerStateEntry`).
const BATCHES_KEPT: usize = 5;

/// Producers per partition that are remembered; the one longest silent is forgotten first, as
/// Kafka's `producer.id.expiration.ms` would have it. Bounds what clients can make a broker keep (SPEC Y6).
const PRODUCERS_KEPT: usize = 10_000;

/// The producer's part of a batch header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sequenced {
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
    /// The sequence number of the batch's first record.
    pub(crate) first: i32,
    /// And of its last.
    pub(crate) last: i32,
}

/// Whether a batch may be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sequence {
    /// It is the next one.
    Next,
    /// It was appended before, at this offset.
    Duplicate { base: i64 },
    /// A batch before it is missing.
    OutOfOrder,
    /// Another incarnation of the producer was here since.
    Fenced,
}

#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// The last batches of this epoch, oldest first: first and last sequence, base offset.
    batches: VecDeque<(i32, i32, i64)>,
    /// The offset of its last batch, by which the longest silent is found.
    seen: i64,
}

impl Producers {
    /// Judges a batch; nothing changes until [`Producers::appended`].
    pub(crate) fn check(&self, batch: Sequenced) -> Sequence {
        // A producer that is not known may begin anywhere: its records may be gone by retention.
        let Some(producer) = self.by_id.get(&batch.producer) else { return Sequence::Next };
        if batch.epoch < producer.epoch {
            return Sequence::Fenced;
        }
        if batch.epoch > producer.epoch {
            return if batch.first == 0 { Sequence::Next } else { Sequence::OutOfOrder };
        }
        let repeated = |kept: &&(i32, i32, i64)| (kept.0, kept.1) == (batch.first, batch.last);
        if let Some((_, _, base)) = producer.batches.iter().find(repeated) {
            return Sequence::Duplicate { base: *base };
        }
        match producer.batches.back() {
            Some((_, last, _)) if next_sequence(*last) != batch.first => Sequence::OutOfOrder,
            _ => Sequence::Next,
        }
    }

    /// Takes note of a batch that was appended at `base`.
    pub(crate) fn appended(&mut self, batch: Sequenced, base: i64) {
        if self.by_id.len() >= PRODUCERS_KEPT && !self.by_id.contains_key(&batch.producer) {
            self.forget_longest_silent();
        }
        let fresh = || Producer { epoch: batch.epoch, batches: VecDeque::new(), seen: base };
        let producer = self.by_id.entry(batch.producer).or_insert_with(fresh);
        if producer.epoch != batch.epoch {
            *producer = fresh();
        }
        if producer.batches.len() == BATCHES_KEPT {
            producer.batches.pop_front();
        }
        producer.batches.push_back((batch.first, batch.last, base));
        producer.seen = base;
    }

    fn forget_longest_silent(&mut self) {
        let silent = self.by_id.iter().min_by_key(|(_, producer)| producer.seen);
        if let Some(id) = silent.map(|(id, _)| *id) {
            self.by_id.remove(&id);
        }
    }
}

/// Sequence numbers wrap to 0 (`DefaultRecordBatch.incrementSequence`).
fn next_sequence(sequence: i32) -> i32 {
    sequence.checked_add(1).unwrap_or(0)
}

/// The last of `delta + 1` sequence numbers from `first` on. None of the three is negative.
pub(crate) fn last_sequence(first: i32, delta: i32) -> i32 {
    first.checked_add(delta).unwrap_or_else(|| delta - (i32::MAX - first) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, first: i32, last: i32) -> Sequenced {
        Sequenced { producer: 7, epoch, first, last }
    }

    #[test]
    fn sequences_go_on_repeat_and_break() {
        let mut producers = Producers::default();
        assert_eq!(producers.check(batch(0, 40, 49)), Sequence::Next, "an unknown producer");
        producers.appended(batch(0, 0, 9), 100);
        assert_eq!(producers.check(batch(0, 10, 14)), Sequence::Next);
        assert_eq!(producers.check(batch(0, 0, 9)), Sequence::Duplicate { base: 100 });
        assert_eq!(producers.check(batch(0, 11, 14)), Sequence::OutOfOrder);
        assert_eq!(producers.check(batch(0, 0, 8)), Sequence::OutOfOrder, "same first, other last");
    }

    #[test]
    fn the_sixth_batch_forgets_the_first() {
        let mut producers = Producers::default();
        for at in 0..6 {
            producers.appended(batch(0, at, at), i64::from(at));
        }
        assert_eq!(producers.check(batch(0, 0, 0)), Sequence::OutOfOrder);
        assert_eq!(producers.check(batch(0, 1, 1)), Sequence::Duplicate { base: 1 });
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_fences_the_old() {
        let mut producers = Producers::default();
        producers.appended(batch(1, 0, 9), 0);
        assert_eq!(producers.check(batch(0, 10, 10)), Sequence::Fenced);
        assert_eq!(producers.check(batch(2, 10, 10)), Sequence::OutOfOrder);
        assert_eq!(producers.check(batch(2, 0, 0)), Sequence::Next);
        producers.appended(batch(2, 0, 0), 10);
        assert_eq!(producers.check(batch(2, 1, 1)), Sequence::Next);
        assert_eq!(producers.check(batch(1, 10, 10)), Sequence::Fenced);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.appended(batch(0, i32::MAX - 1, i32::MAX), 0);
        assert_eq!(producers.check(batch(0, 0, 3)), Sequence::Next);
        assert_eq!(last_sequence(i32::MAX - 1, 1), i32::MAX);
        assert_eq!(last_sequence(i32::MAX - 1, 2), 0);
        assert_eq!(last_sequence(i32::MAX, i32::MAX), i32::MAX - 1);
    }

    #[test]
    fn the_longest_silent_producer_is_forgotten() {
        let mut producers = Producers::default();
        for id in 0..=PRODUCERS_KEPT as i64 {
            producers.appended(Sequenced { producer: id, epoch: 0, first: 0, last: 0 }, id);
        }
        assert_eq!(producers.by_id.len(), PRODUCERS_KEPT);
        assert!(!producers.by_id.contains_key(&0));
    }
}
