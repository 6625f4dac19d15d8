//! The harness itself, on real Kafka with Java clients alone: what it starts works, and the
//! judge agrees with clients that are known.

use std::net::TcpStream;
use std::time::Duration;

use handover_tests::history::{Cause, Kind, Recorder, Verdict};
use handover_tests::java::{ConsumerSetup, ProducerSetup, Protocol};
use handover_tests::kafka::{Kafka, Setup, Version};

const LIMIT: Duration = Duration::from_secs(60);

/// An error says what went wrong, in a sentence.
type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn java_members_on_4_3() -> Outcome {
    let kafka = Setup::new(Version::V4_3).start()?;
    for protocol in [Protocol::Range, Protocol::CooperativeSticky, Protocol::Consumer] {
        hand_over_between_java_members(&kafka, protocol)?;
    }
    Ok(())
}

#[test]
fn java_members_on_3_9_with_the_scala_coordinator() -> Outcome {
    let kafka = Setup::new(Version::V3_9).start()?;
    for protocol in [Protocol::Range, Protocol::CooperativeSticky] {
        hand_over_between_java_members(&kafka, protocol)?;
    }
    Ok(())
}

#[test]
fn java_members_on_3_9_with_the_new_coordinator() -> Outcome {
    let kafka = Setup::new(Version::V3_9).new_coordinator().start()?;
    for protocol in [Protocol::CooperativeSticky, Protocol::Consumer] {
        hand_over_between_java_members(&kafka, protocol)?;
    }
    Ok(())
}

/// Two members share four partitions; one of them leaves in good order while records come.
fn hand_over_between_java_members(kafka: &Kafka, protocol: Protocol) -> Outcome {
    let java = kafka.java();
    let topic = format!("{protocol:?}");
    java.create_topic(&topic, 4, 1)?;
    let recorder = Recorder::default();
    let setup = ConsumerSetup::new(&format!("group-{topic}"), &topic, protocol);
    let stays = java.consumer("stays", &setup, &recorder)?;
    wait_for_partitions(&recorder, "stays", 4)?;
    let leaves = java.consumer("leaves", &setup, &recorder)?;
    wait_for_partitions(&recorder, "leaves", 2)?;
    let producer = java.producer("producer", &ProducerSetup::new(&topic, 2_000, 400), &recorder);
    let consumed = |kind: &Kind| matches!(kind, Kind::Consumed { .. });
    recorder.wait("both to consume", LIMIT, |history| {
        ["stays", "leaves"].iter().all(|m| history.of(m).any(|e| consumed(&e.kind)))
    })?;
    leaves.stop()?;
    wait_for_partitions(&recorder, "stays", 4)?;
    producer?.finish(LIMIT)?;
    wait_for_the_rest(&recorder)?;
    stays.stop()?;
    let verdict = judged(&topic, &recorder);
    assert_eq!((verdict.produced, verdict.consumed), (2_000, 2_000));
    assert!(verdict.commits.0 > 0);
    Ok(())
}

/// A member is killed: the judge counts what is consumed twice for that cause, if anything is.
/// Then the other is paused past its session, and the group goes on without it.
#[test]
fn faults_of_java_members_are_told_apart() -> Outcome {
    let kafka = Setup::new(Version::V4_3).start()?;
    let java = kafka.java();
    java.create_topic("t", 2, 1)?;
    let recorder = Recorder::default();
    let setup = ConsumerSetup::new("g", "t", Protocol::CooperativeSticky);
    let mut paused = java.consumer("paused", &setup, &recorder)?;
    wait_for_partitions(&recorder, "paused", 2)?;
    let killed = java.consumer("killed", &setup, &recorder)?;
    wait_for_partitions(&recorder, "killed", 1)?;
    let producer = ProducerSetup::new("t", 4_000, 200);
    let producer = java.producer("producer", &producer, &recorder)?;
    recorder.wait("a record", LIMIT, |history| {
        history.of("killed").any(|event| matches!(event.kind, Kind::Consumed { .. }))
    })?;
    killed.kill();
    wait_for_partitions(&recorder, "paused", 2)?;
    let last = java.consumer("last", &setup, &recorder)?;
    wait_for_partitions(&recorder, "last", 1)?;
    paused.pause()?;
    wait_for_partitions(&recorder, "last", 2)?;
    paused.resume()?;
    producer.finish(LIMIT)?;
    wait_for_the_rest(&recorder)?;
    last.stop()?;
    paused.stop()?;
    let verdict = judged("faults", &recorder);
    let other = |cause: &&Cause| !matches!(cause, Cause::Killed | Cause::Cut | Cause::CommitFailed);
    assert_eq!(verdict.twice.keys().find(other), None);
    Ok(())
}

#[test]
fn nodes_are_killed_paused_and_restarted() -> Outcome {
    let mut kafka = Setup::new(Version::V4_3).nodes(3).start()?;
    let java = kafka.java();
    java.create_topic("t", 3, 3)?;
    kafka.kill(2);
    assert!(TcpStream::connect(kafka.address(2)).is_err());
    java.console_produce("t", "one\ntwo\n")?;
    kafka.restart(2)?;
    kafka.stop(3)?;
    assert!(TcpStream::connect(kafka.address(3)).is_err());
    kafka.restart(3)?;
    kafka.pause(1)?;
    kafka.resume(1)?;
    let arguments = ["--from-beginning", "--max-messages", "2", "--group", "g"];
    let mut printed: Vec<String> =
        java.console_consume("t", &arguments)?.lines().map(String::from).collect();
    printed.sort();
    assert_eq!(printed, ["one", "two"]);
    let groups = java.consumer_groups(&["--describe", "--group", "g"])?;
    assert!(groups.contains("LAG"), "{groups}");
    assert!(java.topics(&["--describe", "--topic", "nowhere"]).is_err());
    Ok(())
}

fn wait_for_partitions(recorder: &Recorder, member: &str, number: usize) -> Outcome {
    let what = format!("{member} to have {number} partitions");
    recorder.wait(&what, LIMIT, |history| history.owned_by(member).len() == number)?;
    Ok(())
}

fn wait_for_the_rest(recorder: &Recorder) -> Outcome {
    recorder.wait("the last record", LIMIT, |history| history.outstanding().is_empty())?;
    Ok(())
}

/// Leaves the whole history in a file if a promise was broken.
fn judged(name: &str, recorder: &Recorder) -> Verdict {
    let verdict = recorder.judge();
    println!("{name}: {verdict}");
    if !verdict.violations.is_empty() {
        let file = format!("{}/{name}.history", env!("CARGO_TARGET_TMPDIR"));
        let written = std::fs::write(&file, recorder.look(ToString::to_string));
        println!("{file}: {written:?}");
    }
    verdict.assert_kept();
    verdict
}
