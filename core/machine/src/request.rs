//! What a classic member and its coordinator say to each other, without the bytes.
//!
//! The world's coordinator takes and gives these same values, and `handover-wire` maps them to
//! Kafka's bytes in both directions, so a field that one version of a request lacks is an
//! `Option` or has the neutral value that Kafka's own schema gives it.

use alloc::vec::Vec;

use crate::{ErrorCode, Name, TopicPartition};

/// A request to a broker.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Which broker coordinates a group. The only request that any broker answers.
    FindCoordinator(FindCoordinator),
    /// Enter the group, or its next generation.
    JoinGroup(JoinGroup),
    /// Fetch this generation's assignment; the leader brings the plan.
    SyncGroup(SyncGroup),
    /// Say that the member lives.
    Heartbeat(Heartbeat),
    /// Leave the group.
    LeaveGroup(LeaveGroup),
    /// Commit offsets.
    OffsetCommit(OffsetCommit),
    /// Read committed offsets.
    OffsetFetch(OffsetFetch),
}

/// The answer to the [`Request`] variant of the same name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Response {
    /// See [`Request::FindCoordinator`].
    FindCoordinator(FoundCoordinator),
    /// See [`Request::JoinGroup`].
    JoinGroup(Joined),
    /// See [`Request::SyncGroup`].
    SyncGroup(Synced),
    /// See [`Request::Heartbeat`].
    Heartbeat(ErrorCode),
    /// See [`Request::LeaveGroup`].
    LeaveGroup(Left),
    /// See [`Request::OffsetCommit`].
    OffsetCommit(OffsetCommitted),
    /// See [`Request::OffsetFetch`].
    OffsetFetch(OffsetsFetched),
}

/// The kinds of request: what a version is negotiated for and an error is judged by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Api {
    /// Key 10.
    FindCoordinator,
    /// Key 11.
    JoinGroup,
    /// Key 14.
    SyncGroup,
    /// Key 12.
    Heartbeat,
    /// Key 13.
    LeaveGroup,
    /// Key 8.
    OffsetCommit,
    /// Key 9.
    OffsetFetch,
}

impl Api {
    /// All of them.
    pub const ALL: [Api; 7] = [
        Api::FindCoordinator,
        Api::JoinGroup,
        Api::SyncGroup,
        Api::Heartbeat,
        Api::LeaveGroup,
        Api::OffsetCommit,
        Api::OffsetFetch,
    ];

    /// The API key on the wire.
    pub const fn key(self) -> i16 {
        match self {
            Api::OffsetCommit => 8,
            Api::OffsetFetch => 9,
            Api::FindCoordinator => 10,
            Api::JoinGroup => 11,
            Api::Heartbeat => 12,
            Api::LeaveGroup => 13,
            Api::SyncGroup => 14,
        }
    }
}

impl Request {
    /// Which API this is a request of.
    pub fn api(&self) -> Api {
        match self {
            Request::FindCoordinator(_) => Api::FindCoordinator,
            Request::JoinGroup(_) => Api::JoinGroup,
            Request::SyncGroup(_) => Api::SyncGroup,
            Request::Heartbeat(_) => Api::Heartbeat,
            Request::LeaveGroup(_) => Api::LeaveGroup,
            Request::OffsetCommit(_) => Api::OffsetCommit,
            Request::OffsetFetch(_) => Api::OffsetFetch,
        }
    }
}

impl Response {
    /// Which API this is an answer of.
    pub fn api(&self) -> Api {
        match self {
            Response::FindCoordinator(_) => Api::FindCoordinator,
            Response::JoinGroup(_) => Api::JoinGroup,
            Response::SyncGroup(_) => Api::SyncGroup,
            Response::Heartbeat(_) => Api::Heartbeat,
            Response::LeaveGroup(_) => Api::LeaveGroup,
            Response::OffsetCommit(_) => Api::OffsetCommit,
            Response::OffsetFetch(_) => Api::OffsetFetch,
        }
    }
}

/// Who a member says it is. A member that has no id yet leaves `member` empty; a client outside
/// any generation has generation -1.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// The id that the coordinator gave.
    pub member: Name,
    /// The generation joined.
    pub generation: i32,
    /// The static member's instance id (KIP-345).
    pub instance: Option<Name>,
}

/// See [`Request::FindCoordinator`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FindCoordinator {
    /// The group looked for.
    pub group: Name,
}

/// A broker's address as the cluster announces it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node {
    /// The broker's id.
    pub id: i32,
    /// Its host name.
    pub host: Name,
    /// Its port.
    pub port: u16,
}

/// The answer to [`FindCoordinator`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FoundCoordinator {
    /// `None`, or why there is no coordinator.
    pub error: ErrorCode,
    /// The coordinator, where there is no error.
    pub node: Option<Node>,
}

/// See [`Request::JoinGroup`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct JoinGroup {
    /// The group to join.
    pub group: Name,
    /// The member id, empty on the first join.
    pub member: Name,
    /// The instance id of a static member.
    pub instance: Option<Name>,
    /// Milliseconds without a heartbeat after which the coordinator removes the member.
    pub session_timeout_ms: i32,
    /// Milliseconds that the coordinator waits for this member to rejoin.
    pub rebalance_timeout_ms: i32,
    /// `"consumer"` for consumers.
    pub protocol_type: Name,
    /// What the member can speak, in the order of its preference.
    pub protocols: Vec<Protocol>,
    /// Why it joins (KIP-800).
    pub reason: Option<Name>,
    /// Whether the coordinator may refuse with MEMBER_ID_REQUIRED: true from version 4 on (KIP-394).
    pub member_id_required: bool,
}

/// A protocol that a joining member offers: an assignor and the subscription it is to see.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Protocol {
    /// The assignor's name, such as `range`.
    pub name: Name,
    /// The member's `ConsumerProtocolSubscription`, version first.
    pub metadata: Vec<u8>,
}

/// The answer to [`JoinGroup`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Joined {
    /// `None`, or why the member is not in.
    pub error: ErrorCode,
    /// The new generation, or -1.
    pub generation: i32,
    /// The group's protocol type, from version 7 on.
    pub protocol_type: Option<Name>,
    /// The assignor that the group chose.
    pub protocol: Option<Name>,
    /// The leader's member id.
    pub leader: Name,
    /// The id of the member that is answered.
    pub member: Name,
    /// Whether the leader must not assign (KIP-814).
    pub skip_assignment: bool,
    /// For the leader: everybody, itself included. Else empty.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct JoinedMember {
    /// Its member id.
    pub member: Name,
    /// Its instance id, if it is static.
    pub instance: Option<Name>,
    /// Its `ConsumerProtocolSubscription` for the chosen protocol.
    pub metadata: Vec<u8>,
}

/// See [`Request::SyncGroup`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SyncGroup {
    /// The group.
    pub group: Name,
    /// The identity that JoinGroup answered.
    pub identity: Identity,
    /// The group's protocol type, checked by the coordinator from version 5 on (KIP-559).
    pub protocol_type: Option<Name>,
    /// The chosen protocol, checked likewise.
    pub protocol: Option<Name>,
    /// From the leader: each member's `ConsumerProtocolAssignment`. Else empty.
    pub assignments: Vec<(Name, Vec<u8>)>,
}

/// The answer to [`SyncGroup`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Synced {
    /// `None`, or why there is no assignment.
    pub error: ErrorCode,
    /// The group's protocol type, from version 5 on.
    pub protocol_type: Option<Name>,
    /// The chosen protocol, likewise.
    pub protocol: Option<Name>,
    /// This member's `ConsumerProtocolAssignment`.
    pub assignment: Vec<u8>,
}

/// See [`Request::Heartbeat`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Heartbeat {
    /// The group.
    pub group: Name,
    /// Who lives.
    pub identity: Identity,
}

/// See [`Request::LeaveGroup`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LeaveGroup {
    /// The group.
    pub group: Name,
    /// Who leaves: one member from a member itself, several from an administrator.
    pub members: Vec<Leaver>,
}

/// One member that leaves.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Leaver {
    /// Its member id; empty if it is named by `instance` alone.
    pub member: Name,
    /// Its instance id.
    pub instance: Option<Name>,
    /// Why it leaves (KIP-800).
    pub reason: Option<Name>,
}

/// The answer to [`LeaveGroup`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Left {
    /// `None`, or why nobody left.
    pub error: ErrorCode,
    /// One result for each that was to leave: member id, instance id, error.
    pub members: Vec<(Name, Option<Name>, ErrorCode)>,
}

/// See [`Request::OffsetCommit`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OffsetCommit {
    /// The group.
    pub group: Name,
    /// Under which identity the offsets are committed.
    pub identity: Identity,
    /// The offsets.
    pub offsets: Vec<OffsetToCommit>,
}

/// One partition of an [`OffsetCommit`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OffsetToCommit {
    /// Where.
    pub partition: TopicPartition,
    /// The next offset to be consumed.
    pub offset: i64,
    /// The leader epoch of the last record consumed, or -1.
    pub leader_epoch: i32,
    /// The application's note, which OffsetFetch returns.
    pub metadata: Option<Name>,
}

/// The answer to [`OffsetCommit`]: an error for each partition, in the order of the request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OffsetCommitted {
    /// What became of each partition.
    pub partitions: Vec<(TopicPartition, ErrorCode)>,
}

/// See [`Request::OffsetFetch`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OffsetFetch {
    /// The group.
    pub group: Name,
    /// Which partitions; `None` asks for all that have an offset.
    pub partitions: Option<Vec<TopicPartition>>,
    /// Whether offsets of open transactions are to be refused (KIP-447, version 7).
    pub require_stable: bool,
}

/// The answer to [`OffsetFetch`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OffsetsFetched {
    /// `None`, or an error of the whole group.
    pub error: ErrorCode,
    /// One entry for each partition that the coordinator speaks of.
    pub offsets: Vec<FetchedOffset>,
}

/// One partition of [`OffsetsFetched`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FetchedOffset {
    /// Where.
    pub partition: TopicPartition,
    /// The committed offset; -1 if none was ever committed.
    pub offset: i64,
    /// The leader epoch committed with it, or -1.
    pub leader_epoch: i32,
    /// The application's note.
    pub metadata: Option<Name>,
    /// An error of this partition alone.
    pub error: ErrorCode,
}
