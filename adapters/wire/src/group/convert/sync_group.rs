//! SyncGroup, versions 0 to 5.

use handover_machine::{ErrorCode, Identity, SyncGroup, Synced};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{GroupId, SyncGroupRequest, SyncGroupResponse};

use super::{blob, name, optional_name, optional_text, text};

pub(crate) fn to_request(sync: &SyncGroup) -> SyncGroupRequest {
    let assignment = |(member, assignment): &(_, Vec<u8>)| {
        let member: &handover_machine::Name = member;
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(blob(assignment))
    };
    SyncGroupRequest::default()
        .with_group_id(GroupId(text(&sync.group)))
        .with_generation_id(sync.identity.generation)
        .with_member_id(text(&sync.identity.member))
        .with_group_instance_id(optional_text(&sync.identity.instance))
        .with_protocol_type(optional_text(&sync.protocol_type))
        .with_protocol_name(optional_text(&sync.protocol))
        .with_assignments(sync.assignments.iter().map(assignment).collect())
}

pub(crate) fn from_request(request: SyncGroupRequest) -> SyncGroup {
    let assignment = |assignment: &SyncGroupRequestAssignment| {
        (name(&assignment.member_id), assignment.assignment.to_vec())
    };
    SyncGroup {
        group: name(&request.group_id),
        identity: Identity {
            member: name(&request.member_id),
            generation: request.generation_id,
            instance: optional_name(&request.group_instance_id),
        },
        protocol_type: optional_name(&request.protocol_type),
        protocol: optional_name(&request.protocol_name),
        assignments: request.assignments.iter().map(assignment).collect(),
    }
}

pub(crate) fn to_response(synced: &Synced) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_error_code(synced.error.code())
        .with_protocol_type(optional_text(&synced.protocol_type))
        .with_protocol_name(optional_text(&synced.protocol))
        .with_assignment(blob(&synced.assignment))
}

pub(crate) fn from_response(response: SyncGroupResponse) -> Synced {
    Synced {
        error: ErrorCode::from_code(response.error_code),
        protocol_type: optional_name(&response.protocol_type),
        protocol: optional_name(&response.protocol_name),
        assignment: response.assignment.to_vec(),
    }
}
