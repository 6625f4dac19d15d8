//! Heartbeat, versions 0 to 4.

use handover_machine::{ErrorCode, Heartbeat, Identity};
use kafka_protocol::messages::{GroupId, HeartbeatRequest, HeartbeatResponse};

use super::{name, optional_name, optional_text, text};

pub(crate) fn to_request(beat: &Heartbeat) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(GroupId(text(&beat.group)))
        .with_generation_id(beat.identity.generation)
        .with_member_id(text(&beat.identity.member))
        .with_group_instance_id(optional_text(&beat.identity.instance))
}

pub(crate) fn from_request(request: HeartbeatRequest) -> Heartbeat {
    Heartbeat {
        group: name(&request.group_id),
        identity: Identity {
            member: name(&request.member_id),
            generation: request.generation_id,
            instance: optional_name(&request.group_instance_id),
        },
    }
}

pub(crate) fn to_response(error: ErrorCode) -> HeartbeatResponse {
    HeartbeatResponse::default().with_error_code(error.code())
}

pub(crate) fn from_response(response: HeartbeatResponse) -> ErrorCode {
    ErrorCode::from_code(response.error_code)
}
