//! One group: what it knows of its members, and the small steps that every rule is made of.
//! Follows Kafka's `ClassicGroup` and `ClassicGroupMember`.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use handover_machine::{
    ErrorCode, JoinGroup, Joined, JoinedMember, Name, Protocol, Synced, Time, TopicPartition,
};

use super::{Caller, Client, Committed, GroupState, Turn, not_joined, not_synced};

/// A group. Everything but `record` and `offsets` is gone when the coordinator moves.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Group {
    pub(super) phase: Phase,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Name>,
    pub(super) protocol: Option<Name>,
    pub(super) leader: Option<Name>,
    pub(super) members: BTreeMap<Name, Member>,
    /// Ids that were given with MEMBER_ID_REQUIRED and have not come back, each with the end of
    /// its session. A rebalance waits for them.
    pub(super) pending: BTreeMap<Name, Time>,
    /// Who has not sent SyncGroup in this generation. Ids, not flags: an id that a static member
    /// gave up stays in it, as in Kafka, and ends in a needless rebalance (SPEC G6).
    pub(super) unsynced: BTreeSet<Name>,
    /// When the members in `unsynced` are removed.
    pub(super) sync_deadline: Option<Time>,
    /// A member came while the initial delay ran, so that another round of it follows. Nothing
    /// but that round clears it, as in Kafka: one left over lengthens the next initial delay.
    pub(super) newcomer: bool,
    /// What the offsets topic holds of this group: the last generation whose leader synced.
    pub(super) record: Option<Record>,
    pub(super) offsets: BTreeMap<TopicPartition, Committed>,
}

/// Where a group stands, with the timers of that place.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum Phase {
    #[default]
    Empty,
    Preparing {
        /// When the join phase ends, whoever is missing.
        deadline: Time,
        /// The group was empty before: more members are waited for even when all have joined.
        initial: bool,
        /// While the initial delay may still be lengthened.
        delay: Option<Delay>,
    },
    Completing,
    Stable,
}

/// The initial rebalance delay.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Delay {
    /// How long the present round of waiting lasts.
    pub(super) round: Duration,
    /// How much longer it may all take.
    pub(super) remaining: Duration,
}

/// A member that has joined at least once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Member {
    pub(super) instance: Option<Name>,
    pub(super) client: Name,
    pub(super) host: Name,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Vec<u8>,
    /// When the session ends; never, once it has ended while a request was parked.
    pub(super) session: Time,
    /// Has never completed a join: its session ends even while its JoinGroup is parked.
    pub(super) fresh: bool,
    /// Whose JoinGroup is parked.
    pub(super) joining: Option<Caller>,
    /// Whose SyncGroup is parked.
    pub(super) syncing: Option<Caller>,
}

/// A group's metadata as the offsets topic holds it (`GroupMetadataValue`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Record {
    pub(super) generation: i32,
    protocol_type: Option<Name>,
    protocol: Option<Name>,
    pub(super) leader: Option<Name>,
    pub(super) members: BTreeMap<Name, RecordedMember>,
}

/// A member in a [`Record`]: of its protocols only the chosen one is kept, so after a reload a
/// member that offers several no longer matches what is known of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct RecordedMember {
    instance: Option<Name>,
    client: Name,
    host: Name,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    pub(super) metadata: Vec<u8>,
    assignment: Vec<u8>,
}

impl Member {
    pub(super) fn new(client: &Client, request: &JoinGroup) -> Member {
        let mut member = Member {
            instance: request.instance.clone(),
            client: client.id.clone(),
            host: client.host.clone(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            protocols: Vec::new(),
            assignment: Vec::new(),
            session: Time::NEVER,
            fresh: true,
            joining: None,
            syncing: None,
        };
        member.update(request);
        member
    }

    /// Takes over what a JoinGroup says of its sender.
    pub(super) fn update(&mut self, request: &JoinGroup) {
        self.session_timeout = millis(request.session_timeout_ms);
        self.rebalance_timeout = if request.rebalance_timeout_ms < 0 {
            self.session_timeout
        } else {
            millis(request.rebalance_timeout_ms)
        };
        self.protocols = request.protocols.clone();
    }

    /// Starts the session anew.
    pub(super) fn touch(&mut self, now: Time) {
        self.session = now + self.session_timeout;
    }

    pub(super) fn metadata(&self, protocol: &str) -> &[u8] {
        self.protocols.iter().find(|p| &*p.name == protocol).map_or(&[], |p| &p.metadata)
    }

    fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|p| &*p.name == protocol)
    }
}

impl Group {
    pub(super) fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::Preparing { .. } => GroupState::PreparingRebalance,
            Phase::Completing => GroupState::CompletingRebalance,
            Phase::Stable => GroupState::Stable,
        }
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    pub(super) fn instance_member(&self, instance: &str) -> Option<&Name> {
        let mut members = self.members.iter();
        members.find(|(_, m)| m.instance.as_deref() == Some(instance)).map(|(id, _)| id)
    }

    pub(super) fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|m| m.joining.is_some())
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|m| m.rebalance_timeout).max().unwrap_or_default()
    }

    /// SPEC G3. An instance id decides before the member id does: a member id that another has
    /// taken the place of is fenced, not unknown (`ClassicGroup.validateMember`).
    pub(super) fn check_member(
        &self,
        member: &str,
        instance: Option<&Name>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.instance_member(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(known) if **known != *member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether the group could take these protocols: one of them must be spoken by every member
    /// (`ClassicGroup.supportsProtocols`).
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.phase == Phase::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let spoken = |p: &Protocol| self.members.values().all(|m| m.supports(&p.name));
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(spoken)
    }

    /// The protocol that most members put first among those that all of them speak. Of equals,
    /// the one that Kafka's hash table yields first.
    pub(super) fn elect_protocol(&self) -> Option<Name> {
        let common = |p: &&Protocol| self.members.values().all(|m| m.supports(&p.name));
        let mut votes: BTreeMap<(u32, &Name), usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(vote) = member.protocols.iter().find(common) {
                *votes.entry((java_bucket(&vote.name), &vote.name)).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|((_, name), _)| name.clone())
    }

    pub(super) fn add(&mut self, id: Name, member: Member, protocol_type: &Name) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.pending.remove(&id);
        self.members.insert(id, member);
    }

    /// Removes a member or a pending id. A SyncGroup of it that is parked is never answered, as
    /// in Kafka (SPEC G5): its sender has left by another connection.
    pub(super) fn remove(&mut self, id: &str) {
        self.members.remove(id);
        self.pending.remove(id);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// What JoinGroup is answered when there is a generation: to the leader with everybody.
    pub(super) fn joined(&self, id: &Name, with_members: bool) -> Joined {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| JoinedMember {
            member: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol).to_vec(),
        });
        Joined {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: id.clone(),
            skip_assignment: false,
            members: if with_members { members.collect() } else { Vec::new() },
        }
    }

    pub(super) fn synced(&self, assignment: &[u8]) -> Synced {
        Synced {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: assignment.to_vec(),
        }
    }

    /// Writes the group's record.
    pub(super) fn persist(&mut self) {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, m)| {
            let recorded = RecordedMember {
                instance: m.instance.clone(),
                client: m.client.clone(),
                host: m.host.clone(),
                session_timeout: m.session_timeout,
                rebalance_timeout: m.rebalance_timeout,
                metadata: m.metadata(protocol).to_vec(),
                assignment: m.assignment.clone(),
            };
            (id.clone(), recorded)
        });
        self.record = Some(Record {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        });
    }

    /// Answers every parked request and forgets everything that no record holds
    /// (`GroupMetadataManager.onUnloaded`). `None` if nothing is left.
    pub(super) fn unload(self, turn: &mut Turn<'_>) -> Option<Group> {
        let error = ErrorCode::NotCoordinator;
        for (id, member) in self.members {
            if let Some(caller) = member.joining {
                turn.answer_join(caller, not_joined(id, error));
            }
            if let Some(caller) = member.syncing {
                turn.answer_sync(caller, not_synced(error));
            }
        }
        let kept = self.record.is_some() || !self.offsets.is_empty();
        kept.then(|| Group { record: self.record, offsets: self.offsets, ..Group::default() })
    }

    /// Rebuilds the group from its record; every session starts afresh
    /// (`GroupMetadataManager.replay`, `onLoaded`).
    pub(super) fn load(&mut self, turn: &mut Turn<'_>) {
        let Some(record) = &self.record else { return };
        self.generation = record.generation;
        self.protocol_type = record.protocol_type.clone();
        self.protocol = record.protocol.clone();
        self.leader = record.leader.clone();
        for (id, recorded) in &record.members {
            let name = self.protocol.clone().unwrap_or_default();
            let member = Member {
                instance: recorded.instance.clone(),
                client: recorded.client.clone(),
                host: recorded.host.clone(),
                session_timeout: recorded.session_timeout,
                rebalance_timeout: recorded.rebalance_timeout,
                protocols: [Protocol { name, metadata: recorded.metadata.clone() }].into(),
                assignment: recorded.assignment.clone(),
                session: turn.now + recorded.session_timeout,
                fresh: false,
                joining: None,
                syncing: None,
            };
            self.members.insert(id.clone(), member);
        }
        self.phase = if self.members.is_empty() { Phase::Empty } else { Phase::Stable };
        if self.members.len() > turn.config.max_group_size {
            self.prepare_rebalance(turn);
        }
    }
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// The bucket of a name in Java's hash table of sixteen, which decides between protocols with
/// equally many votes. Names of protocols are ASCII, so bytes are UTF-16 units.
fn java_bucket(name: &str) -> u32 {
    let hash = name.bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    (hash ^ (hash >> 16)) & 15
}
