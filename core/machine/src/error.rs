//! Kafka's error codes, as far as a group member meets them.

use core::fmt;

macro_rules! codes {
    ($($code:literal $name:ident $kafka:literal;)*) => {
        /// An error code of Kafka's protocol (`org.apache.kafka.common.protocol.Errors`).
        ///
        /// ```
        /// use handover_machine::ErrorCode;
        /// assert_eq!(ErrorCode::from_code(27), ErrorCode::RebalanceInProgress);
        /// assert_eq!(ErrorCode::RebalanceInProgress.to_string(), "REBALANCE_IN_PROGRESS (27)");
        /// assert_eq!(ErrorCode::from_code(9_999).code(), 9_999);
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $kafka, "`, code ", stringify!($code), ".")] $name,)*
            /// A code that this version of the crate has no name for.
            Other(i16),
        }

        impl ErrorCode {
            /// Every code that has a name, in the order of the codes.
            pub const NAMED: &'static [ErrorCode] = &[$(ErrorCode::$name),*];

            /// The error with this code.
            pub const fn from_code(code: i16) -> ErrorCode {
                match code { $($code => ErrorCode::$name,)* other => ErrorCode::Other(other) }
            }

            /// The number on the wire.
            pub const fn code(self) -> i16 {
                match self { $(ErrorCode::$name => $code,)* ErrorCode::Other(code) => code }
            }

            /// Kafka's name for it.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => $kafka,)* ErrorCode::Other(_) => "UNRECOGNISED" }
            }
        }
    };
}

codes! {
    -1 UnknownServerError "UNKNOWN_SERVER_ERROR";
    0 None "NONE";
    3 UnknownTopicOrPartition "UNKNOWN_TOPIC_OR_PARTITION";
    5 LeaderNotAvailable "LEADER_NOT_AVAILABLE";
    6 NotLeaderOrFollower "NOT_LEADER_OR_FOLLOWER";
    7 RequestTimedOut "REQUEST_TIMED_OUT";
    10 MessageTooLarge "MESSAGE_TOO_LARGE";
    12 OffsetMetadataTooLarge "OFFSET_METADATA_TOO_LARGE";
    13 NetworkException "NETWORK_EXCEPTION";
    14 CoordinatorLoadInProgress "COORDINATOR_LOAD_IN_PROGRESS";
    15 CoordinatorNotAvailable "COORDINATOR_NOT_AVAILABLE";
    16 NotCoordinator "NOT_COORDINATOR";
    17 InvalidTopic "INVALID_TOPIC_EXCEPTION";
    22 IllegalGeneration "ILLEGAL_GENERATION";
    23 InconsistentGroupProtocol "INCONSISTENT_GROUP_PROTOCOL";
    24 InvalidGroupId "INVALID_GROUP_ID";
    25 UnknownMemberId "UNKNOWN_MEMBER_ID";
    26 InvalidSessionTimeout "INVALID_SESSION_TIMEOUT";
    27 RebalanceInProgress "REBALANCE_IN_PROGRESS";
    28 InvalidCommitOffsetSize "INVALID_COMMIT_OFFSET_SIZE";
    29 TopicAuthorizationFailed "TOPIC_AUTHORIZATION_FAILED";
    30 GroupAuthorizationFailed "GROUP_AUTHORIZATION_FAILED";
    31 ClusterAuthorizationFailed "CLUSTER_AUTHORIZATION_FAILED";
    35 UnsupportedVersion "UNSUPPORTED_VERSION";
    42 InvalidRequest "INVALID_REQUEST";
    56 StorageError "KAFKA_STORAGE_ERROR";
    68 NonEmptyGroup "NON_EMPTY_GROUP";
    69 GroupIdNotFound "GROUP_ID_NOT_FOUND";
    79 MemberIdRequired "MEMBER_ID_REQUIRED";
    81 GroupMaxSizeReached "GROUP_MAX_SIZE_REACHED";
    82 FencedInstanceId "FENCED_INSTANCE_ID";
    86 GroupSubscribedToTopic "GROUP_SUBSCRIBED_TO_TOPIC";
    88 UnstableOffsetCommit "UNSTABLE_OFFSET_COMMIT";
    89 ThrottlingQuotaExceeded "THROTTLING_QUOTA_EXCEEDED";
    100 UnknownTopicId "UNKNOWN_TOPIC_ID";
    110 FencedMemberEpoch "FENCED_MEMBER_EPOCH";
    111 UnreleasedInstanceId "UNRELEASED_INSTANCE_ID";
    112 UnsupportedAssignor "UNSUPPORTED_ASSIGNOR";
    113 StaleMemberEpoch "STALE_MEMBER_EPOCH";
    128 InvalidRegularExpression "INVALID_REGULAR_EXPRESSION";
}

impl ErrorCode {
    /// Whether this is [`ErrorCode::None`].
    pub const fn is_none(self) -> bool {
        matches!(self, ErrorCode::None)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}
