//! The harness itself, on real Kafka with Java clients alone: what it starts works, and the
//! judge agrees with clients that are known.

use std::net::TcpStream;
use std::time::Duration;

use handover_tests::history::{Cause, Kind, Recorder, Verdict};
use handover_tests::java::{ConsumerSetup, ProducerSetup, Protocol};
use handover_tests::kafka::{Kafka, Setup, Version};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn java_members_on_4_3() {
    let kafka = Setup::new(Version::V4_3).start().unwrap();
    for protocol in [Protocol::Range, Protocol::CooperativeSticky, Protocol::Consumer] {
        hand_over_between_java_members(&kafka, protocol);
    }
}

#[test]
fn java_members_on_3_9_with_the_scala_coordinator() {
    let kafka = Setup::new(Version::V3_9).start().unwrap();
    for protocol in [Protocol::Range, Protocol::CooperativeSticky] {
        hand_over_between_java_members(&kafka, protocol);
    }
}

#[test]
fn java_members_on_3_9_with_the_new_coordinator() {
    let kafka = Setup::new(Version::V3_9).new_coordinator().start().unwrap();
    for protocol in [Protocol::CooperativeSticky, Protocol::Consumer] {
        hand_over_between_java_members(&kafka, protocol);
    }
}

/// Two members share four partitions; one of them leaves in good order while records come.
fn hand_over_between_java_members(kafka: &Kafka, protocol: Protocol) {
    let java = kafka.java();
    let topic = format!("{protocol:?}");
    java.create_topic(&topic, 4, 1).unwrap();
    let recorder = Recorder::default();
    let setup = ConsumerSetup::new(&format!("group-{topic}"), &topic, protocol);
    let stays = java.consumer("stays", &setup, &recorder).unwrap();
    wait_for_partitions(&recorder, "stays", 4);
    let leaves = java.consumer("leaves", &setup, &recorder).unwrap();
    wait_for_partitions(&recorder, "leaves", 2);
    let producer = java.producer("producer", &ProducerSetup::new(&topic, 2_000, 400), &recorder);
    let consumed = |kind: &Kind| matches!(kind, Kind::Consumed { .. });
    recorder
        .wait("both to consume", LIMIT, |history| {
            ["stays", "leaves"].iter().all(|m| history.of(m).any(|e| consumed(&e.kind)))
        })
        .unwrap();
    leaves.stop().unwrap();
    wait_for_partitions(&recorder, "stays", 4);
    producer.unwrap().finish(LIMIT).unwrap();
    wait_for_the_rest(&recorder);
    stays.stop().unwrap();
    let verdict = judged(&topic, &recorder);
    assert_eq!((verdict.produced, verdict.consumed), (2_000, 2_000));
    assert!(verdict.commits.0 > 0);
}

/// A member is killed: the judge counts what is consumed twice for that cause, if anything is.
/// Then the other is paused past its session, and the group goes on without it.
#[test]
fn faults_of_java_members_are_told_apart() {
    let kafka = Setup::new(Version::V4_3).start().unwrap();
    let java = kafka.java();
    java.create_topic("t", 2, 1).unwrap();
    let recorder = Recorder::default();
    let setup = ConsumerSetup::new("g", "t", Protocol::CooperativeSticky);
    let mut paused = java.consumer("paused", &setup, &recorder).unwrap();
    wait_for_partitions(&recorder, "paused", 2);
    let killed = java.consumer("killed", &setup, &recorder).unwrap();
    wait_for_partitions(&recorder, "killed", 1);
    let producer = ProducerSetup::new("t", 4_000, 200);
    let producer = java.producer("producer", &producer, &recorder).unwrap();
    recorder
        .wait("a record", LIMIT, |history| {
            history.of("killed").any(|event| matches!(event.kind, Kind::Consumed { .. }))
        })
        .unwrap();
    killed.kill();
    wait_for_partitions(&recorder, "paused", 2);
    let last = java.consumer("last", &setup, &recorder).unwrap();
    wait_for_partitions(&recorder, "last", 1);
    paused.pause().unwrap();
    wait_for_partitions(&recorder, "last", 2);
    paused.resume().unwrap();
    producer.finish(LIMIT).unwrap();
    wait_for_the_rest(&recorder);
    last.stop().unwrap();
    paused.stop().unwrap();
    let verdict = judged("faults", &recorder);
    let other = |cause: &&Cause| !matches!(cause, Cause::Killed | Cause::Cut | Cause::CommitFailed);
    assert_eq!(verdict.twice.keys().find(other), None);
}

#[test]
fn nodes_are_killed_paused_and_restarted() {
    let mut kafka = Setup::new(Version::V4_3).nodes(3).start().unwrap();
    let java = kafka.java();
    java.create_topic("t", 3, 3).unwrap();
    kafka.kill(2);
    assert!(TcpStream::connect(kafka.address(2)).is_err());
    java.console_produce("t", "one\ntwo\n").unwrap();
    kafka.restart(2).unwrap();
    kafka.stop(3).unwrap();
    assert!(TcpStream::connect(kafka.address(3)).is_err());
    kafka.restart(3).unwrap();
    kafka.pause(1).unwrap();
    kafka.resume(1).unwrap();
    let arguments = ["--from-beginning", "--max-messages", "2", "--group", "g"];
    let mut printed: Vec<String> =
        java.console_consume("t", &arguments).unwrap().lines().map(String::from).collect();
    printed.sort();
    assert_eq!(printed, ["one", "two"]);
    let groups = java.consumer_groups(&["--describe", "--group", "g"]).unwrap();
    assert!(groups.contains("LAG"), "{groups}");
    assert!(java.topics(&["--describe", "--topic", "nowhere"]).is_err());
}

fn wait_for_partitions(recorder: &Recorder, member: &str, number: usize) {
    let what = format!("{member} to have {number} partitions");
    recorder.wait(&what, LIMIT, |history| history.owned_by(member).len() == number).unwrap();
}

fn wait_for_the_rest(recorder: &Recorder) {
    recorder.wait("the last record", LIMIT, |history| history.outstanding().is_empty()).unwrap();
}

fn judged(name: &str, recorder: &Recorder) -> Verdict {
    let verdict = recorder.judge();
    println!("{name}: {verdict}");
    verdict.assert_kept();
    verdict
}
