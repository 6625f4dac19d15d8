//! A few calls that change or look at topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use handover_core::machine::{ErrorCode, Name, TopicPartition};
use handover_wire::ApiKey;
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use handover_wire::codec::messages::delete_topics_request::DeleteTopicState;
use handover_wire::codec::messages::{CreateTopicsRequest, DeleteTopicsRequest, TopicName};
use tokio::time::Instant;

use crate::config::millis;
use crate::error::{ClusterError, ConnectionError, code};
use crate::net::{Backoff, Cluster};
use crate::offsets::{Ask, Isolation, OffsetAt, list_offsets};

const CREATE_TOPICS: ApiKey = ApiKey(19);
const DELETE_TOPICS: ApiKey = ApiKey(20);
const LIST_OFFSETS: ApiKey = ApiKey(2);
/// The first version of DeleteTopics that can name topics by id, and names them otherwise.
const DELETE_BY_STATE: i16 = 6;

/// A topic to be created.
///
/// ```
/// use handover_tokio::NewTopic;
///
/// let topic = NewTopic::new("orders").partitions(12).config("retention.ms", "86400000");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTopic {
    name: Name,
    partitions: i32,
    replicas: i16,
    configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with the brokers' default numbers of partitions and replicas.
    pub fn new(name: impl Into<Name>) -> NewTopic {
        NewTopic { name: name.into(), partitions: -1, replicas: -1, configs: Vec::new() }
    }

    /// How many partitions.
    pub fn partitions(self, partitions: i32) -> NewTopic {
        NewTopic { partitions, ..self }
    }

    /// How many replicas of each partition.
    pub fn replicas(self, replicas: i16) -> NewTopic {
        NewTopic { replicas, ..self }
    }

    /// A setting of the topic, as Kafka names it.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> NewTopic {
        self.configs.push((name.into(), value.into()));
        self
    }
}

impl Cluster {
    /// Creates topics, and waits until every partition has a leader.
    ///
    /// Dropped, it may have created them or not, and so if the answer is lost.
    ///
    /// # Errors
    ///
    /// The first topic that was refused, such as with TOPIC_ALREADY_EXISTS; the others may have
    /// been created. Or the leaders were not there within
    /// [`ClientConfig::request_timeout`](crate::ClientConfig::request_timeout).
    ///
    /// ```no_run
    /// # async fn example(cluster: handover_tokio::Cluster) -> Result<(), handover_tokio::ClusterError> {
    /// use handover_tokio::NewTopic;
    /// cluster.create_topics(&[NewTopic::new("orders").partitions(12)]).await
    /// # }
    /// ```
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), ClusterError> {
        let timeout = self.config().request_timeout;
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(millis(timeout))
            .with_topics(topics.iter().map(creatable).collect());
        let connection = self.controller().await?;
        let answer = connection.call(&request, timeout).await?;
        for topic in &answer.topics {
            let words = topic.error_message.as_ref().map(ToString::to_string);
            check(&topic.name, topic.error_code, words)?;
        }
        for topic in topics {
            if !answer.topics.iter().any(|answered| answered.name.as_str() == &*topic.name) {
                let missing = format!("topic {}", topic.name);
                return Err(ClusterError::Incomplete { api: CREATE_TOPICS, missing });
            }
        }
        self.persist(async || self.led(topics).await).await
    }

    /// Deletes topics. The brokers go on forgetting them for a while after this returns.
    ///
    /// Dropped, it may have deleted them or not, and so if the answer is lost.
    ///
    /// # Errors
    ///
    /// The first topic that was refused; the others may have been deleted.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<(), ClusterError> {
        let timeout = self.config().request_timeout;
        let connection = self.controller().await?;
        let version = connection.versions().version_of::<DeleteTopicsRequest>();
        let name = |topic: &&str| TopicName(StrBytes::from_string((*topic).to_owned()));
        let mut request = DeleteTopicsRequest::default().with_timeout_ms(millis(timeout));
        if version.map_err(ConnectionError::from)? >= DELETE_BY_STATE {
            let state = |topic| DeleteTopicState::default().with_name(Some(name(topic)));
            request.topics = topics.iter().map(state).collect();
        } else {
            request.topic_names = topics.iter().map(name).collect();
        }
        let answer = connection.call(&request, timeout).await?;
        for topic in &answer.responses {
            let words = topic.error_message.as_ref().map(ToString::to_string);
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            check(name, topic.error_code, words)?;
        }
        for topic in topics {
            self.mark_stale(topic);
            let answered = |name: &TopicName| name.as_str() == *topic;
            if !answer.responses.iter().any(|topic| topic.name.as_ref().is_some_and(answered)) {
                let missing = format!("topic {topic}");
                return Err(ClusterError::Incomplete { api: DELETE_TOPICS, missing });
            }
        }
        Ok(())
    }

    /// Finds offsets. Asks again while leaders change, for at most
    /// [`ClientConfig::request_timeout`](crate::ClientConfig::request_timeout). Cancel safe.
    ///
    /// `None` if no record is as young as the timestamp asked for.
    ///
    /// # Errors
    ///
    /// The first partition that was refused, or no broker could be reached.
    ///
    /// ```no_run
    /// # async fn example(cluster: handover_tokio::Cluster) -> Result<(), handover_tokio::ClusterError> {
    /// use handover_core::machine::TopicPartition;
    /// use handover_tokio::{Isolation, OffsetAt};
    ///
    /// let place = TopicPartition::new("orders", 0);
    /// let ends = cluster.list_offsets(&[place], OffsetAt::Latest, Isolation::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, ClusterError> {
        self.persist(async || self.list_offsets_once(partitions, at, isolation).await).await
    }

    async fn list_offsets_once(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, ClusterError> {
        let mut asks: BTreeMap<i32, Vec<Ask>> = BTreeMap::new();
        for partition in partitions {
            let topic = self.topic(&partition.topic, false).await?;
            let leader = topic.leader(partition.partition);
            let leader =
                leader.ok_or_else(|| self.refuse(partition, leaderless(&topic, partition)))?;
            let ask = Ask { partition: partition.clone(), leader_epoch: leader.epoch, at };
            asks.entry(leader.broker).or_default().push(ask);
        }
        let mut offsets = BTreeMap::new();
        for (broker, asks) in asks {
            let mut found =
                list_offsets(self, broker, isolation, &asks).await.inspect_err(|_| {
                    asks.iter().for_each(|ask| self.mark_stale(&ask.partition.topic));
                })?;
            for Ask { partition, .. } in asks {
                let offset = match found.remove(&partition) {
                    Some(offset) => offset.map_err(|error| self.refuse(&partition, error))?,
                    None => {
                        let missing = format!("partition {partition}");
                        return Err(ClusterError::Incomplete { api: LIST_OFFSETS, missing });
                    }
                };
                offsets.insert(partition, (offset >= 0).then_some(offset));
            }
        }
        Ok(offsets)
    }

    /// A partition was refused; if that says that another leads it now, it is asked for anew.
    fn refuse(&self, partition: &TopicPartition, error: ErrorCode) -> ClusterError {
        if code::is_stale_metadata(error) {
            self.mark_stale(&partition.topic);
        }
        ClusterError::Partition { partition: partition.clone(), error }
    }

    /// Whether all partitions of `topics` have a leader.
    async fn led(&self, topics: &[NewTopic]) -> Result<(), ClusterError> {
        for NewTopic { name, .. } in topics {
            self.mark_stale(name);
            let topic = self.topic(name, false).await?;
            if let Some((partition, _)) = topic.leaders.iter().find(|(_, leader)| leader.is_none())
            {
                let partition = TopicPartition::new(name.clone(), *partition);
                return Err(self.refuse(&partition, ErrorCode::LeaderNotAvailable));
            }
        }
        Ok(())
    }

    /// Tries until it succeeds, fails for good, or [`ClientConfig::request_timeout`] is over.
    ///
    /// [`ClientConfig::request_timeout`]: crate::ClientConfig::request_timeout
    async fn persist<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let deadline = Instant::now() + self.config().request_timeout;
        let mut backoff = Backoff::new(self.config().retry_backoff);
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let again = Instant::now() + backoff.next();
            if !error.is_retriable() || again > deadline {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            tokio::time::sleep_until(again).await;
        }
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let config = |(name, value): &(String, String)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    CreatableTopic::default()
        .with_name(TopicName(text(&topic.name)))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replicas)
        .with_configs(topic.configs.iter().map(config).collect())
}

fn check(topic: &str, error: i16, message: Option<String>) -> Result<(), ClusterError> {
    match ErrorCode::from_code(error) {
        ErrorCode::None => Ok(()),
        error => Err(ClusterError::Topic { topic: Name::from(topic), error, message }),
    }
}

fn leaderless(topic: &Arc<crate::net::Topic>, partition: &TopicPartition) -> ErrorCode {
    match topic.leaders.contains_key(&partition.partition) {
        true => ErrorCode::LeaderNotAvailable,
        false => ErrorCode::UnknownTopicOrPartition,
    }
}
