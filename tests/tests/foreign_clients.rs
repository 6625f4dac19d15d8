//! Foreign clients against the embedded broker: Java's tools and librdkafka find in it what they
//! find in Apache Kafka.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use handover_broker::{Broker, GroupState, TopicPartition};
use handover_tests::history::{Kind, Recorder};
use handover_tests::java::{ConsumerSetup, Java, ProducerSetup, Protocol};
use handover_tests::kafka::Version;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(60);

/// An error says what went wrong, in a sentence.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A broker on a runtime of its own, so that the test may block on foreign programs.
struct Cluster {
    broker: Broker,
    runtime: Runtime,
}

impl Cluster {
    fn start(nodes: i32) -> Result<Cluster, Box<dyn std::error::Error>> {
        let runtime = Runtime::new()?;
        let broker = runtime.block_on(Broker::builder().nodes(nodes).start())?;
        Ok(Cluster { broker, runtime })
    }

    fn java(&self, version: Version) -> Result<Java, Box<dyn std::error::Error>> {
        Ok(Java::fetch(version, &self.broker.bootstrap())?)
    }

    /// All records of a topic.
    fn records(&self, topic: &str) -> i64 {
        let offsets = self.broker.offsets(topic).unwrap_or_default();
        offsets.iter().map(|range| range.end - range.start).sum()
    }
}

#[test]
fn java_members_of_4_3_share_a_topic() -> Outcome {
    let cluster = Cluster::start(3)?;
    for protocol in [Protocol::Range, Protocol::CooperativeSticky] {
        share(&cluster, Version::V4_3, protocol)?;
    }
    Ok(())
}

#[test]
fn java_members_of_3_9_share_a_topic() -> Outcome {
    let cluster = Cluster::start(3)?;
    for protocol in [Protocol::Range, Protocol::CooperativeSticky] {
        share(&cluster, Version::V3_9, protocol)?;
    }
    Ok(())
}

/// VerifiableProducer and two VerifiableConsumers, one of which leaves while records come.
fn share(cluster: &Cluster, version: Version, protocol: Protocol) -> Outcome {
    let java = cluster.java(version)?;
    let topic = format!("{protocol:?}");
    let group = format!("group-{topic}");
    java.create_topic(&topic, 4, 3)?;
    let recorder = Recorder::default();
    let setup = ConsumerSetup::new(&group, &topic, protocol);
    let stays = java.consumer("stays", &setup, &recorder)?;
    wait_for_partitions(&recorder, "stays", 4)?;
    let leaves = java.consumer("leaves", &setup, &recorder)?;
    wait_for_partitions(&recorder, "leaves", 2)?;
    let producer = java.producer("producer", &ProducerSetup::new(&topic, 2_000, 400), &recorder)?;
    recorder.wait("both to consume", LIMIT, |history| {
        let consumed = |kind: &Kind| matches!(kind, Kind::Consumed { .. });
        ["stays", "leaves"].iter().all(|m| history.of(m).any(|e| consumed(&e.kind)))
    })?;
    leaves.stop()?;
    wait_for_partitions(&recorder, "stays", 4)?;
    producer.finish(LIMIT)?;
    recorder.wait("the last record", LIMIT, |history| history.outstanding().is_empty())?;
    stays.stop()?;

    let verdict = recorder.judge();
    verdict.assert_kept();
    assert_eq!((verdict.produced, verdict.consumed), (2_000, 2_000));
    assert_eq!(cluster.records(&topic), 2_000);
    let committed = cluster.broker.committed(&group);
    assert_eq!(committed.values().map(|mark| mark.offset).sum::<i64>(), 2_000);
    let left = cluster.broker.group(&group).map(|group| group.state);
    assert_eq!(left, Some(GroupState::Empty));
    Ok(())
}

/// A node goes away under Java's clients, with partitions and the group's coordinator; what is
/// acknowledged is consumed all the same.
#[test]
fn java_clients_survive_a_node_that_stops() -> Outcome {
    let cluster = Cluster::start(3)?;
    let java = cluster.java(Version::V4_3)?;
    java.create_topic("t", 6, 3)?;
    let recorder = Recorder::default();
    let setup = ConsumerSetup::new("g", "t", Protocol::CooperativeSticky);
    let member = java.consumer("member", &setup, &recorder)?;
    wait_for_partitions(&recorder, "member", 6)?;
    let producer = java.producer("producer", &ProducerSetup::new("t", 2_000, 400), &recorder)?;
    let consumed = |kind: &Kind| matches!(kind, Kind::Consumed { .. });
    recorder.wait("a record", LIMIT, |history| {
        history.of("member").any(|event| consumed(&event.kind))
    })?;
    let coordinator = cluster.broker.coordinator("g").ok_or("a coordinator")?;
    cluster.runtime.block_on(cluster.broker.stop_node(coordinator))?;
    producer.finish(LIMIT)?;
    recorder.wait("the last record", LIMIT, |history| history.outstanding().is_empty())?;
    cluster.runtime.block_on(cluster.broker.restart_node(coordinator))?;
    member.stop()?;
    let verdict = recorder.judge();
    verdict.assert_kept();
    // VerifiableProducer does not repeat what fails: what was under way then may be missing.
    let (acknowledged, kept) = (i64::try_from(verdict.produced)?, cluster.records("t"));
    assert!((acknowledged..=2_000).contains(&kept), "{acknowledged} acknowledged, {kept} kept");
    assert!(acknowledged > 1_000, "{acknowledged}");
    Ok(())
}

#[test]
fn the_console_tools_pass_lines_on() -> Outcome {
    let cluster = Cluster::start(1)?;
    for version in [Version::V4_3, Version::V3_9] {
        let java = cluster.java(version)?;
        let topic = format!("lines-{}", version.as_str());
        java.create_topic(&topic, 2, 1)?;
        java.console_produce(&topic, "one\ntwo\nthree\n")?;
        let arguments = ["--from-beginning", "--max-messages", "3"];
        let printed = java.console_consume(&topic, &arguments)?;
        let mut printed: Vec<&str> = printed.lines().collect();
        printed.sort_unstable();
        assert_eq!(printed, ["one", "three", "two"]);
    }
    Ok(())
}

#[test]
fn topics_are_looked_after_with_kafka_topics() -> Outcome {
    let cluster = Cluster::start(2)?;
    for version in [Version::V4_3, Version::V3_9] {
        let java = cluster.java(version)?;
        let config = ["--config", "retention.bytes=5000"];
        let counts = ["--partitions", "3", "--replication-factor", "2"];
        java.topics(&[&["--create", "--topic", "orders"], &counts[..], &config].concat())?;
        assert_eq!(java.topics(&["--list"])?.trim(), "orders");
        let described = java.topics(&["--describe", "--topic", "orders"])?;
        for part in
            ["PartitionCount: 3", "ReplicationFactor: 2", "retention.bytes=5000", "Leader: 2"]
        {
            assert!(described.contains(part), "{part} in {described}");
        }
        java.topics(&["--alter", "--topic", "orders", "--partitions", "5"])?;
        assert_eq!(cluster.broker.offsets("orders")?.len(), 5);
        assert!(java.topics(&["--create", "--topic", "orders"]).is_err(), "it exists");
        java.topics(&["--delete", "--topic", "orders"])?;
        assert_eq!(java.topics(&["--list"])?.trim(), "");
        assert!(java.topics(&["--describe", "--topic", "orders"]).is_err(), "it is gone");
    }
    Ok(())
}

#[test]
fn groups_are_looked_after_with_kafka_consumer_groups() -> Outcome {
    let cluster = Cluster::start(2)?;
    for version in [Version::V4_3, Version::V3_9] {
        let java = cluster.java(version)?;
        let topic = format!("orders-{}", version.as_str());
        java.create_topic(&topic, 1, 1)?;
        java.console_produce(&topic, "one\ntwo\nthree\n")?;
        let recorder = Recorder::default();
        let setup = ConsumerSetup::new("billing", &topic, Protocol::Range);
        let member = java.consumer("member", &setup, &recorder)?;
        let committed = |kind: &Kind| matches!(kind, Kind::Committed { offset: 3, .. });
        recorder.wait("the last commit", LIMIT, |history| {
            history.of("member").any(|event| committed(&event.kind))
        })?;

        assert_eq!(java.consumer_groups(&["--list"])?.trim(), "billing");
        let group = ["--group", "billing"];
        let words = |printed: String| -> Vec<String> {
            let line = printed.lines().find(|line| line.contains(&topic)).unwrap_or_default();
            line.split_whitespace().map(String::from).collect()
        };
        let described = java.consumer_groups(&[&["--describe"], &group[..]].concat())?;
        let line = words(described);
        // Group, topic, partition, committed, end, lag, member, host.
        assert_eq!(line[2..6], ["0", "3", "3", "0"]);
        assert_eq!(line[7], "/127.0.0.1");
        let state = java.consumer_groups(&[&["--describe", "--state"], &group[..]].concat())?;
        assert!(state.contains("Stable") && state.contains("range"), "{state}");
        let members = java.consumer_groups(&[&["--describe", "--members"], &group[..]].concat())?;
        assert!(members.contains("billing"), "{members}");
        // It says so and succeeds.
        let refused = java.consumer_groups(&[&["--delete"], &group[..]].concat())?;
        assert!(refused.contains("NotEmpty") || refused.contains("not empty"), "{refused}");
        member.stop()?;

        let reset = ["--reset-offsets", "--to-earliest", "--execute", "--topic", &topic];
        java.consumer_groups(&[&reset[..], &group].concat())?;
        let at = TopicPartition::new(topic.as_str(), 0);
        assert_eq!(cluster.broker.committed("billing")[&at].offset, 0);
        let delete = ["--delete-offsets", "--topic", &topic];
        java.consumer_groups(&[&delete[..], &group].concat())?;
        assert!(cluster.broker.committed("billing").is_empty());
        java.consumer_groups(&[&["--delete"], &group[..]].concat())?;
        assert_eq!(cluster.broker.group("billing"), None);
    }
    Ok(())
}

/// librdkafka, as the Python client carries it.
#[test]
fn librdkafka_produces_and_consumes_in_a_group() -> Outcome {
    let cluster = Cluster::start(3)?;
    let python = python_with_librdkafka()?;
    for assignor in ["range", "cooperative-sticky"] {
        let group = format!("group-{assignor}");
        cluster.broker.create_topic(assignor, 4)?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/librdkafka.py");
        let bootstrap = cluster.broker.bootstrap();
        let run = Command::new(&python)
            .args([script, &bootstrap, assignor, &group, assignor, "500"])
            .output()?;
        let (said, wrong) =
            (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{said}\n{wrong}");
        println!("{assignor}: {said}");
        let saw: serde_json::Value = serde_json::from_str(&said)?;
        assert_eq!((&saw["delivered"], &saw["distinct"]), (&500.into(), &500.into()));
        assert_eq!(saw["most"], serde_json::json!([4, 2]));
        assert_eq!(saw["errors"], serde_json::json!([]));
        assert_eq!(cluster.records(assignor), 500);
        let committed = cluster.broker.committed(&group);
        assert_eq!(committed.values().map(|mark| mark.offset).sum::<i64>(), 500);
    }
    Ok(())
}

/// A Python of our own, with librdkafka in it; made once in the target folder.
fn python_with_librdkafka() -> Result<std::path::PathBuf, Box<dyn std::error::Error>> {
    const CLIENT: &str = "confluent-kafka==2.11.1";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(CLIENT);
    let python = folder.join("bin/python");
    let works = |python: &Path| {
        let import = Command::new(python).args(["-c", "import confluent_kafka"]).status();
        import.is_ok_and(|status| status.success())
    };
    if works(&python) {
        return Ok(python);
    }
    let venv = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
    if !venv.is_ok_and(|status| status.success()) {
        return Err("python3 with its module venv is missing: install it".into());
    }
    let install =
        Command::new(&python).args(["-m", "pip", "install", "--quiet", CLIENT]).status()?;
    if install.success() && works(&python) {
        return Ok(python);
    }
    Err(format!("pip could not install {CLIENT}, which carries librdkafka").into())
}

fn wait_for_partitions(recorder: &Recorder, member: &str, number: usize) -> Outcome {
    let what = format!("{member} to have {number} partitions");
    recorder.wait(&what, LIMIT, |history| history.owned_by(member).len() == number)?;
    Ok(())
}
