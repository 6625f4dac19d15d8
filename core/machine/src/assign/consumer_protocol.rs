//! The bytes of `ConsumerProtocol`: what members tell the leader, and the leader the members.
//!
//! The coordinator carries them without a look inside, so this is a contract between clients of
//! every make. Source: `ConsumerProtocolSubscription.json`, `ConsumerProtocolAssignment.json` and
//! `ConsumerProtocol` of Kafka's Java client: versions 0 to 3, none of them flexible.
//!
//! What arrives was written by a stranger: a wrong length is an error and never an allocation
//! (SPEC A1).

use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use crate::{Name, TopicPartition};

/// The highest version of both messages, which the encoder writes. Whoever knows less of it reads
/// the front that it knows.
const HIGHEST: i16 = 3;

/// What a member tells the leader: `ConsumerProtocolSubscription`.
///
/// ```
/// use handover_machine::{TopicPartition, assign::Subscription};
///
/// let told = Subscription {
///     topics: vec!["orders".into()],
///     owned: vec![TopicPartition::new("orders", 3)],
///     generation: 7,
///     ..Subscription::default()
/// };
/// assert_eq!(Subscription::decode(&told.encode()), Ok(told));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Subscription {
    /// The topics that the member wants.
    pub topics: Vec<Name>,
    /// A note from the member's assignor to the leader's; empty if there is none.
    pub user_data: Vec<u8>,
    /// What the member owns and keeps while the rebalance runs (KIP-429, version 1).
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got that, or -1 (KIP-792, version 2).
    pub generation: i32,
    /// The member's rack (KIP-881, version 3).
    pub rack: Option<Name>,
}

impl Default for Subscription {
    /// No topic, nothing owned, generation -1.
    fn default() -> Self {
        let (topics, user_data, owned) = (Vec::new(), Vec::new(), Vec::new());
        Subscription { topics, user_data, owned, generation: -1, rack: None }
    }
}

impl Subscription {
    /// The bytes, at the highest version: topics sorted, owned partitions sorted and grouped by
    /// topic. What occurs twice is written once.
    pub fn encode(&self) -> Vec<u8> {
        let mut topics: Vec<&Name> = self.topics.iter().collect();
        topics.sort_unstable();
        topics.dedup();
        let mut out = Vec::new();
        put_i16(&mut out, HIGHEST);
        put_count(&mut out, topics.len());
        for topic in topics {
            put_string(&mut out, topic);
        }
        put_nullable_bytes(&mut out, &self.user_data);
        put_partitions(&mut out, &self.owned);
        put_i32(&mut out, self.generation);
        match self.rack.as_ref().filter(|rack| !rack.is_empty()) {
            Some(rack) => put_string(&mut out, rack),
            None => put_i16(&mut out, -1),
        }
        out
    }

    /// Reads any version: fields that it lacks get their neutral value, a version higher than 3
    /// is read as 3, and what follows the known fields is passed over.
    pub fn decode(bytes: &[u8]) -> Result<Subscription, DecodeError> {
        let mut reader = Reader { left: bytes };
        let version = reader.version()?;
        let mut read = Subscription::default();
        for _ in 0..reader.count("topics", 2)? {
            read.topics.push(reader.string("topic")?);
        }
        read.user_data = reader.nullable_bytes("user data")?.to_vec();
        if version >= 1 {
            read.owned = reader.partitions("owned partitions")?;
        }
        if version >= 2 {
            read.generation = reader.i32("generation")?;
        }
        if version >= 3 {
            read.rack = reader.nullable_string("rack")?.filter(|rack| !rack.is_empty());
        }
        Ok(read)
    }
}

/// What the leader tells a member: `ConsumerProtocolAssignment`.
///
/// ```
/// use handover_machine::{TopicPartition, assign::Assignment};
///
/// let told = Assignment {
///     partitions: vec![TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)],
///     user_data: vec![],
/// };
/// assert_eq!(Assignment::decode(&told.encode()), Ok(told));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Assignment {
    /// All that the member is to own now.
    pub partitions: Vec<TopicPartition>,
    /// A note from the leader's assignor to the member's; empty if there is none.
    pub user_data: Vec<u8>,
}

impl Assignment {
    /// The bytes, at the highest version: partitions sorted and grouped by topic, each once.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_i16(&mut out, HIGHEST);
        put_partitions(&mut out, &self.partitions);
        put_nullable_bytes(&mut out, &self.user_data);
        out
    }

    /// Reads any version; all of them have the same two fields. No bytes at all are an empty
    /// assignment: that is what a coordinator gives to a member for which the leader had no plan.
    pub fn decode(bytes: &[u8]) -> Result<Assignment, DecodeError> {
        if bytes.is_empty() {
            return Ok(Assignment::default());
        }
        let mut reader = Reader { left: bytes };
        reader.version()?;
        let partitions = reader.partitions("assigned partitions")?;
        let user_data = reader.nullable_bytes("user data")?.to_vec();
        Ok(Assignment { partitions, user_data })
    }
}

/// Why bytes are not those of a `ConsumerProtocol` message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends before its field does, or counts more elements than it can hold.
    Truncated {
        /// The field.
        field: &'static str,
        /// The least number of bytes that the rest of the field takes.
        needed: usize,
        /// The number of bytes that are left.
        left: usize,
    },
    /// A length or a count is negative where null has no meaning.
    Negative {
        /// The field.
        field: &'static str,
        /// What stands for its length.
        length: i32,
    },
    /// A string is not UTF-8.
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// The version is negative.
    Version(i16),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated { field, needed, left } => {
                write!(f, "{field}: expected {needed} more bytes, got {left}")?;
            }
            DecodeError::Negative { field, length } => {
                write!(f, "{field}: expected a length, got {length}")?;
            }
            DecodeError::NotUtf8 { field } => write!(f, "{field}: expected UTF-8")?,
            DecodeError::Version(version) => {
                write!(f, "version: expected 0 or more, got {version}")?;
            }
        }
        f.write_str("; look for a client in the group that does not speak ConsumerProtocol")
    }
}

impl core::error::Error for DecodeError {}

struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, needed: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.left.split_at_checked(needed) else {
            return Err(DecodeError::Truncated { field, needed, left: self.left.len() });
        };
        self.left = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N, field)?);
        Ok(bytes)
    }

    fn i16(&mut self, field: &'static str) -> Result<i16, DecodeError> {
        self.array(field).map(i16::from_be_bytes)
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    fn version(&mut self) -> Result<i16, DecodeError> {
        let version = self.i16("version")?;
        if version < 0 { Err(DecodeError::Version(version)) } else { Ok(version.min(HIGHEST)) }
    }

    /// A count of elements of at least `each` bytes. It is believed only if they can be there.
    fn count(&mut self, field: &'static str, each: usize) -> Result<usize, DecodeError> {
        let count = length(field, self.i32(field)?)?;
        let needed = count.saturating_mul(each);
        let left = self.left.len();
        if needed > left {
            return Err(DecodeError::Truncated { field, needed, left });
        }
        Ok(count)
    }

    fn string(&mut self, field: &'static str) -> Result<Name, DecodeError> {
        let length = length(field, self.i16(field)?.into())?;
        self.utf8(length, field)
    }

    fn nullable_string(&mut self, field: &'static str) -> Result<Option<Name>, DecodeError> {
        match self.i16(field)? {
            -1 => Ok(None),
            other => self.utf8(length(field, other.into())?, field).map(Some),
        }
    }

    fn utf8(&mut self, length: usize, field: &'static str) -> Result<Name, DecodeError> {
        let bytes = self.take(length, field)?;
        core::str::from_utf8(bytes).map(Arc::from).map_err(|_| DecodeError::NotUtf8 { field })
    }

    fn nullable_bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.i32(field)? {
            -1 => Ok(&[]),
            other => self.take(length(field, other)?, field),
        }
    }

    fn partitions(&mut self, field: &'static str) -> Result<Vec<TopicPartition>, DecodeError> {
        let mut partitions = Vec::new();
        for _ in 0..self.count(field, 6)? {
            let topic = self.string(field)?;
            for _ in 0..self.count(field, 4)? {
                partitions.push(TopicPartition::new(topic.clone(), self.i32(field)?));
            }
        }
        Ok(partitions)
    }
}

fn length(field: &'static str, length: i32) -> Result<usize, DecodeError> {
    usize::try_from(length).map_err(|_| DecodeError::Negative { field, length })
}

fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Counts past `i32` would take a message of gigabytes, which no request can carry.
fn put_count(out: &mut Vec<u8>, count: usize) {
    put_i32(out, i32::try_from(count).unwrap_or(i32::MAX));
}

/// A name longer than the field holds is cut at a character: Kafka allows a topic 249 bytes, so
/// neither the name nor what is left of it can exist, and the rest of the message stays whole.
fn put_string(out: &mut Vec<u8>, string: &str) {
    let mut end = string.len().min(i16::MAX as usize);
    while !string.is_char_boundary(end) {
        end -= 1;
    }
    put_i16(out, end as i16);
    out.extend_from_slice(&string.as_bytes()[..end]);
}

fn put_nullable_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        return put_i32(out, -1);
    }
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_partitions(out: &mut Vec<u8>, partitions: &[TopicPartition]) {
    let mut sorted: Vec<&TopicPartition> = partitions.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    put_count(out, sorted.chunk_by(|a, b| a.topic == b.topic).count());
    for of_topic in sorted.chunk_by(|a, b| a.topic == b.topic) {
        put_string(out, &of_topic[0].topic);
        put_count(out, of_topic.len());
        for partition in of_topic {
            put_i32(out, partition.partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    /// Derived by hand from the schema, field by field.
    const SUBSCRIPTION_V3: &[u8] = &[
        0, 3, // version
        0, 0, 0, 2, // two topics
        0, 1, b'a', 0, 2, b'b', b'c', // "a", "bc"
        0, 0, 0, 4, 0, 0, 0, 9, // user data of four bytes
        0, 0, 0, 2, // owned partitions of two topics
        0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 5, // a: [5]
        0, 2, b'b', b'c', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, // bc: [0, 256]
        0, 0, 0, 9, // generation
        0, 2, b'r', b'1', // rack
    ];
    const ASSIGNMENT_V3: &[u8] = &[
        0, 3, // version
        0, 0, 0, 1, // one topic
        0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, // a: [0, 1]
        255, 255, 255, 255, // no user data
    ];

    fn subscription() -> Subscription {
        Subscription {
            topics: vec!["bc".into(), "a".into()],
            user_data: vec![0, 0, 0, 9],
            owned: vec![
                TopicPartition::new("bc", 256),
                TopicPartition::new("a", 5),
                TopicPartition::new("bc", 0),
            ],
            generation: 9,
            rack: Some("r1".into()),
        }
    }

    fn sorted(mut of: Subscription) -> Subscription {
        of.topics.sort();
        of.owned.sort();
        of
    }

    #[test]
    fn a_subscription_has_the_bytes_of_the_schema() {
        assert_eq!(subscription().encode(), SUBSCRIPTION_V3);
        assert_eq!(Subscription::decode(SUBSCRIPTION_V3), Ok(sorted(subscription())));
    }

    #[test]
    fn an_empty_subscription_has_nulls() {
        let nulls =
            [0, 3, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255];
        assert_eq!(Subscription::default().encode(), nulls);
        assert_eq!(Subscription::decode(&nulls), Ok(Subscription::default()));
    }

    #[test]
    fn an_assignment_has_the_bytes_of_the_schema() {
        let partitions = vec![TopicPartition::new("a", 0), TopicPartition::new("a", 1)];
        let assignment = Assignment { partitions, user_data: vec![] };
        assert_eq!(assignment.encode(), ASSIGNMENT_V3);
        assert_eq!(Assignment::decode(ASSIGNMENT_V3), Ok(assignment));
        assert_eq!(Assignment::decode(&[]), Ok(Assignment::default()));
    }

    /// Each lower version is a front of version 3, and the fields behind it are neutral.
    #[test]
    fn lower_versions_lack_the_later_fields() {
        let mut expected = sorted(subscription());
        expected.rack = None;
        for (version, length) in [(2, 56), (1, 52), (0, 21)] {
            if version < 2 {
                expected.generation = -1;
            }
            if version < 1 {
                expected.owned.clear();
            }
            let mut bytes = SUBSCRIPTION_V3[..length].to_vec();
            bytes[1] = version;
            assert_eq!(Subscription::decode(&bytes), Ok(expected.clone()), "version {version}");
        }
        for version in 0..=3 {
            let mut bytes = ASSIGNMENT_V3.to_vec();
            bytes[1] = version;
            assert_eq!(Assignment::decode(&bytes), Assignment::decode(ASSIGNMENT_V3));
        }
    }

    #[test]
    fn a_higher_version_is_read_as_the_highest_known() {
        let mut bytes = SUBSCRIPTION_V3.to_vec();
        bytes[..2].copy_from_slice(&[0x7f, 0xff]);
        bytes.extend([1, 2, 3]);
        assert_eq!(Subscription::decode(&bytes), Ok(sorted(subscription())));
        assert_eq!(Subscription::decode(&[255, 255]), Err(DecodeError::Version(-1)));
    }

    #[test]
    fn every_truncation_is_an_error() {
        for length in 0..SUBSCRIPTION_V3.len() {
            let cut = Subscription::decode(&SUBSCRIPTION_V3[..length]);
            assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{length}: {cut:?}");
        }
        for length in 1..ASSIGNMENT_V3.len() {
            let cut = Assignment::decode(&ASSIGNMENT_V3[..length]);
            assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{length}: {cut:?}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_errors() {
        let huge = [0, 3, 0x7f, 255, 255, 255, 0, 0];
        let needed = i32::MAX as usize * 2;
        let error = DecodeError::Truncated { field: "topics", needed, left: 2 };
        assert_eq!(Subscription::decode(&huge), Err(error));
        let field = "assigned partitions";
        let needed = i32::MAX as usize * 6;
        let error = DecodeError::Truncated { field, needed, left: 2 };
        assert_eq!(Assignment::decode(&huge), Err(error));
        let error = DecodeError::Negative { field: "topics", length: -1 };
        assert_eq!(Subscription::decode(&[0, 3, 255, 255, 255, 255]), Err(error));
        let error = DecodeError::Negative { field: "user data", length: -2 };
        assert_eq!(Subscription::decode(&[0, 0, 0, 0, 0, 0, 255, 255, 255, 254]), Err(error));
        let error = DecodeError::Negative { field: "topic", length: -1 };
        assert_eq!(Subscription::decode(&[0, 0, 0, 0, 0, 1, 255, 255]), Err(error));
        let error = DecodeError::NotUtf8 { field: "topic" };
        assert_eq!(Subscription::decode(&[0, 0, 0, 0, 0, 1, 0, 1, 255]), Err(error));
    }

    /// Any byte of a good message replaced by any other: an answer, never a panic.
    #[test]
    fn no_damage_panics() {
        for at in 0..SUBSCRIPTION_V3.len() {
            for byte in 0..=255 {
                let mut bytes = SUBSCRIPTION_V3.to_vec();
                bytes[at] = byte;
                if let Ok(read) = Subscription::decode(&bytes) {
                    assert_eq!(Subscription::decode(&read.encode()), Ok(canonical(read)));
                }
            }
        }
    }

    fn canonical(read: Subscription) -> Subscription {
        let mut read = sorted(read);
        read.topics.dedup();
        read.owned.dedup();
        read
    }

    #[test]
    fn a_name_too_long_for_the_field_is_cut_at_a_character() {
        let topics = vec![Name::from("é".repeat(20_000))];
        let encoded = Subscription { topics, ..Subscription::default() }.encode();
        let read = Subscription::decode(&encoded).unwrap();
        assert_eq!(read.topics[0].len(), 32_766);
    }

    #[test]
    fn errors_say_what_came_and_what_to_do() {
        let error = Subscription::decode(&[0]).unwrap_err();
        let help = "; look for a client in the group that does not speak ConsumerProtocol";
        assert_eq!(error.to_string(), ["version: expected 2 more bytes, got 1", help].concat());
    }
}
