//! What is known of a cluster: its brokers, topics and leaders. Pure; `cluster.rs` asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handover_core::machine::{ErrorCode, Name, Node};
use handover_wire::codec::Uuid;
use handover_wire::codec::messages::MetadataResponse;
use handover_wire::codec::messages::metadata_response::{
    MetadataResponsePartition, MetadataResponseTopic,
};
use tokio::time::Instant;

/// The most topics remembered; then the one that was asked for longest ago goes (SPEC N5).
const MOST_TOPICS: usize = 10_000;

/// The brokers and topics of the last answers.
#[derive(Debug, Default)]
pub(super) struct Directory {
    brokers: BTreeMap<i32, Node>,
    controller: Option<i32>,
    topics: BTreeMap<Name, Entry>,
}

#[derive(Debug)]
struct Entry {
    topic: Arc<Topic>,
    fetched: Instant,
    /// A broker said that this is not true any more.
    stale: bool,
}

/// One topic, as a broker described it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Topic {
    /// Nil if the brokers are older than topic ids (KIP-516).
    pub(crate) id: Uuid,
    /// The partitions' leaders, by partition. None where there is none at the moment.
    pub(crate) leaders: BTreeMap<i32, Option<Leader>>,
}

/// Who leads a partition, and since which election.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leader {
    pub(crate) broker: i32,
    /// -1 if the brokers are too old to say.
    pub(crate) epoch: i32,
}

impl Topic {
    /// How many partitions there are.
    pub(crate) fn count(&self) -> usize {
        self.leaders.len()
    }

    /// The leader of a partition; `None` if there is none, or no such partition.
    pub(crate) fn leader(&self, partition: i32) -> Option<Leader> {
        self.leaders.get(&partition).copied().flatten()
    }
}

impl Directory {
    /// Takes an answer in. Gives the topics that were refused.
    pub(super) fn install(
        &mut self,
        answer: MetadataResponse,
        now: Instant,
    ) -> Vec<(Name, ErrorCode)> {
        let brokers: BTreeMap<i32, Node> = answer
            .brokers
            .iter()
            .filter_map(|b| node(b.node_id.0, &b.host, b.port).map(|node| (node.id, node)))
            .collect();
        // A broker that has just started may know of none; old addresses are better than none.
        if !brokers.is_empty() {
            self.brokers = brokers;
        }
        self.controller = Some(answer.controller_id.0).filter(|id| *id >= 0);
        let mut refused = Vec::new();
        for topic in answer.topics {
            let Some(name) = &topic.name else { continue };
            let name = Name::from(name.as_str());
            match ErrorCode::from_code(topic.error_code) {
                // Its partitions are listed all the same, with an error for those without leader.
                ErrorCode::None | ErrorCode::LeaderNotAvailable if !topic.partitions.is_empty() => {
                    self.install_topic(name, &topic, now);
                }
                ErrorCode::None => refused.push((name, ErrorCode::LeaderNotAvailable)),
                error => {
                    if error == ErrorCode::UnknownTopicOrPartition {
                        self.topics.remove(&name);
                    }
                    refused.push((name, error));
                }
            }
        }
        refused
    }

    fn install_topic(&mut self, name: Name, topic: &MetadataResponseTopic, now: Instant) {
        let id = topic.topic_id;
        let known = self.topics.get(&name).map(|entry| &entry.topic).filter(|old| old.id == id);
        let leaders = topic
            .partitions
            .iter()
            .map(|new| {
                let old = known.and_then(|topic| topic.leader(new.partition_index));
                (new.partition_index, newer(old, leader(new)))
            })
            .collect();
        let topic = Arc::new(Topic { id, leaders });
        self.topics.insert(name, Entry { topic, fetched: now, stale: false });
        if self.topics.len() > MOST_TOPICS {
            let oldest = self.topics.iter().min_by_key(|(_, entry)| entry.fetched);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| self.topics.remove(&name));
        }
    }

    /// What is known of a topic, if it is not older than `age` and nobody said it was wrong.
    pub(super) fn fresh(&self, name: &str, now: Instant, age: Duration) -> Option<Arc<Topic>> {
        let young = |entry: &&Entry| !entry.stale && now.duration_since(entry.fetched) <= age;
        self.topics.get(name).filter(young).map(|entry| Arc::clone(&entry.topic))
    }

    /// What is known of a topic, however old.
    pub(super) fn known(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.get(name).map(|entry| Arc::clone(&entry.topic))
    }

    /// Topics that are to be asked for anew.
    pub(super) fn stale(&self, now: Instant, age: Duration) -> Vec<Name> {
        let old = |entry: &Entry| entry.stale || now.duration_since(entry.fetched) > age;
        self.topics.iter().filter(|(_, entry)| old(entry)).map(|(name, _)| name.clone()).collect()
    }

    /// A broker said that what is known of this topic is wrong.
    pub(super) fn mark_stale(&mut self, name: &str) {
        if let Some(entry) = self.topics.get_mut(name) {
            entry.stale = true;
        }
    }

    /// A broker said, in place of an answer, who leads a partition (KIP-951).
    pub(super) fn learn(&mut self, name: &str, partition: i32, new: Leader) {
        let Some(entry) = self.topics.get_mut(name) else { return };
        let topic = Arc::make_mut(&mut entry.topic);
        if let Some(leader) = topic.leaders.get_mut(&partition) {
            *leader = newer(*leader, Some(new));
        }
    }

    /// A broker said where another one is (KIP-951).
    pub(super) fn learn_node(&mut self, id: i32, host: &str, port: i32) {
        if let Some(node) = node(id, host, port) {
            self.brokers.insert(id, node);
        }
    }

    pub(super) fn node(&self, id: i32) -> Option<&Node> {
        self.brokers.get(&id)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.brokers.values()
    }

    pub(super) fn controller(&self) -> Option<i32> {
        self.controller
    }
}

fn node(id: i32, host: &str, port: i32) -> Option<Node> {
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    (id >= 0 && !host.is_empty()).then(|| Node { id, host: Name::from(host), port })
}

fn leader(partition: &MetadataResponsePartition) -> Option<Leader> {
    let broker = partition.leader_id.0;
    (broker >= 0).then_some(Leader { broker, epoch: partition.leader_epoch })
}

/// A broker that lags behind may still tell of an election before the last (KIP-320).
fn newer(old: Option<Leader>, new: Option<Leader>) -> Option<Leader> {
    match (old, new) {
        (Some(old), Some(new)) if new.epoch >= 0 && new.epoch < old.epoch => Some(old),
        (_, new) => new,
    }
}

#[cfg(test)]
mod tests {
    use handover_wire::codec::StrBytes;
    use handover_wire::codec::messages::metadata_response::MetadataResponseBroker;
    use handover_wire::codec::messages::{BrokerId, TopicName};

    use super::*;

    fn answer(id: u128, leaders: &[(i32, i32)]) -> MetadataResponse {
        let partition = |(index, (leader, epoch)): (usize, &(i32, i32))| {
            MetadataResponsePartition::default()
                .with_partition_index(i32::try_from(index).unwrap())
                .with_leader_id(BrokerId(*leader))
                .with_leader_epoch(*epoch)
        };
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("orders"))))
            .with_topic_id(Uuid::from_u128(id))
            .with_partitions(leaders.iter().enumerate().map(partition).collect());
        MetadataResponse::default().with_topics(vec![topic])
    }

    fn leaders(directory: &Directory) -> Vec<Option<(i32, i32)>> {
        let topic = directory.known("orders").unwrap();
        topic.leaders.values().map(|l| l.map(|l| (l.broker, l.epoch))).collect()
    }

    #[test]
    fn an_older_election_does_not_replace_a_newer_one_of_the_same_topic() {
        let mut directory = Directory::default();
        let now = Instant::now();
        directory.install(answer(1, &[(1, 5), (2, 5), (3, 5)]), now);
        directory.install(answer(1, &[(9, 4), (9, 6), (-1, 5)]), now);
        assert_eq!(leaders(&directory), [Some((1, 5)), Some((9, 6)), None]);
        directory.install(answer(2, &[(9, 0)]), now);
        assert_eq!(leaders(&directory), [Some((9, 0))], "the topic was made anew");
    }

    #[test]
    fn a_hint_counts_if_it_is_newer() {
        let mut directory = Directory::default();
        directory.install(answer(1, &[(1, 5)]), Instant::now());
        directory.learn("orders", 0, Leader { broker: 7, epoch: 4 });
        assert_eq!(leaders(&directory), [Some((1, 5))]);
        directory.learn("orders", 0, Leader { broker: 7, epoch: 6 });
        directory.learn("orders", 3, Leader { broker: 7, epoch: 6 });
        assert_eq!(leaders(&directory), [Some((7, 6))]);
    }

    #[test]
    fn a_topic_is_asked_for_anew_when_it_is_old_or_wrong() {
        let mut directory = Directory::default();
        let (now, age) = (Instant::now(), Duration::from_secs(300));
        directory.install(answer(1, &[(1, 5)]), now);
        assert!(directory.fresh("orders", now + age, age).is_some());
        let later = now + age + Duration::from_millis(1);
        assert!(directory.fresh("orders", later, age).is_none());
        assert_eq!(directory.stale(later, age).len(), 1);
        directory.mark_stale("orders");
        assert!(directory.fresh("orders", now, age).is_none());
        assert!(directory.known("orders").is_some());
    }

    #[test]
    fn brokers_without_an_address_are_left_out_and_the_old_ones_kept_if_none_is_left() {
        let mut directory = Directory::default();
        let broker = |id, host: &'static str, port| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(id))
                .with_host(StrBytes::from_static_str(host))
                .with_port(port)
        };
        let brokers = |list| MetadataResponse::default().with_brokers(list);
        directory
            .install(brokers(vec![broker(1, "a", 9092), broker(2, "b", 70_000)]), Instant::now());
        directory
            .install(brokers(vec![broker(-1, "c", 9092), broker(3, "", 9092)]), Instant::now());
        let ids: Vec<i32> = directory.nodes().map(|node| node.id).collect();
        assert_eq!(ids, [1]);
    }

    #[test]
    fn the_number_of_topics_is_bounded() {
        let mut directory = Directory::default();
        let now = Instant::now();
        for index in 0..MOST_TOPICS + 5 {
            let mut one = answer(1, &[(1, 1)]);
            let name = StrBytes::from_string(format!("t{index}"));
            one.topics[0].name = Some(TopicName(name));
            directory.install(one, now + Duration::from_millis(index as u64));
        }
        assert_eq!(directory.topics.len(), MOST_TOPICS);
        assert!(directory.known("t0").is_none() && directory.known("t10004").is_some());
    }
}
