//! One message of any API, to bytes and back.
//!
//! The type of the request names the API, so each function takes it as its parameter:
//! `decode_response::<MetadataRequest>(…)` gives a `MetadataResponse`.

use bytes::Bytes;
use kafka_protocol::protocol::{HeaderVersion, Request};

use crate::{ApiKey, Side, WireError, frame, guard};

/// The frame of a request, length and header included, ready to be written.
///
/// # Errors
///
/// [`WireError::UnknownVersion`]; [`WireError::Unencodable`] if a field is set that the version
/// lacks or a string is too long.
///
/// ```
/// use handover_wire::codec::messages::MetadataRequest;
/// use handover_wire::{RequestHead, FrameLimit, decode_request, encode_request};
///
/// let request = MetadataRequest::default();
/// let mut wire = encode_request(&request, 12, 7, Some("me"))?.into();
/// // … and at the other end:
/// let mut frame = FrameLimit::DEFAULT.split(&mut wire)?.expect("a whole frame");
/// let head = RequestHead::decode(&mut frame)?;
/// assert_eq!((head.version, head.correlation, head.client.as_deref()), (12, 7, Some("me")));
/// assert_eq!(decode_request::<MetadataRequest>(frame, head.version)?, request);
/// # Ok::<(), handover_wire::WireError>(())
/// ```
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation: i32,
    client: Option<&str>,
) -> Result<Bytes, WireError> {
    let at = At::new::<R>(version, Side::Request)?;
    let header = frame::request_header(at.api, version, correlation, client);
    frame::encode((&header, R::header_version(version)), (request, version))
        .map_err(|detail| at.unencodable(detail))
}

/// A request from what [`RequestHead::decode`](crate::RequestHead::decode) left of its frame.
///
/// # Errors
///
/// [`WireError::UnknownVersion`], [`WireError::Malformed`], [`WireError::Trailing`].
pub fn decode_request<R: Request>(body: Bytes, version: i16) -> Result<R, WireError> {
    let at = At::new::<R>(version, Side::Request)?;
    at.whole(body)
}

/// The frame of a response to an `R`, length and header included, ready to be written.
///
/// # Errors
///
/// As for [`encode_request`].
///
/// ```
/// use handover_wire::codec::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
/// use handover_wire::{FrameLimit, decode_response, encode_response};
///
/// let answer = DeleteGroupsResponse::default();
/// let mut wire = encode_response::<DeleteGroupsRequest>(&answer, 2, 7)?.into();
/// // … and at the other end:
/// let frame = FrameLimit::DEFAULT.split(&mut wire)?.expect("a whole frame");
/// assert_eq!(decode_response::<DeleteGroupsRequest>(frame, 2, 7)?, answer);
/// # Ok::<(), handover_wire::WireError>(())
/// ```
pub fn encode_response<R: Request>(
    response: &R::Response,
    version: i16,
    correlation: i32,
) -> Result<Bytes, WireError> {
    let at = At::new::<R>(version, Side::Response)?;
    let header = frame::response_header(correlation);
    let header_version = R::Response::header_version(version);
    frame::encode((&header, header_version), (response, version))
        .map_err(|detail| at.unencodable(detail))
}

/// The response to the `R` that was sent with `version` and `correlation`, from its frame.
///
/// # Errors
///
/// [`WireError::Correlation`] if it answers another request, [`WireError::UnknownVersion`],
/// [`WireError::Malformed`], [`WireError::Trailing`].
pub fn decode_response<R: Request>(
    mut frame: Bytes,
    version: i16,
    correlation: i32,
) -> Result<R::Response, WireError> {
    let at = At::new::<R>(version, Side::Response)?;
    let got = frame::take_response_header(&mut frame, R::Response::header_version(version))
        .map_err(|detail| at.malformed(detail))?;
    if got != correlation {
        return Err(WireError::Correlation { expected: correlation, got });
    }
    at.whole(frame)
}

/// Which message is spoken of, for the errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) side: Side,
}

impl At {
    fn new<R: Request>(version: i16, side: Side) -> Result<At, WireError> {
        let api = ApiKey(R::KEY);
        // Some responses know a version more than their requests: it could never be asked for.
        let (min, max) = (R::VERSIONS.min, R::VERSIONS.max);
        if (min..=max).contains(&version) {
            Ok(At { api, version, side })
        } else {
            Err(WireError::UnknownVersion { api, version, min, max })
        }
    }

    fn whole<M: kafka_protocol::protocol::Decodable>(
        self,
        mut bytes: Bytes,
    ) -> Result<M, WireError> {
        let message =
            guard::decode(&mut bytes, self.version).map_err(|detail| self.malformed(detail))?;
        if bytes.is_empty() {
            return Ok(message);
        }
        let At { api, version, side } = self;
        Err(WireError::Trailing { api, version, side, bytes: bytes.len() })
    }

    pub(crate) fn malformed(self, detail: impl Into<Box<str>>) -> WireError {
        let At { api, version, side } = self;
        WireError::Malformed { api, version, side, detail: detail.into() }
    }

    pub(crate) fn unencodable(self, detail: impl Into<Box<str>>) -> WireError {
        let At { api, version, side } = self;
        WireError::Unencodable { api, version, side, detail: detail.into() }
    }
}
