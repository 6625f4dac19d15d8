//! The engine: its state, and its loop.
//!
//! **Waiting.** Whether a lease is wanted changes outside. The feed's waker is left behind before
//! `wants` is asked, so no change is missed.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use handover_core::machine::LeaseId;
use handover_core::{Change, Feed};
use handover_wire::records::DecodedBatch;
use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::errands::Outcome;
use super::partition::{self, Errand, Partition, Stage};
use super::{FetchConfig, FetchReport, Watermarks};
use crate::net::{Backoff, Cluster, Line};

/// Connections to fetch from each broker.
pub(super) const LANES: usize = 2;

pub(super) struct Engine {
    pub(super) feed: Feed<DecodedBatch>,
    pub(super) cluster: Cluster,
    pub(super) config: FetchConfig,
    pub(super) watermarks: Arc<Watermarks>,
    pub(super) partitions: BTreeMap<LeaseId, Partition>,
    pub(super) brokers: BTreeMap<i32, [Lane; LANES]>,
    pub(super) metadata: Metadata,
    /// What the application is to be told, at most one thing of each lease.
    pub(super) outbox: BTreeMap<LeaseId, FetchReport>,
    pub(super) tasks: JoinSet<Outcome>,
    /// What the tasks are for.
    pub(super) works: HashMap<task::Id, Work>,
    pub(super) last_errand: Errand,
    pub(super) last_turn: u64,
    /// When there is something to do next, as far as that is a matter of time.
    pub(super) wake: Option<Instant>,
}

/// A connection for fetches, and whether it is in use.
pub(super) struct Lane {
    /// Away with an errand if it is not here.
    pub(super) line: Option<Line>,
    /// A fetch is out, rather than an attempt to connect.
    pub(super) fetching: bool,
    /// Not before this moment is it used again.
    pub(super) pause: Option<Instant>,
    pub(super) backoff: Backoff,
}

/// The asking for metadata.
pub(super) struct Metadata {
    pub(super) out: bool,
    /// Not before this moment is it asked for again.
    pub(super) next: Instant,
    pub(super) backoff: Backoff,
}

/// What an errand is for.
pub(super) struct Work {
    pub(super) errand: Errand,
    pub(super) leases: Vec<LeaseId>,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Connect { broker: i32, lane: usize },
    Fetch { broker: i32, lane: usize },
    Locate,
    Compare,
    Read,
    Refresh,
}

impl Engine {
    pub(super) fn new(
        feed: Feed<DecodedBatch>,
        cluster: Cluster,
        config: FetchConfig,
        watermarks: Arc<Watermarks>,
    ) -> Engine {
        let backoff = Backoff::new(cluster.config().retry_backoff);
        Engine {
            feed,
            cluster,
            config,
            watermarks,
            partitions: BTreeMap::new(),
            brokers: BTreeMap::new(),
            metadata: Metadata { out: false, next: Instant::now(), backoff },
            outbox: BTreeMap::new(),
            tasks: JoinSet::new(),
            works: HashMap::new(),
            last_errand: 0,
            last_turn: 0,
            wake: None,
        }
    }

    /// Runs until the member's driver has ended.
    pub(super) async fn run(mut self, reports: mpsc::Sender<FetchReport>) {
        while self.take_changes().await {
            self.schedule();
            let wake = self.wake;
            tokio::select! {
                biased;
                done = something(&mut self.tasks) => {
                    done.into_iter().for_each(|done| self.done(done));
                    while let Some(done) = self.tasks.try_join_next_with_id() {
                        self.done(done);
                    }
                }
                permit = reports.reserve(), if !self.outbox.is_empty() => {
                    // If nobody reads them, nobody needs them.
                    let report = self.outbox.pop_first().map(|(_, report)| report);
                    permit.ok().zip(report).into_iter().for_each(|(permit, r)| permit.send(r));
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    /// Takes all changes there are, and leaves the waker behind for the next one. `false` if there
    /// will be none.
    async fn take_changes(&mut self) -> bool {
        poll_fn(|cx| {
            while let Poll::Ready(change) = self.feed.poll_change(cx) {
                match change {
                    Some(change) => self.change(change),
                    None => return Poll::Ready(false),
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    fn change(&mut self, change: Change) {
        tracing::trace!(?change, "wanted");
        let (lease, start, position) = match change {
            Change::Open { lease, partition, start, position } => {
                let backoff = Backoff::new(self.cluster.config().retry_backoff);
                let opened = Partition::new(partition, position, Stage::Stuck, backoff);
                self.partitions.insert(lease, opened);
                (lease, start, position)
            }
            Change::Seek { lease, start, position } => (lease, start, position),
            Change::Close { lease } => {
                self.outbox.remove(&lease);
                if let Some(closed) = self.partitions.remove(&lease) {
                    self.watermarks.remove(&closed.name);
                }
                return;
            }
            // `wants` says what follows from the others.
            _ => return,
        };
        self.outbox.remove(&lease);
        if let Some(partition) = self.partitions.get_mut(&lease) {
            let stage = partition::stage(start, self.config.reset);
            let nowhere = stage.is_none();
            partition.restart(position, stage.unwrap_or(Stage::Stuck));
            if nowhere {
                self.tell_no_offset(lease);
            }
        }
    }

    fn done(&mut self, done: Done) {
        let (id, outcome) = match done {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(error) => {
                tracing::error!(%error, "an errand of the fetcher failed");
                (error.id(), None)
            }
        };
        if let Some(work) = self.works.remove(&id) {
            self.finish(work, outcome);
        }
    }
}

/// The next errand that is done; `None` when something else woke the task.
async fn something(tasks: &mut JoinSet<Outcome>) -> Option<Done> {
    let mut waited = false;
    poll_fn(|cx| match tasks.poll_join_next_with_id(cx) {
        Poll::Ready(Some(done)) => Poll::Ready(Some(done)),
        _ if std::mem::replace(&mut waited, true) => Poll::Ready(None),
        _ => Poll::Pending,
    })
    .await
}

type Done = Result<(task::Id, Outcome), JoinError>;
