//! What an error code says about a commit.

use crate::ErrorCode;

/// What the membership has to do about the answer to a commit, the mildest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum CommitEffect {
    Nothing,
    /// The group rebalances: join it.
    Rejoin,
    /// Find the coordinator again.
    Rediscover,
    /// The coordinator does not know the member under this identity. The entries stay until the
    /// machine ends their leases.
    IdentityLost(ErrorCode),
    /// The application has to help.
    Fatal(ErrorCode),
}

/// What became of one partition of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Verdict {
    Committed,
    /// Certainly not applied; the same may be applied later.
    NotApplied,
    /// Not applied: the coordinator does not know the partition, now or any more (SPEC C9).
    UnknownPartition(ErrorCode),
    /// May have been applied, before any request that follows (SPEC C5).
    InDoubt,
    /// May have been applied, or may still be, at any time: the connection ended (SPEC C8).
    Lost,
    /// The whole request is more than the coordinator can store in one batch (SPEC C7).
    TooLarge(ErrorCode),
    /// For each partition of a request, it may mean that the request is too large (SPEC C7).
    Fault(ErrorCode),
    /// Refused for what was sent with the offset: its note.
    RefusedBid(ErrorCode),
    /// Refused, and will be again.
    Refused(ErrorCode),
}

/// Judges the error of one partition in the answer to an OffsetCommit. Total without a wildcard,
/// so that a new code is a decision.
///
/// The sources are `OffsetMetadataManager.validateOffsetCommit`, `ClassicGroup` and
/// `ConsumerGroup.validateOffsetCommit`, `CoordinatorOperationExceptionHelper`, and for 3.9's
/// Scala coordinator `GroupMetadataManager.storeOffsets`.
pub(crate) const fn judge_commit(error: ErrorCode) -> (Verdict, CommitEffect) {
    use ErrorCode as E;
    use {CommitEffect as Effect, Verdict as V};
    match error {
        E::None => (V::Committed, Effect::Nothing),

        // 113 is of the whole request and says nothing about the partition on which it stands
        // (KIP-1251): leases still held go again, under the epoch that a heartbeat brings.
        E::CoordinatorLoadInProgress | E::ThrottlingQuotaExceeded | E::StaleMemberEpoch => {
            (V::NotApplied, Effect::Nothing)
        }
        E::RebalanceInProgress => (V::NotApplied, Effect::Rejoin),
        // From version 9 on a group that is gone is said to be so; before, it is 22.
        E::IllegalGeneration | E::UnknownMemberId | E::FencedMemberEpoch | E::GroupIdNotFound => {
            (V::NotApplied, Effect::IdentityLost(error))
        }
        E::UnknownTopicOrPartition | E::UnknownTopicId => {
            (V::UnknownPartition(error), Effect::Nothing)
        }

        // The write timed out while its record stays appended, or the coordinator was unloaded
        // with the write on its way.
        E::CoordinatorNotAvailable
        | E::NotCoordinator
        | E::RequestTimedOut
        | E::NetworkException
        | E::LeaderNotAvailable
        | E::NotLeaderOrFollower
        | E::StorageError => (V::InDoubt, Effect::Rediscover),

        E::InvalidCommitOffsetSize | E::MessageTooLarge => (V::TooLarge(error), Effect::Nothing),
        E::UnknownServerError => (V::Fault(error), Effect::Nothing),
        E::OffsetMetadataTooLarge => (V::RefusedBid(error), Effect::Nothing),

        E::FencedInstanceId | E::GroupAuthorizationFailed => {
            (V::Refused(error), Effect::Fatal(error))
        }
        E::TopicAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::InvalidTopic
        | E::InvalidGroupId
        | E::InvalidRequest
        | E::UnsupportedVersion => (V::Refused(error), Effect::Nothing),

        // No coordinator answers a commit with these. A refusal leaves the choice to the caller.
        E::InconsistentGroupProtocol
        | E::InvalidSessionTimeout
        | E::NonEmptyGroup
        | E::MemberIdRequired
        | E::GroupMaxSizeReached
        | E::GroupSubscribedToTopic
        | E::UnstableOffsetCommit
        | E::UnreleasedInstanceId
        | E::UnsupportedAssignor
        | E::InvalidRegularExpression
        | E::Other(_) => (V::Refused(error), Effect::Nothing),
    }
}
