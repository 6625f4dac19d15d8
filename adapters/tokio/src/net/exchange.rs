//! What a connection needs to know of a request: its bytes, its answer's bytes, and whether the
//! answer asks for a pause.

use std::time::Duration;

use bytes::Bytes;
use handover_core::machine::{self, Api};
use handover_wire::codec::messages::{
    self, CreateTopicsResponse, DeleteTopicsResponse, FetchResponse, InitProducerIdResponse,
    ListOffsetsResponse, MetadataResponse, OffsetForLeaderEpochResponse, ProduceResponse,
};
use handover_wire::codec::protocol::Request;
use handover_wire::{
    ApiKey, Negotiated, Sent, WireError, decode_response, encode_group_request, encode_request,
};

/// A request and the reading of its answer.
pub(crate) trait Exchange {
    /// What the broker answers.
    type Answer: Send + 'static;
    /// What the reading of the answer needs to know of the request.
    type Sent: Send + 'static;

    /// Which API it is of.
    fn api(&self) -> ApiKey;

    /// The frame to write.
    fn encode(&self, version: i16, id: i32, client: &str)
    -> Result<(Bytes, Self::Sent), WireError>;

    /// The answer in a frame, and the pause that the broker asks for (KIP-219).
    fn decode(sent: Self::Sent, frame: Bytes) -> Result<(Self::Answer, Duration), WireError>;

    /// The version to use.
    fn version(&self, versions: &Negotiated) -> Result<i16, WireError> {
        let api = self.api();
        versions.version(api).ok_or(WireError::NotOffered { api })
    }
}

impl<R: Request<Response: Throttle + Send + 'static>> Exchange for R {
    type Answer = R::Response;
    /// Version and correlation id.
    type Sent = (i16, i32);

    fn api(&self) -> ApiKey {
        ApiKey(R::KEY)
    }

    fn encode(
        &self,
        version: i16,
        id: i32,
        client: &str,
    ) -> Result<(Bytes, (i16, i32)), WireError> {
        Ok((encode_request(self, version, id, Some(client))?, (version, id)))
    }

    fn decode(
        (version, id): (i16, i32),
        frame: Bytes,
    ) -> Result<(R::Response, Duration), WireError> {
        let answer = decode_response::<R>(frame, version, id)?;
        let throttle = pause(answer.throttle_ms());
        Ok((answer, throttle))
    }
}

/// A request in a version that is not higher than this one.
#[derive(Debug)]
pub(crate) struct AtMost<R>(pub(crate) i16, pub(crate) R);

impl<R: Exchange> Exchange for AtMost<R> {
    type Answer = R::Answer;
    type Sent = R::Sent;

    fn api(&self) -> ApiKey {
        self.1.api()
    }

    fn encode(&self, version: i16, id: i32, client: &str) -> Result<(Bytes, R::Sent), WireError> {
        self.1.encode(version, id, client)
    }

    fn decode(sent: R::Sent, frame: Bytes) -> Result<(R::Answer, Duration), WireError> {
        R::decode(sent, frame)
    }

    fn version(&self, versions: &Negotiated) -> Result<i16, WireError> {
        Ok(self.1.version(versions)?.min(self.0))
    }
}

/// A request of a group member.
#[derive(Debug)]
pub(crate) struct Group(pub(crate) machine::Request);

impl Exchange for Group {
    type Answer = machine::Response;
    type Sent = Sent;

    fn api(&self) -> ApiKey {
        ApiKey(self.0.api().key())
    }

    fn encode(&self, version: i16, id: i32, client: &str) -> Result<(Bytes, Sent), WireError> {
        encode_group_request(&self.0, version, id, Some(client))
    }

    fn decode(sent: Sent, frame: Bytes) -> Result<(machine::Response, Duration), WireError> {
        let throttle = group_throttle(&sent, &frame);
        Ok((sent.decode(frame)?, throttle))
    }
}

/// The machine's answers do not speak of throttling. In every group API that has the field it is
/// the first one.
fn group_throttle(sent: &Sent, frame: &[u8]) -> Duration {
    let since = match sent.api() {
        Api::OffsetCommit | Api::OffsetFetch => 3,
        Api::JoinGroup => 2,
        Api::FindCoordinator | Api::SyncGroup | Api::Heartbeat | Api::LeaveGroup => 1,
    };
    let Ok(known) = messages::ApiKey::try_from(sent.api().key()) else { return Duration::ZERO };
    let header = match (known.response_header_version(sent.version()), frame.get(4)) {
        (0, _) => 4,
        (_, Some(0)) => 5,
        // Tagged fields in the header: nobody sends them, and a pause missed does no harm.
        _ => return Duration::ZERO,
    };
    let field = frame.get(header..).and_then(|body| body.first_chunk());
    let throttle = field.filter(|_| sent.version() >= since).map(|ms| i32::from_be_bytes(*ms));
    throttle.map_or(Duration::ZERO, pause)
}

/// The pause that an answer asks for; a negative one is none.
fn pause(throttle_ms: i32) -> Duration {
    Duration::from_millis(throttle_ms.max(0).unsigned_abs().into())
}

/// The field that nearly every answer has, each its own.
pub(crate) trait Throttle {
    fn throttle_ms(&self) -> i32;
}

macro_rules! throttle {
    ($($answer:ty),* $(,)?) => {
        $(impl Throttle for $answer {
            fn throttle_ms(&self) -> i32 {
                self.throttle_time_ms
            }
        })*
    };
}

throttle!(
    CreateTopicsResponse,
    DeleteTopicsResponse,
    FetchResponse,
    InitProducerIdResponse,
    ListOffsetsResponse,
    MetadataResponse,
    OffsetForLeaderEpochResponse,
    ProduceResponse,
);

#[cfg(test)]
mod tests {
    use handover_core::machine::{FindCoordinator, Heartbeat, Identity, OffsetFetch};
    use handover_wire::codec::messages::{
        FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
        OffsetFetchRequest, OffsetFetchResponse,
    };
    use handover_wire::encode_response;

    use super::*;

    const ASKED: i32 = 1234;

    /// What is read of an answer in `version` that asks for a pause wherever it can.
    fn throttle<R: Request>(request: machine::Request, version: i16, answer: R::Response) -> u128 {
        let (_, sent) = Group(request).encode(version, 9, "me").unwrap();
        let frame = encode_response::<R>(&answer, version, 9).unwrap().slice(4..);
        group_throttle(&sent, &frame).as_millis()
    }

    #[test]
    fn a_group_answer_asks_for_a_pause_in_each_version_that_can() {
        let group = machine::Name::from("g");
        let identity = Identity { member: "m".into(), generation: 1, instance: None };
        let heartbeat = Heartbeat { group: group.clone(), identity };
        let find = FindCoordinator { group: group.clone() };
        let fetch = OffsetFetch { group, partitions: Some(Vec::new()), require_stable: false };
        for version in 0..=4 {
            let asked = if version < 1 { 0 } else { ASKED };
            let answer = HeartbeatResponse::default().with_throttle_time_ms(asked);
            let request = machine::Request::Heartbeat(heartbeat.clone());
            let read = throttle::<HeartbeatRequest>(request, version, answer);
            assert_eq!(read, asked as u128, "Heartbeat {version}");
        }
        for version in 0..=6 {
            let asked = if version < 1 { 0 } else { ASKED };
            let answer = FindCoordinatorResponse::default().with_throttle_time_ms(asked);
            let request = machine::Request::FindCoordinator(find.clone());
            let read = throttle::<FindCoordinatorRequest>(request, version, answer);
            assert_eq!(read, asked as u128, "FindCoordinator {version}");
        }
        for version in 1..=9 {
            let asked = if version < 3 { 0 } else { ASKED };
            let answer = OffsetFetchResponse::default().with_throttle_time_ms(asked);
            let request = machine::Request::OffsetFetch(fetch.clone());
            let read = throttle::<OffsetFetchRequest>(request, version, answer);
            assert_eq!(read, asked as u128, "OffsetFetch {version}");
        }
    }

    #[test]
    fn a_short_answer_or_a_negative_pause_asks_for_none() {
        let identity = Identity { member: "m".into(), generation: 1, instance: None };
        let request = Heartbeat { group: "g".into(), identity };
        let request = machine::Request::Heartbeat(request);
        let (_, sent) = Group(request.clone()).encode(4, 9, "me").unwrap();
        for length in 0..9 {
            assert_eq!(group_throttle(&sent, &[0; 9][..length]), Duration::ZERO);
        }
        let answer = HeartbeatResponse::default().with_throttle_time_ms(-5);
        assert_eq!(throttle::<HeartbeatRequest>(request, 4, answer), 0);
    }
}
