//! The consumer: a group member, or partitions assigned by hand, with their records.

mod background;
mod batch;
mod builder;
mod error;
mod handle;
mod outcome;
mod record;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use handover_core::machine::{CloseOptions, CloseReport};
use handover_core::{CallError, CloseOnDrop, Deliveries, Delivery, Events, Options, member};
use handover_wire::records::DecodedBatch;
use tokio::sync::mpsc;

use background::Background;
use builder::Source;

pub use batch::{Batch, Iter};
pub use builder::{BuildError, ConsumerBuilder};
pub use error::PollError;
pub use handle::{CommittedOffsetsError, ConsumerHandle, SeekError};
pub use outcome::{Commit, CommitOutcome};
pub use record::{Header, Headers, OwnedRecord, Record};

use crate::fetch::Watermarks;
use crate::net::Cluster;

/// Consumes records, as a member of a group or from partitions assigned by hand.
///
/// ```no_run
/// use handover_tokio::{Consumer, Record};
///
/// # async fn handle(_: Record<'_>) -> Result<(), Box<dyn std::error::Error>> { Ok(()) }
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut consumer =
///     Consumer::builder(["127.0.0.1:9092"]).group("orders").topics(["orders"]).build().await?;
/// while let Some(batch) = consumer.poll().await? {
///     for record in &batch {
///         handle(record).await?; // an early return drops the batch: it is delivered again
///     }
///     let outcome = batch.commit().await?;
///     if let Some(gone) = outcome.fenced() {
///         println!("moved on to other members: {gone:?}"); // not the end of the loop
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping a consumer closes it in the background, within a second; [`close`](Consumer::close)
/// waits for that and says what it could not do.
pub struct Consumer {
    deliveries: Deliveries<DecodedBatch>,
    errors: mpsc::Receiver<PollError>,
    events: Option<Events>,
    handle: ConsumerHandle,
    max_records: usize,
    commit_timeout: Duration,
    auto: bool,
    _close: CloseOnDrop,
}

impl Consumer {
    /// A consumer of the cluster that these brokers, each as `host:port`, are of.
    pub fn builder<A: Into<String>>(bootstrap: impl IntoIterator<Item = A>) -> ConsumerBuilder {
        ConsumerBuilder::new(bootstrap)
    }

    async fn start(builder: ConsumerBuilder) -> Result<Consumer, BuildError> {
        let cluster = Cluster::new(builder.client)?;
        let options = Options {
            buffer_bytes: builder.buffer_bytes,
            listen: builder.events,
            ..Options::default()
        };
        let config = builder.member;
        let parts = member::<DecodedBatch>(config.clone(), options)?;
        let watermarks = Arc::new(Watermarks::default());
        let (error_sender, errors) = mpsc::channel(16);
        let background = Background {
            group: config.group.clone(),
            cluster: cluster.clone(),
            handle: parts.handle.clone(),
            driver: parts.driver,
            feed: Some(parts.feed),
            assignments: parts.assignments,
            notices: parts.notices,
            fetch: builder.fetch,
            watermarks: Arc::clone(&watermarks),
            errors: error_sender,
            heartbeat: config.heartbeat_interval,
            rebalance: config.rebalance_timeout,
        };
        match builder.on_runtime {
            true => background.spawn_task(),
            false => background.spawn_thread()?,
        }
        let under_way = match builder.source {
            Source::Topics(topics) => parts.handle.subscribe(topics).await,
            Source::Partitions(partitions) => parts.handle.assign(partitions).await,
            // `validate` refused it.
            Source::Nothing => Ok(()),
        };
        under_way.map_err(|_| BuildError::Stopped)?;
        let close = parts.handle.close_on_drop();
        let timeout = builder.commit_timeout;
        let handle = ConsumerHandle::new(
            parts.handle,
            parts.deliveries.valve(),
            cluster,
            watermarks,
            timeout,
        );
        Ok(Consumer {
            deliveries: parts.deliveries,
            errors,
            events: builder.events.then_some(parts.events),
            handle,
            max_records: builder.max_records,
            commit_timeout: timeout,
            auto: config.auto_commit.is_some(),
            _close: close,
        })
    }

    /// The next records; `None` once the consumer was closed.
    ///
    /// A poll that is pending counts as alive for the max poll interval. It never waits for a
    /// hand-over: what is to be handed over is not delivered, and what is held stays held.
    ///
    /// # Cancel safety
    /// Cancel safe: a poll that is dropped has taken nothing.
    ///
    /// # Errors
    /// Only when the consumer can't go on without the application's help, once for each cause.
    /// Polling on is always possible.
    pub async fn poll(&mut self) -> Result<Option<Batch>, PollError> {
        let mut waiting = Waiting { consumer: self, pending: false };
        poll_fn(|cx| waiting.poll(cx)).await
    }

    /// The events, the first time; `None` afterwards, or if the consumer was not built to listen
    /// to them.
    pub fn events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// What commits, seeks, pauses and closes from anywhere.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Hands everything over, commits what is done, leaves the group, and says what it could not
    /// do. Every other call resolves too. See [`ConsumerHandle::close`].
    ///
    /// # Errors
    /// Only if the driver stopped.
    pub async fn close(&mut self, options: CloseOptions) -> Result<CloseReport, CallError> {
        self.handle.close(options).await
    }

    /// The consumer as a stream of batches, which ends after the close.
    pub fn into_stream(self) -> impl futures_core::Stream<Item = Result<Batch, PollError>> {
        BatchStream(self)
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Batch>, PollError>> {
        if let Poll::Ready(Some(error)) = self.errors.poll_recv(cx) {
            return Poll::Ready(Err(error));
        }
        match self.deliveries.poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(first)) => Poll::Ready(Ok(Some(self.gather(first)))),
        }
    }

    /// Adds to the first delivery what else is there, up to the most records of a poll.
    fn gather(&mut self, first: Delivery<DecodedBatch>) -> Batch {
        let mut batch = Batch::new(self.handle.core().clone(), self.commit_timeout, self.auto);
        let mut room = self.max_records;
        let mut next = Some(first);
        let mut cx = Context::from_waker(Waker::noop());
        while let Some(delivery) = next {
            let (partition, lease) = (delivery.partition().clone(), delivery.lease().id());
            let (count, until) = batch.push(delivery, room);
            self.handle.took(partition, lease, until);
            room = room.saturating_sub(count);
            next = match room {
                0 => None,
                _ => match self.deliveries.poll_next(&mut cx) {
                    Poll::Ready(next) => next,
                    Poll::Pending => None,
                },
            };
        }
        // The poll is over: from here the application has its max poll interval.
        self.deliveries.gave_up();
        batch
    }
}

/// A poll under way. Dropped while it is pending, it counts as alive no longer.
struct Waiting<'a> {
    consumer: &'a mut Consumer,
    pending: bool,
}

impl Waiting<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Batch>, PollError>> {
        let polled = self.consumer.poll_batch(cx);
        self.pending = polled.is_pending();
        polled
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.pending {
            self.consumer.deliveries.gave_up();
        }
    }
}

struct BatchStream(Consumer);

impl futures_core::Stream for BatchStream {
    type Item = Result<Batch, PollError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.0.poll_batch(cx).map(Result::transpose)
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("handle", &self.handle).finish_non_exhaustive()
    }
}
