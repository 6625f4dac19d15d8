//! Each kind of fault, as a client meets it.

use std::time::{Duration, Instant};

use handover_broker::{Api, Broker, Cut, Direction, ErrorCode, TopicPartition};
use handover_wire::codec::messages::ApiVersionsRequest;

use crate::client::Client;
use crate::members::{commit_of, identity};

async fn broker() -> Broker {
    Broker::builder().topic("orders", 1).start().await.unwrap()
}

fn committed(broker: &Broker) -> Option<i64> {
    broker.committed("billing").get(&TopicPartition::new("orders", 0)).map(|mark| mark.offset)
}

/// Commits; `None` if the connection was cut.
async fn commit(client: &mut Client, offset: i64) -> ErrorCode {
    commit_of(client, "billing", identity("", -1), 0, offset).await
}

#[tokio::test]
async fn the_third_is_refused_and_not_applied() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let fault = broker.faults().on(Api::OffsetCommit).nth(3).answer(ErrorCode::NotCoordinator);
    let mut errors = Vec::new();
    for offset in 1..=4 {
        errors.push(commit(&mut client, offset).await);
        if offset == 3 {
            assert_eq!(committed(&broker), Some(2));
        }
    }
    let none = ErrorCode::None;
    assert_eq!(errors, [none, none, ErrorCode::NotCoordinator, none]);
    assert_eq!(fault.hits(), 1);
    fault.hit().await;
}

#[tokio::test]
async fn an_error_may_hide_that_it_was_applied() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let timed_out = ErrorCode::RequestTimedOut;
    broker.faults().on(Api::OffsetCommit).apply_then_answer(timed_out);
    assert_eq!(commit(&mut client, 7).await, timed_out);
    assert_eq!(committed(&broker), Some(7));
}

#[tokio::test]
async fn a_cut_before_applies_nothing_and_a_cut_after_does() {
    for (cut, applied) in [(Cut::Before, None), (Cut::After, Some(7)), (Cut::Within(6), Some(7))] {
        let broker = broker().await;
        let mut client = Client::connect(&broker).await;
        let fault = broker.faults().on(Api::OffsetCommit).cut(cut);
        let request = crate::members::commit_request("billing", identity("", -1), 0, 7);
        assert_eq!(client.try_group(request, 9).await, None, "{cut:?}");
        assert_eq!(committed(&broker), applied, "{cut:?}");
        assert_eq!(fault.hits(), 1);
        let sent = if let Cut::Within(sent) = cut { sent } else { 0 };
        assert_eq!(client.rest().len(), sent, "{cut:?}");
    }
}

#[tokio::test]
async fn a_delay_holds_one_client_and_a_hold_ends_when_told() {
    let broker = broker().await;
    let mut slow = Client::connect(&broker).await.named("slow");
    let mut quick = Client::connect(&broker).await.named("quick");
    let by = Duration::from_millis(50);
    let delay = broker.faults().on(Api::OffsetCommit).client_id("slow").always().delay(by);
    let began = Instant::now();
    assert_eq!(commit(&mut quick, 1).await, ErrorCode::None);
    assert_eq!(delay.hits(), 0, "another client");
    assert_eq!(commit(&mut slow, 2).await, ErrorCode::None);
    assert!(began.elapsed() >= by);
    delay.remove();

    let held = broker.faults().on(Api::OffsetCommit).hold();
    let waiting = tokio::spawn(async move { commit(&mut slow, 3).await });
    held.hit().await;
    assert_eq!(commit(&mut quick, 4).await, ErrorCode::None);
    held.remove();
    assert_eq!(waiting.await.unwrap(), ErrorCode::None);
    assert_eq!(committed(&broker), Some(3), "it came late");
}

#[tokio::test]
async fn predicates_windows_and_clearing() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let faults = broker.faults();
    let refuse = ErrorCode::CoordinatorLoadInProgress;
    let twice = faults.on(Api::OffsetCommit).times(2).answer(refuse);
    assert_eq!(commit(&mut client, 1).await, refuse);
    assert_eq!(commit(&mut client, 2).await, refuse);
    assert_eq!(commit(&mut client, 3).await, ErrorCode::None);
    twice.hit_times(2).await;
    // A predicate may ask the faults themselves.
    let own = faults.clone();
    let any = faults.on_any().always().when(move |request| {
        let _ = &own;
        let first = request.node == 1 && request.connection == 1;
        request.api == Api::OffsetCommit && request.version == 9 && first
    });
    let any = any.answer(refuse);
    assert_eq!(commit(&mut client, 4).await, refuse);
    assert_eq!(any.hits(), 1);
    faults.clear();
    assert_eq!(commit(&mut client, 5).await, ErrorCode::None);
}

/// Whatever the byte, the client sees a closed connection, and what was received in whole was
/// applied.
#[tokio::test]
async fn a_connection_is_cut_at_any_byte() {
    let broker = broker().await;
    let frame = {
        let mut client = Client::connect(&broker).await;
        client.call(&ApiVersionsRequest::default(), 0).await;
        broker.requests().count(Api::ApiVersions)
    };
    assert_eq!(frame, 1);
    let request = || crate::members::commit_request("billing", identity("", -1), 0, 7);
    // The frame of the commit, and of its answer, are longer than this.
    for bytes in 0..40 {
        let fault = broker.faults().cut_after_bytes(Direction::ToBroker, bytes);
        let mut client = Client::connect(&broker).await;
        assert_eq!(client.try_group(request(), 9).await, None, "{bytes} bytes in");
        fault.hit().await;
        assert_eq!(committed(&broker), None);
    }
    for bytes in 0..20 {
        let fault = broker.faults().cut_after_bytes(Direction::ToClient, bytes);
        let mut client = Client::connect(&broker).await;
        assert_eq!(client.try_group(request(), 9).await, None, "{bytes} bytes out");
        fault.hit().await;
        assert_eq!(client.rest().len(), bytes);
        assert_eq!(committed(&broker), Some(7));
    }
}
