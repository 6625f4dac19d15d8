//! What runs beside the application: the driver, fetching, assigning, and talking about it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use handover_core::machine::{AssignFailure, Name, Notice, Phase, assign};
use handover_core::{Assign, Assignments, Feed, Handle, Notices, Seed};
use handover_wire::records::DecodedBatch;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{Instrument, debug, info, info_span, warn};

use super::error::PollError;
use crate::fetch::{self, FetchConfig, FetchReport, Watermarks};
use crate::link::TokioLink;
use crate::net::Cluster;

/// Everything that the background needs, before it runs.
pub(crate) struct Background {
    pub(crate) group: Name,
    pub(crate) cluster: Cluster,
    pub(crate) handle: Handle,
    pub(crate) driver: Seed<DecodedBatch>,
    pub(crate) feed: Option<Feed<DecodedBatch>>,
    pub(crate) assignments: Assignments,
    pub(crate) notices: Notices,
    pub(crate) fetch: FetchConfig,
    pub(crate) watermarks: Arc<Watermarks>,
    /// To `poll`. What does not fit is told by a warning only.
    pub(crate) errors: mpsc::Sender<PollError>,
    pub(crate) heartbeat: Duration,
    pub(crate) rebalance: Duration,
}

impl Background {
    /// Runs on a thread of its own, so that whatever the application's threads do, the member
    /// beats in time.
    pub(crate) fn spawn_thread(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let name = format!("handover {}", self.group);
        std::thread::Builder::new().name(name).spawn(move || runtime.block_on(self.run()))?;
        Ok(())
    }

    /// Runs as a task of the caller's runtime.
    pub(crate) fn spawn_task(self) {
        tokio::spawn(self.run());
    }

    /// Ends when the driver does.
    async fn run(self) {
        let span = info_span!("handover", group = %self.group);
        let Background { cluster, handle, driver, feed, assignments, notices, errors, .. } = self;
        let driver = driver.run(TokioLink::new(&cluster));
        let (reports, reported) = mpsc::channel(16);
        let fetching = async {
            if let Some(feed) = feed {
                fetch::run(feed, cluster.clone(), self.fetch, reports, self.watermarks).await;
            }
        };
        let beside = async {
            tokio::join!(
                fetching,
                forward(reported, errors.clone()),
                lead(assignments, &cluster, self.rebalance),
                speak(notices, &handle, errors),
                watch_topics(&handle, &cluster),
                watch_schedule(self.heartbeat),
            )
        };
        async move {
            tokio::select! {
                () = driver => {}
                // Two of them never end.
                _ = beside => {}
            }
        }
        .instrument(span)
        .await;
    }
}

async fn forward(mut reports: mpsc::Receiver<FetchReport>, errors: mpsc::Sender<PollError>) {
    while let Some(report) = reports.recv().await {
        tell(&errors, PollError::from(report));
    }
}

fn tell(errors: &mpsc::Sender<PollError>, error: PollError) {
    warn!(%error, "the application's help is needed");
    // Full: the application has not looked for a while, and will find the first ones.
    let _ = errors.try_send(error);
}

/// The leader's duty. Answered in time or, when dropped, as abandoned.
async fn lead(mut assignments: Assignments, cluster: &Cluster, patience: Duration) {
    while let Some(request) = assignments.next().await {
        plan(request, cluster, patience).await;
    }
}

async fn plan(request: Assign, cluster: &Cluster, patience: Duration) {
    let wanted = match assign::topics_of(request.members()) {
        Ok(topics) => topics.into_iter().collect::<Vec<Name>>(),
        Err(failure) => return request.fail(failure),
    };
    // The plan must be as fresh as the join: a topic may just have been made.
    match timeout(patience / 2, counts(cluster, &wanted)).await {
        Ok(Some(topics)) => match assign::plan(request.protocol(), request.members(), &topics) {
            Ok(plan) => {
                debug!(members = request.members().len(), "leading: the plan is made");
                request.done(plan);
            }
            Err(failure) => request.fail(failure),
        },
        Ok(None) | Err(_) => request.fail(AssignFailure::NoMetadata),
    }
}

/// The partition counts of those topics that there are.
async fn counts(cluster: &Cluster, topics: &[Name]) -> Option<BTreeMap<Name, u32>> {
    cluster.update(topics).await.inspect_err(|error| warn!(%error, "no metadata")).ok()?;
    let count = |name: &Name| {
        let topic = cluster.known(name)?;
        Some((name.clone(), u32::try_from(topic.count()).ok()?))
    };
    Some(topics.iter().filter_map(count).collect())
}

/// Tells the machine how many partitions the topics have, so that a leader sees them grow.
async fn watch_topics(handle: &Handle, cluster: &Cluster) {
    let mut every = interval(cluster.config().metadata_max_age);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every.tick().await;
    loop {
        every.tick().await;
        let leases = handle.status().leases;
        let mut topics: Vec<Name> = leases.into_iter().map(|l| l.partition.topic).collect();
        topics.dedup();
        if let Some(counts) = counts(cluster, &topics).await {
            handle.topics(counts);
        }
    }
}

/// Says what the member says of itself, and passes on what `poll` must tell.
async fn speak(mut notices: Notices, handle: &Handle, errors: mpsc::Sender<PollError>) {
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Fatal(fatal) => tell(&errors, PollError::Member(fatal)),
            Notice::Coordinator(node) => {
                info!(id = node.id, host = %node.host, port = node.port, "coordinator found");
            }
            Notice::Rebalancing { reason } => {
                let status = handle.status();
                let held = status.leases.iter().filter(|lease| lease.waiting.is_some()).count();
                info!(%reason, generation = status.identity.generation, held, "rebalancing");
            }
            Notice::Retrying { api, cause } => debug!(?api, ?cause, "trying again"),
            Notice::SessionExpired => {
                warn!(
                    "no heartbeat was answered for a whole session; others may own the partitions"
                );
            }
            Notice::SessionRestored => info!("the coordinator answers again"),
            Notice::PositionUnknown { partition, error } => {
                warn!(%partition, ?error, "the committed offset can't be had yet");
            }
            Notice::PollIntervalExceeded => {
                warn!("no poll within the max poll interval: the partitions were given up");
            }
            Notice::AssignFailed(failure) => warn!(?failure, "leading, but there is no plan"),
            other => debug!(?other, "notice"),
        }
    }
    if handle.status().phase != Phase::Closed {
        warn!("the driver stopped without a close");
    }
}

/// Warns when the runtime is too busy to beat in time: a handler that blocks it, most likely.
async fn watch_schedule(heartbeat: Duration) {
    let step = (heartbeat / 4).max(Duration::from_millis(10));
    loop {
        let due = Instant::now() + step;
        tokio::time::sleep_until(due).await;
        let late = due.elapsed();
        if late > heartbeat / 2 {
            warn!(?late, "the driver was not scheduled; something blocks its runtime");
        }
    }
}
