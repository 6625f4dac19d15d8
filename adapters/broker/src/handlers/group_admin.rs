//! DescribeGroups, ListGroups, DeleteGroups, OffsetDelete: what tools ask of groups.

use std::collections::HashMap;

use bytes::Bytes;
use handover_machine::{ErrorCode, TopicPartition};
use handover_wire::codec::messages::delete_groups_response::DeletableGroupResult;
use handover_wire::codec::messages::describe_groups_response::{
    DescribedGroup, DescribedGroupMember,
};
use handover_wire::codec::messages::list_groups_response::ListedGroup;
use handover_wire::codec::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use handover_wire::codec::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};
use handover_world::{GroupDescription, GroupListing, GroupState};

use super::text;
use crate::dispatch::{Context, Serve};

/// The type of every group here, as ListGroups names it from version 5 on.
const CLASSIC: &str = "classic";

impl Serve for DescribeGroupsRequest {
    async fn serve(self, cx: &Context) -> DescribeGroupsResponse {
        let state = cx.cluster.lock();
        let live = state.live();
        let groups =
            self.groups.iter().map(|id| match state.groups.describe(id, (cx.node, &live)) {
                Ok(group) => described(id, group),
                // Version 6 says so; before it, a group that is not there is a dead one.
                Err(ErrorCode::GroupIdNotFound) => {
                    let error =
                        if cx.version < 6 { ErrorCode::None } else { ErrorCode::GroupIdNotFound };
                    nameless(id, error).with_group_state(text(&GroupState::Dead.to_string()))
                }
                Err(error) => nameless(id, error),
            });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> DescribeGroupsResponse {
        let groups = self.groups.iter().map(|id| nameless(id, error));
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }
}

fn nameless(id: &GroupId, error: ErrorCode) -> DescribedGroup {
    DescribedGroup::default().with_group_id(id.clone()).with_error_code(error.code())
}

fn described(id: &GroupId, group: GroupDescription) -> DescribedGroup {
    let members = group.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(&member.member))
            .with_client_id(text(&member.client))
            .with_client_host(text(&member.host))
            .with_member_metadata(Bytes::from(member.metadata))
            .with_member_assignment(Bytes::from(member.assignment))
            .with_group_instance_id(member.instance.as_deref().map(text))
    });
    DescribedGroup::default()
        .with_group_id(id.clone())
        .with_group_state(text(&group.state.to_string()))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(&group.protocol))
        .with_members(members.collect())
}

impl Serve for ListGroupsRequest {
    async fn serve(self, cx: &Context) -> ListGroupsResponse {
        let chosen = |filter: &[_], value: &str| {
            let same = |wanted: &handover_wire::codec::StrBytes| wanted.eq_ignore_ascii_case(value);
            filter.is_empty() || filter.iter().any(same)
        };
        let wanted = |group: &GroupListing| {
            chosen(&self.states_filter, &group.state.to_string())
                && chosen(&self.types_filter, CLASSIC)
        };
        let groups = cx.cluster.lock().groups.list(cx.node);
        let listed = groups.iter().filter(|group| wanted(group)).map(|group| {
            let listed = ListedGroup::default()
                .with_group_id(GroupId(text(&group.group)))
                .with_protocol_type(text(&group.protocol_type));
            match cx.version {
                ..=3 => listed,
                4 => listed.with_group_state(text(&group.state.to_string())),
                _ => listed
                    .with_group_state(text(&group.state.to_string()))
                    .with_group_type(text(CLASSIC)),
            }
        });
        ListGroupsResponse::default().with_groups(listed.collect())
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> ListGroupsResponse {
        ListGroupsResponse::default().with_error_code(error.code())
    }
}

impl Serve for DeleteGroupsRequest {
    async fn serve(self, cx: &Context) -> DeleteGroupsResponse {
        let mut state = cx.cluster.lock();
        let live = state.live();
        let results = self.groups_names.iter().map(|id| {
            let deleted = state.groups.delete(id, (cx.node, &live));
            deletion(id, deleted.err().unwrap_or(ErrorCode::None))
        });
        DeleteGroupsResponse::default().with_results(results.collect())
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> DeleteGroupsResponse {
        let results = self.groups_names.iter().map(|id| deletion(id, error));
        DeleteGroupsResponse::default().with_results(results.collect())
    }
}

fn deletion(id: &GroupId, error: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(error.code())
}

impl Serve for OffsetDeleteRequest {
    async fn serve(self, cx: &Context) -> OffsetDeleteResponse {
        let mut state = cx.cluster.lock();
        let live = state.live();
        let exists = |topic: &str, partition| state.topics.partition(topic, partition).is_some();
        let asked = self.topics.iter().flat_map(|topic| {
            let name: &str = &topic.name;
            topic.partitions.iter().map(move |at| TopicPartition::new(name, at.partition_index))
        });
        let known: Vec<_> = asked.filter(|at| exists(&at.topic, at.partition)).collect();
        let deleted: HashMap<TopicPartition, ErrorCode> =
            match state.groups.delete_offsets(&self.group_id, (cx.node, &live), &known) {
                Ok(deleted) => deleted.into_iter().collect(),
                Err(error) => return self.refuse(error, cx),
            };
        let outcome = |topic: &str, partition: i32| {
            let error = deleted.get(&TopicPartition::new(topic, partition)).copied();
            error.unwrap_or(ErrorCode::UnknownTopicOrPartition)
        };
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|at| {
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(at.partition_index)
                    .with_error_code(outcome(&topic.name, at.partition_index).code())
            });
            OffsetDeleteResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        OffsetDeleteResponse::default().with_topics(topics.collect())
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> OffsetDeleteResponse {
        OffsetDeleteResponse::default().with_error_code(error.code())
    }
}
