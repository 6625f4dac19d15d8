//! What an error of the coordinator means for the member: one total function (SPEC J1).
//!
//! No arm is a wildcard over errors, so a code that gets a name must be judged for every API.
//! The Java client's handlers (`AbstractCoordinator`, `ConsumerCoordinator`) are the starting
//! point; where we differ, the SPEC's table says why.

use crate::{Api, ErrorCode};
use ErrorCode as E;

/// What to do about an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// It worked.
    Fine,
    /// Try again after a backoff, at the same coordinator.
    Retry,
    /// Find the coordinator, then try again.
    Rediscover,
    /// Take the member id that came with the error and join again at once (KIP-394).
    TakeMemberId,
    /// A rebalance is under way: join it. Identity and leases stay.
    Rejoin,
    /// The generation is over without this member: leases are lost, the member id stays.
    LoseGeneration,
    /// The coordinator does not know this member: leases are lost, the member id too.
    LoseMember,
    /// This partition alone is refused, and would be again.
    RejectPartition,
    /// Nothing but the application's help gets any further.
    Fatal,
}

/// Judges `error` as the answer to a request of `api`.
///
/// ```
/// use handover_machine::{judge, Api, ErrorCode, Verdict};
///
/// assert_eq!(judge(Api::Heartbeat, ErrorCode::RebalanceInProgress), Verdict::Rejoin);
/// assert_eq!(judge(Api::SyncGroup, ErrorCode::IllegalGeneration), Verdict::LoseGeneration);
/// // Java throws here; waiting is all that is needed.
/// assert_eq!(judge(Api::SyncGroup, ErrorCode::CoordinatorLoadInProgress), Verdict::Retry);
/// ```
pub fn judge(api: Api, error: ErrorCode) -> Verdict {
    if api == Api::OffsetCommit {
        return judge_commit(error);
    }
    match error {
        E::None => Verdict::Fine,
        // A coordinator that is starting answers soon.
        E::CoordinatorLoadInProgress | E::ThrottlingQuotaExceeded => Verdict::Retry,
        E::CoordinatorNotAvailable | E::NotCoordinator | E::RequestTimedOut => Verdict::Rediscover,
        E::NetworkException | E::LeaderNotAvailable | E::NotLeaderOrFollower | E::StorageError => {
            Verdict::Rediscover
        }
        E::MemberIdRequired => only(api == Api::JoinGroup, Verdict::TakeMemberId),
        E::RebalanceInProgress => rebalance_in_progress(api),
        E::IllegalGeneration => identity(api, Verdict::LoseGeneration),
        E::UnknownMemberId => match api {
            // The coordinator no longer knew the member: what a leave is for.
            Api::LeaveGroup => Verdict::Fine,
            _ => identity(api, Verdict::LoseMember),
        },
        E::UnstableOffsetCommit => Verdict::Retry,
        // Topics come and go while metadata spreads, so an unknown one is not refused for good.
        E::UnknownTopicOrPartition | E::UnknownTopicId => match api {
            Api::OffsetFetch => Verdict::Retry,
            _ => Verdict::Fatal,
        },
        E::TopicAuthorizationFailed
        | E::InvalidTopic
        | E::OffsetMetadataTooLarge
        | E::InvalidCommitOffsetSize
        | E::MessageTooLarge => match api {
            Api::OffsetFetch => Verdict::RejectPartition,
            _ => Verdict::Fatal,
        },
        // Errors of the consumer protocol and of administration, which a classic member meets
        // only if its group was changed under it. Rejoining asks the coordinator afresh.
        E::FencedMemberEpoch | E::StaleMemberEpoch => identity(api, Verdict::LoseGeneration),
        E::GroupIdNotFound => match api {
            Api::LeaveGroup => Verdict::Fine,
            _ => identity(api, Verdict::LoseMember),
        },
        // Whatever the coordinator stumbled over, it may be past it at the next attempt.
        E::UnknownServerError | E::Other(_) => Verdict::Retry,
        E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::FencedInstanceId
        | E::InconsistentGroupProtocol
        | E::InvalidSessionTimeout
        | E::InvalidGroupId
        | E::GroupMaxSizeReached
        | E::UnsupportedVersion
        | E::InvalidRequest
        | E::NonEmptyGroup
        | E::GroupSubscribedToTopic
        | E::UnreleasedInstanceId
        | E::UnsupportedAssignor
        | E::InvalidRegularExpression => only(api != Api::LeaveGroup, Verdict::Fatal),
    }
}

fn rebalance_in_progress(api: Api) -> Verdict {
    only(matches!(api, Api::JoinGroup | Api::SyncGroup | Api::Heartbeat), Verdict::Rejoin)
}

/// A commit is judged by the ledger, which tells apart what may have been applied; this is what
/// its judgement means for the member.
fn judge_commit(error: ErrorCode) -> Verdict {
    use crate::commits::{CommitEffect, CommitVerdict, judge_commit};
    match judge_commit(error) {
        (_, CommitEffect::Rejoin) => Verdict::Rejoin,
        (_, CommitEffect::Rediscover) => Verdict::Rediscover,
        (_, CommitEffect::IdentityLost(E::UnknownMemberId | E::GroupIdNotFound)) => {
            Verdict::LoseMember
        }
        (_, CommitEffect::IdentityLost(_)) => Verdict::LoseGeneration,
        (_, CommitEffect::Fatal(_)) => Verdict::Fatal,
        (CommitVerdict::Committed, CommitEffect::Nothing) => Verdict::Fine,
        (CommitVerdict::RefusedBid(_) | CommitVerdict::Refused(_), CommitEffect::Nothing) => {
            Verdict::RejectPartition
        }
        (_, CommitEffect::Nothing) => Verdict::Retry,
    }
}

/// An identity can be lost only by a request that carries one.
fn identity(api: Api, verdict: Verdict) -> Verdict {
    only(!matches!(api, Api::FindCoordinator | Api::LeaveGroup), verdict)
}

fn only(fits: bool, verdict: Verdict) -> Verdict {
    if fits { verdict } else { Verdict::Retry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_none_and_a_leave_that_finds_nobody_are_fine() {
        for api in Api::ALL {
            for &error in ErrorCode::NAMED {
                let fine = error == ErrorCode::None
                    || api == Api::LeaveGroup
                        && matches!(error, ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound);
                assert_eq!(judge(api, error) == Verdict::Fine, fine, "{api:?} {error}");
            }
        }
    }

    #[test]
    fn a_leave_is_never_fatal_and_never_loses_what_is_being_given_up() {
        for &error in ErrorCode::NAMED {
            let verdict = judge(Api::LeaveGroup, error);
            assert!(
                matches!(
                    verdict,
                    Verdict::Fine | Verdict::Retry | Verdict::Rediscover | Verdict::Fatal
                ),
                "{error}: {verdict:?}"
            );
        }
    }

    #[test]
    fn an_offset_fetch_never_takes_an_error_for_an_offset() {
        // An error must not trigger an offset reset: only offset -1 does (SPEC L5).
        for &error in ErrorCode::NAMED {
            if error != ErrorCode::None {
                assert_ne!(judge(Api::OffsetFetch, error), Verdict::Fine, "{error}");
            }
        }
    }
}
