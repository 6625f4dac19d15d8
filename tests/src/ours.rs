//! A member of ours at work, which tells the recorder what befalls it and what it does.
//!
//! What it has is told from the application's side: a partition is *assigned* once the event that
//! announces it was taken, and *revoked* just before the event that asks for it is finished, when
//! nothing of it is in the application's hands and every commit was answered. So whatever another
//! member has of it earlier, and whatever this one still gets of it later, is a broken promise.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use handover_tokio::machine::{
    CloseOptions, CloseReport, Event, LossReason, PartitionOutcome, TopicPartition,
};
use handover_tokio::{
    Batch, Commit, CommitOutcome, Consumer, ConsumerBuilder, ConsumerHandle, EventGuard, Events,
};
use tokio::sync::oneshot;

use crate::bed::{LIMIT, Outcome, of};
use crate::history::{Kind, Loss, Partition, Recorder};

/// A consumer of ours on a thread of its own. Dropping it kills it.
pub struct Ours {
    name: Arc<str>,
    recorder: Recorder,
    handle: ConsumerHandle,
    cancels: Arc<AtomicBool>,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Outcome>>,
}

impl Ours {
    /// Starts a consumer, whose events will bear this name.
    pub fn start(name: &str, builder: ConsumerBuilder, recorder: &Recorder) -> Outcome<Ours> {
        let (started, starting) = std::sync::mpsc::channel();
        let (kill, killed) = oneshot::channel();
        let cancels = Arc::new(AtomicBool::new(false));
        let (of, to, when) = (Arc::from(name), recorder.clone(), cancels.clone());
        let thread = std::thread::spawn(move || -> Outcome {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let mut consumer = builder.events(true).build().await?;
                let events = consumer.events().ok_or("there are no events")?;
                let handle = consumer.handle();
                started.send(handle.clone())?;
                let owned = BTreeSet::new();
                let mut member = Member { name: of, recorder: to, handle, owned, cancels: when };
                // Nothing of it is polled once this returns: the runtime goes with all tasks.
                tokio::select! {
                    ended = member.work(consumer, events) => ended,
                    _ = killed => Ok(()),
                }
            })
        });
        let Ok(handle) = starting.recv() else {
            thread.join().map_err(|_| "the member panicked")??;
            return Err("the member ended at once".into());
        };
        recorder.tell(name, Kind::Started);
        let (name, recorder) = (name.into(), recorder.clone());
        Ok(Ours { name, recorder, handle, cancels, kill: Some(kill), thread: Some(thread) })
    }

    /// The name that its events bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What commits, closes and looks from anywhere.
    pub fn handle(&self) -> &ConsumerHandle {
        &self.handle
    }

    /// Whether it lets go of its commits before they are answered.
    pub fn cancel_commits(&self, cancel: bool) {
        self.cancels.store(cancel, Ordering::Relaxed);
    }

    /// Closes it and waits for its end.
    pub fn stop(mut self) -> Outcome<CloseReport> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let closing = self.handle.close(CloseOptions::default());
        let report = runtime.block_on(async { tokio::time::timeout(LIMIT, closing).await })??;
        self.join()?;
        Ok(report)
    }

    /// Ends it without a word to anybody, if it was built to run on its caller's runtime.
    pub fn kill(mut self) -> Outcome {
        self.end()
    }

    fn end(&mut self) -> Outcome {
        // It may have ended by itself.
        let _ = self.kill.take().map(|kill| kill.send(()));
        let joined = self.join();
        self.recorder.tell(&self.name, Kind::Killed);
        joined
    }

    fn join(&mut self) -> Outcome {
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| "the member panicked")?,
            None => Ok(()),
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let ended = self.end();
            if let (Err(error), false) = (ended, std::thread::panicking()) {
                eprintln!("{}: {error}", self.name);
            }
        }
    }
}

impl fmt::Debug for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ours").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The application.
struct Member {
    name: Arc<str>,
    recorder: Recorder,
    handle: ConsumerHandle,
    /// What was announced and neither asked back nor lost.
    owned: BTreeSet<TopicPartition>,
    cancels: Arc<AtomicBool>,
}

impl Member {
    /// Consumes until the consumer was closed.
    async fn work(&mut self, mut consumer: Consumer, mut events: Events) -> Outcome {
        loop {
            tokio::select! {
                biased;
                Some(guard) = events.next() => self.see(guard),
                batch = consumer.poll() => match batch? {
                    Some(batch) => self.consume(batch, &mut events).await?,
                    None => break,
                },
            }
        }
        while let Some(guard) = events.next().await {
            self.see(guard);
        }
        self.tell(Kind::Stopped);
        Ok(())
    }

    /// Events come when no batch is out: what is asked back is let go at once.
    fn see(&mut self, guard: EventGuard) {
        let named = || guard.leases().iter().map(|lease| lease.partition().clone());
        match guard.event() {
            Event::Assigned { .. } => {
                self.owned.extend(named());
                self.tell(Kind::Assigned(named().map(|at| of(&at)).collect()));
            }
            Event::Revoking { .. } => {
                self.forget(named());
                self.tell(Kind::Revoked(named().map(|at| of(&at)).collect()));
            }
            Event::Lost { reason, .. } => {
                self.forget(named());
                self.tell(Kind::Lost(named().map(|at| of(&at)).collect(), loss(*reason)));
            }
            _ => {}
        }
        guard.done();
    }

    fn forget(&mut self, partitions: impl Iterator<Item = TopicPartition>) {
        partitions.for_each(|partition| {
            self.owned.remove(&partition);
        });
    }

    async fn consume(&mut self, batch: Batch, events: &mut Events) -> Outcome {
        let before = self.owned.clone();
        let asked_back = self.hear(events);
        if batch.partitions().any(|at| self.is_gone(at, &before)) {
            // It is delivered again, to whoever has it now.
            drop(batch);
        } else {
            let wanted = self.read(&batch);
            self.commit(batch, wanted).await?;
        }
        asked_back.into_iter().for_each(|guard| self.see(guard));
        Ok(())
    }

    /// What was told meanwhile, but for what must wait until the batch is done.
    fn hear(&mut self, events: &mut Events) -> Vec<EventGuard> {
        let mut later = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(guard)) = events.poll_next(&mut cx) {
            match guard.event() {
                Event::Revoking { .. } => later.push(guard),
                _ => self.see(guard),
            }
        }
        later
    }

    /// Whether a partition was lost after the poll, or called off before it was announced: the
    /// application has it no more, and knows. Anything else that it does not have is consumed all
    /// the same, for the judge to see.
    fn is_gone(&self, partition: &TopicPartition, before: &BTreeSet<TopicPartition>) -> bool {
        let called_off = || self.handle.assignment().contains(partition);
        !self.owned.contains(partition) && (before.contains(partition) || called_off())
    }

    /// Consumes: where it would commit, then.
    fn read(&self, batch: &Batch) -> Vec<(TopicPartition, i64)> {
        let mut read: Vec<(TopicPartition, i64, i64)> = Vec::new();
        for record in batch {
            match read.iter_mut().find(|(at, ..)| at == record.topic_partition()) {
                Some((.., last)) => *last = record.offset(),
                None => {
                    read.push((record.topic_partition().clone(), record.offset(), record.offset()));
                }
            }
        }
        for (at, first, last) in &read {
            self.tell(Kind::Consumed { partition: of(at), first: *first, last: *last });
        }
        read.into_iter().map(|(at, _, last)| (at, last + 1)).collect()
    }

    async fn commit(&self, batch: Batch, wanted: Vec<(TopicPartition, i64)>) -> Outcome {
        let mut commit = pin!(tokio::time::timeout(LIMIT, batch.commit()));
        let outcome = match self.cancels.load(Ordering::Relaxed) {
            false => commit.await??,
            true => tokio::select! {
                biased;
                outcome = &mut commit => outcome??,
                () = tokio::task::yield_now() => CommitOutcome::default(),
            },
        };
        for (at, offset) in wanted {
            let mut answers = outcome.iter().filter(|(of, _)| **of == at);
            self.tell(match answers.next().map(|(_, commit)| commit) {
                Some(Commit::Answered(PartitionOutcome::Committed { at: offset })) => {
                    Kind::Committed { partition: of(&at), offset }
                }
                _ => Kind::CommitFailed { partition: of(&at), offset },
            });
        }
        Ok(())
    }

    fn tell(&self, kind: Kind) {
        self.recorder.tell(&self.name, kind);
    }
}

fn loss(reason: LossReason) -> Loss {
    match reason {
        LossReason::Overrun | LossReason::PollInterval => Loss::Overrun,
        LossReason::SessionExpired => Loss::SessionExpired,
        _ => Loss::Other,
    }
}

/// How many rebalances a member was told of: each ends with an assignment, maybe of nothing new.
pub fn rebalances(history: &crate::history::History, member: &str) -> usize {
    history.of(member).filter(|event| matches!(event.kind, Kind::Assigned(_))).count()
}

/// Whether the partition's last acknowledged commit is this one.
pub fn is_committed(history: &crate::history::History, partition: &Partition, end: i64) -> bool {
    let of_it = |kind: &Kind| match kind {
        Kind::Committed { partition: at, offset } if at == partition => Some(*offset),
        _ => None,
    };
    history.events().iter().rev().find_map(|event| of_it(&event.kind)).unwrap_or(0) == end
}
