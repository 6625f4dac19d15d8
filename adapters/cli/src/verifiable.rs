//! `handover verifiable-consumer`: a consumer that tells on standard output what it does, with the
//! options, lines and habits of Kafka's own (`org.apache.kafka.tools.VerifiableConsumer`), so that
//! Kafka's system tests, and ours, can drive it.

mod options;
mod report;

use handover_tokio::machine::{CloseOptions, Event, PartitionOutcome, TopicPartition};
use handover_tokio::{Batch, Commit, CommitOutcome, Consumer, EventGuard, Events, PollError};

use crate::failure::Failure;
pub(crate) use options::Args;
use report::{Committed, Report};

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let builder = args.consumer()?;
    let auto = args.enable_autocommit;
    let mut consumer =
        builder.build().await.map_err(|e| Failure::new("the consumer can't be made", e))?;
    let mut stop = std::pin::pin!(stopped());
    Report::StartupComplete.print();
    let events = consumer.events();
    let mut run = Run { verbose: args.verbose, auto, left: args.max_messages(), events };
    let ended = run.consume(&mut consumer, stop.as_mut()).await;
    if ended.is_ok() {
        Report::ShutdownRequested.print();
    }
    let closed = run.close(&mut consumer).await;
    Report::ShutdownComplete.print();
    ended.and(closed)
}

/// SIGTERM or Ctrl-C.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

struct Run {
    verbose: bool,
    auto: bool,
    /// How many records are still to be consumed; `None` for no end.
    left: Option<u64>,
    events: Option<Events>,
}

/// What came first.
enum Next {
    Stop,
    Event(EventGuard),
    Batch(Result<Option<Batch>, PollError>),
}

impl Run {
    async fn consume(
        &mut self,
        consumer: &mut Consumer,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), Failure> {
        while self.left != Some(0) {
            match self.next(consumer, stop.as_mut()).await {
                Next::Stop => return Ok(()),
                Next::Event(event) => tell(event),
                Next::Batch(Ok(Some(batch))) => self.process(batch).await?,
                Next::Batch(Ok(None)) => return Ok(()),
                Next::Batch(Err(error)) => {
                    return Err(Failure::new("the consumer can't go on", error));
                }
            }
        }
        Ok(())
    }

    /// Events first: an assignment is told before the records that come with it.
    async fn next(
        &mut self,
        consumer: &mut Consumer,
        stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Next {
        let events = &mut self.events;
        let event = async {
            match events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop => Next::Stop,
            Some(event) = event => Next::Event(event),
            batch = consumer.poll() => Next::Batch(batch),
        }
    }

    /// Tells what was consumed, then commits it, or the part of it that was still wanted.
    async fn process(&mut self, batch: Batch) -> Result<(), Failure> {
        let mut consumed = report::Consumed::default();
        let mut last = None;
        for record in &batch {
            if self.left == Some(0) {
                break;
            }
            consumed.add(&record);
            if self.verbose {
                Report::RecordData(report::RecordData::of(&record)).print();
            }
            self.left = self.left.map(|left| left - 1);
            last = Some(record);
        }
        Report::RecordsConsumed(consumed).print();
        let whole = self.left != Some(0);
        let ranges = || batch.ranges().map(|(partition, range)| (partition.clone(), range.end));
        let (wanted, outcome) = match last {
            _ if self.auto => {
                match (whole, &last) {
                    (false, Some(record)) => batch.mark_through(record),
                    _ => batch.mark(),
                }
                return Ok(());
            }
            Some(record) if !whole => {
                let wanted = vec![(record.topic_partition().clone(), record.offset() + 1)];
                (wanted, batch.commit_through(&record).await)
            }
            _ => {
                let wanted = ranges().collect();
                (wanted, batch.commit().await)
            }
        };
        let outcome = outcome.map_err(|error| Failure::new("a commit has no outcome", error))?;
        Report::OffsetsCommitted(committed(&outcome, wanted)).print();
        Ok(())
    }

    /// Finishes the events that the close brings, so that their leases are handed over.
    async fn close(&mut self, consumer: &mut Consumer) -> Result<(), Failure> {
        let handle = consumer.handle();
        let close = handle.close(CloseOptions::default());
        let events = &mut self.events;
        let telling = async {
            while let Some(event) = match events {
                Some(events) => events.next().await,
                None => None,
            } {
                tell(event);
            }
        };
        let (report, ()) = tokio::join!(close, telling);
        report.map_err(|error| Failure::new("the consumer could not be closed", error))?;
        Ok(())
    }
}

fn tell(event: EventGuard) {
    let partitions = || event.leases().iter().map(|lease| lease.partition().clone()).collect();
    match event.event() {
        Event::Assigned { .. } => Report::PartitionsAssigned { partitions: partitions() }.print(),
        Event::Revoked { .. } | Event::Lost { .. } => {
            Report::PartitionsRevoked { partitions: partitions() }.print();
        }
        _ => {}
    }
    event.done();
}

/// One line for the whole commit, as Kafka's tool prints it: the offsets, and the first failure.
fn committed(outcome: &CommitOutcome, wanted: Vec<(TopicPartition, i64)>) -> Committed {
    let failure = outcome.iter().find(|(_, commit)| !commit.is_committed());
    let error = failure.map(|(partition, commit)| match commit {
        Commit::Answered(PartitionOutcome::Fenced(_)) => {
            format!("{partition} was fenced: {commit}")
        }
        _ => format!("{partition}: {commit}"),
    });
    Committed::new(wanted, error)
}
