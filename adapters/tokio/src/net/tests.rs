//! Connections against hand-written peers: obedient, silent, lying.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use handover_wire::codec::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DeleteTopicsRequest, MetadataRequest,
    MetadataResponse, ProduceRequest,
};
use handover_wire::{FrameLimit, RequestHead, SPOKEN, WireError, encode_offer, encode_response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Connection;
use crate::config::ClientConfig;
use crate::error::{ConnectionError, Unanswered};

const LONG: Duration = Duration::from_secs(20);

/// The broker's end of a connection.
struct Peer {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Peer {
    /// The next request's head; its body is thrown away. `None` once the client is gone.
    async fn request(&mut self) -> Option<RequestHead> {
        loop {
            if let Some(mut frame) = FrameLimit::DEFAULT.split(&mut self.buffer).unwrap() {
                return Some(RequestHead::decode(&mut frame).unwrap());
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        // A client that has already given up is what some of the tests want.
        let _ = self.stream.write_all(bytes).await;
    }

    async fn shake_hands(&mut self) {
        let head = self.request().await.unwrap();
        self.send(&encode_offer(SPOKEN, head.version, head.correlation).unwrap()).await;
    }

    /// Answers `head` with metadata of the cluster `name`.
    async fn answer(&mut self, head: &RequestHead, name: &str, throttle_ms: i32) {
        self.send(&metadata(head, name, throttle_ms)).await;
    }
}

fn metadata(head: &RequestHead, name: &str, throttle_ms: i32) -> Bytes {
    let answer = MetadataResponse::default()
        .with_cluster_id(Some(StrBytes::from_string(name.to_owned())))
        .with_throttle_time_ms(throttle_ms);
    encode_response::<MetadataRequest>(&answer, head.version, head.correlation).unwrap()
}

/// A listener whose one connection is played by `script`.
async fn listen<T, F>(script: impl FnOnce(Peer) -> F + Send + 'static) -> (String, JoinHandle<T>)
where
    F: Future<Output = T> + Send,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let played = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        script(Peer { stream, buffer: BytesMut::new() }).await
    });
    (address, played)
}

/// As [`listen`], after the exchange of versions; opens the connection too.
async fn connect<T, F>(
    in_flight: usize,
    script: impl FnOnce(Peer) -> F + Send + 'static,
) -> (Connection, JoinHandle<T>)
where
    F: Future<Output = T> + Send,
    T: Send + 'static,
{
    let (address, played) = listen(|mut peer| async move {
        peer.shake_hands().await;
        script(peer).await
    })
    .await;
    let config = ClientConfig::new(&address);
    (Connection::open(&address, &config, in_flight).await.unwrap(), played)
}

async fn ask(connection: &Connection, timeout: Duration) -> Result<String, Unanswered> {
    let answer = connection.call(&MetadataRequest::default(), timeout).await?;
    Ok(answer.cluster_id.unwrap().to_string())
}

fn lost(answer: Result<String, Unanswered>) -> ConnectionError {
    match answer {
        Err(Unanswered::Lost(reason)) => reason,
        other => panic!("expected a lost request, got {other:?}"),
    }
}

fn not_sent(answer: Result<String, Unanswered>) -> ConnectionError {
    match answer {
        Err(Unanswered::NotSent(reason)) => reason,
        other => panic!("expected a request that was not sent, got {other:?}"),
    }
}

#[tokio::test]
async fn several_requests_are_in_flight_and_each_gets_its_answer() {
    let (connection, played) = connect(5, |mut peer| async move {
        let mut heads = Vec::new();
        for _ in 0..3 {
            heads.push(peer.request().await.unwrap());
        }
        for (head, name) in heads.iter().zip(["a", "b", "c"]) {
            peer.answer(head, name, 0).await;
        }
        peer.request().await
    })
    .await;
    let answers =
        tokio::join!(ask(&connection, LONG), ask(&connection, LONG), ask(&connection, LONG));
    assert_eq!(answers, (Ok("a".into()), Ok("b".into()), Ok("c".into())));
    drop(connection);
    assert_eq!(played.await.unwrap(), None, "the last handle closes the socket");
}

#[tokio::test]
async fn one_in_flight_means_one() {
    let (connection, played) = connect(1, |mut peer| async move {
        let first = peer.request().await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), peer.request()).await;
        peer.answer(&first, "a", 0).await;
        let second = peer.request().await.unwrap();
        peer.answer(&second, "b", 0).await;
        early.is_ok()
    })
    .await;
    let answers = tokio::join!(ask(&connection, LONG), ask(&connection, LONG));
    assert_eq!(answers, (Ok("a".into()), Ok("b".into())));
    assert!(!played.await.unwrap(), "the second came before the first was answered");
}

#[tokio::test]
async fn a_throttled_connection_pauses_for_as_long_as_it_is_told() {
    let (connection, played) = connect(5, |mut peer| async move {
        let first = peer.request().await.unwrap();
        peer.answer(&first, "a", 300).await;
        let from = Instant::now();
        let second = peer.request().await.unwrap();
        let paused = from.elapsed();
        peer.answer(&second, "b", i32::MAX).await;
        (paused, peer)
    })
    .await;
    assert_eq!(ask(&connection, LONG).await, Ok("a".into()));
    assert_eq!(ask(&connection, LONG).await, Ok("b".into()));
    let (paused, _peer) = played.await.unwrap();
    assert!(paused >= Duration::from_millis(250), "resumed after {paused:?}");
    // A pause that outlasts the timeout: not sent, and not an end of the connection.
    let after = Duration::from_millis(30);
    let third = ask(&connection, after).await;
    assert!(matches!(not_sent(third), ConnectionError::TimedOut { .. }));
}

#[tokio::test]
async fn a_dropped_request_leaves_the_connection_usable() {
    let (seen, arrived) = oneshot::channel();
    let (connection, played) = connect(1, |mut peer| async move {
        let first = peer.request().await.unwrap();
        seen.send(()).unwrap();
        peer.answer(&first, "discarded", 0).await;
        let second = peer.request().await.unwrap();
        peer.answer(&second, "kept", 0).await;
        (first.correlation, second.correlation)
    })
    .await;
    // The first is written, the second waits behind it; both callers go away.
    tokio::select! {
        biased;
        _ = ask(&connection, LONG) => panic!("answered too early"),
        _ = ask(&connection, LONG) => panic!("overtook the first"),
        _ = arrived => {}
    }
    assert_eq!(ask(&connection, LONG).await, Ok("kept".into()));
    let (first, third) = played.await.unwrap();
    assert_eq!(third - first, 2, "the one that was not written is withdrawn");
}

#[tokio::test]
async fn an_answer_to_another_request_ends_all_of_them() {
    let (connection, played) = connect(2, |mut peer| async move {
        let first = peer.request().await.unwrap();
        let second = peer.request().await.unwrap();
        peer.answer(&second, "b", 0).await;
        first.correlation
    })
    .await;
    let (a, b, c) =
        tokio::join!(ask(&connection, LONG), ask(&connection, LONG), ask(&connection, LONG));
    let expected = played.await.unwrap();
    let wrong = ConnectionError::Protocol(WireError::Correlation { expected, got: expected + 1 });
    assert_eq!((lost(a), lost(b)), (wrong.clone(), wrong.clone()));
    assert_eq!(not_sent(c), wrong, "the third waited behind two in flight");
    assert!(connection.is_closed());
    assert_eq!(not_sent(ask(&connection, LONG).await), wrong);
}

#[tokio::test]
async fn an_answer_to_nothing_closes_the_connection() {
    let (asked, go) = oneshot::channel();
    let (connection, _played) = connect(2, |mut peer| async move {
        peer.send(b"\0\0\0\x04\0\0\0\x01").await;
        peer.request().await;
        asked.send(()).unwrap();
    })
    .await;
    go.await.unwrap();
    assert_eq!(not_sent(ask(&connection, LONG).await), ConnectionError::Unasked);
}

#[tokio::test]
async fn a_frame_that_is_too_large_or_negative_is_refused_before_it_is_read() {
    for (bytes, of) in [
        (&b"\x7f\xff\xff\xff"[..], "FrameTooLarge"),
        (&b"\xff\xff\xff\xff"[..], "FrameNegative"),
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "FrameTooLarge"),
    ] {
        let (connection, _played) = connect(1, move |mut peer| async move {
            peer.request().await.unwrap();
            peer.send(bytes).await;
            peer.request().await
        })
        .await;
        let reason = format!("{:?}", lost(ask(&connection, LONG).await));
        assert!(reason.contains(of), "{reason}");
    }
}

#[tokio::test]
async fn an_answer_cut_at_every_byte_is_lost_with_the_connection() {
    let head =
        RequestHead { api: handover_wire::ApiKey(3), version: 13, correlation: 1, client: None };
    let whole = metadata(&head, "cluster", 0).len();
    for cut in 0..whole {
        let (connection, _played) = connect(1, move |mut peer| async move {
            let head = peer.request().await.unwrap();
            peer.send(&metadata(&head, "cluster", 0)[..cut]).await;
        })
        .await;
        let reason = lost(ask(&connection, LONG).await);
        assert_eq!(reason, ConnectionError::ClosedByPeer { of_answer: cut });
        assert!(connection.is_closed());
    }
}

#[tokio::test]
async fn a_short_answer_in_a_whole_frame_is_lost_with_the_connection() {
    for cut in 4..20_usize {
        let (connection, _played) = connect(1, move |mut peer| async move {
            let head = peer.request().await.unwrap();
            let mut bytes = metadata(&head, "cluster", 0)[..4 + cut].to_vec();
            bytes[..4].copy_from_slice(&u32::try_from(cut).unwrap().to_be_bytes());
            peer.send(&bytes).await;
            peer.request().await
        })
        .await;
        let reason = lost(ask(&connection, LONG).await);
        let malformed = matches!(reason, ConnectionError::Protocol(WireError::Malformed { .. }));
        assert!(malformed, "cut to {cut}: {reason:?}");
        assert!(connection.is_closed());
    }
}

#[tokio::test]
async fn silence_closes_the_connection_and_loses_what_was_sent() {
    let (connection, played) = connect(1, |mut peer| async move {
        peer.request().await.unwrap();
        peer.request().await
    })
    .await;
    let after = Duration::from_millis(40);
    let (first, second) = tokio::join!(ask(&connection, after), ask(&connection, LONG));
    assert_eq!(lost(first), ConnectionError::TimedOut { after });
    assert_eq!(not_sent(second), ConnectionError::TimedOut { after });
    assert_eq!(played.await.unwrap(), None, "the socket is closed");
}

#[tokio::test]
async fn a_request_that_the_kernel_took_in_part_is_lost_and_one_behind_it_is_not_sent() {
    let (go, done) = oneshot::channel::<()>();
    let (connection, played) = connect(5, |peer| async move {
        // Reads nothing, until the test is over.
        let _ = done.await;
        drop(peer);
    })
    .await;
    let partition =
        PartitionProduceData::default().with_records(Some(Bytes::from(vec![0; 32 << 20])));
    let topic = TopicProduceData::default().with_partition_data(vec![partition]);
    let large = ProduceRequest::default().with_topic_data(vec![topic]);
    let after = Duration::from_millis(300);
    let first = async { connection.call(&large, after).await.map(|_| String::new()) };
    let (first, second) = tokio::join!(first, ask(&connection, Duration::from_millis(20)));
    assert!(matches!(not_sent(second), ConnectionError::TimedOut { .. }));
    assert_eq!(lost(first), ConnectionError::TimedOut { after });
    drop(go);
    played.await.unwrap();
}

#[tokio::test]
async fn a_request_without_an_answer_is_done_when_it_is_written() {
    let (connection, played) = connect(1, |mut peer| async move {
        let first = peer.request().await.unwrap();
        let second = peer.request().await.unwrap();
        peer.answer(&second, "b", 0).await;
        first.api
    })
    .await;
    let silent = ProduceRequest::default().with_acks(0);
    connection.tell(&silent, LONG).await.unwrap();
    assert_eq!(ask(&connection, LONG).await, Ok("b".into()));
    assert_eq!(played.await.unwrap(), handover_wire::ApiKey(0));
}

#[tokio::test]
async fn a_broker_that_does_not_know_our_version_is_asked_with_its_own() {
    for own in [0, 2] {
        let (address, played) = listen(move |mut peer| async move {
            let only = [
                SPOKEN[3],
                handover_wire::ApiRange { api: handover_wire::ApiKey(18), min: 0, max: own },
            ];
            let mut asked = Vec::new();
            while let Some(head) = peer.request().await {
                asked.push(head.version);
                // As versions before KIP-511 do: the error and nothing else.
                let bytes = if own == 0 && head.version > 0 {
                    let refusal = ApiVersionsResponse::default().with_error_code(35);
                    encode_response::<ApiVersionsRequest>(&refusal, 0, head.correlation)
                } else {
                    encode_offer(&only, head.version, head.correlation)
                };
                peer.send(&bytes.unwrap()).await;
            }
            asked
        })
        .await;
        let config = ClientConfig::new(&address);
        let connection = Connection::open(&address, &config, 1).await.unwrap();
        let unknown = connection.call(&DeleteTopicsRequest::default(), LONG).await.unwrap_err();
        assert!(matches!(
            unknown,
            Unanswered::NotSent(ConnectionError::Protocol(WireError::NotOffered { .. }))
        ));
        assert!(!connection.is_closed(), "the connection is good for what is offered");
        drop(connection);
        assert_eq!(played.await.unwrap(), [4, own]);
    }
}

#[tokio::test]
async fn an_exchange_of_versions_cut_at_every_byte_is_an_error() {
    let whole = encode_offer(SPOKEN, 4, 4).unwrap();
    for cut in 0..whole.len() {
        let part = whole.slice(..cut);
        let (address, _played) = listen(move |mut peer| async move {
            peer.request().await.unwrap();
            peer.send(&part).await;
        })
        .await;
        let opened = Connection::open(&address, &ClientConfig::new(&address), 1).await;
        assert_eq!(opened.unwrap_err(), ConnectionError::ClosedByPeer { of_answer: cut });
    }
}

#[tokio::test]
async fn a_broker_that_refuses_its_versions_for_ever_is_not_asked_for_ever() {
    let (address, played) = listen(|mut peer| async move {
        let mut asked = 0;
        while let Some(head) = peer.request().await {
            asked += 1;
            let refusal = ApiVersionsResponse::default().with_error_code(35);
            let bytes = encode_response::<ApiVersionsRequest>(&refusal, 0, head.correlation);
            peer.send(&bytes.unwrap()).await;
        }
        asked
    })
    .await;
    let opened = Connection::open(&address, &ClientConfig::new(&address), 1).await;
    assert!(matches!(opened.unwrap_err(), ConnectionError::Handshake(_)));
    assert!(played.await.unwrap() <= 5);
}

#[tokio::test]
async fn a_peer_that_never_shakes_hands_is_given_up() {
    let (address, _played) = listen(|mut peer| async move {
        peer.request().await;
        peer.request().await
    })
    .await;
    let mut config = ClientConfig::new(&address);
    config.connect_timeout = Duration::from_millis(50);
    let error = Connection::open(&address, &config, 1).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectTimedOut { .. }));
}

#[test]
fn a_runtime_that_ends_under_a_connection_leaves_nobody_waiting() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (io, caller) = (runtime(), runtime());
    let (seen, arrived) = oneshot::channel();
    let (connection, _played) = io.block_on(connect(1, |mut peer| async move {
        peer.request().await.unwrap();
        seen.send(()).unwrap();
        peer.request().await
    }));
    let waiting = caller.spawn(async move { ask(&connection, LONG).await });
    caller.block_on(arrived).unwrap();
    io.shutdown_background();
    let answer = caller.block_on(waiting).unwrap();
    assert_eq!(lost(answer), ConnectionError::Closed);
}
