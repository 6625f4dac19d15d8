//! What the broker serves: one table.

use std::fmt;

macro_rules! apis {
    ($($key:literal $name:ident $min:literal..=$max:literal;)*) => {
        /// The requests that the broker serves, as faults and counters name them.
        ///
        /// ```
        /// use handover_broker::Api;
        /// assert_eq!(Api::OffsetCommit.key(), 8);
        /// assert_eq!(Api::from_key(8), Some(Api::OffsetCommit));
        /// assert!(Api::Produce.versions().contains(&9));
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Api {
            $(#[doc = concat!("API key ", stringify!($key), ", versions ", stringify!($min), " to ", stringify!($max), ".")] $name,)*
        }

        impl Api {
            /// All of them.
            pub const ALL: &'static [Api] = &[$(Api::$name),*];

            /// The number on the wire (`org.apache.kafka.common.protocol.ApiKeys`).
            pub const fn key(self) -> i16 {
                match self { $(Api::$name => $key,)* }
            }

            /// The API with this number, if it is served.
            pub const fn from_key(key: i16) -> Option<Api> {
                match key { $($key => Some(Api::$name),)* _ => None }
            }

            /// The versions that are served.
            pub const fn versions(self) -> std::ops::RangeInclusive<i16> {
                match self { $(Api::$name => $min..=$max,)* }
            }
        }
    };
}

apis! {
    0 Produce 3..=13;
    1 Fetch 4..=18;
    2 ListOffsets 1..=10;
    3 Metadata 0..=13;
    8 OffsetCommit 2..=9;
    9 OffsetFetch 1..=9;
    10 FindCoordinator 0..=6;
    11 JoinGroup 0..=9;
    12 Heartbeat 0..=4;
    13 LeaveGroup 0..=5;
    14 SyncGroup 0..=5;
    15 DescribeGroups 0..=6;
    16 ListGroups 0..=5;
    18 ApiVersions 0..=4;
    19 CreateTopics 2..=7;
    20 DeleteTopics 1..=6;
    22 InitProducerId 0..=5;
    23 OffsetForLeaderEpoch 2..=4;
    32 DescribeConfigs 1..=4;
    37 CreatePartitions 0..=3;
    42 DeleteGroups 0..=2;
    47 OffsetDelete 0..=0;
    60 DescribeCluster 0..=2;
}

impl Api {
    /// The versions that ApiVersions announces: those served, but for Produce from 0 on, by which
    /// librdkafka tells that the broker can do record batches at all (KAFKA-18659).
    pub const fn announced(self) -> std::ops::RangeInclusive<i16> {
        match self {
            Api::Produce => 0..=13,
            _ => self.versions(),
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
