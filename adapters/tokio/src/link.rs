//! The core's link over TCP: three lanes, a clock and a timer.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use handover_core::machine::{Lane, RequestId, Target, Time, Unanswered, Versions};
use handover_core::{Incoming, Link, Outgoing};
use tokio::time::{Instant, Sleep, timeout_at};

use crate::error;
use crate::net::{Cluster, Connection, Group, address};

/// Joins the core's driver to a cluster: what the driver of a group member runs on.
///
/// Each lane is a connection of its own, opened when it is wanted and replaced when it fails or
/// when the lane's next request goes to another broker. Nothing is tried again here, the machine
/// decides that; only for a request that any broker may answer, the brokers are tried one after
/// the other until one takes the connection. Every request is answered once, in time, whatever
/// happens to brokers and connections (SPEC N4); `NotSent` only if no byte of it reached the
/// kernel (SPEC N1).
///
/// The driver must be polled within a Tokio runtime; the connections live on that runtime.
///
/// ```no_run
/// use handover_core::machine::Config;
/// use handover_tokio::{ClientConfig, Cluster, TokioLink};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::new(ClientConfig::new("localhost:9092"))?;
/// let member = handover_core::member::<()>(Config::new("orders"), Default::default())?;
/// tokio::spawn(member.driver.run(TokioLink::new(&cluster)));
/// # Ok(())
/// # }
/// ```
pub struct TokioLink {
    cluster: Cluster,
    start: Instant,
    lanes: [LaneState; 3],
    timer: Option<Pin<Box<Sleep>>>,
    /// Whoever waits for an answer: a request that is accepted must be polled by it.
    waiting: Option<Waker>,
}

#[derive(Default)]
struct LaneState {
    /// The connection, while no request is out.
    line: Option<Line>,
    out: Option<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// What came in and was not fetched. The lane is busy until it is.
    arrived: VecDeque<Incoming>,
    /// Whoever was refused.
    refused: Option<Waker>,
}

/// One lane's connection.
struct Line {
    address: String,
    connection: Connection,
}

/// What became of a request.
struct Done {
    id: RequestId,
    line: Option<Line>,
    /// Of a new connection.
    versions: Option<Versions>,
    answer: Result<handover_core::machine::Response, Unanswered>,
}

impl TokioLink {
    /// A link to `cluster`, with no connection yet.
    pub fn new(cluster: &Cluster) -> TokioLink {
        TokioLink {
            cluster: cluster.clone(),
            start: Instant::now(),
            lanes: Default::default(),
            timer: None,
            waiting: None,
        }
    }
}

impl Link for TokioLink {
    fn now(&mut self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, request: &mut Option<Outgoing>) -> Poll<()> {
        let Some(lane) = request.as_ref().map(|request| request.lane) else {
            return Poll::Ready(());
        };
        let lane = &mut self.lanes[index(lane)];
        if lane.out.is_some() || !lane.arrived.is_empty() {
            lane.refused = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(request) = request.take() {
            let line = lane.line.take().filter(|line| !line.connection.is_closed());
            let deadline = Instant::now() + request.timeout;
            lane.out = Some(Box::pin(exchange(self.cluster.clone(), line, request, deadline)));
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(())
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        for lane in &mut self.lanes {
            lane.advance(cx);
            if let Some(incoming) = lane.arrived.pop_front() {
                if lane.arrived.is_empty() {
                    lane.refused.take().into_iter().for_each(Waker::wake);
                }
                return Poll::Ready(incoming);
            }
        }
        self.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, at: Time) -> Poll<()> {
        let since_start = Duration::from_millis(at.as_millis());
        // What lies beyond the end of the clock never comes.
        let Some(at) = self.start.checked_add(since_start) else { return Poll::Pending };
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }
}

impl LaneState {
    fn advance(&mut self, cx: &mut Context<'_>) {
        let Some(out) = &mut self.out else { return };
        let Poll::Ready(done) = out.as_mut().poll(cx) else { return };
        self.out = None;
        self.line = done.line;
        self.arrived.extend(done.versions.map(Incoming::Versions));
        self.arrived.push_back(Incoming::Answer { id: done.id, answer: done.answer });
    }
}

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Join => 0,
        Lane::Control => 1,
        Lane::Commit => 2,
    }
}

/// One request from its acceptance to its answer.
async fn exchange(
    cluster: Cluster,
    standing: Option<Line>,
    request: Outgoing,
    deadline: Instant,
) -> Done {
    let Outgoing { id, lane, to, request, .. } = request;
    let fail = |answer| Done { id, line: None, versions: None, answer: Err(answer) };
    let (line, versions) = match timeout_at(deadline, reach(&cluster, standing, &to)).await {
        Ok(Ok(reached)) => reached,
        Ok(Err(error)) => {
            tracing::debug!(?lane, %error, "no connection for a request");
            return fail(Unanswered::NotSent);
        }
        Err(_) => {
            tracing::debug!(?lane, "no connection for a request in time");
            return fail(Unanswered::NotSent);
        }
    };
    let left = deadline.saturating_duration_since(Instant::now());
    match line.connection.call(&Group(request), left).await {
        Ok(answer) => Done { id, line: Some(line), versions, answer: Ok(answer) },
        // The connection goes with the failure, so that no late answer is taken for the next.
        Err(unanswered) => {
            tracing::debug!(?lane, error = %unanswered.reason(), "a request was not answered");
            let answer = match unanswered {
                error::Unanswered::NotSent(_) => Unanswered::NotSent,
                error::Unanswered::Lost(_) => Unanswered::Lost,
            };
            Done { versions, ..fail(answer) }
        }
    }
}

/// The standing connection if it leads to the right broker, or a new one and its versions.
async fn reach(
    cluster: &Cluster,
    standing: Option<Line>,
    to: &Target,
) -> Result<(Line, Option<Versions>), error::ConnectionError> {
    let addresses = match to {
        Target::Node(node) => vec![address(node)],
        Target::Any => cluster.addresses(),
    };
    if let Some(line) = standing {
        if *to == Target::Any || addresses.contains(&line.address) {
            return Ok((line, None));
        }
    }
    let mut failure = error::ConnectionError::Closed;
    for address in addresses {
        match Connection::open(&address, cluster.config(), 1).await {
            Ok(connection) => {
                let versions = connection.versions().group();
                return Ok((Line { address, connection }, Some(versions)));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl fmt::Debug for TokioLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioLink").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
