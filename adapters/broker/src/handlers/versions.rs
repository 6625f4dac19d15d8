//! ApiVersions: which requests the broker takes.

use bytes::Bytes;
use handover_wire::codec::messages::{ApiVersionsRequest, ApiVersionsResponse};
use handover_wire::{
    ApiKey, ApiRange, RequestHead, WireError, decode_request, encode_offer, encode_response,
};

use crate::Api;
use crate::faults::End;

/// A version that is not served is answered as version 0, so the body is not looked at then.
pub(crate) fn serve(head: &RequestHead, body: Bytes, end: Option<End>) -> Result<Bytes, WireError> {
    if Api::ApiVersions.versions().contains(&head.version) {
        decode_request::<ApiVersionsRequest>(body, head.version)?;
    }
    if let Some(End::Refuse(error) | End::ApplyThenRefuse(error)) = end {
        let refused = ApiVersionsResponse::default().with_error_code(error.code());
        let version =
            if Api::ApiVersions.versions().contains(&head.version) { head.version } else { 0 };
        return encode_response::<ApiVersionsRequest>(&refused, version, head.correlation);
    }
    let offered = Api::ALL.iter().map(|api| {
        let versions = api.announced();
        ApiRange { api: ApiKey(api.key()), min: *versions.start(), max: *versions.end() }
    });
    encode_offer(&offered.collect::<Vec<_>>(), head.version, head.correlation)
}
