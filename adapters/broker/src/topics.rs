//! The cluster's topics: names, ids, settings, and the partitions with their logs.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use handover_machine::Name;
use handover_wire::codec::Uuid;

use crate::log::Log;

/// `Topic.MAX_NAME_LENGTH` of Kafka.
const NAME_LIMIT: usize = 249;

/// Partitions of all topics together. A request can ask for two thousand million (SPEC Y6).
const PARTITION_LIMIT: usize = 20_000;

#[derive(Debug)]
pub(crate) struct Topics {
    by_name: BTreeMap<Name, Topic>,
    names: HashMap<Uuid, Name>,
    /// The high half of every topic id: differs from broker to broker, so that a client that
    /// meets another broker at the same address is told that its topics are not there.
    seed: u64,
    created: u64,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) name: Name,
    pub(crate) partitions: Vec<Partition>,
    /// What was set for this topic, beyond the defaults.
    pub(crate) settings: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct Partition {
    /// The node that leads; `None` while no node is up.
    pub(crate) leader: Option<i32>,
    /// Higher with each change of the leader.
    pub(crate) epoch: i32,
    pub(crate) log: Log,
}

/// Why a topic is not created or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TopicError {
    InvalidName,
    Exists,
    Unknown,
    InvalidPartitions(String),
    InvalidSetting(String),
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TopicError::InvalidName => {
                "a topic's name has 1 to 249 letters, digits, '.', '_' and '-'"
            }
            TopicError::Exists => "a topic of this name exists",
            TopicError::Unknown => "there is no topic of this name",
            TopicError::InvalidPartitions(detail) | TopicError::InvalidSetting(detail) => detail,
        })
    }
}

impl Topics {
    pub(crate) fn new(seed: u64) -> Topics {
        // Never the id that means "no id".
        Topics { by_name: BTreeMap::new(), names: HashMap::new(), seed: seed | 1, created: 0 }
    }

    /// Whether [`Topics::create`] would succeed.
    pub(crate) fn check(&self, name: &str, partitions: i32) -> Result<(), TopicError> {
        if !is_valid_name(name) {
            return Err(TopicError::InvalidName);
        }
        if self.by_name.contains_key(name) {
            return Err(TopicError::Exists);
        }
        self.check_count(0, partitions)
    }

    /// Creates a topic. Partition `i` is led by `leaders[i % leaders.len()]`.
    pub(crate) fn create(
        &mut self,
        name: &str,
        partitions: i32,
        settings: BTreeMap<String, String>,
        leaders: &[i32],
    ) -> Result<&Topic, TopicError> {
        self.check(name, partitions)?;
        check_settings(&settings)?;
        self.created += 1;
        let id = Uuid::from_u64_pair(self.seed, self.created);
        let name = Name::from(name);
        let mut topic = Topic { id, name: name.clone(), partitions: Vec::new(), settings };
        topic.grow(partitions, leaders);
        self.names.insert(id, name.clone());
        Ok(self.by_name.entry(name).or_insert(topic))
    }

    /// Gives a topic more partitions.
    pub(crate) fn grow(&mut self, name: &str, to: i32, leaders: &[i32]) -> Result<(), TopicError> {
        let has = self.by_name.get(name).ok_or(TopicError::Unknown)?.partitions.len();
        self.check_count(has, to)?;
        if let Some(topic) = self.by_name.get_mut(name) {
            topic.grow(to, leaders);
        }
        Ok(())
    }

    /// Whether a topic with `has` partitions can have `to`.
    pub(crate) fn check_count(&self, has: usize, to: i32) -> Result<(), TopicError> {
        let to = usize::try_from(to).unwrap_or(0);
        if to <= has {
            return Err(TopicError::InvalidPartitions(format!(
                "expected more than {has} partitions, but {to} are asked for"
            )));
        }
        let all: usize = self.by_name.values().map(|topic| topic.partitions.len()).sum();
        if all + (to - has) > PARTITION_LIMIT {
            return Err(TopicError::InvalidPartitions(format!(
                "this broker keeps at most {PARTITION_LIMIT} partitions, and has {all}"
            )));
        }
        Ok(())
    }

    /// Deletes a topic with its records.
    pub(crate) fn delete(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.names.remove(&topic.id);
        Some(topic)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<&Topic> {
        self.by_name.get(self.names.get(&id)?)
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.by_name.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.by_name.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    /// Moves the partitions whose leader is not among `live` to those that are, round robin; a
    /// change of the leader begins a new epoch, as the controller's election does.
    pub(crate) fn elect(&mut self, live: &[i32]) {
        for topic in self.by_name.values_mut() {
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                if partition.leader.is_some_and(|leader| live.contains(&leader)) {
                    continue;
                }
                let leader = pick(live, index);
                if leader != partition.leader && leader.is_some() {
                    partition.epoch += 1;
                }
                partition.leader = leader;
            }
        }
    }
}

impl Topic {
    fn grow(&mut self, to: i32, leaders: &[i32]) {
        let retention = self.number("retention.bytes");
        for index in self.partitions.len()..usize::try_from(to).unwrap_or(0) {
            let log = Log::new(retention.and_then(|bytes| usize::try_from(bytes).ok()));
            self.partitions.push(Partition { leader: pick(leaders, index), epoch: 0, log });
        }
    }

    /// The largest batch that the topic takes, in bytes.
    pub(crate) fn batch_limit(&self) -> usize {
        self.number("max.message.bytes").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0)
    }

    /// A numeric setting, or its default.
    fn number(&self, name: &str) -> Option<i64> {
        let default =
            || SETTINGS.iter().find(|known| known.name == name).map(|known| known.default);
        self.settings.get(name).map(String::as_str).or_else(default)?.parse().ok()
    }
}

/// A setting that a topic can have.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    /// `ConfigDef.Type` as DescribeConfigs numbers it.
    pub(crate) kind: i8,
}

const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const LIST: i8 = 7;

/// The settings that a topic is created with and described by, with Kafka's defaults
/// (`TopicConfig`, `LogConfig`). The broker acts on `retention.bytes` and `max.message.bytes`;
/// the others it keeps and tells.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "cleanup.policy", default: "delete", kind: LIST },
    Setting { name: "compression.type", default: "producer", kind: STRING },
    Setting { name: "max.message.bytes", default: "1048588", kind: INT },
    Setting { name: "message.timestamp.type", default: "CreateTime", kind: STRING },
    Setting { name: "min.insync.replicas", default: "1", kind: INT },
    Setting { name: "retention.bytes", default: "-1", kind: LONG },
    Setting { name: "retention.ms", default: "604800000", kind: LONG },
    Setting { name: "segment.bytes", default: "1073741824", kind: INT },
];

/// Whether these settings are known and can be had.
pub(crate) fn check_settings(settings: &BTreeMap<String, String>) -> Result<(), TopicError> {
    for (name, value) in settings {
        let Some(known) = SETTINGS.iter().find(|known| known.name == name) else {
            return Err(TopicError::InvalidSetting(format!("this broker knows no setting {name}")));
        };
        if matches!(known.kind, INT | LONG) && value.parse::<i64>().is_err() {
            return Err(TopicError::InvalidSetting(format!(
                "expected a number for {name}, but {value:?} came"
            )));
        }
        if name == "message.timestamp.type" && value != "CreateTime" {
            return Err(TopicError::InvalidSetting(format!(
                "this broker keeps the producer's timestamps: {name} can only be CreateTime"
            )));
        }
    }
    Ok(())
}

fn is_valid_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_LIMIT).contains(&name.len()) && !matches!(name, "." | "..") && name.bytes().all(legal)
}

fn pick(nodes: &[i32], index: usize) -> Option<i32> {
    nodes.get(index.checked_rem(nodes.len())?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        let mut topics = Topics::new(4);
        topics.create("orders", 3, BTreeMap::new(), &[1, 2]).unwrap();
        topics
    }

    #[test]
    fn names_and_counts_are_checked() {
        let topics = topics();
        assert_eq!(topics.check("orders", 1), Err(TopicError::Exists));
        for name in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
            assert_eq!(topics.check(name, 1), Err(TopicError::InvalidName), "{name}");
        }
        for count in [0, -1, i32::MIN, i32::MAX] {
            let result = topics.check("more", count);
            assert!(matches!(result, Err(TopicError::InvalidPartitions(_))), "{count}");
        }
        assert_eq!(topics.check(&"x".repeat(249), 1), Ok(()));
    }

    #[test]
    fn a_topic_created_again_has_another_id() {
        let mut topics = topics();
        let first = topics.get("orders").unwrap().id;
        assert_eq!(topics.by_id(first).unwrap().name, Name::from("orders"));
        topics.delete("orders").unwrap();
        topics.create("orders", 1, BTreeMap::new(), &[1]).unwrap();
        assert!(topics.by_id(first).is_none());
        assert_ne!(topics.get("orders").unwrap().id, first);
    }

    #[test]
    fn leaders_move_only_when_they_must_and_begin_an_epoch() {
        let mut topics = topics();
        let leaders = |topics: &Topics| -> Vec<_> {
            let partitions = &topics.get("orders").unwrap().partitions;
            partitions.iter().map(|partition| (partition.leader, partition.epoch)).collect()
        };
        assert_eq!(leaders(&topics), [(Some(1), 0), (Some(2), 0), (Some(1), 0)]);
        topics.elect(&[2]);
        assert_eq!(leaders(&topics), [(Some(2), 1), (Some(2), 0), (Some(2), 1)]);
        topics.elect(&[]);
        assert_eq!(leaders(&topics), [(None, 1), (None, 0), (None, 1)]);
        topics.elect(&[1, 2]);
        assert_eq!(leaders(&topics), [(Some(1), 2), (Some(2), 1), (Some(1), 2)]);
    }

    #[test]
    fn settings_are_known_or_refused() {
        let setting = |name: &str, value: &str| {
            check_settings(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        assert_eq!(setting("retention.bytes", "1000"), Ok(()));
        assert!(setting("retention.bytes", "many").is_err());
        assert!(setting("message.timestamp.type", "LogAppendTime").is_err());
        assert!(setting("colour", "blue").is_err());
    }
}
