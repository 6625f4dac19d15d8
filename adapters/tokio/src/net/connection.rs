//! One connection to one broker: requests out, answers in, in order.
//!
//! A task of its own reads and writes the socket. What waits to be written and what waits for an
//! answer is in two queues under one mutex, so there is one place that knows of a request whether
//! a byte of it was handed to the kernel (SPEC N1), and one that ends all of them (SPEC N2).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use handover_wire::{Negotiated, WireError, correlation_of};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument;

use super::exchange::Exchange;
use super::stream::{self, Frames};
use crate::config::ClientConfig;
use crate::error::{ConnectionError, Unanswered};

/// A connection, ready for requests; a clone is the same one. It closes with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(ConnectionError::Closed);
        self.task.abort();
    }
}

impl Connection {
    /// Connects to `address`, which is `host:port`, and asks for the broker's versions. At most
    /// `in_flight` requests are unanswered at a time; more wait unwritten.
    pub(crate) async fn open(
        address: &str,
        config: &ClientConfig,
        in_flight: usize,
    ) -> Result<Connection, ConnectionError> {
        let span = tracing::debug_span!("connection", address);
        let opened = stream::open(address, config).instrument(span.clone());
        let (stream, frames, versions) = opened.await.inspect_err(|error| {
            tracing::debug!(parent: &span, %error, "could not connect");
        })?;
        tracing::debug!(parent: &span, "connected");
        let shared = Arc::new(Shared {
            versions,
            client_id: config.client_id.clone(),
            max_in_flight: in_flight,
            state: Mutex::default(),
            to_write: Notify::new(),
            to_watch: Notify::new(),
        });
        let served = serve(stream, frames, Arc::clone(&shared)).instrument(span);
        let task = tokio::spawn(served).abort_handle();
        Ok(Connection(Arc::new(Handle { shared, task })))
    }

    /// The version of each API that both sides speak.
    pub(crate) fn versions(&self) -> &Negotiated {
        &self.0.shared.versions
    }

    /// Whether it can take no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.shared.lock().closed.is_some()
    }

    /// Whether a request was ever answered: the peer is a broker that works, or did.
    pub(crate) fn has_answered(&self) -> bool {
        self.0.shared.lock().answered
    }

    /// Sends a request and waits for its answer, for at most `timeout`; an answer that does not
    /// come in time closes the connection.
    ///
    /// Cancel safe: dropped before the first byte is written, the request is withdrawn; later, its
    /// answer is discarded when it comes and the connection goes on (SPEC N3).
    pub(crate) async fn call<E: Exchange>(
        &self,
        request: &E,
        timeout: Duration,
    ) -> Result<E::Answer, Unanswered> {
        let shared = &self.0.shared;
        let (id, frame, sent) = shared.encode(request)?;
        let (reply, answer) = oneshot::channel();
        let deliver = move |outcome: Result<Bytes, Unanswered>| {
            // The caller may be gone in each of these cases: then nobody is told.
            match outcome.map(|frame| E::decode(sent, frame)) {
                Ok(Ok((decoded, throttle))) => {
                    let _ = reply.send(Ok(decoded));
                    Ok(throttle)
                }
                Ok(Err(error)) => {
                    let error = ConnectionError::from(error);
                    let _ = reply.send(Err(Unanswered::Lost(error.clone())));
                    Err(error)
                }
                Err(unanswered) => {
                    let _ = reply.send(Err(unanswered));
                    Ok(Duration::ZERO)
                }
            }
        };
        let _withdraw = shared.submit(id, frame, timeout, true, Box::new(deliver))?;
        // The sender is dropped unused only if the task's runtime went away under it.
        answer.await.unwrap_or(Err(Unanswered::Lost(ConnectionError::Closed)))
    }

    /// Sends a request that the broker does not answer, and waits until it is written.
    ///
    /// Cancel safe, as [`Connection::call`].
    pub(crate) async fn tell<E: Exchange>(
        &self,
        request: &E,
        timeout: Duration,
    ) -> Result<(), Unanswered> {
        let shared = &self.0.shared;
        let (id, frame, _) = shared.encode(request)?;
        let (reply, written) = oneshot::channel();
        let deliver = move |outcome: Result<Bytes, Unanswered>| {
            let _ = reply.send(outcome.map(drop));
            Ok(Duration::ZERO)
        };
        let _withdraw = shared.submit(id, frame, timeout, false, Box::new(deliver))?;
        written.await.unwrap_or(Err(Unanswered::Lost(ConnectionError::Closed)))
    }
}

fn not_sent(error: WireError) -> Unanswered {
    Unanswered::NotSent(error.into())
}

/// Takes the answer's frame, or why there is none; gives the pause that the broker asks for, or why
/// the connection is of no more use.
type Deliver =
    Box<dyn FnOnce(Result<Bytes, Unanswered>) -> Result<Duration, ConnectionError> + Send>;

struct Pending {
    id: i32,
    deadline: Instant,
    timeout: Duration,
    /// Whether the kernel has a byte of it. Set once by the writer, under the mutex.
    started: bool,
    /// False for a request that the broker does not answer.
    answered: bool,
    deliver: Deliver,
}

impl Pending {
    fn end(self, reason: ConnectionError) {
        let unanswered =
            if self.started { Unanswered::Lost(reason) } else { Unanswered::NotSent(reason) };
        // What it says about the connection does not matter any more.
        let _ = (self.deliver)(Err(unanswered));
    }
}

type Queue = VecDeque<(Bytes, Pending)>;

#[derive(Default)]
struct State {
    /// What is not written, oldest first. No longer than there are callers that wait.
    queue: Queue,
    /// What is being written or waits for its answer, oldest first.
    in_flight: VecDeque<Pending>,
    last_id: i32,
    /// Whether any request was answered.
    answered: bool,
    /// Until when the broker asked for a pause.
    resume: Option<Instant>,
    /// The moment that the deadlines' watch waits for.
    watched: Option<Instant>,
    closed: Option<ConnectionError>,
}

struct Shared {
    versions: Negotiated,
    client_id: String,
    max_in_flight: usize,
    /// Locked for moments, never across an await or a delivery.
    state: Mutex<State>,
    /// For the writer: there is something to write, or room in flight.
    to_write: Notify,
    /// For the deadlines' watch: there is an earlier one.
    to_watch: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Withdraws what was not written when the caller goes away.
struct Withdraw<'a> {
    shared: &'a Shared,
    id: i32,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let place = state.queue.iter().position(|(_, pending)| pending.id == self.id);
        let withdrawn = place.and_then(|place| state.queue.remove(place));
        drop(state);
        drop(withdrawn);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that can panic, so poison says nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's frame, under a correlation id of its own.
    fn encode<E: Exchange>(&self, request: &E) -> Result<(i32, Bytes, E::Sent), Unanswered> {
        let version = request.version(&self.versions).map_err(not_sent)?;
        let id = {
            let mut state = self.lock();
            state.last_id = state.last_id.wrapping_add(1);
            state.last_id
        };
        let (frame, sent) = request.encode(version, id, &self.client_id).map_err(not_sent)?;
        Ok((id, frame, sent))
    }

    fn submit(
        &self,
        id: i32,
        frame: Bytes,
        timeout: Duration,
        answered: bool,
        deliver: Deliver,
    ) -> Result<Withdraw<'_>, Unanswered> {
        let deadline = Instant::now() + timeout;
        let pending = Pending { id, deadline, timeout, started: false, answered, deliver };
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            return Err(Unanswered::NotSent(reason.clone()));
        }
        state.queue.push_back((frame, pending));
        let earlier = state.watched.is_none_or(|watched| deadline < watched);
        drop(state);
        self.to_write.notify_one();
        if earlier {
            self.to_watch.notify_one();
        }
        Ok(Withdraw { shared: self, id })
    }

    /// The next frame to write, once it may be written. Its request is in flight from then on.
    async fn next_frame(&self) -> Bytes {
        loop {
            let pause = {
                let mut state = self.lock();
                let pause = state.resume.filter(|resume| *resume > Instant::now());
                if pause.is_none() && state.in_flight.len() < self.max_in_flight {
                    if let Some((frame, pending)) = state.queue.pop_front() {
                        state.in_flight.push_back(pending);
                        return frame;
                    }
                }
                pause
            };
            match pause {
                Some(resume) => tokio::time::sleep_until(resume).await,
                None => self.to_write.notified().await,
            }
        }
    }

    /// The kernel has the first byte of what is being written, which is the last in flight.
    fn started(&self) {
        if let Some(pending) = self.lock().in_flight.back_mut() {
            pending.started = true;
        }
    }

    /// The kernel has all of it: without an answer to come, that is the end of it.
    fn written(&self) {
        let told = {
            let mut state = self.lock();
            let unanswered = state.in_flight.back().is_some_and(|pending| !pending.answered);
            if unanswered { state.in_flight.pop_back() } else { None }
        };
        if let Some(pending) = told {
            // It cannot say anything against the connection: there is no answer to decode.
            let _ = (pending.deliver)(Ok(Bytes::new()));
        }
    }

    /// Gives an answer to the oldest request that waits for one.
    fn answer(&self, frame: Bytes) -> Result<(), ConnectionError> {
        let pending = {
            let mut state = self.lock();
            let oldest = state.in_flight.front().filter(|p| p.started && p.answered);
            let expected = oldest.map(|p| p.id).ok_or(ConnectionError::Unasked)?;
            let got = correlation_of(&frame).ok_or(ConnectionError::Unasked)?;
            if got != expected {
                return Err(WireError::Correlation { expected, got }.into());
            }
            state.answered = true;
            state.in_flight.pop_front()
        };
        let Some(pending) = pending else { return Err(ConnectionError::Unasked) };
        let throttle = (pending.deliver)(Ok(frame))?;
        if !throttle.is_zero() {
            tracing::debug!(?throttle, "throttled by the broker");
            // At most 2^31 milliseconds; what waits longer than its timeout is withdrawn.
            self.lock().resume = Some(Instant::now() + throttle);
        }
        self.to_write.notify_one();
        Ok(())
    }

    /// Ends what is out of time: what was not written is withdrawn, for what was the connection
    /// ends. Gives the next deadline.
    fn expire(&self) -> Result<Option<Instant>, ConnectionError> {
        let now = Instant::now();
        let mut state = self.lock();
        if let Some(late) = state.in_flight.iter().find(|pending| pending.deadline <= now) {
            return Err(ConnectionError::TimedOut { after: late.timeout });
        }
        let queue = std::mem::take(&mut state.queue).into_iter();
        let (late, queue): (Queue, Queue) = queue.partition(|(_, p)| p.deadline <= now);
        state.queue = queue;
        let waiting = state.queue.iter().map(|(_, pending)| pending);
        let next = waiting.chain(&state.in_flight).map(|pending| pending.deadline).min();
        state.watched = next;
        drop(state);
        for (_, pending) in late {
            let after = pending.timeout;
            pending.end(ConnectionError::TimedOut { after });
        }
        Ok(next)
    }

    fn close(&self, reason: ConnectionError) {
        let (queue, in_flight) = {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(reason.clone());
            (std::mem::take(&mut state.queue), std::mem::take(&mut state.in_flight))
        };
        let unsent = queue.into_iter().map(|(_, pending)| pending);
        for pending in in_flight.into_iter().chain(unsent) {
            pending.end(reason.clone());
        }
    }
}

/// Ends what is unanswered also when the task is aborted or its runtime shut down.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(ConnectionError::Closed);
    }
}

async fn serve<S>(stream: S, frames: Frames, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite,
{
    let end = CloseOnDrop(shared);
    let shared = &*end.0;
    let (read, write) = tokio::io::split(stream);
    // What has come is read before a failure to write is told: it may be the answer.
    let reason = tokio::select! {
        biased;
        reason = read_answers(read, frames, shared) => reason,
        reason = write_requests(write, shared) => reason,
        reason = watch_deadlines(shared) => reason,
    };
    tracing::debug!(%reason, "disconnected");
    shared.close(reason);
}

async fn read_answers<R>(mut read: R, mut frames: Frames, shared: &Shared) -> ConnectionError
where
    R: AsyncRead + Unpin,
{
    loop {
        let answered = frames.next(&mut read).await.and_then(|frame| shared.answer(frame));
        if let Err(reason) = answered {
            return reason;
        }
    }
}

async fn write_requests<W>(mut write: W, shared: &Shared) -> ConnectionError
where
    W: AsyncWrite + Unpin,
{
    loop {
        let frame = shared.next_frame().await;
        let written = stream::write_all(&mut write, frame, || shared.started()).await;
        match written {
            Ok(()) => shared.written(),
            Err(error) => return error.into(),
        }
    }
}

async fn watch_deadlines(shared: &Shared) -> ConnectionError {
    loop {
        match shared.expire() {
            Err(reason) => return reason,
            Ok(None) => shared.to_watch.notified().await,
            Ok(Some(next)) => {
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = shared.to_watch.notified() => {}
                }
            }
        }
    }
}
