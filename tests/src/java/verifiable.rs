//! The Java client's `VerifiableConsumer` and `VerifiableProducer`, whose JSON becomes a history.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::Java;
use crate::history::{Event, Kind, Partition, Recorder};
use crate::process::{Process, ReadLine};
use crate::trouble::Trouble;

const CLEAN: Duration = Duration::from_secs(60);

/// How a Java consumer takes part in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// The classic protocol with the assignor `range`: eager.
    Range,
    /// The classic protocol with `cooperative-sticky`.
    CooperativeSticky,
    /// The consumer protocol (KIP-848) with the broker's assignor.
    Consumer,
}

/// What Java consumer to start.
#[derive(Clone, Debug)]
pub struct ConsumerSetup {
    group: String,
    topic: String,
    protocol: Protocol,
    instance: Option<String>,
    settings: Vec<(String, String)>,
}

impl ConsumerSetup {
    /// A dynamic member that starts at the beginning, commits after each poll, and has a session
    /// of 6 s and a heartbeat of half a second.
    pub fn new(group: &str, topic: &str, protocol: Protocol) -> ConsumerSetup {
        let (group, topic) = (group.into(), topic.into());
        let setup = ConsumerSetup { group, topic, protocol, instance: None, settings: Vec::new() };
        match protocol {
            // The broker decides about both.
            Protocol::Consumer => setup,
            _ => setup.set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "500"),
        }
    }

    /// A static member.
    pub fn instance(mut self, instance: &str) -> ConsumerSetup {
        self.instance = Some(instance.into());
        self
    }

    /// A setting of the Java consumer.
    pub fn set(mut self, key: &str, value: &str) -> ConsumerSetup {
        self.settings.push((key.into(), value.into()));
        self
    }

    fn arguments(&self) -> Vec<&str> {
        let mut arguments = vec!["--group-id", &self.group, "--topic", &self.topic];
        arguments.extend(match self.protocol {
            Protocol::Consumer => ["--group-protocol", "consumer"],
            Protocol::Range => {
                ["--assignment-strategy", "org.apache.kafka.clients.consumer.RangeAssignor"]
            }
            Protocol::CooperativeSticky => [
                "--assignment-strategy",
                "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
            ],
        });
        if let Some(instance) = &self.instance {
            arguments.extend(["--group-instance-id", instance]);
        }
        arguments
    }
}

/// A running `VerifiableConsumer`. It tells the recorder what it does; dropping it kills it.
#[derive(Debug)]
pub struct Consumer {
    name: Arc<str>,
    process: Process,
    recorder: Recorder,
}

impl Java {
    /// Starts a consumer, whose events will bear this name.
    pub fn consumer(
        &self,
        name: &str,
        setup: &ConsumerSetup,
        recorder: &Recorder,
    ) -> Result<Consumer, Trouble> {
        let file = self.file(name, "properties");
        let settings = setup.settings.iter().map(|(key, value)| format!("{key}={value}\n"));
        let refused = |error| Trouble::refused("write a consumer's settings", &error);
        std::fs::write(&file, settings.collect::<String>()).map_err(refused)?;
        let class = "org.apache.kafka.tools.VerifiableConsumer";
        let mut command = self.command(class, &setup.arguments());
        command.arg("--consumer.config").arg(&file).stdin(Stdio::null());
        let process =
            Process::start(name, &mut command, &self.file(name, "log"), tell(name, recorder))?;
        Ok(Consumer { name: name.into(), process, recorder: recorder.clone() })
    }

    /// Starts a producer, whose events will bear this name.
    pub fn producer(
        &self,
        name: &str,
        setup: &ProducerSetup,
        recorder: &Recorder,
    ) -> Result<Producer, Trouble> {
        let (records, rate) = (setup.records.to_string(), setup.rate.to_string());
        let keys = "64";
        let arguments = ["--topic", &setup.topic, "--max-messages", &records];
        let pace = ["--throughput", &rate, "--repeating-keys", keys];
        let class = "org.apache.kafka.tools.VerifiableProducer";
        let mut command = self.command(class, &[&arguments[..], &pace].concat());
        let command = command.stdin(Stdio::null());
        let process = Process::start(name, command, &self.file(name, "log"), tell(name, recorder))?;
        Ok(Producer { process })
    }
}

impl Consumer {
    /// The name that its events bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets it close (SIGTERM) and waits for its end.
    pub fn stop(mut self) -> Result<(), Trouble> {
        self.process.signal(Signal::TERM)?;
        let status = self.process.wait(CLEAN)?;
        let stopped = |event: &Event| event.kind == Kind::Stopped;
        let closed = self.recorder.look(|history| history.of(&self.name).any(stopped));
        if closed { Ok(()) } else { Err(self.process.failed(status)) }
    }

    /// Kills it without warning.
    pub fn kill(mut self) {
        self.process.kill();
        // Told after its last event was read.
        self.recorder.tell(&self.name, Kind::Killed);
    }

    /// Stops its clock: its connections stay, and it does nothing.
    pub fn pause(&mut self) -> Result<(), Trouble> {
        self.recorder.tell(&self.name, Kind::Cut);
        self.process.signal(Signal::STOP)
    }

    /// Lets it go on after a pause.
    pub fn resume(&mut self) -> Result<(), Trouble> {
        self.process.signal(Signal::CONT)
    }
}

/// What Java producer to start.
#[derive(Clone, Debug)]
pub struct ProducerSetup {
    topic: String,
    records: u64,
    rate: u64,
}

impl ProducerSetup {
    /// So many records over all partitions of a topic, so many in a second; acknowledged by all
    /// replicas.
    pub fn new(topic: &str, records: u64, rate: u64) -> ProducerSetup {
        ProducerSetup { topic: topic.into(), records, rate }
    }
}

/// A running `VerifiableProducer`. It tells the recorder what was acknowledged; dropping it kills
/// it.
#[derive(Debug)]
pub struct Producer {
    process: Process,
}

impl Producer {
    /// Waits until it has produced everything.
    pub fn finish(mut self, limit: Duration) -> Result<(), Trouble> {
        let status = self.process.wait(limit)?;
        if status.success() { Ok(()) } else { Err(self.process.failed(status)) }
    }
}

fn tell(name: &str, recorder: &Recorder) -> Option<ReadLine> {
    let (member, recorder): (Arc<str>, _) = (name.into(), recorder.clone());
    Some(Box::new(move |line| {
        for (at, kind) in events(line) {
            recorder.record(Event { at, member: member.clone(), kind });
        }
    }))
}

/// The events of one line; none for lines that are not JSON, such as a warning of the logger, and
/// for events of no interest.
fn events(line: &str) -> Vec<(u64, Kind)> {
    let Ok(line) = serde_json::from_str::<Value>(line) else { return Vec::new() };
    let at = line["timestamp"].as_u64().unwrap_or_default();
    let each = |field: &str, kind: &dyn Fn(Partition, &Value) -> Option<Kind>| {
        let entries = line[field].as_array().into_iter().flatten();
        entries.filter_map(|entry| kind(partition(entry)?, entry)).collect()
    };
    let all = || {
        let entries = line["partitions"].as_array().into_iter().flatten();
        entries.filter_map(partition).collect()
    };
    let kinds: Vec<Kind> = match line["name"].as_str().unwrap_or_default() {
        "startup_complete" => vec![Kind::Started],
        "shutdown_complete" => vec![Kind::Stopped],
        "partitions_assigned" => vec![Kind::Assigned(all())],
        // Java's listener tells a loss as a revocation unless it is overridden.
        "partitions_revoked" => vec![Kind::Revoked(all())],
        "records_consumed" => each("partitions", &|partition, entry| {
            let (first, last) = (entry["minOffset"].as_i64()?, entry["maxOffset"].as_i64()?);
            Some(Kind::Consumed { partition, first, last })
        }),
        "offsets_committed" => {
            let done = line["success"].as_bool().unwrap_or_default();
            each("offsets", &|partition, entry| {
                let offset = entry["offset"].as_i64()?;
                Some(match done {
                    true => Kind::Committed { partition, offset },
                    false => Kind::CommitFailed { partition, offset },
                })
            })
        }
        "producer_send_success" => {
            let produced = |offset| Some(Kind::Produced { partition: partition(&line)?, offset });
            line["offset"].as_i64().and_then(produced).into_iter().collect()
        }
        _ => Vec::new(),
    };
    kinds.into_iter().map(|kind| (at, kind)).collect()
}

fn partition(entry: &Value) -> Option<Partition> {
    let number = i32::try_from(entry["partition"].as_i64()?).ok()?;
    Some(Partition::new(entry["topic"].as_str()?, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_java_tools_becomes_its_events() {
        let t = |partition| Partition::new("t", partition);
        let assigned = r#"{"timestamp":5,"name":"partitions_assigned","partitions":
            [{"topic":"t","partition":0},{"topic":"t","partition":3}]}"#;
        assert_eq!(events(assigned), [(5, Kind::Assigned(vec![t(0), t(3)]))]);
        let revoked = assigned.replace("assigned", "revoked");
        assert_eq!(events(&revoked), [(5, Kind::Revoked(vec![t(0), t(3)]))]);
        let consumed = r#"{"timestamp":6,"name":"records_consumed","count":4,"partitions":
            [{"topic":"t","partition":3,"count":4,"minOffset":7,"maxOffset":10}]}"#;
        let (partition, first, last) = (t(3), 7, 10);
        assert_eq!(events(consumed), [(6, Kind::Consumed { partition, first, last })]);
        let committed = r#"{"timestamp":7,"name":"offsets_committed","offsets":
            [{"topic":"t","partition":3,"offset":11}],"success":true}"#;
        let (partition, offset) = (t(3), 11);
        assert_eq!(events(committed), [(7, Kind::Committed { partition, offset })]);
        let failed = committed.replace("true", r#"false,"error":"rebalance""#);
        let (partition, offset) = (t(3), 11);
        assert_eq!(events(&failed), [(7, Kind::CommitFailed { partition, offset })]);
        let sent = r#"{"timestamp":8,"name":"producer_send_success","key":"1","value":"2",
            "topic":"t","partition":0,"offset":9}"#;
        let (partition, offset) = (t(0), 9);
        assert_eq!(events(sent), [(8, Kind::Produced { partition, offset })]);
        let started = r#"{"timestamp":4,"name":"startup_complete"}"#;
        assert_eq!(events(started), [(4, Kind::Started)]);
        let stopped = r#"{"timestamp":9,"name":"shutdown_complete"}"#;
        assert_eq!(events(stopped), [(9, Kind::Stopped)]);
        assert_eq!(events("[2026] WARN something"), []);
        assert_eq!(events(r#"{"timestamp":9,"name":"tool_data","sent":1}"#), []);
    }
}
