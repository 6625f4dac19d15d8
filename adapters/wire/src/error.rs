//! What can be wrong with bytes, or with a message that is to become bytes.

use core::fmt;

/// Names an API by its key on the wire; shows its Kafka name where it has one.
///
/// ```
/// use handover_wire::ApiKey;
/// assert_eq!(ApiKey(11).to_string(), "JoinGroup (11)");
/// assert_eq!(ApiKey(-7).to_string(), "unknown API (-7)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKey(pub i16);

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kafka_protocol::messages::ApiKey::try_from(self.0) {
            Ok(known) => write!(f, "{known:?} ({})", self.0),
            Err(()) => write!(f, "unknown API ({})", self.0),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A request or a response.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// From the client to the broker.
    Request,
    /// From the broker to the client.
    Response,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Request => "request",
            Side::Response => "response",
        })
    }
}

/// Why bytes are not the message that was expected, or a message has no bytes.
///
/// After any of these on a connection its stream is of no more use: close it.
///
/// ```
/// use handover_wire::WireError;
/// let error = WireError::FrameTooLarge { size: 300, limit: 200 };
/// assert!(error.to_string().contains("300 bytes"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WireError {
    /// A frame announces more bytes than the limit allows.
    FrameTooLarge {
        /// How many it announces.
        size: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A frame announces a negative number of bytes.
    FrameNegative {
        /// The number.
        size: i32,
    },
    /// A request names an API that this crate does not know, so its header can't be read.
    UnknownApi {
        /// The key that came.
        api: ApiKey,
    },
    /// The codec does not know this version of the API.
    UnknownVersion {
        /// Which API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
        /// The lowest version known.
        min: i16,
        /// The highest version known.
        max: i16,
    },
    /// The two sides have no version of this API in common.
    NotOffered {
        /// Which API.
        api: ApiKey,
    },
    /// An answer belongs to another request.
    Correlation {
        /// The id of the request that waits.
        expected: i32,
        /// The id that came.
        got: i32,
    },
    /// The bytes do not follow the API's schema.
    Malformed {
        /// Which API.
        api: ApiKey,
        /// In which version.
        version: i16,
        /// Whether a request or a response was expected.
        side: Side,
        /// What was expected and what came.
        detail: Box<str>,
    },
    /// Bytes are left behind the end of the message.
    Trailing {
        /// Which API.
        api: ApiKey,
        /// In which version.
        version: i16,
        /// Whether a request or a response was expected.
        side: Side,
        /// How many are left.
        bytes: usize,
    },
    /// The message can't be expressed in this version.
    Unencodable {
        /// Which API.
        api: ApiKey,
        /// In which version.
        version: i16,
        /// Whether it is a request or a response.
        side: Side,
        /// What does not fit.
        detail: Box<str>,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::FrameTooLarge { size, limit } => write!(
                f,
                "expected a frame of at most {limit} bytes, but {size} bytes are announced: raise \
                 the frame limit, or see whether the peer speaks Kafka's protocol (and not TLS)"
            ),
            WireError::FrameNegative { size } => write!(
                f,
                "expected the length of a frame, but {size} came: the peer does not speak Kafka's \
                 protocol"
            ),
            WireError::UnknownApi { api } => write!(
                f,
                "expected a request of a known API, but the {api} came: ask for the offered APIs \
                 with ApiVersions"
            ),
            WireError::UnknownVersion { api, version, min, max } => write!(
                f,
                "expected a version of {api} from {min} to {max}, but {version} is asked for: \
                 negotiate with ApiVersions"
            ),
            WireError::NotOffered { api } => write!(
                f,
                "expected the broker to offer a version of {api} that is known here, but it does \
                 not: it is too old, too new or no broker"
            ),
            WireError::Correlation { expected, got } => write!(
                f,
                "expected the answer to request {expected}, but that to request {got} came: close \
                 the connection"
            ),
            WireError::Malformed { api, version, side, detail } => {
                write!(f, "expected a {api} {side} of version {version}, but {detail}")
            }
            WireError::Trailing { api, version, side, bytes } => write!(
                f,
                "expected the end of a {api} {side} of version {version}, but {bytes} more bytes \
                 came"
            ),
            WireError::Unencodable { api, version, side, detail } => {
                write!(f, "a {api} {side} cannot be sent in version {version}: {detail}")
            }
        }
    }
}

impl std::error::Error for WireError {}
