//! What comes of a record: one promise for each batch, one future for each record.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use handover_core::machine::TopicPartition;
use tokio::sync::Notify;

use super::ProduceError;

/// Where a record was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordMetadata {
    /// Its topic and partition.
    pub partition: TopicPartition,
    /// Its offset. `None` without acknowledgements, and if the broker recognised a batch that was
    /// sent again but no longer knows where it stands.
    pub offset: Option<i64>,
    /// The broker's timestamp in milliseconds since 1970, if the topic is set to have those.
    pub append_time: Option<i64>,
}

/// The outcome of a record that was accepted. Dropping it does not call the record back.
///
/// ```no_run
/// # use handover_tokio::producer::{NewRecord, ProduceError, Producer};
/// # async fn example(producer: Producer) -> Result<(), ProduceError> {
/// let mut deliveries = Vec::new();
/// for line in ["a", "b", "c"] {
///     deliveries.push(producer.enqueue(NewRecord::to("lines").value(line)).await?);
/// }
/// for delivery in deliveries {
///     println!("written at {:?}", delivery.await?.offset);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "whether the record was written is known from its outcome alone"]
pub struct Delivery {
    outcome: Arc<Outcome>,
    index: u32,
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ProduceError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let written = std::task::ready!(self.outcome.poll(self.index, cx))?;
        let offset = written.base.map(|base| base + i64::from(self.index));
        let partition = self.outcome.partition.clone();
        Poll::Ready(Ok(RecordMetadata { partition, offset, append_time: written.append_time }))
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("partition", &self.outcome.partition)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// Where a batch was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Written {
    pub(super) base: Option<i64>,
    pub(super) append_time: Option<i64>,
}

/// What became of a batch, for all who wait for one of its records.
pub(super) struct Outcome {
    partition: TopicPartition,
    state: Mutex<State>,
    /// Told once there is a result.
    settled: Notify,
}

#[derive(Default)]
struct State {
    result: Option<Result<Written, ProduceError>>,
    /// By the record's place in the batch.
    waiting: BTreeMap<u32, Waker>,
}

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, index: u32, cx: &mut Context<'_>) -> Poll<Result<Written, ProduceError>> {
        let mut state = self.lock();
        match &state.result {
            Some(result) => Poll::Ready(result.clone()),
            None => {
                // The one that it replaces is dropped outside the lock: it is foreign code.
                let old = state.waiting.insert(index, cx.waker().clone());
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }

    fn resolve(&self, result: Result<Written, ProduceError>) {
        let mut state = self.lock();
        if state.result.is_some() {
            return;
        }
        state.result = Some(result);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Waker::wake);
        self.settled.notify_waiters();
    }

    /// Returns once there is a result, whatever it is.
    pub(super) async fn settled(&self) {
        let settled = self.settled.notified();
        tokio::pin!(settled);
        // From here on it is told, so a result that comes between the two lines is not missed.
        settled.as_mut().enable();
        if self.lock().result.is_none() {
            settled.await;
        }
    }
}

/// The producer's end of an outcome. Dropped unkept, which happens when the producer is dropped or
/// its runtime ends, it says what is known then.
pub(super) struct Promise {
    outcome: Arc<Outcome>,
    /// Whether the records may have been written: an attempt is unanswered.
    pub(super) maybe_written: bool,
}

impl Promise {
    pub(super) fn new(partition: TopicPartition) -> Promise {
        let outcome =
            Arc::new(Outcome { partition, state: Mutex::default(), settled: Notify::new() });
        Promise { outcome, maybe_written: false }
    }

    /// The future of the record at `index`.
    pub(super) fn delivery(&self, index: u32) -> Delivery {
        Delivery { outcome: Arc::clone(&self.outcome), index }
    }

    /// For somebody who waits for the batch and does not care what comes of it.
    pub(super) fn outcome(&self) -> Arc<Outcome> {
        Arc::clone(&self.outcome)
    }

    pub(super) fn keep(self, result: Result<Written, ProduceError>) {
        self.outcome.resolve(result);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.outcome.resolve(Err(match self.maybe_written {
            true => ProduceError::Unknown { last: None },
            false => ProduceError::Closed,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn each_record_has_its_offset() {
        let promise = Promise::new(TopicPartition::new("orders", 1));
        let (mut first, mut third) = (promise.delivery(0), promise.delivery(2));
        let outcome = promise.outcome();
        let mut all = Box::pin(outcome.settled());
        assert!(poll(&mut third).is_pending());
        assert!(poll(&mut all).is_pending());
        promise.keep(Ok(Written { base: Some(40), append_time: None }));
        let offset = |delivery: &mut Delivery| match poll(delivery) {
            Poll::Ready(Ok(metadata)) => metadata.offset,
            other => panic!("{other:?}"),
        };
        assert_eq!((offset(&mut first), offset(&mut third)), (Some(40), Some(42)));
        assert!(poll(&mut all).is_ready());
    }

    #[test]
    fn a_promise_that_is_dropped_says_what_is_known() {
        let mut promise = Promise::new(TopicPartition::new("orders", 1));
        let mut delivery = promise.delivery(0);
        promise.maybe_written = true;
        drop(promise);
        assert_eq!(poll(&mut delivery), Poll::Ready(Err(ProduceError::Unknown { last: None })));
        let promise = Promise::new(TopicPartition::new("orders", 1));
        let mut delivery = promise.delivery(0);
        drop(promise);
        assert_eq!(poll(&mut delivery), Poll::Ready(Err(ProduceError::Closed)));
    }
}
