//! Fetch sessions: named once, answered with what changed.

use handover_broker::{Api, Broker, ErrorCode, Record};
use handover_wire::codec::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use handover_wire::codec::messages::{FetchRequest, FetchResponse};

use crate::client::{Client, name};

fn request(session: i32, epoch: i32, asked: &[(i32, i64)]) -> FetchRequest {
    let partition = |&(partition, offset): &(i32, i64)| {
        FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20)
    };
    let topic = FetchTopic::default()
        .with_topic(name("orders"))
        .with_partitions(asked.iter().map(partition).collect());
    FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_session_id(session)
        .with_session_epoch(epoch)
        .with_topics(if asked.is_empty() { Vec::new() } else { vec![topic] })
}

/// Partitions answered for, with how many bytes they bring.
fn answered(answer: &FetchResponse) -> Vec<(i32, bool)> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let brings = partitions.map(|data| {
        (data.partition_index, data.records.as_ref().is_some_and(|records| !records.is_empty()))
    });
    brings.collect()
}

async fn broker() -> Broker {
    Broker::builder().topic("orders", 3).start().await.unwrap()
}

#[tokio::test]
async fn a_session_answers_with_what_changed() {
    for version in [7, 12] {
        let broker = broker().await;
        let mut client = Client::connect(&broker).await;
        let first = client.call(&request(0, 0, &[(0, 0), (1, 0), (2, 0)]), version).await;
        assert_eq!(answered(&first).len(), 3, "the first answer is whole");
        let session = first.session_id;
        assert_ne!(session, 0);
        let quiet = client.call(&request(session, 1, &[]), version).await;
        assert_eq!((quiet.session_id, answered(&quiet)), (session, vec![]));

        let offset = broker.produce("orders", 1, [Record::from("a")]).unwrap();
        let news = client.call(&request(session, 2, &[]), version).await;
        assert_eq!(answered(&news), [(1, true)]);
        // Having read it, the client asks for the next; the partition is told no more.
        let read = client.call(&request(session, 3, &[(1, offset + 1)]), version).await;
        assert_eq!(answered(&read), []);

        let forgotten =
            ForgottenTopic::default().with_topic(name("orders")).with_partitions(vec![2]);
        let forget = request(session, 4, &[]).with_forgotten_topics_data(vec![forgotten]);
        client.call(&forget, version).await;
        broker.produce("orders", 2, [Record::from("b")]).unwrap();
        broker.produce("orders", 0, [Record::from("c")]).unwrap();
        let news = client.call(&request(session, 5, &[]), version).await;
        assert_eq!(answered(&news), [(0, true)]);
        client.call(&request(session, -1, &[]), version).await;
        let ended = client.call(&request(session, 6, &[]), version).await;
        assert_eq!(ended.error_code, 70);
    }
}

#[tokio::test]
async fn a_session_is_held_to_its_epochs_and_its_node() {
    let broker = Broker::builder().nodes(2).topic("orders", 3).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let session = client.call(&request(0, 0, &[(0, 0)]), 12).await.session_id;
    let elsewhere = Client::connect_to(&broker, 2).await.call(&request(session, 1, &[]), 12).await;
    assert_eq!(elsewhere.error_code, 70, "another node's");
    assert_eq!(client.call(&request(session, 2, &[]), 12).await.error_code, 71, "an epoch skipped");
    assert_eq!(client.call(&request(session, 1, &[]), 12).await.error_code, 0);
    broker.stop_node(1).await.unwrap();
    broker.restart_node(1).await.unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(client.call(&request(session, 2, &[]), 12).await.error_code, 70, "gone with it");
}

#[tokio::test]
async fn the_session_that_was_not_used_for_longest_makes_room() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let first = client.call(&request(0, 0, &[(0, 0)]), 12).await.session_id;
    let second = client.call(&request(0, 0, &[(0, 0)]), 12).await.session_id;
    client.call(&request(first, 1, &[]), 12).await;
    for _ in 0..999 {
        client.call(&request(0, 0, &[(0, 0)]), 12).await;
    }
    assert_eq!(client.call(&request(second, 1, &[]), 12).await.error_code, 70);
    assert_eq!(client.call(&request(first, 2, &[]), 12).await.error_code, 0);
}

#[tokio::test]
async fn a_refused_fetch_speaks_of_the_partitions_of_its_session() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let session = client.call(&request(0, 0, &[(0, 0), (1, 0)]), 12).await.session_id;
    broker.faults().on(Api::Fetch).answer(ErrorCode::NotLeaderOrFollower);
    let refused = client.call(&request(session, 1, &[]), 12).await;
    assert_eq!(answered(&refused), [(0, false), (1, false)]);
    assert!(refused.responses[0].partitions.iter().all(|data| data.error_code == 6));
    assert_eq!(client.call(&request(session, 2, &[]), 12).await.error_code, 0, "it goes on");
}
