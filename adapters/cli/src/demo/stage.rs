//! Where the demo plays: an embedded broker, or somebody's Kafka.

use std::sync::Arc;
use std::time::Duration;

use handover_broker::Broker;
use handover_tokio::producer::{NewRecord, Producer, ProducerConfig};
use handover_tokio::{ClientConfig, Cluster, NewTopic};

use super::book::Book;
use crate::failure::Failure;

pub(super) struct Stage {
    /// Keeps the embedded broker running.
    broker: Option<Broker>,
    pub(super) bootstrap: String,
    pub(super) topic: String,
    pub(super) group: String,
    cluster: Cluster,
    partitions: i32,
}

impl Stage {
    pub(super) async fn set(
        bootstrap: Option<&str>,
        partitions: i32,
        seed: u64,
    ) -> Result<Stage, Failure> {
        let broker = match bootstrap {
            Some(_) => None,
            None => Some(
                Broker::builder()
                    .nodes(3)
                    .start()
                    .await
                    .map_err(|e| Failure::new("the embedded broker can't be started", e))?,
            ),
        };
        let bootstrap = match (&broker, bootstrap) {
            (Some(broker), _) => broker.bootstrap(),
            (None, given) => given.unwrap_or_default().to_owned(),
        };
        let cluster = Cluster::new(ClientConfig::new(&bootstrap))
            .map_err(|error| Failure::usage(format!("--bootstrap: {error}")))?;
        // On a Kafka of somebody's, a name that nobody else has.
        let name = format!("handover-demo-{seed}-{:08x}", fastrand::u32(..));
        let topic = NewTopic::new(name.as_str()).partitions(partitions);
        let patience = Duration::from_secs(20);
        match tokio::time::timeout(patience, cluster.create_topics(&[topic])).await {
            Ok(created) => created.map_err(|e| Failure::new("the topic can't be made", e))?,
            Err(_) => {
                let why = format!("no broker at {bootstrap} answered within {patience:?}");
                return Err(Failure::new("the topic can't be made", why));
            }
        }
        Ok(Stage { broker, bootstrap, group: name.clone(), topic: name, cluster, partitions })
    }

    pub(super) fn title(&self, seed: u64) -> String {
        let place = match &self.broker {
            Some(_) => "an embedded broker of three nodes".to_owned(),
            None => self.bootstrap.clone(),
        };
        format!("group {} on {place}, seed {seed}", self.group)
    }

    /// Produces at a pace that leaves the play its time, in rounds over the partitions.
    pub(super) async fn produce(&self, records: u64, book: &Arc<Book>) -> Result<(), Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::new("producing failed", error);
        let producer = Producer::new(&self.cluster, ProducerConfig::default())
            .map_err(|error| broken(&error))?;
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        let burst = (records / 800).max(1);
        let mut sent = 0;
        while sent < records {
            pace.tick().await;
            let mut burst_out = Vec::new();
            for at in sent..(sent + burst).min(records) {
                let partition = (at % self.partitions as u64) as i32;
                let record = NewRecord::to(self.topic.as_str())
                    .partition(partition)
                    .value(at.to_be_bytes().to_vec());
                burst_out.push(producer.enqueue(record).await.map_err(|e| broken(&e))?);
            }
            sent = (sent + burst).min(records);
            for written in burst_out {
                let written = written.await.map_err(|error| broken(&error))?;
                book.produced(written.partition.partition);
            }
        }
        producer.close().await;
        Ok(())
    }

    /// Cleans up: the topic on somebody's Kafka, the embedded broker as a whole.
    pub(super) async fn strike(self) {
        match self.broker {
            Some(broker) => broker.stop().await,
            None => {
                if let Err(error) = self.cluster.delete_topics(&[&self.topic]).await {
                    eprintln!("the topic {} could not be deleted: {error}", self.topic);
                }
            }
        }
    }
}
