//! Apache Kafka's own tools: what a cluster is looked after with, and members to share a group
//! with.
//!
//! They are bound to a bootstrap address, be it of real Kafka or of another broker.

mod verifiable;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

pub use verifiable::{Consumer, ConsumerSetup, Producer, ProducerSetup, Protocol};

use crate::kafka::{Jars, Version};
use crate::process;
use crate::trouble::Trouble;

/// Java tools of one version for one cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Java {
    jars: Jars,
    bootstrap: String,
    /// For logs and configurations; removed with the last clone.
    folder: Arc<TempDir>,
}

impl Java {
    /// Fetches the tools of this version, for the brokers at this address.
    pub fn fetch(version: Version, bootstrap: &str) -> Result<Java, Trouble> {
        Java::new(Jars::fetch(version)?, bootstrap)
    }

    pub(crate) fn new(jars: Jars, bootstrap: &str) -> Result<Java, Trouble> {
        let refused = |error| Trouble::refused("make a folder for Java's logs", &error);
        let folder = Arc::new(tempfile::tempdir().map_err(refused)?);
        Ok(Java { jars, bootstrap: bootstrap.into(), folder })
    }

    /// Creates a topic and waits until the controller has it.
    pub fn create_topic(&self, topic: &str, partitions: u32, replicas: u32) -> Result<(), Trouble> {
        let (partitions, replicas) = (partitions.to_string(), replicas.to_string());
        let counts = ["--partitions", &partitions, "--replication-factor", &replicas];
        self.topics(&[&["--create", "--topic", topic], &counts[..]].concat()).map(drop)
    }

    /// `kafka-topics` with these arguments: what it printed.
    pub fn topics(&self, arguments: &[&str]) -> Result<String, Trouble> {
        self.run("kafka-topics", "org.apache.kafka.tools.TopicCommand", arguments, "")
    }

    /// `kafka-consumer-groups` with these arguments: what it printed.
    pub fn consumer_groups(&self, arguments: &[&str]) -> Result<String, Trouble> {
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        self.run("kafka-consumer-groups", class, arguments, "")
    }

    /// `kafka-console-producer`: produces each line as a record.
    pub fn console_produce(&self, topic: &str, lines: &str) -> Result<(), Trouble> {
        let class = if self.jars.version().is_3() {
            "kafka.tools.ConsoleProducer"
        } else {
            "org.apache.kafka.tools.ConsoleProducer"
        };
        self.run("kafka-console-producer", class, &["--topic", topic], lines).map(drop)
    }

    /// `kafka-console-consumer` with these further arguments: what it printed. It ends after
    /// `--max-messages`, or after `--timeout-ms` without a record.
    pub fn console_consume(&self, topic: &str, arguments: &[&str]) -> Result<String, Trouble> {
        let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
        let arguments = [&["--topic", topic], arguments].concat();
        self.run("kafka-console-consumer", class, &arguments, "")
    }

    fn run(
        &self,
        tool: &str,
        class: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, Trouble> {
        process::run(tool, &mut self.command(class, arguments), input, &self.file(tool, "log"))
    }

    fn command(&self, class: &str, arguments: &[&str]) -> Command {
        let mut command = self.jars.java("256m", class);
        command.args(["--bootstrap-server", &self.bootstrap]).args(arguments);
        command
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.{extension}"))
    }
}
