//! Sockets: a listener for each node, and the loop of one connection.
//!
//! A connection is served one request at a time, as `SocketServer.Processor` does by muting the
//! channel: what waits holds its own connection and nothing else (SPEC Y1). Requests that a client
//! wrote before it closed are still served, though nobody reads the answers (SPEC Y2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use handover_machine::Name;
use handover_wire::{ApiKey, FrameLimit, RequestHead, WireError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::Api;
use crate::cluster::Cluster;
use crate::dispatch::{Close, Context, answer};
use crate::faults::{ByteCut, Cut, Direction, End, RequestInfo};

/// A connection on which nothing was asked for this long is closed (`connections.max.idle.ms`).
const IDLE: Duration = Duration::from_secs(600);

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// How long to wait after a failed accept: it is most likely that there are no more file
/// descriptors, and trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves a node's listener until `stop` changes or goes; then every connection is closed.
pub(crate) async fn listen(
    cluster: Arc<Cluster>,
    node: i32,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection::new(Arc::clone(&cluster), node, stream, peer);
                    connections.spawn(connection.run());
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Wakes the group coordinators when they want to be woken. Never returns.
pub(crate) async fn clock(cluster: Arc<Cluster>) {
    loop {
        let next = {
            let mut state = cluster.lock();
            state.groups.wake(cluster.now());
            state.groups.next_wake()
        };
        cluster.changed.send_replace(());
        let due = async {
            match cluster.instant(next) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = cluster.rearm.notified() => {}
        }
    }
}

struct Connection {
    cluster: Arc<Cluster>,
    node: i32,
    number: u64,
    host: Name,
    stream: TcpStream,
    buffer: BytesMut,
    limit: FrameLimit,
    cut: Option<ByteCut>,
    /// The client is gone, or reads no more: what it wrote is still served.
    is_deaf: bool,
}

/// Why a connection is over.
enum Closed {
    /// The client closed it, was idle for too long or is out of reach.
    Peer,
    /// What came is not Kafka's protocol.
    Wire(WireError),
    /// The API or the version is not served. Kafka closes as well, save that it answers
    /// ApiVersions in any version (KIP-511).
    NotServed(ApiKey, i16),
    /// A fault, or a request that Kafka too never answers.
    Silence,
}

impl From<WireError> for Closed {
    fn from(error: WireError) -> Closed {
        Closed::Wire(error)
    }
}

impl Connection {
    fn new(cluster: Arc<Cluster>, node: i32, stream: TcpStream, peer: SocketAddr) -> Connection {
        let limit = FrameLimit::new(cluster.settings.frame_limit);
        let cut = cluster.faults.take_byte_cut();
        Connection {
            number: cluster.number_connection(),
            cluster,
            node,
            host: Name::from(format!("/{}", peer.ip())),
            stream,
            buffer: BytesMut::new(),
            limit,
            cut,
            is_deaf: false,
        }
    }

    async fn run(mut self) {
        // Answers are written whole, so there is nothing to be gained by waiting for more. If it
        // fails, the connection is gone and reading says so.
        let _ = self.stream.set_nodelay(true);
        let closed = loop {
            match self.read_frame().await {
                Ok(frame) => match self.process(frame).await {
                    Ok(()) => {}
                    Err(closed) => break closed,
                },
                Err(closed) => break closed,
            }
        };
        let (node, peer) = (self.node, &self.host);
        match closed {
            Closed::Wire(error) => debug!(node, %peer, %error, "connection closed"),
            Closed::NotServed(api, version) => {
                debug!(node, %peer, %api, version, "connection closed: not served");
            }
            Closed::Peer | Closed::Silence => {}
        }
    }

    async fn read_frame(&mut self) -> Result<Bytes, Closed> {
        loop {
            if let Some(frame) = self.limit.split(&mut self.buffer)? {
                return Ok(frame);
            }
            let spent = self.cut.as_mut().is_some_and(|cut| cut.spend(Direction::ToBroker, 0));
            if spent {
                return Err(Closed::Silence);
            }
            let left = self.cut.as_ref().map(|cut| cut.left(Direction::ToBroker));
            let wanted = left.unwrap_or(CHUNK).min(CHUNK);
            self.buffer.reserve(wanted);
            let mut space = (&mut self.buffer).limit(wanted);
            match timeout(IDLE, self.stream.read_buf(&mut space)).await {
                Ok(Ok(read @ 1..)) => {
                    if let Some(cut) = &mut self.cut {
                        cut.spend(Direction::ToBroker, read);
                    }
                }
                _ => return Err(Closed::Peer),
            }
        }
    }

    async fn process(&mut self, mut frame: Bytes) -> Result<(), Closed> {
        let head = RequestHead::decode(&mut frame)?;
        let api = Api::from_key(head.api.0).ok_or(Closed::NotServed(head.api, head.version))?;
        if !api.versions().contains(&head.version) && api != Api::ApiVersions {
            return Err(Closed::NotServed(head.api, head.version));
        }
        self.cluster.count(api);
        let info = RequestInfo {
            api,
            version: head.version,
            node: self.node,
            client_id: head.client.clone(),
            connection: self.number,
        };
        let mut judgement = self.cluster.faults.judge(&info);
        judgement.wait().await;
        if let Some(End::Cut(Cut::Before)) = judgement.end {
            return Err(Closed::Silence);
        }
        let context = Context {
            cluster: Arc::clone(&self.cluster),
            node: self.node,
            host: self.host.clone(),
            client: head.client.clone().unwrap_or_default(),
            version: head.version,
        };
        let answer = answer(&context, api, &head, frame, judgement.end).await;
        self.cluster.changed.send_replace(());
        match (answer, judgement.end) {
            (Err(Close::Lost), _) => {
                sleep(IDLE).await;
                Err(Closed::Silence)
            }
            (Err(Close::Wire(error)), _) => Err(Closed::Wire(error)),
            (Ok(_), Some(End::Cut(Cut::After))) => Err(Closed::Silence),
            (Ok(Some(bytes)), Some(End::Cut(Cut::Within(sent)))) => {
                self.write(&bytes[..sent.min(bytes.len())]).await?;
                Err(Closed::Silence)
            }
            (Ok(Some(bytes)), _) => self.write(&bytes).await,
            (Ok(None), _) => Ok(()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        if self.is_deaf {
            return Ok(());
        }
        let left = self.cut.as_ref().map(|cut| cut.left(Direction::ToClient));
        let allowed = left.unwrap_or(bytes.len()).min(bytes.len());
        self.is_deaf = self.stream.write_all(&bytes[..allowed]).await.is_err();
        let spent = self.cut.as_mut().is_some_and(|cut| cut.spend(Direction::ToClient, allowed));
        if spent { Err(Closed::Silence) } else { Ok(()) }
    }
}
