//! Nodes that stop and come back, brokers that go, and bytes that are no requests.

use handover_broker::{Api, Broker, BrokerError, Record, StartError};
use handover_machine::ErrorCode;
use handover_wire::codec::messages::{ApiVersionsRequest, MetadataRequest};
use tokio::runtime::Handle;

use crate::client::Client;
use crate::members::{commit_of, heartbeat, identity, join};

#[tokio::test]
async fn leaders_and_groups_move_away_from_a_node_that_stops() {
    let broker = Broker::builder().nodes(2).topic("orders", 4).start().await.unwrap();
    let home = broker.coordinator("billing").unwrap();
    let left = 3 - home;
    let mut there = Client::connect_to(&broker, home).await;
    let (member, generation) = join(&mut there, "billing").await;
    for partition in 0..4 {
        broker.produce("orders", partition, [Record::from("a")]).unwrap();
    }
    broker.stop_node(home).await.unwrap();
    assert!(there.read().await.is_none(), "the connection is closed");

    let mut here = Client::connect_to(&broker, left).await;
    let answer = here.call(&MetadataRequest::default().with_topics(None), 13).await;
    assert_eq!(answer.brokers.len(), 1);
    let led = answer.topics[0].partitions.iter().map(|p| (p.leader_id.0, p.leader_epoch));
    let mut led: Vec<_> = led.collect();
    led.sort_unstable();
    assert_eq!(led, [(left, 0), (left, 0), (left, 1), (left, 1)], "an epoch begins with each move");
    assert_eq!(broker.offsets("orders").unwrap(), vec![0..1; 4]);
    let me = identity(&member, generation);
    assert_eq!(heartbeat(&mut here, "billing", me, 4).await, ErrorCode::None);
    assert_eq!(broker.move_coordinator("billing", home), Err(BrokerError::UnknownNode(home)));

    broker.restart_node(home).await.unwrap();
    broker.restart_node(home).await.unwrap();
    assert_eq!(broker.coordinator("billing"), Some(left), "it stays where it went");
    let mut back = Client::connect_to(&broker, home).await;
    back.call(&ApiVersionsRequest::default(), 4).await;
}

#[tokio::test]
async fn what_the_only_node_has_survives_its_restart() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    broker.produce("orders", 0, [Record::from("a"), Record::from("b")]).unwrap();
    let mut client = Client::connect(&broker).await;
    commit_of(&mut client, "billing", identity("", -1), 0, 2).await;
    let (member, generation) = join(&mut client, "billing").await;
    let bootstrap = broker.bootstrap();
    broker.stop_node(1).await.unwrap();
    assert_eq!(broker.coordinator("billing"), None);
    broker.restart_node(1).await.unwrap();
    assert_eq!(broker.bootstrap(), bootstrap);
    assert_eq!(broker.offsets("orders").unwrap()[0], 0..2);
    assert_eq!(broker.committed("billing").len(), 1);
    let mut client = Client::connect(&broker).await;
    let me = identity(&member, generation);
    assert_eq!(heartbeat(&mut client, "billing", me, 4).await, ErrorCode::None);
}

#[tokio::test]
async fn nodes_that_are_not_there() {
    let broker = Broker::start().await.unwrap();
    assert_eq!(broker.stop_node(2).await, Err(BrokerError::UnknownNode(2)));
    assert_eq!(broker.restart_node(0).await, Err(BrokerError::UnknownNode(0)));
    let none = Broker::builder().nodes(0).start().await.unwrap_err();
    assert_eq!(none, StartError::Nodes(0));
    let port = broker.nodes()[0].port;
    let taken = Broker::builder().port(port).start().await.unwrap_err();
    assert!(matches!(taken, StartError::Listen { address, .. } if address.port() == port));
    let twice = Broker::builder().topic("t", 1).topic("t", 1).start().await.unwrap_err();
    assert!(matches!(twice, StartError::Topic(BrokerError::Topic { .. })));
}

/// No task is left, whatever they waited for.
#[tokio::test]
async fn a_broker_that_is_dropped_stops_all_its_tasks() {
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let broker = Broker::builder().nodes(2).topic("orders", 1).start().await.unwrap();
    broker.faults().on(Api::Metadata).hold();
    let mut client = Client::connect(&broker).await;
    client.send(&MetadataRequest::default(), 13).await;
    broker.requested(Api::Metadata, 1).await;
    assert_eq!(metrics.num_alive_tasks(), before + 4, "a clock, two listeners, a connection");
    drop(broker);
    assert!(client.read().await.is_none());
    while metrics.num_alive_tasks() > before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn stopping_waits_for_the_tasks() {
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let broker = Broker::start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    client.call(&ApiVersionsRequest::default(), 4).await;
    broker.stop().await;
    assert_eq!(metrics.num_alive_tasks(), before);
}

#[tokio::test]
async fn garbage_closes_its_connection_and_nothing_else() {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let huge: &[u8] = &[
        0, 0, 0, 26, 0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1,
    ];
    let garbage: [&[u8]; 9] = [
        b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0],
        &[0, 0, 0, 1, 0],
        // An unknown API, a version that is not served, an array of 268 million topics.
        &[0, 0, 0, 8, 0x7f, 0, 0, 0, 0, 0, 0, 1],
        &[0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff],
        huge,
    ];
    for bytes in garbage {
        let mut client = Client::connect(&broker).await;
        client.write(bytes).await;
        assert!(client.read().await.is_none(), "{bytes:02x?}");
    }
    // Every prefix of a good request, and then nothing: the broker waits, and forgets it.
    let mut client = Client::connect(&broker).await;
    client.write(&[0, 0, 0, 30, 0, 3]).await;
    drop(client);
    let mut client = Client::connect(&broker).await;
    client.call(&MetadataRequest::default(), 13).await;
}
