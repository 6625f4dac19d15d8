//! The link against the embedded broker: one answer for each request, whatever happens.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use handover_broker::{Api, Broker, Cut, Direction};
use handover_core::machine::{
    ErrorCode, FindCoordinator, Heartbeat, Identity, JoinGroup, Lane, Node, Protocol, Request,
    RequestId, Response, Target, Time, Unanswered,
};
use handover_core::{Incoming, Link, Outgoing};
use handover_tokio::{ClientConfig, Cluster, TokioLink};
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(20);

fn link(bootstrap: &str) -> TokioLink {
    TokioLink::new(&Cluster::new(ClientConfig::new(bootstrap)).unwrap())
}

fn find() -> Request {
    Request::FindCoordinator(FindCoordinator { group: "g".into() })
}

fn heartbeat() -> Request {
    let identity = Identity { member: "nobody".into(), generation: 1, instance: None };
    Request::Heartbeat(Heartbeat { group: "g".into(), identity })
}

fn join() -> Request {
    Request::JoinGroup(JoinGroup {
        group: "g".into(),
        member: "".into(),
        instance: None,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), metadata: Vec::new() }],
        reason: None,
        member_id_required: true,
    })
}

async fn send(link: &mut TokioLink, id: u64, lane: Lane, to: Target, request: Request) {
    send_for(link, id, lane, to, request, LONG).await;
}

async fn send_for(
    link: &mut TokioLink,
    id: u64,
    lane: Lane,
    to: Target,
    request: Request,
    timeout: Duration,
) {
    let mut outgoing = Some(Outgoing { id: RequestId(id), lane, to, timeout, request });
    poll_fn(|cx| link.poll_send(cx, &mut outgoing)).await;
    assert_eq!(outgoing, None, "accepted");
}

async fn incoming(link: &mut TokioLink) -> Incoming {
    poll_fn(|cx| link.poll_answer(cx)).await
}

/// The next answer, and whether versions came before it.
async fn answer(link: &mut TokioLink) -> (u64, Result<Response, Unanswered>, bool) {
    let mut connected = false;
    loop {
        match incoming(link).await {
            Incoming::Versions(versions) => {
                assert_eq!(versions.0.len(), 7, "all group APIs");
                connected = true;
            }
            Incoming::Answer { id, answer } => return (id.0, answer, connected),
        }
    }
}

async fn coordinator(link: &mut TokioLink) -> Target {
    send(link, 1000, Lane::Control, Target::Any, find()).await;
    match answer(link).await {
        (1000, Ok(Response::FindCoordinator(found)), _) => Target::Node(found.node.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn versions_come_before_the_first_answer_of_each_connection_and_only_then() {
    let broker = Broker::start().await.unwrap();
    let mut link = link(&broker.bootstrap());
    let to = coordinator(&mut link).await;
    for (id, lane, connected) in [
        (1, Lane::Control, false), // the broker that was asked is the coordinator
        (2, Lane::Commit, true),
        (3, Lane::Commit, false),
        (4, Lane::Join, true),
    ] {
        send(&mut link, id, lane, to.clone(), heartbeat()).await;
        let got = answer(&mut link).await;
        let unknown = Response::Heartbeat(ErrorCode::UnknownMemberId);
        assert_eq!(got, (id, Ok(unknown), connected));
    }
}

#[tokio::test]
async fn a_lane_is_not_held_up_by_another() {
    let broker = Broker::start().await.unwrap();
    let mut link = link(&broker.bootstrap());
    let to = coordinator(&mut link).await;
    let held = broker.faults().on(Api::JoinGroup).hold();
    send(&mut link, 1, Lane::Join, to.clone(), join()).await;
    send(&mut link, 2, Lane::Control, to.clone(), heartbeat()).await;
    send(&mut link, 3, Lane::Commit, to.clone(), heartbeat()).await;
    let mut first = [answer(&mut link).await.0, answer(&mut link).await.0];
    first.sort_unstable();
    assert_eq!(first, [2, 3]);
    held.remove();
    let (id, joined, _) = answer(&mut link).await;
    assert_eq!(id, 1);
    assert!(matches!(joined, Ok(Response::JoinGroup(j)) if j.error == ErrorCode::MemberIdRequired));
}

#[tokio::test]
async fn a_busy_lane_takes_no_second_request_until_the_answer_is_fetched() {
    let broker = Broker::start().await.unwrap();
    let mut link = link(&broker.bootstrap());
    let held = broker.faults().on(Api::FindCoordinator).hold();
    send(&mut link, 1, Lane::Control, Target::Any, find()).await;
    let mut second = Some(Outgoing {
        id: RequestId(2),
        lane: Lane::Control,
        to: Target::Any,
        timeout: LONG,
        request: find(),
    });
    let refused = poll_fn(|cx| Poll::Ready(link.poll_send(cx, &mut second).is_pending())).await;
    assert!(refused && second.is_some());
    held.remove();
    assert_eq!(answer(&mut link).await.0, 1);
    poll_fn(|cx| link.poll_send(cx, &mut second)).await;
    assert_eq!(answer(&mut link).await.0, 2);
}

#[tokio::test]
async fn nobody_there_is_not_sent() {
    let broker = Broker::start().await.unwrap();
    let bootstrap = broker.bootstrap();
    broker.stop().await;
    let mut link = link(&bootstrap);
    let (host, port) = bootstrap.split_once(':').unwrap();
    let node = Node { id: 1, host: host.into(), port: port.parse().unwrap() };
    send(&mut link, 1, Lane::Control, Target::Any, find()).await;
    send(&mut link, 2, Lane::Commit, Target::Node(node), heartbeat()).await;
    let mut got = [answer(&mut link).await, answer(&mut link).await];
    got.sort_by_key(|(id, ..)| *id);
    let not_sent = Err(Unanswered::NotSent);
    assert_eq!(got, [(1, not_sent.clone(), false), (2, not_sent, false)]);
}

#[tokio::test]
async fn a_broker_that_is_gone_is_passed_over_if_any_will_do() {
    let broker = Broker::start().await.unwrap();
    let gone = Broker::start().await.unwrap();
    let bootstrap = format!("{},{}", gone.bootstrap(), broker.bootstrap());
    gone.stop().await;
    for _ in 0..4 {
        // The order is drawn, so both orders are met.
        let mut link = link(&bootstrap);
        coordinator(&mut link).await;
    }
}

#[tokio::test]
async fn silence_is_lost_in_time_and_costs_the_connection() {
    let broker = Broker::start().await.unwrap();
    let mut link = link(&broker.bootstrap());
    let to = coordinator(&mut link).await;
    let held = broker.faults().on(Api::Heartbeat).hold();
    let (from, timeout) = (Instant::now(), Duration::from_millis(100));
    send_for(&mut link, 1, Lane::Control, to.clone(), heartbeat(), timeout).await;
    assert_eq!(answer(&mut link).await, (1, Err(Unanswered::Lost), false));
    let took = from.elapsed();
    assert!(took >= timeout && took < timeout * 10, "{took:?}");
    send(&mut link, 2, Lane::Control, to, heartbeat()).await;
    let (id, answered, connected) = answer(&mut link).await;
    assert!(id == 2 && answered.is_ok() && connected, "a new connection");
    held.remove();
}

#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing_is_not_sent_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut link = link(&listener.local_addr().unwrap().to_string());
    let (from, timeout) = (Instant::now(), Duration::from_millis(100));
    send_for(&mut link, 1, Lane::Control, Target::Any, find(), timeout).await;
    assert_eq!(answer(&mut link).await, (1, Err(Unanswered::NotSent), false));
    let took = from.elapsed();
    assert!(took >= timeout && took < timeout * 10, "{took:?}");
}

#[tokio::test]
async fn an_answer_cut_anywhere_is_lost_and_the_next_request_is_answered() {
    let broker = Broker::start().await.unwrap();
    let mut link = link(&broker.bootstrap());
    let to = coordinator(&mut link).await;
    // The answer to a heartbeat has 15 bytes: 4 + 4 + 1 + 4 + 2, and one for tags.
    for (round, cut) in
        [Cut::Before, Cut::After].into_iter().chain((1..16).map(Cut::Within)).enumerate()
    {
        let id = 2 * round as u64;
        let fault = broker.faults().on(Api::Heartbeat).cut(cut);
        send(&mut link, id, Lane::Control, to.clone(), heartbeat()).await;
        let (got, lost, _) = answer(&mut link).await;
        assert_eq!((got, lost), (id, Err(Unanswered::Lost)), "{cut:?}");
        assert_eq!(fault.hits(), 1);
        send(&mut link, id + 1, Lane::Control, to.clone(), heartbeat()).await;
        let (got, answered, connected) = answer(&mut link).await;
        assert!(got == id + 1 && answered.is_ok() && connected, "{cut:?}");
    }
}

/// Whatever byte the connection ends at, there is one answer, and `NotSent` only if the broker
/// did not even see the beginning.
#[tokio::test]
async fn a_connection_cut_at_every_byte_gives_one_answer() {
    for direction in [Direction::ToBroker, Direction::ToClient] {
        let (mut not_sent, mut lost, mut answered) = (0, 0, 0);
        for bytes in (1..520).step_by(3) {
            let broker = Broker::start().await.unwrap();
            broker.faults().cut_after_bytes(direction, bytes);
            let mut link = link(&broker.bootstrap());
            send(&mut link, 1, Lane::Control, Target::Any, find()).await;
            let (id, outcome, _) = answer(&mut link).await;
            assert_eq!(id, 1);
            match outcome {
                Ok(_) => answered += 1,
                Err(Unanswered::Lost) => lost += 1,
                Err(Unanswered::NotSent) => {
                    not_sent += 1;
                    assert_eq!(broker.requests().count(Api::FindCoordinator), 0);
                }
            }
        }
        assert!(not_sent > 0 && lost > 0 && answered > 0, "{not_sent} {lost} {answered}");
    }
}

#[tokio::test]
async fn a_connection_that_the_broker_closed_while_idle_is_replaced() {
    let broker = Broker::start().await.unwrap();
    let mut link = link(&broker.bootstrap());
    let to = coordinator(&mut link).await;
    broker.stop_node(1).await.unwrap();
    broker.restart_node(1).await.unwrap();
    loop {
        // Until the end of the old connection has come, a request over it is lost.
        send(&mut link, 2, Lane::Control, to.clone(), heartbeat()).await;
        if let (2, Ok(_), true) = answer(&mut link).await {
            break;
        }
    }
}

#[tokio::test]
async fn the_timer_is_never_early() {
    let mut link = link("127.0.0.1:1");
    let from = link.now();
    for millis in [0, 1, 3, 20] {
        let at = from + Duration::from_millis(millis);
        poll_fn(|cx| link.poll_timer(cx, at)).await;
        assert!(link.now() >= at);
    }
    let never = poll_fn(|cx| Poll::Ready(link.poll_timer(cx, Time::NEVER))).await;
    assert!(never.is_pending());
    let soon = link.now() + Duration::from_millis(5);
    poll_fn(|cx| link.poll_timer(cx, soon)).await;
    assert!(link.now() >= soon, "the later call replaces the earlier one");
}
