//! What a connection needs to know of a request: its bytes, its answer's bytes, and whether the
//! answer asks for a pause.

use std::time::Duration;

use bytes::Bytes;
use handover_wire::codec::messages::{
    CreateTopicsResponse, DeleteTopicsResponse, FetchResponse, InitProducerIdResponse,
    ListOffsetsResponse, MetadataResponse, OffsetForLeaderEpochResponse, ProduceResponse,
};
use handover_wire::codec::protocol::Request;
use handover_wire::{ApiKey, Negotiated, WireError, decode_response, encode_request};

/// A request and the reading of its answer.
pub(crate) trait Exchange: 'static {
    /// What the broker answers.
    type Answer: Send + 'static;

    /// Which API it is of.
    fn api(&self) -> ApiKey;

    /// The frame to write.
    fn encode(&self, version: i16, id: i32, client: &str) -> Result<Bytes, WireError>;

    /// The answer in a frame, and the pause that the broker asks for (KIP-219).
    fn decode(
        api: ApiKey,
        version: i16,
        id: i32,
        frame: Bytes,
    ) -> Result<(Self::Answer, Duration), WireError>;

    /// The version to use.
    fn version(&self, versions: &Negotiated) -> Result<i16, WireError> {
        let api = self.api();
        versions.version(api).ok_or(WireError::NotOffered { api })
    }
}

impl<R: Request<Response: Throttle + Send + 'static> + 'static> Exchange for R {
    type Answer = R::Response;

    fn api(&self) -> ApiKey {
        ApiKey(R::KEY)
    }

    fn encode(&self, version: i16, id: i32, client: &str) -> Result<Bytes, WireError> {
        encode_request(self, version, id, Some(client))
    }

    fn decode(
        _: ApiKey,
        version: i16,
        id: i32,
        frame: Bytes,
    ) -> Result<(R::Response, Duration), WireError> {
        let answer = decode_response::<R>(frame, version, id)?;
        let throttle = pause(answer.throttle_ms());
        Ok((answer, throttle))
    }
}

/// The pause that an answer asks for; a negative one is none.
pub(crate) fn pause(throttle_ms: i32) -> Duration {
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
