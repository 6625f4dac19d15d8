//! The broker's side: requests from bytes, their answers to bytes.
//!
//! Foreign clients are met in every version that the codec knows. A batched FindCoordinator and an
//! OffsetFetch of several groups are several of the machine's requests, answered together.

use bytes::Bytes;
use handover_machine::{
    Api, ErrorCode, FindCoordinator, FoundCoordinator, Name, OffsetFetch, Request, Response,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};

use super::convert::{
    find_coordinator, heartbeat, join_group, leave_group, offset_commit, offset_fetch, sync_group,
};
use crate::message::At;
use crate::{RequestHead, Side, WireError, decode_request, encode_response};

/// What answers the requests of one frame. It knows what the answer has to repeat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    at: At,
    correlation: i32,
    asked: Asked,
}

/// What was asked, as far as the answer repeats it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Asked {
    /// The coordinators of these groups.
    Coordinators(Vec<Name>),
    /// Coordinators that are none of groups: refused without a question.
    OtherCoordinators(Vec<Name>),
    /// These offsets.
    Offsets(Vec<OffsetFetch>),
    /// One request, of which nothing is repeated.
    One(Api),
}

impl Asked {
    fn count(&self) -> usize {
        match self {
            Asked::Coordinators(keys) => keys.len(),
            Asked::OtherCoordinators(_) => 0,
            Asked::Offsets(groups) => groups.len(),
            Asked::One(_) => 1,
        }
    }
}

/// The machine's requests in one frame, from what [`RequestHead::decode`] left of it, and what
/// answers them.
///
/// There is one request, but for FindCoordinator and OffsetFetch, which may hold several or none.
/// A FindCoordinator for something else than a group (a transaction, a share group) holds none:
/// `reply.encode(&[])` refuses it with INVALID_REQUEST.
///
/// # Errors
///
/// [`WireError::UnknownApi`] if the head's API is not one of the group, so that other requests can
/// be tried next; [`WireError::UnknownVersion`], [`WireError::Malformed`],
/// [`WireError::Trailing`].
pub fn decode_group_request(
    head: &RequestHead,
    body: Bytes,
) -> Result<(Vec<Request>, Reply), WireError> {
    let api = Api::ALL.into_iter().find(|api| api.key() == head.api.0);
    let api = api.ok_or(WireError::UnknownApi { api: head.api })?;
    let v = head.version;
    let at = At { api: head.api, version: v, side: Side::Request };
    let one = |request: Request| (vec![request], Asked::One(api));
    let (requests, asked) = match api {
        Api::FindCoordinator => coordinators(decode_request(body, v)?, v),
        Api::JoinGroup => {
            one(Request::JoinGroup(join_group::from_request(decode_request(body, v)?, v)))
        }
        Api::SyncGroup => {
            one(Request::SyncGroup(sync_group::from_request(decode_request(body, v)?)))
        }
        Api::Heartbeat => {
            one(Request::Heartbeat(heartbeat::from_request(decode_request(body, v)?)))
        }
        Api::LeaveGroup => {
            one(Request::LeaveGroup(leave_group::from_request(decode_request(body, v)?, v)))
        }
        Api::OffsetCommit => {
            one(Request::OffsetCommit(offset_commit::from_request(decode_request(body, v)?)))
        }
        Api::OffsetFetch => {
            let groups = offset_fetch::from_request(decode_request(body, v)?, v)
                .map_err(|detail| at.malformed(detail))?;
            let requests = groups.iter().cloned().map(Request::OffsetFetch).collect();
            (requests, Asked::Offsets(groups))
        }
    };
    let at = At { side: Side::Response, ..at };
    Ok((requests, Reply { at, correlation: head.correlation, asked }))
}

fn coordinators(wire: FindCoordinatorRequest, version: i16) -> (Vec<Request>, Asked) {
    let (keys, of_groups) = find_coordinator::from_request(wire, version);
    if !of_groups {
        return (Vec::new(), Asked::OtherCoordinators(keys));
    }
    let find = |group: &Name| Request::FindCoordinator(FindCoordinator { group: group.clone() });
    (keys.iter().map(find).collect(), Asked::Coordinators(keys))
}

impl Reply {
    /// The frame that answers the requests, ready to be written: one answer for each of them, in
    /// their order.
    ///
    /// # Errors
    ///
    /// [`WireError::Unencodable`] if the answers are not of that number or kind, or do not fit
    /// the version.
    pub fn encode(&self, answers: &[Response]) -> Result<Bytes, WireError> {
        let (v, c) = (self.at.version, self.correlation);
        if answers.len() != self.asked.count() {
            let (asked, got) = (self.asked.count(), answers.len());
            return Err(self.at.unencodable(format!("{asked} answers are due, {got} are given")));
        }
        match &self.asked {
            Asked::Coordinators(keys) => {
                let answers = self.each(answers, |answer| match answer {
                    Response::FindCoordinator(found) => Some(found),
                    _ => None,
                })?;
                let wire = find_coordinator::to_response(keys, &answers, v);
                encode_response::<FindCoordinatorRequest>(&wire, v, c)
            }
            Asked::OtherCoordinators(keys) => {
                let refused = FoundCoordinator { error: ErrorCode::InvalidRequest, node: None };
                let wire = find_coordinator::to_response(keys, &vec![&refused; keys.len()], v);
                encode_response::<FindCoordinatorRequest>(&wire, v, c)
            }
            Asked::Offsets(groups) => {
                let answers = self.each(answers, |answer| match answer {
                    Response::OffsetFetch(fetched) => Some(fetched),
                    _ => None,
                })?;
                let wire = offset_fetch::to_response(groups, &answers, v);
                encode_response::<OffsetFetchRequest>(&wire, v, c)
            }
            Asked::One(api) => self.single(*api, &answers[0]),
        }
    }

    fn single(&self, api: Api, answer: &Response) -> Result<Bytes, WireError> {
        let (v, c) = (self.at.version, self.correlation);
        if answer.api() != api {
            return Err(self.of_another(answer));
        }
        match answer {
            Response::JoinGroup(joined) => {
                encode_response::<JoinGroupRequest>(&join_group::to_response(joined, v), v, c)
            }
            Response::SyncGroup(synced) => {
                encode_response::<SyncGroupRequest>(&sync_group::to_response(synced), v, c)
            }
            Response::Heartbeat(error) => {
                encode_response::<HeartbeatRequest>(&heartbeat::to_response(*error), v, c)
            }
            Response::LeaveGroup(left) => {
                encode_response::<LeaveGroupRequest>(&leave_group::to_response(left, v), v, c)
            }
            Response::OffsetCommit(committed) => {
                let wire = offset_commit::to_response(committed);
                encode_response::<OffsetCommitRequest>(&wire, v, c)
            }
            Response::FindCoordinator(_) | Response::OffsetFetch(_) => Err(self.of_another(answer)),
        }
    }

    fn each<'a, T>(
        &self,
        answers: &'a [Response],
        kind: impl Fn(&'a Response) -> Option<&'a T>,
    ) -> Result<Vec<&'a T>, WireError> {
        let of_kind = |answer| kind(answer).ok_or_else(|| self.of_another(answer));
        answers.iter().map(of_kind).collect()
    }

    fn of_another(&self, answer: &Response) -> WireError {
        self.at.unencodable(format!("an answer to {:?} is given", answer.api()))
    }
}
