//! The options of Kafka's VerifiableConsumer, and what they mean here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use handover_tokio::machine::Assignor;
use handover_tokio::{Consumer, ConsumerBuilder, OffsetReset};

use crate::failure::Failure;

/// Consumes a topic and tells on standard output what it does, as lines of JSON.
///
/// Options, lines and habits are those of org.apache.kafka.tools.VerifiableConsumer of Kafka 4.3.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The brokers to ask first, as HOST:PORT, separated by commas
    #[arg(long, alias = "broker-list", value_name = "HOST:PORT", required = true)]
    bootstrap_server: String,
    /// The topic to consume
    #[arg(long)]
    topic: String,
    /// The group's id
    #[arg(long)]
    group_id: String,
    /// The instance id of a static member
    #[arg(long)]
    group_instance_id: Option<String>,
    /// The group protocol
    #[arg(long, value_enum, ignore_case = true, default_value = "classic")]
    group_protocol: Protocol,
    /// The server's assignor; belongs to the consumer protocol
    #[arg(long)]
    group_remote_assignor: Option<String>,
    /// End after this many records; -1 for no end
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    max_messages: i64,
    /// The session timeout in milliseconds
    #[arg(long, value_name = "MS")]
    session_timeout: Option<u64>,
    /// Tell of each record
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Commit automatically, instead of after each poll
    #[arg(long)]
    pub(crate) enable_autocommit: bool,
    /// Where to start where nothing was committed
    #[arg(long, value_enum, ignore_case = true, default_value = "earliest")]
    reset_policy: Reset,
    /// The Java class of the assignor, of which the name counts
    #[arg(long, default_value = "org.apache.kafka.clients.consumer.RangeAssignor")]
    assignment_strategy: String,
    /// A properties file with further settings
    #[arg(long, value_name = "FILE", alias = "consumer.config")]
    command_config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Classic,
    Consumer,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reset {
    Earliest,
    Latest,
    None,
}

impl Args {
    /// How many records are to be consumed; `None` for no end.
    pub(crate) fn max_messages(&self) -> Option<u64> {
        u64::try_from(self.max_messages).ok()
    }

    /// The consumer that the options describe.
    pub(crate) fn consumer(&self) -> Result<ConsumerBuilder, Failure> {
        if self.group_protocol == Protocol::Consumer {
            return Err(Failure::usage(
                "--group-protocol consumer is not there yet; use --group-protocol classic",
            ));
        }
        if self.group_remote_assignor.is_some() {
            return Err(Failure::usage(
                "--group-remote-assignor belongs to --group-protocol consumer; leave it out",
            ));
        }
        let reset = match self.reset_policy {
            Reset::Earliest => OffsetReset::Earliest,
            Reset::Latest => OffsetReset::Latest,
            Reset::None => OffsetReset::None,
        };
        let mut builder = Consumer::builder(self.bootstrap_server.split(','))
            .group(self.group_id.as_str())
            .topics([self.topic.as_str()])
            .assignors([assignor(&self.assignment_strategy)?])
            .offset_reset(reset)
            .events(true)
            .auto_commit(self.enable_autocommit.then_some(Duration::from_secs(5)));
        if let Some(instance) = &self.group_instance_id {
            builder = builder.instance_id(instance.as_str());
        }
        if let Some(millis) = self.session_timeout {
            let session = Duration::from_millis(millis);
            // As the Java client asks of its users: at most a third of the session.
            let beat = Duration::from_secs(3).min(session / 3);
            builder = builder.session_timeout(session).heartbeat_interval(beat);
        }
        match &self.command_config {
            Some(path) => apply(builder, path),
            None => Ok(builder),
        }
    }
}

fn assignor(class: &str) -> Result<Assignor, Failure> {
    match class.rsplit('.').next() {
        Some("RangeAssignor" | "range") => Ok(Assignor::range()),
        Some("CooperativeStickyAssignor" | "cooperative-sticky") => {
            Ok(Assignor::cooperative_sticky())
        }
        _ => Err(Failure::usage(format!(
            "--assignment-strategy {class} is not known; use RangeAssignor or \
             CooperativeStickyAssignor"
        ))),
    }
}

/// Settings of a properties file, under the names that the Java client has for them. A name that
/// means nothing here is passed over, as the Java client does.
fn apply(mut builder: ConsumerBuilder, path: &Path) -> Result<ConsumerBuilder, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format_args!("{} can't be read", path.display()), error))?;
    for (name, value) in properties(&text) {
        let millis = || {
            value.parse().map(Duration::from_millis).map_err(|_| {
                Failure::usage(format!(
                    "{name}={value} is no number of milliseconds; mend the file"
                ))
            })
        };
        builder = match name {
            "session.timeout.ms" => builder.session_timeout(millis()?),
            "heartbeat.interval.ms" => builder.heartbeat_interval(millis()?),
            "max.poll.interval.ms" => {
                let interval = millis()?;
                builder.max_poll_interval(interval).rebalance_timeout(interval)
            }
            "request.timeout.ms" => builder.request_timeout(millis()?),
            "auto.commit.interval.ms" => builder.auto_commit(millis()?),
            "client.id" => builder.client_id(value),
            "client.rack" => builder.rack(value),
            "security.protocol" if value != "PLAINTEXT" => {
                return Err(Failure::usage(format!(
                    "security.protocol={value} is not there yet; use a PLAINTEXT listener"
                )));
            }
            _ => builder,
        };
    }
    Ok(builder)
}

fn properties(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
        .filter_map(|line| line.split_once(['=', ':']))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_class_names_are_understood() {
        let range = assignor("org.apache.kafka.clients.consumer.RangeAssignor").unwrap();
        assert_eq!(&*range.name, "range");
        assert!(assignor("CooperativeStickyAssignor").unwrap().cooperative);
        assert!(assignor("org.example.Mine").is_err());
    }

    #[test]
    fn a_properties_file_is_read_as_java_reads_it() {
        let read = properties("# a comment\n\nclient.id = me\nsession.timeout.ms:10000\n! another");
        assert_eq!(read.get("client.id"), Some(&"me"));
        assert_eq!(read.get("session.timeout.ms"), Some(&"10000"));
        assert_eq!(read.len(), 2);
    }
}
