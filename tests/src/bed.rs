//! A cluster under test: the embedded broker or Apache Kafka, and what both are asked alike.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handover_broker::Broker;
use handover_tokio::machine::TopicPartition;
use handover_tokio::producer::{NewRecord, ProduceError, Producer, ProducerConfig};
use handover_tokio::{ClientConfig, Cluster, Consumer, ConsumerBuilder};
use handover_tokio::{Isolation, NewTopic, OffsetAt, OffsetReset};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::history::{Kind, Partition, Recorder};
#[cfg(feature = "kafka")]
use crate::{java::Java, kafka::Kafka};

/// How long a test waits for anything: far longer than any of it takes.
pub const LIMIT: Duration = Duration::from_secs(60);

/// An error says what went wrong, in a sentence.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A running cluster, which is the test's own, and our client of it.
#[derive(Debug)]
pub struct Bed {
    system: System,
    client: Cluster,
    runtime: Runtime,
}

#[derive(Debug)]
enum System {
    Embedded(Broker),
    #[cfg(feature = "kafka")]
    Kafka(Box<Kafka>),
}

impl Bed {
    /// The embedded broker, with so many nodes, on threads of its own.
    pub fn embedded(nodes: i32) -> Outcome<Bed> {
        let runtime = runtime()?;
        let broker = runtime.block_on(Broker::builder().nodes(nodes).start())?;
        let client = Cluster::new(ClientConfig::new(broker.bootstrap()))?;
        Ok(Bed { system: System::Embedded(broker), client, runtime })
    }

    /// Apache Kafka.
    #[cfg(feature = "kafka")]
    pub fn kafka(kafka: Kafka) -> Outcome<Bed> {
        let runtime = runtime()?;
        let client = Cluster::new(ClientConfig::new(kafka.bootstrap()))?;
        Ok(Bed { system: System::Kafka(Box::new(kafka)), client, runtime })
    }

    /// The embedded broker, if it is that.
    pub fn broker(&self) -> Option<&Broker> {
        match &self.system {
            System::Embedded(broker) => Some(broker),
            #[cfg(feature = "kafka")]
            System::Kafka(_) => None,
        }
    }

    /// Kafka's own clients, if it is Kafka.
    #[cfg(feature = "kafka")]
    pub fn java(&self) -> Option<Java> {
        match &self.system {
            System::Embedded(_) => None,
            System::Kafka(kafka) => Some(kafka.java()),
        }
    }

    /// Creates a topic and waits for its leaders.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Outcome {
        let new = NewTopic::new(topic).partitions(partitions).replicas(1);
        Ok(self.run(self.client.create_topics(&[new]))??)
    }

    /// Where the partitions of a topic end.
    pub fn ends(&self, topic: &str, partitions: i32) -> Outcome<BTreeMap<Partition, i64>> {
        let asked: Vec<_> = (0..partitions).map(|at| TopicPartition::new(topic, at)).collect();
        let isolation = Isolation::ReadUncommitted;
        let found = self.run(self.client.list_offsets(&asked, OffsetAt::Latest, isolation))??;
        let end = |(at, end): (TopicPartition, Option<i64>)| (of(&at), end.unwrap_or_default());
        Ok(found.into_iter().map(end).collect())
    }

    /// A member of a group that consumes a topic from its start, beats fast and commits itself.
    pub fn consumer(&self, group: &str, topic: &str) -> ConsumerBuilder {
        let bootstrap = match &self.system {
            System::Embedded(broker) => broker.bootstrap(),
            #[cfg(feature = "kafka")]
            System::Kafka(kafka) => kafka.bootstrap(),
        };
        Consumer::builder(bootstrap.split(',').map(String::from).collect::<Vec<_>>())
            .group(group)
            .topics([topic.to_owned()])
            .offset_reset(OffsetReset::Earliest)
            .heartbeat_interval(Duration::from_millis(200))
            .auto_commit(None)
    }

    /// Writes a record after the other, to each partition in turn, until it is told to finish.
    pub fn produce(&self, topic: &str, partitions: i32, recorder: &Recorder) -> Outcome<Produce> {
        let producer = self
            .runtime
            .block_on(async { Producer::new(&self.client, ProducerConfig::default()) })?;
        let enough = Arc::new(AtomicBool::new(false));
        let (topic, recorder) = (topic.to_owned(), recorder.clone());
        let task = self.runtime.spawn(write(producer, topic, partitions, recorder, enough.clone()));
        Ok(Produce { enough, task })
    }

    /// Runs a future on the cluster's runtime, for at most [`LIMIT`].
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Outcome<T> {
        let late = |_| format!("waited {LIMIT:?} in vain");
        Ok(self
            .runtime
            .block_on(async { tokio::time::timeout(LIMIT, future).await })
            .map_err(late)?)
    }
}

/// A partition as a history names it.
pub fn of(partition: &TopicPartition) -> Partition {
    Partition::new(&partition.topic, partition.partition)
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// A producer at work.
#[derive(Debug)]
pub struct Produce {
    enough: Arc<AtomicBool>,
    task: JoinHandle<Result<(), ProduceError>>,
}

impl Produce {
    /// Lets it write one more round, to every partition, and waits for its end.
    pub fn finish(self, bed: &Bed) -> Outcome {
        self.enough.store(true, Ordering::Relaxed);
        Ok(bed.run(self.task)???)
    }
}

/// The last round begins after `enough` was set: every partition has a record of it.
async fn write(
    producer: Producer,
    topic: String,
    partitions: i32,
    recorder: Recorder,
    enough: Arc<AtomicBool>,
) -> Result<(), ProduceError> {
    loop {
        let last = enough.load(Ordering::Relaxed);
        for partition in 0..partitions {
            let record = NewRecord::to(topic.as_str()).partition(partition).value("a record");
            let written = producer.send(record).await?;
            let partition = Partition::new(&topic, partition);
            if let Some(offset) = written.offset {
                recorder.tell("producer", Kind::Produced { partition, offset });
            }
        }
        if last {
            producer.close().await;
            return Ok(());
        }
    }
}
