//! JoinGroup, versions 0 to 9.

use handover_machine::{ErrorCode, JoinGroup, Joined, JoinedMember, Protocol};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{GroupId, JoinGroupRequest, JoinGroupResponse};

use super::{blob, name, optional_name, optional_text, reason_text, text};

/// The first version in which the coordinator may ask a nameless member to come again with the id
/// that it gives (KIP-394).
const MEMBER_ID_REQUIRED: i16 = 4;
/// The first version in which a name that is not there may be null.
const NULLABLE_PROTOCOL: i16 = 7;

pub(crate) fn to_request(join: &JoinGroup) -> JoinGroupRequest {
    let protocol = |protocol: &Protocol| {
        JoinGroupRequestProtocol::default()
            .with_name(text(&protocol.name))
            .with_metadata(blob(&protocol.metadata))
    };
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(&join.group)))
        .with_session_timeout_ms(join.session_timeout_ms)
        .with_rebalance_timeout_ms(join.rebalance_timeout_ms)
        .with_member_id(text(&join.member))
        .with_group_instance_id(optional_text(&join.instance))
        .with_protocol_type(text(&join.protocol_type))
        .with_protocols(join.protocols.iter().map(protocol).collect())
        .with_reason(reason_text(&join.reason))
}

pub(crate) fn from_request(request: JoinGroupRequest, version: i16) -> JoinGroup {
    let protocol = |protocol: &JoinGroupRequestProtocol| Protocol {
        name: name(&protocol.name),
        metadata: protocol.metadata.to_vec(),
    };
    let nameless = request.member_id.is_empty() && request.group_instance_id.is_none();
    JoinGroup {
        group: name(&request.group_id),
        member: name(&request.member_id),
        instance: optional_name(&request.group_instance_id),
        session_timeout_ms: request.session_timeout_ms,
        // Version 0 has one timeout for both (Kafka's `JoinGroupRequest` constructor).
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: name(&request.protocol_type),
        protocols: request.protocols.iter().map(protocol).collect(),
        reason: optional_name(&request.reason),
        member_id_required: version >= MEMBER_ID_REQUIRED && nameless,
    }
}

pub(crate) fn to_response(joined: &Joined, version: i16) -> JoinGroupResponse {
    let member = |member: &JoinedMember| {
        JoinGroupResponseMember::default()
            .with_member_id(text(&member.member))
            .with_group_instance_id(optional_text(&member.instance))
            .with_metadata(blob(&member.metadata))
    };
    let no_protocol = (version < NULLABLE_PROTOCOL).then(|| text(""));
    JoinGroupResponse::default()
        .with_error_code(joined.error.code())
        .with_generation_id(joined.generation)
        .with_protocol_type(optional_text(&joined.protocol_type))
        .with_protocol_name(optional_text(&joined.protocol).or(no_protocol))
        .with_leader(text(&joined.leader))
        .with_member_id(text(&joined.member))
        .with_skip_assignment(joined.skip_assignment)
        .with_members(joined.members.iter().map(member).collect())
}

pub(crate) fn from_response(response: JoinGroupResponse) -> Joined {
    let member = |member: &JoinGroupResponseMember| JoinedMember {
        member: name(&member.member_id),
        instance: optional_name(&member.group_instance_id),
        metadata: member.metadata.to_vec(),
    };
    Joined {
        error: ErrorCode::from_code(response.error_code),
        generation: response.generation_id,
        protocol_type: optional_name(&response.protocol_type),
        // A refusal has an empty name where null was not possible yet.
        protocol: optional_name(&response.protocol_name).filter(|name| !name.is_empty()),
        leader: name(&response.leader),
        member: name(&response.member_id),
        skip_assignment: response.skip_assignment,
        members: response.members.iter().map(member).collect(),
    }
}
