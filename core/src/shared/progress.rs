//! How far a lease's records are done, when they are done in any order.
//!
//! Pure bookkeeping, under the delivery queue's lock. Records are delivered in order and in
//! ranges that touch; they may be finished in any order. The *front* is the offset before which
//! all are done: only it may be committed (SPEC B2). What is done beyond it waits.

use std::collections::BTreeMap;

use handover_machine::Mark;

#[derive(Default, Debug)]
pub(crate) struct Progress {
    /// Everything before this offset is done; `None` until the first record is known.
    front: Option<i64>,
    /// The leader epoch of the last record before the front, or -1.
    epoch: i32,
    /// Ranges that are done beyond the front, by their start: disjoint, none touches the front.
    ahead: BTreeMap<i64, (i64, i32)>,
}

impl Progress {
    /// Nothing done, from wherever the first record is.
    pub(crate) fn new() -> Progress {
        Progress { front: None, epoch: -1, ahead: BTreeMap::new() }
    }

    /// The first record is at `at`, if none was known yet.
    pub(crate) fn begin(&mut self, at: i64) {
        self.front.get_or_insert(at);
    }

    /// The records from `from` to just before `to` are done. The new mark, if the front moved.
    pub(crate) fn done(&mut self, from: i64, to: i64, epoch: i32) -> Option<Mark> {
        let before = self.front?;
        if from < to && to > before {
            self.ahead.insert(from, (to, epoch));
        }
        let mut front = before;
        while let Some(range) = self.ahead.first_entry().filter(|range| *range.key() <= front) {
            let (end, epoch) = range.remove();
            front = front.max(end);
            self.epoch = if epoch < 0 { self.epoch } else { epoch };
        }
        self.front = Some(front);
        (front > before).then_some(Mark { offset: front, leader_epoch: self.epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64, leader_epoch: i32) -> Option<Mark> {
        Some(Mark { offset, leader_epoch })
    }

    #[test]
    fn the_mark_never_covers_a_record_that_is_not_done() {
        let mut progress = Progress::new();
        assert_eq!(progress.done(10, 20, 1), None, "nothing was delivered yet");
        progress.begin(10);
        progress.begin(15);
        assert_eq!(progress.done(20, 30, 1), None);
        assert_eq!(progress.done(40, 50, 2), None);
        assert_eq!(progress.done(10, 15, 1), at(15, 1));
        assert_eq!(progress.done(15, 20, 1), at(30, 1));
        assert_eq!(progress.done(30, 40, 2), at(50, 2));
        assert_eq!(progress.done(30, 40, 2), None, "told again");
        assert!(progress.ahead.is_empty());
    }

    #[test]
    fn an_unknown_epoch_keeps_the_last_one_known() {
        let mut progress = Progress::new();
        progress.begin(0);
        assert_eq!(progress.done(0, 5, 3), at(5, 3));
        assert_eq!(progress.done(5, 9, -1), at(9, 3));
    }

    #[test]
    fn any_order_of_ranges_ends_at_the_same_front() {
        let ranges = [(0, 3), (3, 4), (4, 9), (9, 12)];
        for code in 0..24 {
            let mut left = ranges.to_vec();
            let mut progress = Progress::new();
            progress.begin(0);
            let mut code = code;
            let mut last = None;
            while !left.is_empty() {
                let (from, to) = left.remove(code % left.len());
                code /= left.len() + 1;
                last = progress.done(from, to, 7).or(last);
            }
            assert_eq!(last, at(12, 7));
        }
    }
}
