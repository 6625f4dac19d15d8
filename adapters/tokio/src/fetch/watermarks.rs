//! How far the logs of the assigned partitions go, for the lag.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use handover_core::machine::TopicPartition;

/// The ends of the logs as the last answers told them. Holds assigned partitions only.
#[derive(Debug, Default)]
pub(crate) struct Watermarks(Mutex<BTreeMap<TopicPartition, i64>>);

impl Watermarks {
    /// The offset behind the last record that this reader may see: the high watermark, or the last
    /// stable offset for a reader of committed records. `None` before the first answer.
    pub(crate) fn high(&self, partition: &TopicPartition) -> Option<i64> {
        self.lock().get(partition).copied()
    }

    pub(super) fn set(&self, partition: &TopicPartition, high: i64) {
        let mut all = self.lock();
        match all.get_mut(partition) {
            Some(known) => *known = high,
            None => {
                all.insert(partition.clone(), high);
            }
        }
    }

    pub(super) fn remove(&self, partition: &TopicPartition) {
        self.lock().remove(partition);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, i64>> {
        // Each use is one operation on the map: a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
