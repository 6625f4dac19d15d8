//! Apache Kafka's own tools: what a cluster is looked after with, and members to share a group
//! with.
//!
//! They are bound to a bootstrap address, be it of real Kafka or of another broker.

mod verifiable;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

pub use verifiable::{Consumer, ConsumerSetup, Producer, ProducerSetup, Protocol};

use crate::kafka::{Jars, Version};
use crate::process::Process;
use crate::trouble::Trouble;

/// How long a tool may run that does one thing. Thirty times what it takes on a quiet machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Java tools of one version for one cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Java {
    jars: Jars,
    bootstrap: String,
    /// For logs and configurations; removed with the last clone.
    folder: Arc<Option<TempDir>>,
}

impl Java {
    /// Fetches the tools of this version, for the brokers at this address.
    pub fn fetch(version: Version, bootstrap: &str) -> Result<Java, Trouble> {
        Ok(Java::new(Jars::fetch(version)?, bootstrap))
    }

    pub(crate) fn new(jars: Jars, bootstrap: &str) -> Java {
        // Without a folder every use fails, and says which file it could not make.
        let folder = Arc::new(tempfile::tempdir().ok());
        Java { jars, bootstrap: bootstrap.into(), folder }
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

    /// Runs a tool to its end.
    fn run(
        &self,
        tool: &str,
        class: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, Trouble> {
        let (printed, lines) = std::sync::mpsc::channel();
        let read = Box::new(move |line: &str| {
            // Nobody listens once the tool has failed.
            let _ = printed.send(format!("{line}\n"));
        });
        let mut command = self.command(class, arguments);
        let command = command.stdin(Stdio::piped());
        let mut process = Process::start(tool, command, &self.file(tool, "log"), Some(read))?;
        process.feed(input)?;
        let status = process.wait(LIMIT)?;
        let printed: String = lines.try_iter().collect();
        // Tools print what went wrong where they print what is right.
        if status.success() { Ok(printed) } else { Err(with(process.failed(status), &printed)) }
    }

    fn command(&self, class: &str, arguments: &[&str]) -> Command {
        let mut command = self.jars.java("256m", class);
        command.args(["--bootstrap-server", &self.bootstrap]).args(arguments);
        command
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        let folder = self.folder.as_ref().as_ref().map(TempDir::path);
        folder.unwrap_or("no-temporary-folder".as_ref()).join(format!("{name}.{extension}"))
    }
}

fn with(trouble: Trouble, printed: &str) -> Trouble {
    match trouble {
        Trouble::Failed { what, status, log } => {
            Trouble::Failed { what, status, log: format!("{log}\n{printed}") }
        }
        other => other,
    }
}
