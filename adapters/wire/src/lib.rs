//! Kafka's bytes for handover, in both directions: what a client sends and reads, and what a
//! broker reads and sends.
//!
//! This is the one crate of handover that knows a codec, [`kafka-protocol`](codec). The machine's
//! own requests and responses become bytes here; adapters speak the data APIs (metadata, produce,
//! fetch) through [`codec`] and the four functions [`encode_request`], [`decode_request`],
//! [`encode_response`] and [`decode_response`], so that frames, headers and hostile input are
//! dealt with in one place.

mod error;
mod frame;
mod group;
mod guard;
mod message;
pub mod records;
mod versions;

pub use error::{ApiKey, Side, WireError};
pub use frame::{FrameLimit, RequestHead, correlation_of};
pub use group::{Reply, Sent, decode_group_request, encode_group_request};
pub use message::{decode_request, decode_response, encode_request, encode_response};
pub use versions::{
    API_VERSIONS_FIRST, ApiRange, Negotiated, Offer, SPOKEN, decode_api_versions,
    encode_api_versions, encode_offer,
};

/// The codec, for the sibling adapters alone: they depend on it through this crate, so that its
/// version is chosen once. Not part of the stable interface.
#[doc(hidden)]
pub mod codec {
    pub use kafka_protocol::protocol::StrBytes;
    pub use kafka_protocol::{error, messages, protocol};
    pub use uuid::Uuid;
}
