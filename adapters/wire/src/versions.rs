//! Which versions are spoken: the ApiVersions exchange (KIP-35, KIP-511).

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use handover_machine::{Api, ErrorCode, Versions};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Request, StrBytes};

use crate::{ApiKey, WireError, decode_response, encode_request, encode_response};

/// The versions of one API that somebody speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ApiRange {
    /// Which API.
    pub api: ApiKey,
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

impl ApiRange {
    const fn new(key: i16, min: i16, max: i16) -> ApiRange {
        ApiRange { api: ApiKey(key), min, max }
    }
}

/// What a client built on this crate can speak: all that its codec knows of each API, which is
/// what Apache Kafka 4.1 defines (SPEC W3). A client that uses less passes its own table to
/// [`Negotiated::new`].
pub const SPOKEN: &[ApiRange] = &[
    ApiRange::new(0, 3, 13), // Produce
    ApiRange::new(1, 4, 18), // Fetch
    ApiRange::new(2, 1, 10), // ListOffsets
    ApiRange::new(3, 0, 13), // Metadata
    ApiRange::new(8, 2, 9),  // OffsetCommit; 10 names topics by id
    ApiRange::new(9, 1, 9),  // OffsetFetch; 10 names topics by id
    ApiRange::new(10, 0, 6), // FindCoordinator
    ApiRange::new(11, 0, 9), // JoinGroup
    ApiRange::new(12, 0, 4), // Heartbeat
    ApiRange::new(13, 0, 5), // LeaveGroup
    ApiRange::new(14, 0, 5), // SyncGroup
    ApiRange::new(15, 0, 6), // DescribeGroups
    ApiRange::new(16, 0, 5), // ListGroups
    ApiRange::new(17, 0, 1), // SaslHandshake
    ApiRange::new(18, 0, 4), // ApiVersions
    ApiRange::new(19, 2, 7), // CreateTopics
    ApiRange::new(20, 1, 6), // DeleteTopics
    ApiRange::new(22, 0, 5), // InitProducerId
    ApiRange::new(23, 2, 4), // OffsetForLeaderEpoch
    ApiRange::new(32, 1, 4), // DescribeConfigs
    ApiRange::new(36, 0, 2), // SaslAuthenticate
    ApiRange::new(37, 0, 3), // CreatePartitions
    ApiRange::new(42, 0, 2), // DeleteGroups
    ApiRange::new(47, 0, 0), // OffsetDelete
    ApiRange::new(60, 0, 2), // DescribeCluster
];

/// The version of each API that both sides of a connection speak.
///
/// ```
/// use handover_machine::Api;
/// use handover_wire::{ApiKey, ApiRange, Negotiated, SPOKEN};
///
/// let offered = [ApiRange { api: ApiKey(11), min: 2, max: 7 }];
/// let negotiated = Negotiated::new(SPOKEN, &offered);
/// assert_eq!(negotiated.version(ApiKey(11)), Some(7));
/// assert_eq!(negotiated.version(ApiKey(0)), None);
/// assert_eq!(negotiated.group().0.get(&Api::JoinGroup), Some(&7));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Negotiated(BTreeMap<ApiKey, i16>);

impl Negotiated {
    /// The highest version of each API that is in both tables.
    pub fn new(spoken: &[ApiRange], offered: &[ApiRange]) -> Negotiated {
        let highest = |ours: &ApiRange| {
            let theirs = offered.iter().find(|theirs| theirs.api == ours.api)?;
            let max = ours.max.min(theirs.max);
            (max >= ours.min.max(theirs.min)).then_some((ours.api, max))
        };
        Negotiated(spoken.iter().filter_map(highest).collect())
    }

    /// The version to use for an API; `None` if there is none.
    pub fn version(&self, api: ApiKey) -> Option<i16> {
        self.0.get(&api).copied()
    }

    /// The version to use for requests of type `R`.
    ///
    /// # Errors
    ///
    /// [`WireError::NotOffered`] if there is none.
    pub fn version_of<R: Request>(&self) -> Result<i16, WireError> {
        let api = ApiKey(R::KEY);
        self.version(api).ok_or(WireError::NotOffered { api })
    }

    /// The versions of the group APIs, as the machine wants to know them.
    pub fn group(&self) -> Versions {
        let version = |api: Api| Some((api, self.version(ApiKey(api.key()))?));
        Versions(Api::ALL.into_iter().filter_map(version).collect())
    }
}

/// The first version of ApiVersions to ask with.
pub const API_VERSIONS_FIRST: i16 = 4;

/// The frame of an ApiVersions request. `software` is the client's name and version, which the
/// broker counts; Kafka takes letters, digits, `-` and `.` in them, not at the ends.
///
/// # Errors
///
/// As for [`encode_request`].
pub fn encode_api_versions(
    version: i16,
    correlation: i32,
    client: Option<&str>,
    software: (&str, &str),
) -> Result<Bytes, WireError> {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text(software.0))
        .with_client_software_version(text(software.1));
    encode_request(&request, version, correlation, client)
}

/// What a broker says to an ApiVersions request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Offer {
    /// The versions that it offers.
    Versions(Vec<ApiRange>),
    /// It does not know the version that was asked with: ask again with this one, on the same
    /// connection.
    AskWith(i16),
    /// It refuses.
    Refused(ErrorCode),
}

/// Reads the answer to an ApiVersions request that was sent with `version`.
///
/// A broker that does not know the version answers as if it were 0, with UNSUPPORTED_VERSION and,
/// since Kafka 2.4, the versions that it knows of this one API (KIP-511).
///
/// # Errors
///
/// As for [`decode_response`].
pub fn decode_api_versions(
    frame: Bytes,
    version: i16,
    correlation: i32,
) -> Result<Offer, WireError> {
    // Header and error code stand at the same place in all versions: this header is always 0.
    let error = frame.get(4..).and_then(|mut body| body.try_get_i16().ok());
    let unsupported = error == Some(ErrorCode::UnsupportedVersion.code());
    let read_as = if unsupported { 0 } else { version };
    let answer = decode_response::<ApiVersionsRequest>(frame, read_as, correlation)?;
    let offered = answer.api_keys.iter().map(|range| ApiRange {
        api: ApiKey(range.api_key),
        min: range.min_version,
        max: range.max_version,
    });
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => Ok(Offer::Versions(offered.collect())),
        ErrorCode::UnsupportedVersion if version > 0 => Ok(Offer::AskWith(
            // Never the same again: a broker that contradicts itself must not keep us asking.
            offered
                .filter(|range| range.api.0 == ApiVersionsRequest::KEY)
                .map(|range| range.max.clamp(0, version - 1))
                .next()
                .unwrap_or(0),
        )),
        error => Ok(Offer::Refused(error)),
    }
}

/// The frame of a broker's answer to an ApiVersions request. A version that is not known is
/// answered as version 0 with UNSUPPORTED_VERSION and the range of ApiVersions in `offered`
/// (Kafka's `ApiVersionsRequest.getErrorResponse`).
///
/// # Errors
///
/// As for [`encode_response`].
pub fn encode_offer(
    offered: &[ApiRange],
    version: i16,
    correlation: i32,
) -> Result<Bytes, WireError> {
    let own = offered.iter().find(|range| range.api.0 == ApiVersionsRequest::KEY);
    let known = own.is_some_and(|own| (own.min..=own.max).contains(&version));
    let (version, listed, error) = if known {
        (version, offered, ErrorCode::None)
    } else {
        (0, own.map_or(&[][..], std::slice::from_ref), ErrorCode::UnsupportedVersion)
    };
    let api = |range: &ApiRange| {
        ApiVersion::default()
            .with_api_key(range.api.0)
            .with_min_version(range.min)
            .with_max_version(range.max)
    };
    let answer = ApiVersionsResponse::default()
        .with_error_code(error.code())
        .with_api_keys(listed.iter().map(api).collect());
    encode_response::<ApiVersionsRequest>(&answer, version, correlation)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::ApiKey as Known;

    use super::*;
    use crate::{FrameLimit, RequestHead, decode_request};

    fn frame(wire: Bytes) -> Bytes {
        FrameLimit::DEFAULT.split(&mut BytesMut::from(wire)).unwrap().unwrap()
    }

    #[test]
    fn the_table_is_what_the_codec_knows_of_requests() {
        for spoken in SPOKEN {
            let known = Known::try_from(spoken.api.0).unwrap().valid_versions();
            assert_eq!(spoken.min, known.min, "{}", spoken.api);
            // Of these the codec knows the next response, but not the request.
            let ahead = matches!(spoken.api.0, 8 | 9 | 22);
            assert_eq!(spoken.max + i16::from(ahead), known.max, "{}", spoken.api);
        }
    }

    #[test]
    fn each_side_of_the_exchange_reads_the_other_in_every_version() {
        for version in 0..=API_VERSIONS_FIRST {
            let wire = encode_api_versions(version, 5, Some("me"), ("handover", "0.1.0")).unwrap();
            let mut frame_in = frame(wire);
            let head = RequestHead::decode(&mut frame_in).unwrap();
            assert_eq!((head.api, head.version), (ApiKey(18), version));
            let request: ApiVersionsRequest = decode_request(frame_in, version).unwrap();
            let named = if version >= 3 { "handover" } else { "" };
            assert_eq!(&*request.client_software_name, named);
            let answer = frame(encode_offer(SPOKEN, version, 5).unwrap());
            let offer = decode_api_versions(answer, version, 5).unwrap();
            assert_eq!(offer, Offer::Versions(SPOKEN.to_vec()));
        }
    }

    #[test]
    fn an_unknown_version_is_answered_as_0_and_asked_again_lower() {
        let offered = [ApiRange::new(18, 0, 2), ApiRange::new(3, 0, 12)];
        let answer = frame(encode_offer(&offered, 4, 9).unwrap());
        // Correlation id, error 35, one API: 18 from 0 to 2.
        assert_eq!(&answer[..], [0, 0, 0, 9, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 2]);
        assert_eq!(decode_api_versions(answer, 4, 9), Ok(Offer::AskWith(2)));
        let listless = Bytes::from_static(&[0, 0, 0, 9, 0, 35, 0, 0, 0, 0]);
        assert_eq!(decode_api_versions(listless, 4, 9), Ok(Offer::AskWith(0)));
    }

    #[test]
    fn a_broker_that_contradicts_itself_ends_the_exchange() {
        let offered = [ApiRange::new(18, 0, 4)];
        let answer = frame(encode_offer(&offered, 99, 9).unwrap());
        assert_eq!(decode_api_versions(answer.clone(), 4, 9), Ok(Offer::AskWith(3)));
        let refused = Offer::Refused(ErrorCode::UnsupportedVersion);
        assert_eq!(decode_api_versions(answer, 0, 9), Ok(refused));
    }

    #[test]
    fn what_only_one_side_speaks_is_not_negotiated() {
        let offered = [ApiRange::new(8, 10, 10), ApiRange::new(9, 0, 0), ApiRange::new(99, 0, 1)];
        assert_eq!(Negotiated::new(SPOKEN, &offered), Negotiated::default());
        let nothing = Negotiated::default().version_of::<ApiVersionsRequest>();
        assert_eq!(nothing, Err(WireError::NotOffered { api: ApiKey(18) }));
    }
}
