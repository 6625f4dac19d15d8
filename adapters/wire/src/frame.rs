//! Frames and headers: what stands before every message.
//!
//! A frame is a 32-bit length and that many bytes; a request begins with its API key, version and
//! correlation id, a response with the correlation id of its request.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use handover_machine::Name;
use kafka_protocol::messages::{ApiKey as Known, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::{ApiKey, Side, WireError, guard};

const LENGTH: usize = 4;

/// The most bytes that a frame may announce, its length not counted (SPEC W1).
///
/// A peer that announces more gets an error before anything is reserved. The default is Kafka's
/// `socket.request.max.bytes`, 100 MiB; a consumer whose fetches may be larger raises it.
///
/// ```
/// use bytes::BytesMut;
/// use handover_wire::{FrameLimit, WireError};
///
/// let mut buffer = BytesMut::from(&b"\0\0\0\x02ab\0\0"[..]);
/// assert_eq!(FrameLimit::DEFAULT.split(&mut buffer)?.as_deref(), Some(&b"ab"[..]));
/// // The next frame is not complete: read more into the buffer.
/// assert_eq!(FrameLimit::DEFAULT.split(&mut buffer)?, None);
///
/// let mut buffer = BytesMut::from(&b"\0\0\0\x02ab"[..]);
/// let refused = FrameLimit::new(1).split(&mut buffer);
/// assert_eq!(refused, Err(WireError::FrameTooLarge { size: 2, limit: 1 }));
/// # Ok::<(), WireError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameLimit(usize);

impl FrameLimit {
    /// 100 MiB.
    pub const DEFAULT: FrameLimit = FrameLimit(100 * 1024 * 1024);

    /// At most `bytes` bytes.
    pub const fn new(bytes: usize) -> FrameLimit {
        FrameLimit(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }

    /// Takes the first frame out of what was read so far, without its length; `None` if it is not
    /// complete. Nothing is reserved, whatever the frame announces: a reader grows the buffer with
    /// what arrives.
    ///
    /// # Errors
    ///
    /// [`WireError::FrameTooLarge`] and [`WireError::FrameNegative`], as soon as the length is
    /// there. The buffer is as it was.
    pub fn split(self, buffer: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
        let Some(size) = self.announced(buffer)? else { return Ok(None) };
        if buffer.len() - LENGTH < size {
            return Ok(None);
        }
        buffer.advance(LENGTH);
        Ok(Some(buffer.split_to(size).freeze()))
    }

    /// How many bytes the frame at the front of `buffer` has behind its length; `None` if not even
    /// the length is complete. For a reader that wants to know how much to wait for.
    ///
    /// # Errors
    ///
    /// As for [`FrameLimit::split`].
    pub fn announced(self, buffer: &[u8]) -> Result<Option<usize>, WireError> {
        let Some(length) = buffer.first_chunk::<LENGTH>() else { return Ok(None) };
        let size = i32::from_be_bytes(*length);
        let size = usize::try_from(size).map_err(|_| WireError::FrameNegative { size })?;
        if size > self.0 {
            return Err(WireError::FrameTooLarge { size, limit: self.0 });
        }
        Ok(Some(size))
    }
}

impl Default for FrameLimit {
    fn default() -> FrameLimit {
        FrameLimit::DEFAULT
    }
}

/// What a request says about itself before its body.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RequestHead {
    /// Which API.
    pub api: ApiKey,
    /// In which version, of the body and of the answer.
    pub version: i16,
    /// What the answer repeats.
    pub correlation: i32,
    /// The `client.id`, which the broker shows in its logs.
    pub client: Option<Name>,
}

impl RequestHead {
    /// Reads the head of a request, which leaves the body in `frame`.
    ///
    /// A version that is not known does not disturb it, so that the broker can say which it knows.
    ///
    /// # Errors
    ///
    /// [`WireError::UnknownApi`], as the head's own version belongs to the API, and
    /// [`WireError::Malformed`].
    pub fn decode(frame: &mut Bytes) -> Result<RequestHead, WireError> {
        let short = |frame: &Bytes| WireError::Malformed {
            api: ApiKey(-1),
            version: -1,
            side: Side::Request,
            detail: format!("the frame has only {} bytes", frame.len()).into(),
        };
        let mut ahead = &frame[..];
        let api = ahead.try_get_i16().map_err(|_| short(frame))?;
        let version = ahead.try_get_i16().map_err(|_| short(frame))?;
        let known =
            Known::try_from(api).map_err(|()| WireError::UnknownApi { api: ApiKey(api) })?;
        let header: RequestHeader =
            guard::decode(frame, known.request_header_version(version)).map_err(|detail| {
                WireError::Malformed { api: ApiKey(api), version, side: Side::Request, detail }
            })?;
        Ok(RequestHead {
            api: ApiKey(api),
            version,
            correlation: header.correlation_id,
            client: header.client_id.map(|client| Name::from(&*client)),
        })
    }
}

/// The correlation id of a response, from its frame; nothing is taken out.
///
/// ```
/// assert_eq!(handover_wire::correlation_of(b"\0\0\0\x07rest"), Some(7));
/// assert_eq!(handover_wire::correlation_of(b"\0\0"), None);
/// ```
pub fn correlation_of(frame: &[u8]) -> Option<i32> {
    frame.first_chunk().map(|id| i32::from_be_bytes(*id))
}

/// The frame of one message behind its header.
pub(crate) fn encode(
    header: (&impl Encodable, i16),
    message: (&impl Encodable, i16),
) -> Result<Bytes, Box<str>> {
    let text = |error: &dyn std::fmt::Display| error.to_string().into_boxed_str();
    let size = header.0.compute_size(header.1).map_err(|error| text(&error))?
        + message.0.compute_size(message.1).map_err(|error| text(&error))?;
    let length = i32::try_from(size).map_err(|error| text(&error))?;
    let mut frame = BytesMut::with_capacity(LENGTH + size);
    frame.put_i32(length);
    header.0.encode(&mut frame, header.1).map_err(|error| text(&error))?;
    message.0.encode(&mut frame, message.1).map_err(|error| text(&error))?;
    debug_assert_eq!(frame.len(), LENGTH + size, "the codec computes sizes as it encodes");
    Ok(frame.freeze())
}

/// The header of a request, for [`encode`].
pub(crate) fn request_header(
    api: ApiKey,
    version: i16,
    correlation: i32,
    client: Option<&str>,
) -> RequestHeader {
    RequestHeader::default()
        .with_request_api_key(api.0)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(client.map(|client| StrBytes::from_string(client.to_owned())))
}

/// The header of a response, for [`encode`].
pub(crate) fn response_header(correlation: i32) -> ResponseHeader {
    ResponseHeader::default().with_correlation_id(correlation)
}

/// Takes the header off a response and gives its correlation id.
pub(crate) fn take_response_header(frame: &mut Bytes, version: i16) -> Result<i32, Box<str>> {
    guard::decode::<ResponseHeader>(frame, version).map(|header| header.correlation_id)
}
