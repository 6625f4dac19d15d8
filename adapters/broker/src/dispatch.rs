//! From a request's head to its handler and back to bytes.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use handover_machine::{ErrorCode, Name};
use handover_wire::codec::messages as m;
use handover_wire::codec::protocol::Request;
use handover_wire::{RequestHead, WireError, decode_request, encode_response};

use crate::Api;
use crate::cluster::Cluster;
use crate::faults::End;
use crate::handlers::{group, versions};

/// Where a request came from.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) cluster: Arc<Cluster>,
    /// The node that received it.
    pub(crate) node: i32,
    /// The client's address, in Java's spelling.
    pub(crate) host: Name,
    /// What the client calls itself; empty if it does not.
    pub(crate) client: Name,
    pub(crate) version: i16,
}

/// How an API is served.
pub(crate) trait Serve: Request + Send {
    /// The answer. A handler that waits holds its connection, and nothing else.
    fn serve(self, cx: &Context) -> impl Future<Output = Self::Response> + Send;

    /// The answer that applies nothing and says `error` wherever this API puts errors.
    fn refuse(&self, error: ErrorCode, cx: &Context) -> Self::Response;

    /// Whether the client wants no answer.
    fn is_silent(&self) -> bool {
        false
    }
}

/// Why a request gets no answer although it wants one.
#[derive(Debug)]
pub(crate) enum Close {
    /// The connection's bytes are of no use.
    Wire(WireError),
    /// The coordinator will never answer, as Kafka's does not in the same place (SPEC Y4).
    Lost,
}

impl From<WireError> for Close {
    fn from(error: WireError) -> Close {
        Close::Wire(error)
    }
}

/// Serves one request; `None` if it wants no answer.
pub(crate) async fn answer(
    cx: &Context,
    api: Api,
    head: &RequestHead,
    body: Bytes,
    end: Option<End>,
) -> Result<Option<Bytes>, Close> {
    match api {
        Api::ApiVersions => Ok(Some(versions::serve(head, body, end)?)),
        Api::Metadata => one::<m::MetadataRequest>(cx, head, body, end).await,
        Api::DescribeCluster => one::<m::DescribeClusterRequest>(cx, head, body, end).await,
        Api::CreateTopics => one::<m::CreateTopicsRequest>(cx, head, body, end).await,
        Api::DeleteTopics => one::<m::DeleteTopicsRequest>(cx, head, body, end).await,
        Api::CreatePartitions => one::<m::CreatePartitionsRequest>(cx, head, body, end).await,
        Api::DescribeConfigs => one::<m::DescribeConfigsRequest>(cx, head, body, end).await,
        Api::Produce => one::<m::ProduceRequest>(cx, head, body, end).await,
        Api::InitProducerId => one::<m::InitProducerIdRequest>(cx, head, body, end).await,
        Api::Fetch => one::<m::FetchRequest>(cx, head, body, end).await,
        Api::ListOffsets => one::<m::ListOffsetsRequest>(cx, head, body, end).await,
        Api::OffsetForLeaderEpoch => {
            one::<m::OffsetForLeaderEpochRequest>(cx, head, body, end).await
        }
        Api::DescribeGroups => one::<m::DescribeGroupsRequest>(cx, head, body, end).await,
        Api::ListGroups => one::<m::ListGroupsRequest>(cx, head, body, end).await,
        Api::DeleteGroups => one::<m::DeleteGroupsRequest>(cx, head, body, end).await,
        Api::OffsetDelete => one::<m::OffsetDeleteRequest>(cx, head, body, end).await,
        Api::FindCoordinator
        | Api::JoinGroup
        | Api::SyncGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::OffsetCommit
        | Api::OffsetFetch => group::serve(cx, head, body, end).await.map(Some),
    }
}

async fn one<R: Serve>(
    cx: &Context,
    head: &RequestHead,
    body: Bytes,
    end: Option<End>,
) -> Result<Option<Bytes>, Close> {
    let request: R = decode_request(body, head.version)?;
    let silent = request.is_silent();
    let response = match end {
        Some(End::Refuse(error)) => request.refuse(error, cx),
        Some(End::ApplyThenRefuse(error)) => {
            let refused = request.refuse(error, cx);
            request.serve(cx).await;
            refused
        }
        Some(End::Cut(_)) | None => request.serve(cx).await,
    };
    if silent {
        return Ok(None);
    }
    Ok(Some(encode_response::<R>(&response, head.version, head.correlation)?))
}
