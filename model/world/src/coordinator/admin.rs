//! What administrators may ask and do: describe, list, delete.

use alloc::vec::Vec;
use core::fmt;

use handover_machine::{ErrorCode, Name, TopicPartition};

use super::{Coordinator, group::Group, subscription};

/// The states of a group (`ClassicGroupState`).
///
/// ```
/// use handover_world::GroupState;
/// assert_eq!(GroupState::PreparingRebalance.to_string(), "PreparingRebalance");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GroupState {
    /// No member; perhaps offsets.
    Empty,
    /// Members are asked to join; JoinGroup is parked.
    PreparingRebalance,
    /// All that came have joined; SyncGroup is parked until the leader brings the plan.
    CompletingRebalance,
    /// Everybody may have its assignment.
    Stable,
    /// There is no such group.
    Dead,
}

impl fmt::Display for GroupState {
    /// Kafka's own spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A group as DescribeGroups shows it, and its generation and leader.
///
/// ```
/// use handover_machine::{ErrorCode, Time};
/// use handover_world::{Coordinator, CoordinatorConfig};
///
/// let coordinator = Coordinator::new(CoordinatorConfig::default());
/// assert_eq!(coordinator.describe("orders"), Err(ErrorCode::GroupIdNotFound));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GroupDescription {
    /// The group.
    pub group: Name,
    /// Its state.
    pub state: GroupState,
    /// Its generation.
    pub generation: i32,
    /// Its protocol type, `consumer` for consumers; empty if it never had a member.
    pub protocol_type: Name,
    /// The chosen assignor while the group is stable; else empty.
    pub protocol: Name,
    /// The leader's member id.
    pub leader: Option<Name>,
    /// The members, in the order of their ids.
    pub members: Vec<MemberDescription>,
}

/// A member in a [`GroupDescription`].
///
/// ```
/// # use handover_world::MemberDescription;
/// fn holds_nothing(member: &MemberDescription) -> bool {
///     member.assignment.is_empty()
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MemberDescription {
    /// Its member id.
    pub member: Name,
    /// Its instance id, if it is static.
    pub instance: Option<Name>,
    /// Its client id.
    pub client: Name,
    /// Its address.
    pub host: Name,
    /// Its subscription for the chosen assignor while the group is stable; else empty.
    pub metadata: Vec<u8>,
    /// Its assignment.
    pub assignment: Vec<u8>,
}

/// A group as ListGroups shows it.
///
/// ```
/// use handover_world::{Coordinator, CoordinatorConfig};
/// assert_eq!(Coordinator::new(CoordinatorConfig::default()).list(), Ok(vec![]));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GroupListing {
    /// The group.
    pub group: Name,
    /// Its protocol type; empty if it never had a member.
    pub protocol_type: Name,
    /// Its state.
    pub state: GroupState,
}

impl Coordinator {
    /// A group, or GROUP_ID_NOT_FOUND (which DescribeGroups before version 6 shows as a group in
    /// the state `Dead`).
    pub fn describe(&self, group: &str) -> Result<GroupDescription, ErrorCode> {
        let (name, group) = self.admin_group(group)?;
        let stable = group.state() == GroupState::Stable;
        let shown = group.protocol.as_ref().filter(|_| stable);
        let members = group.members.iter().map(|(id, member)| MemberDescription {
            member: id.clone(),
            instance: member.instance.clone(),
            client: member.client.clone(),
            host: member.host.clone(),
            metadata: shown.map(|p| member.metadata(p).to_vec()).unwrap_or_default(),
            assignment: member.assignment.clone(),
        });
        Ok(GroupDescription {
            group: name.clone(),
            state: group.state(),
            generation: group.generation,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol: shown.cloned().unwrap_or_default(),
            leader: group.leader.clone(),
            members: members.collect(),
        })
    }

    /// Whom a rebalance of the group waits for: members that have not joined again and ids that
    /// were given and have not come back; then the leader, whose plan is missing. Nobody, if there
    /// is no rebalance or no such group.
    pub fn awaited(&self, group: &str) -> Vec<Name> {
        let Some(group) = self.groups.get(group) else { return Vec::new() };
        match group.state() {
            GroupState::PreparingRebalance => {
                let late = group.members.iter().filter(|(_, member)| member.joining.is_none());
                late.map(|(id, _)| id).chain(group.pending.keys()).cloned().collect()
            }
            GroupState::CompletingRebalance => group.leader.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// All groups, in the order of their names.
    pub fn list(&self) -> Result<Vec<GroupListing>, ErrorCode> {
        self.available()?;
        let listing = self.groups.iter().map(|(name, group)| GroupListing {
            group: name.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state(),
        });
        Ok(listing.collect())
    }

    /// Deletes a group without members, and its offsets; else NON_EMPTY_GROUP
    /// (`ClassicGroup.validateDeleteGroup`).
    pub fn delete_group(&mut self, group: &str) -> Result<(), ErrorCode> {
        let (_, found) = self.admin_group(group)?;
        if found.state() != GroupState::Empty {
            return Err(ErrorCode::NonEmptyGroup);
        }
        self.groups.remove(group);
        Ok(())
    }

    /// Deletes committed offsets. A topic that a member subscribes keeps its own
    /// (GROUP_SUBSCRIBED_TO_TOPIC); a group with members that are no consumers keeps all
    /// (`OffsetMetadataManager.deleteOffsets`).
    pub fn delete_offsets(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, ErrorCode)>, ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        self.available()?;
        let group = self.groups.get_mut(group).ok_or(ErrorCode::GroupIdNotFound)?;
        let consumers = group.protocol_type.as_deref() == Some("consumer");
        if group.state() != GroupState::Empty && !consumers {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let mut delete = |partition: &TopicPartition| {
            if consumers && subscribes(group, &partition.topic) {
                return ErrorCode::GroupSubscribedToTopic;
            }
            group.offsets.remove(partition);
            ErrorCode::None
        };
        Ok(partitions.iter().map(|p| (p.clone(), delete(p))).collect())
    }

    /// Forgets the offsets of a topic that was deleted, in every group.
    pub fn forget_topic(&mut self, topic: &str) {
        for group in self.groups.values_mut() {
            group.offsets.retain(|partition, _| &*partition.topic != topic);
        }
    }

    fn admin_group(&self, group: &str) -> Result<(&Name, &Group), ErrorCode> {
        self.available()?;
        self.groups.get_key_value(group).ok_or(ErrorCode::GroupIdNotFound)
    }
}

/// Whether any member subscribes `topic`; true if that can't be read from its subscription.
///
/// Kafka looks at the subscriptions of the last completed join, this at those of now: the two
/// differ only while a rebalance runs.
fn subscribes(group: &Group, topic: &str) -> bool {
    group.members.values().any(|member| {
        let metadata = match &group.protocol {
            Some(protocol) => member.metadata(protocol),
            None => member.protocols.first().map_or(&[][..], |p| &p.metadata),
        };
        subscription::topics(metadata)
            .is_none_or(|mut topics| topics.any(|t| t == topic.as_bytes()))
    })
}
