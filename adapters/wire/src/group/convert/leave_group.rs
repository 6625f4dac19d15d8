//! LeaveGroup, versions 0 to 5. From 3 on several members leave at once (KIP-345).

use handover_machine::{ErrorCode, LeaveGroup, Leaver, Left, Name};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{GroupId, LeaveGroupRequest, LeaveGroupResponse};

use super::{Detail, name, optional_name, optional_text, reason_text, text};

/// The first version with several members.
const BATCHED: i16 = 3;

pub(crate) fn to_request(leave: &LeaveGroup, version: i16) -> Result<LeaveGroupRequest, Detail> {
    let request = LeaveGroupRequest::default().with_group_id(GroupId(text(&leave.group)));
    if version >= BATCHED {
        let member = |leaver: &Leaver| {
            MemberIdentity::default()
                .with_member_id(text(&leaver.member))
                .with_group_instance_id(optional_text(&leaver.instance))
                .with_reason(reason_text(&leaver.reason))
        };
        return Ok(request.with_members(leave.members.iter().map(member).collect()));
    }
    // The member id says it all here, so the instance id of a member that has both is left out, as
    // the Java client does; a member known by its instance alone can't be named.
    match &leave.members[..] {
        [leaver] if leaver.member.is_empty() => Err("it names members by their ids alone".into()),
        [leaver] => Ok(request.with_member_id(text(&leaver.member))),
        many => Err(format!("it lets 1 member leave, not {}", many.len()).into()),
    }
}

pub(crate) fn from_request(request: LeaveGroupRequest, version: i16) -> LeaveGroup {
    let members = if version >= BATCHED {
        let leaver = |member: &MemberIdentity| Leaver {
            member: name(&member.member_id),
            instance: optional_name(&member.group_instance_id),
            reason: optional_name(&member.reason),
        };
        request.members.iter().map(leaver).collect()
    } else {
        vec![Leaver { member: name(&request.member_id), instance: None, reason: None }]
    };
    LeaveGroup { group: name(&request.group_id), members }
}

pub(crate) fn to_response(left: &Left, version: i16) -> LeaveGroupResponse {
    let response = LeaveGroupResponse::default();
    if version < BATCHED {
        return response.with_error_code(single_error(left).code());
    }
    let member = |(member, instance, error): &(Name, Option<Name>, ErrorCode)| {
        MemberResponse::default()
            .with_member_id(text(member))
            .with_group_instance_id(optional_text(instance))
            .with_error_code(error.code())
    };
    response
        .with_error_code(left.error.code())
        .with_members(left.members.iter().map(member).collect())
}

/// The one error that an old answer has room for (Kafka's `LeaveGroupResponse.getError`).
fn single_error(left: &Left) -> ErrorCode {
    match left.members.first() {
        Some((_, _, member)) if left.error.is_none() => *member,
        _ => left.error,
    }
}

pub(crate) fn from_response(response: LeaveGroupResponse) -> Left {
    let member = |member: &MemberResponse| {
        (
            name(&member.member_id),
            optional_name(&member.group_instance_id),
            ErrorCode::from_code(member.error_code),
        )
    };
    Left {
        error: ErrorCode::from_code(response.error_code),
        members: response.members.iter().map(member).collect(),
    }
}
