//! A member of the cast: a consumer on a runtime of its own, so that it can die without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use handover_tokio::machine::{CloseOptions, Event, Phase, TopicPartition};
use handover_tokio::{Batch, Consumer, EventGuard, OffsetReset};
use tokio::sync::{oneshot, watch};

use super::book::{Book, Call};
use super::stage::Stage;
use crate::failure::Failure;

/// What a commit may take; the verdict holds every call to it.
pub(super) const COMMIT_DEADLINE: Duration = Duration::from_secs(10);
/// What a close may take.
pub(super) const CLOSE_DEADLINE: Duration = Duration::from_secs(15);

pub(super) struct Actor {
    name: &'static str,
    orders: watch::Sender<Order>,
    cancel: Arc<AtomicBool>,
    left: Option<oneshot::Receiver<Result<(), String>>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Work,
    Leave,
    Die,
}

const NAMES: [&str; 26] = [
    "ada", "bob", "cy", "dot", "eve", "fay", "gus", "hal", "ivy", "jo", "kim", "leo", "mia", "ned",
    "ora", "pat", "quin", "ray", "sue", "tom", "una", "vic", "wes", "xan", "yve", "zed",
];

impl Actor {
    pub(super) fn enter(number: usize, stage: &Stage, book: &Arc<Book>) -> Result<Actor, Failure> {
        let name = NAMES[number % NAMES.len()];
        let (orders, ordered) = watch::channel(Order::Work);
        let cancel = Arc::new(AtomicBool::new(false));
        let (done, left) = oneshot::channel();
        let builder = Consumer::builder(stage.bootstrap.split(','))
            .group(stage.group.as_str())
            .topics([stage.topic.as_str()])
            .client_id(name)
            .offset_reset(OffsetReset::Earliest)
            .session_timeout(Duration::from_secs(6))
            .heartbeat_interval(Duration::from_millis(500))
            .drain_timeout(Duration::from_secs(5))
            .commit_timeout(COMMIT_DEADLINE)
            .max_records(100)
            .auto_commit(None)
            .events(true)
            // On the runtime that dies with it.
            .on_runtime();
        let scene = Scene { name, book: Arc::clone(book), cancel: Arc::clone(&cancel), ordered };
        let broken = |error| Failure::new("a member's thread can't be started", error);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let result = runtime.block_on(async {
                    let consumer = builder.build().await.map_err(|error| error.to_string())?;
                    let (book, mut death) = (Arc::clone(&scene.book), scene.ordered.clone());
                    // Death comes whatever it is doing.
                    tokio::select! {
                        biased;
                        _ = death.wait_for(|order| *order == Order::Die) => {
                            book.died(name);
                            Ok(())
                        }
                        worked = scene.work(consumer) => worked,
                    }
                });
                // What is left of a member that dies - its driver, its sockets - dies here.
                drop(runtime);
                let _ = done.send(result);
            })
            .map_err(broken)?;
        Ok(Actor { name, orders, cancel, left: Some(left), thread: Some(thread) })
    }

    /// The next commit that meets a rebalance is dropped after it was begun.
    pub(super) fn cancel_a_commit(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    pub(super) fn die(&mut self) {
        self.orders.send_replace(Order::Die);
        self.left = None;
    }

    /// Leaves, unless it is gone.
    pub(super) async fn leave(&mut self, patience: Duration) -> Result<(), Failure> {
        let Some(left) = self.left.take() else { return Ok(()) };
        self.orders.send_replace(Order::Leave);
        let name = self.name;
        match tokio::time::timeout(patience, left).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(why))) => return Err(Failure::new(format_args!("{name} failed"), why)),
            Ok(Err(_)) => return Err(Failure::new(format_args!("{name} failed"), "it panicked")),
            Err(_) => {
                let why = format!("it did not leave within {patience:?}");
                return Err(Failure::new(format_args!("{name} hangs"), why));
            }
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        Ok(())
    }
}

/// What happens on a member's thread.
struct Scene {
    name: &'static str,
    book: Arc<Book>,
    cancel: Arc<AtomicBool>,
    ordered: watch::Receiver<Order>,
}

impl Scene {
    async fn work(self, mut consumer: Consumer) -> Result<(), String> {
        self.book.entered(self.name, consumer.handle());
        let mut events = consumer.events().ok_or("the consumer has no events")?;
        let mut ordered = self.ordered.clone();
        loop {
            tokio::select! {
                biased;
                _ = ordered.wait_for(|order| *order == Order::Leave) => break,
                Some(event) = events.next() => self.tell(event),
                batch = consumer.poll() => match batch.map_err(|error| error.to_string())? {
                    Some(batch) => self.process(&consumer, batch).await?,
                    None => return Err("it was closed by somebody else".into()),
                },
            }
        }
        let begun = Instant::now();
        let handle = consumer.handle();
        let options = CloseOptions { deadline: CLOSE_DEADLINE, ..CloseOptions::default() };
        let close = handle.close(options);
        let telling = async {
            while let Some(event) = events.next().await {
                self.tell(event);
            }
        };
        let (report, ()) = tokio::join!(close, telling);
        self.book.call(self.name, Call::Close, begun.elapsed());
        let report = report.map_err(|error| error.to_string())?;
        self.book.left(self.name, &report);
        Ok(())
    }

    fn tell(&self, event: EventGuard) {
        let partitions: Vec<TopicPartition> =
            event.leases().iter().map(|lease| lease.partition().clone()).collect();
        match event.event() {
            Event::Assigned { generation, .. } => {
                self.book.assigned(self.name, *generation, &partitions);
            }
            Event::Revoked { .. } => self.book.handed_over(self.name, &partitions),
            Event::Lost { reason, .. } => self.book.lost(self.name, &partitions, *reason),
            _ => {}
        }
        event.done();
    }

    async fn process(&self, consumer: &Consumer, batch: Batch) -> Result<(), String> {
        for record in &batch {
            self.book.processed(self.name, record.partition(), record.offset());
        }
        // Work takes a while; a death in the middle of it is what makes records come twice.
        let work = Duration::from_micros(200) * batch.len().min(20) as u32;
        tokio::time::sleep(work).await;
        let ranges: Vec<(i32, i64)> =
            batch.ranges().map(|(partition, range)| (partition.partition, range.end)).collect();
        let begun = Instant::now();
        let commit = batch.commit();
        if self.cancels(consumer).await {
            // Polled once, so that it is on its way, then dropped.
            let dropped = tokio::time::timeout(Duration::ZERO, commit).await;
            if dropped.is_err() {
                self.cancel.store(false, Ordering::Relaxed);
                self.book.cancelled(self.name, &ranges, begun.elapsed());
            }
            return Ok(());
        }
        let outcome = commit.await.map_err(|error| error.to_string())?;
        self.book.call(self.name, Call::Commit, begun.elapsed());
        for (partition, commit) in outcome.iter() {
            // A batch may have several ranges of one partition; they are in order.
            let until = ranges.iter().rfind(|(p, _)| *p == partition.partition).map(|(_, to)| *to);
            self.book.answered(self.name, begun, partition.partition, until.unwrap_or(0), commit);
        }
        Ok(())
    }

    /// Whether the commit at hand is to be dropped: it was ordered, and a rebalance is under way.
    async fn cancels(&self, consumer: &Consumer) -> bool {
        if !self.cancel.load(Ordering::Relaxed) {
            return false;
        }
        let phase = consumer.handle().status().phase;
        matches!(phase, Phase::Preparing | Phase::Joining | Phase::Assigning | Phase::Syncing)
    }
}
