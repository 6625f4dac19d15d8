//! The client's side: a request to bytes, its answer from bytes.

use bytes::Bytes;
use handover_machine::{Api, Name, Request, Response};
use kafka_protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};

use super::convert::{
    find_coordinator, heartbeat, join_group, leave_group, offset_commit, offset_fetch, sync_group,
};
use crate::message::At;
use crate::{ApiKey, Side, WireError, decode_response, encode_request};

/// A request that was sent: all that is needed to read its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    api: Api,
    version: i16,
    correlation: i32,
    /// The answers to some requests repeat it.
    group: Name,
}

/// The frame of a request of the machine, ready to be written, and what reads its answer.
///
/// # Errors
///
/// [`WireError::UnknownVersion`]; [`WireError::Unencodable`] if the request says something that
/// the version can't, such as an instance id before static membership: no byte was made.
///
/// ```
/// use handover_machine::{FindCoordinator, Request, Response};
/// use handover_wire::{FrameLimit, RequestHead, decode_group_request, encode_group_request};
/// # use handover_machine::{ErrorCode, FoundCoordinator, Node};
///
/// let request = Request::FindCoordinator(FindCoordinator { group: "billing".into() });
/// let (wire, sent) = encode_group_request(&request, 6, 1, Some("me"))?;
///
/// // The broker reads it and answers …
/// let mut frame = FrameLimit::DEFAULT.split(&mut wire.into())?.expect("a whole frame");
/// let head = RequestHead::decode(&mut frame)?;
/// let (requests, reply) = decode_group_request(&head, frame)?;
/// assert_eq!(requests, [request]);
/// let node = Node { id: 1, host: "localhost".into(), port: 9092 };
/// let found = FoundCoordinator { error: ErrorCode::None, node: Some(node) };
/// let answer = Response::FindCoordinator(found);
/// let wire = reply.encode(&[answer.clone()])?;
///
/// // … and the client reads the answer.
/// let frame = FrameLimit::DEFAULT.split(&mut wire.into())?.expect("a whole frame");
/// assert_eq!(sent.decode(frame)?, answer);
/// # Ok::<(), handover_wire::WireError>(())
/// ```
pub fn encode_group_request(
    request: &Request,
    version: i16,
    correlation: i32,
    client: Option<&str>,
) -> Result<(Bytes, Sent), WireError> {
    let api = request.api();
    let at = At { api: ApiKey(api.key()), version, side: Side::Request };
    let refuse = |detail: Box<str>| at.unencodable(detail);
    let (v, c) = (version, correlation);
    let (frame, group) = match request {
        Request::FindCoordinator(find) => {
            (encode_request(&find_coordinator::to_request(find, v), v, c, client), &find.group)
        }
        Request::JoinGroup(join) => {
            (encode_request(&join_group::to_request(join), v, c, client), &join.group)
        }
        Request::SyncGroup(sync) => {
            (encode_request(&sync_group::to_request(sync), v, c, client), &sync.group)
        }
        Request::Heartbeat(beat) => {
            (encode_request(&heartbeat::to_request(beat), v, c, client), &beat.group)
        }
        Request::LeaveGroup(leave) => {
            let wire = leave_group::to_request(leave, v).map_err(refuse)?;
            (encode_request(&wire, v, c, client), &leave.group)
        }
        Request::OffsetCommit(commit) => {
            (encode_request(&offset_commit::to_request(commit), v, c, client), &commit.group)
        }
        Request::OffsetFetch(fetch) => {
            let wire = offset_fetch::to_request(fetch, v).map_err(refuse)?;
            (encode_request(&wire, v, c, client), &fetch.group)
        }
    };
    Ok((frame?, Sent { api, version, correlation, group: group.clone() }))
}

impl Sent {
    /// Which API.
    pub fn api(&self) -> Api {
        self.api
    }

    /// In which version.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// What the answer's frame begins with.
    pub fn correlation(&self) -> i32 {
        self.correlation
    }

    /// The answer, from its frame without the length.
    ///
    /// # Errors
    ///
    /// [`WireError::Correlation`] if it answers another request, [`WireError::Malformed`],
    /// [`WireError::Trailing`]. Whether the request was applied is not known then.
    pub fn decode(&self, frame: Bytes) -> Result<Response, WireError> {
        let (v, c) = (self.version, self.correlation);
        let at = At { api: ApiKey(self.api.key()), version: v, side: Side::Response };
        let refuse = |detail: Box<str>| at.malformed(detail);
        Ok(match self.api {
            Api::FindCoordinator => {
                let wire = decode_response::<FindCoordinatorRequest>(frame, v, c)?;
                let found = find_coordinator::from_response(wire, v, &self.group);
                Response::FindCoordinator(found.map_err(refuse)?)
            }
            Api::JoinGroup => {
                let wire = decode_response::<JoinGroupRequest>(frame, v, c)?;
                Response::JoinGroup(join_group::from_response(wire))
            }
            Api::SyncGroup => {
                let wire = decode_response::<SyncGroupRequest>(frame, v, c)?;
                Response::SyncGroup(sync_group::from_response(wire))
            }
            Api::Heartbeat => {
                let wire = decode_response::<HeartbeatRequest>(frame, v, c)?;
                Response::Heartbeat(heartbeat::from_response(wire))
            }
            Api::LeaveGroup => {
                let wire = decode_response::<LeaveGroupRequest>(frame, v, c)?;
                Response::LeaveGroup(leave_group::from_response(wire))
            }
            Api::OffsetCommit => {
                let wire = decode_response::<OffsetCommitRequest>(frame, v, c)?;
                Response::OffsetCommit(offset_commit::from_response(wire))
            }
            Api::OffsetFetch => {
                let wire = decode_response::<OffsetFetchRequest>(frame, v, c)?;
                let fetched = offset_fetch::from_response(wire, v, &self.group);
                Response::OffsetFetch(fetched.map_err(refuse)?)
            }
        })
    }
}
