//! Between the machine's requests and responses and the codec's, one file for each API.
//!
//! Each file has the same four functions: `to_request` and `from_response` for the client,
//! `from_request` and `to_response` for the broker. A field that a version lacks is left out where
//! Kafka's schema calls it ignorable; where it does not, the codec refuses and so do we (SPEC W4).

pub(crate) mod find_coordinator;
pub(crate) mod heartbeat;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod offset_commit;
pub(crate) mod offset_fetch;
pub(crate) mod sync_group;

use std::collections::BTreeMap;

use bytes::Bytes;
use handover_machine::{Name, TopicPartition};
use kafka_protocol::protocol::StrBytes;

/// What does not fit, in words: what was expected and what came.
pub(crate) type Detail = Box<str>;

/// Kafka's Java client cuts reasons to this many characters (KIP-800,
/// `JoinGroupRequest.maybeTruncateReason`).
const LONGEST_REASON: usize = 255;

pub(crate) fn text(name: &str) -> StrBytes {
    StrBytes::from_string(name.to_owned())
}

pub(crate) fn optional_text(name: &Option<Name>) -> Option<StrBytes> {
    name.as_deref().map(text)
}

fn reason_text(reason: &Option<Name>) -> Option<StrBytes> {
    reason.as_deref().map(|reason| match reason.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => text(&reason[..end]),
        None => text(reason),
    })
}

pub(crate) fn name(text: &StrBytes) -> Name {
    Name::from(text.as_str())
}

fn optional_name(text: &Option<StrBytes>) -> Option<Name> {
    text.as_ref().map(name)
}

fn blob(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Gathers what belongs to the same topic, as the wire wants it; topics stay in the order in which
/// they come first, partitions in theirs.
fn by_topic<T>(items: impl IntoIterator<Item = (Name, T)>) -> Vec<(Name, Vec<T>)> {
    let mut topics: Vec<(Name, Vec<T>)> = Vec::new();
    let mut place = BTreeMap::new();
    for (topic, item) in items {
        let at = *place.entry(topic).or_insert_with_key(|topic| {
            topics.push((topic.clone(), Vec::new()));
            topics.len() - 1
        });
        topics[at].1.push(item);
    }
    topics
}

fn partition(topic: &Name, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition }
}
