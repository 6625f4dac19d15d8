//! The group APIs: bytes to the machine's requests, and the coordinator's answers to bytes.

use std::collections::HashMap;

use bytes::Bytes;
use handover_machine::{
    ErrorCode, FoundCoordinator, OffsetCommit, OffsetCommitted, OffsetToCommit, Request, Response,
};
use handover_wire::{RequestHead, decode_group_request};
use handover_world::Client;

use crate::dispatch::{Close, Context};
use crate::faults::End;
use crate::groups::refuse;

pub(crate) async fn serve(
    cx: &Context,
    head: &RequestHead,
    body: Bytes,
    end: Option<End>,
) -> Result<Bytes, Close> {
    let (requests, reply) = decode_group_request(head, body)?;
    let mut answers = Vec::with_capacity(requests.len());
    // Only FindCoordinator and OffsetFetch ask for several groups at once, and they never wait.
    for request in requests {
        answers.push(match end {
            Some(End::Refuse(error)) => refuse(&request, error),
            Some(End::ApplyThenRefuse(error)) => {
                let refused = refuse(&request, error);
                handle(cx, request).await?;
                refused
            }
            Some(End::Cut(_)) | None => handle(cx, request).await?,
        });
    }
    Ok(reply.encode(&answers)?)
}

async fn handle(cx: &Context, request: Request) -> Result<Response, Close> {
    match request {
        Request::FindCoordinator(request) => {
            Ok(Response::FindCoordinator(find_coordinator(cx, &request.group)))
        }
        Request::OffsetCommit(request) => Ok(Response::OffsetCommit(commit(cx, request).await?)),
        other => coordinate(cx, other).await,
    }
}

fn find_coordinator(cx: &Context, group: &str) -> FoundCoordinator {
    let none = |error| FoundCoordinator { error, node: None };
    if group.is_empty() {
        return none(ErrorCode::InvalidGroupId);
    }
    let state = cx.cluster.lock();
    match state.groups.node_of(group, &state.live()).and_then(|id| state.node(id)) {
        Some(node) => {
            FoundCoordinator { error: ErrorCode::None, node: Some(cx.cluster.announce(node)) }
        }
        None => none(ErrorCode::CoordinatorNotAvailable),
    }
}

/// Partitions that do not exist are refused before the coordinator sees the request, which then
/// is without them (`KafkaApis.handleOffsetCommitRequest`).
async fn commit(cx: &Context, request: OffsetCommit) -> Result<OffsetCommitted, Close> {
    let exists = |offset: &OffsetToCommit| {
        let at = &offset.partition;
        cx.cluster.lock().topics.partition(&at.topic, at.partition).is_some()
    };
    let asked: Vec<_> = request.offsets.iter().map(|offset| offset.partition.clone()).collect();
    let known: Vec<_> = request.offsets.into_iter().filter(exists).collect();
    if known.is_empty() && !asked.is_empty() {
        let unknown = |partition| (partition, ErrorCode::UnknownTopicOrPartition);
        return Ok(OffsetCommitted { partitions: asked.into_iter().map(unknown).collect() });
    }
    let commit = Request::OffsetCommit(OffsetCommit { offsets: known, ..request });
    let Response::OffsetCommit(answer) = coordinate(cx, commit).await? else {
        return Err(Close::Lost);
    };
    let errors: HashMap<_, _> = answer.partitions.into_iter().collect();
    let error = |partition: &_| {
        errors.get(partition).copied().unwrap_or(ErrorCode::UnknownTopicOrPartition)
    };
    let partitions = asked.into_iter().map(|partition| (partition.clone(), error(&partition)));
    Ok(OffsetCommitted { partitions: partitions.collect() })
}

async fn coordinate(cx: &Context, request: Request) -> Result<Response, Close> {
    let client = Client { id: cx.client.clone(), host: cx.host.clone(), version: cx.version };
    let answer = {
        let mut state = cx.cluster.lock();
        let live = state.live();
        state.groups.handle(cx.cluster.now(), (cx.node, &live), &client, request)
    };
    cx.cluster.rearm.notify_one();
    answer.await.map_err(|_| Close::Lost)
}
