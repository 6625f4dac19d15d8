//! A client that does what the test says and nothing by itself.

use bytes::{Bytes, BytesMut};
use handover_broker::Broker;
use handover_machine::{Request, Response};
use handover_wire::codec::messages::TopicName;
use handover_wire::codec::{StrBytes, protocol};
use handover_wire::{FrameLimit, Sent, decode_response, encode_group_request, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A string for the codec.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic's name for the codec.
pub(crate) fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// One connection to one node.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
    correlation: i32,
    id: String,
}

impl Client {
    /// Connects to the first node.
    pub(crate) async fn connect(broker: &Broker) -> Client {
        Client::connect_to(broker, 1).await
    }

    /// Connects to the node with this id.
    pub(crate) async fn connect_to(broker: &Broker, node: i32) -> Client {
        let node = broker.nodes().into_iter().find(|known| known.id == node).unwrap();
        let stream = TcpStream::connect((&*node.host, node.port)).await.unwrap();
        Client { stream, buffer: BytesMut::new(), correlation: 0, id: "test".to_owned() }
    }

    /// The same, with another client id.
    pub(crate) fn named(mut self, id: &str) -> Client {
        self.id = id.to_owned();
        self
    }

    /// Sends a request and reads its answer; `None` if the connection was closed instead.
    pub(crate) async fn try_call<R: protocol::Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Option<R::Response> {
        self.send(request, version).await;
        let frame = self.read().await?;
        Some(decode_response::<R>(frame, version, self.correlation).unwrap())
    }

    pub(crate) async fn call<R: protocol::Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> R::Response {
        self.try_call(request, version).await.expect("an answer")
    }

    pub(crate) async fn send<R: protocol::Request>(&mut self, request: &R, version: i16) {
        self.correlation += 1;
        let bytes = encode_request(request, version, self.correlation, Some(&self.id)).unwrap();
        self.write(&bytes).await;
    }

    /// The same for a request of the machine's.
    pub(crate) async fn send_group(&mut self, request: Request, version: i16) -> Sent {
        self.correlation += 1;
        let (bytes, sent) =
            encode_group_request(&request, version, self.correlation, Some(&self.id)).unwrap();
        self.write(&bytes).await;
        sent
    }

    pub(crate) async fn try_group(&mut self, request: Request, version: i16) -> Option<Response> {
        let sent = self.send_group(request, version).await;
        let frame = self.read().await?;
        Some(sent.decode(frame).unwrap())
    }

    pub(crate) async fn group(&mut self, request: Request, version: i16) -> Response {
        self.try_group(request, version).await.expect("an answer")
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // A broker that has cut the connection is found out by reading.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame; `None` if the connection is closed.
    pub(crate) async fn read(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = FrameLimit::DEFAULT.split(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// What came of an answer that is not all there, once the connection is closed.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer
    }
}
