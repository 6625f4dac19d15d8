//! A group of ours and of Java's members.

use handover_tokio::machine::Assignor;

use super::{assert_once, judged, wait_for_a_record, wait_for_shares, wait_for_the_rest};
use crate::bed::{Bed, Outcome};
use crate::history::{Cause, Recorder};
use crate::java::{self, ConsumerSetup, Protocol};
use crate::ours::Ours;

const PARTITIONS: i32 = 4;

/// One of ours and one of Java's share a topic while records are produced. Whoever is first leads,
/// and leaves first; nothing is lost, nothing is owned or consumed twice.
pub fn ours_and_java_share(bed: &Bed, protocol: Protocol, first: First) -> Outcome {
    let topic = format!("mixed-{protocol:?}-{first:?}");
    bed.create_topic(&topic, PARTITIONS)?;
    let recorder = Recorder::default();
    let producer = bed.produce(&topic, PARTITIONS, &recorder)?;
    let group = Mixed { bed, topic: &topic, protocol, recorder: &recorder };
    match first {
        First::Ours => {
            let ours = group.ours()?;
            wait_for_shares(&recorder, &[("ours", 4)])?;
            assert!(ours.handle().status().leader);
            let java = group.java()?;
            group.both_consume()?;
            assert!(ours.stop()?.is_clean());
            wait_for_shares(&recorder, &[("java", 4)])?;
            producer.finish(bed)?;
            wait_for_the_rest(&recorder)?;
            java.stop()?;
        }
        First::Java => {
            let java = group.java()?;
            wait_for_shares(&recorder, &[("java", 4)])?;
            let ours = group.ours()?;
            group.both_consume()?;
            assert!(!ours.handle().status().leader);
            java.stop()?;
            wait_for_shares(&recorder, &[("ours", 4)])?;
            producer.finish(bed)?;
            wait_for_the_rest(&recorder)?;
            assert!(ours.stop()?.is_clean());
        }
    }
    // Java's tool goes on when a rebalance refuses its commit.
    assert_once(&judged(&topic, &recorder), &[Cause::CommitFailed]);
    Ok(())
}

/// Who comes first, and so leads the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// A member of ours.
    Ours,
    /// A member of Java's.
    Java,
}

struct Mixed<'a> {
    bed: &'a Bed,
    topic: &'a str,
    protocol: Protocol,
    recorder: &'a Recorder,
}

impl Mixed<'_> {
    fn ours(&self) -> Outcome<Ours> {
        let assignor = match self.protocol {
            Protocol::Range => Assignor::range(),
            Protocol::CooperativeSticky => Assignor::cooperative_sticky(),
            Protocol::Consumer => return Err("ours speak the classic protocol only".into()),
        };
        let builder = self.bed.consumer(self.topic, self.topic).assignors([assignor]);
        Ours::start("ours", builder, self.recorder)
    }

    fn java(&self) -> Outcome<java::Consumer> {
        let java = self.bed.java().ok_or("there is no Java here")?;
        let setup = ConsumerSetup::new(self.topic, self.topic, self.protocol);
        Ok(java.consumer("java", &setup, self.recorder)?)
    }

    fn both_consume(&self) -> Outcome {
        wait_for_shares(self.recorder, &[("ours", 2), ("java", 2)])?;
        wait_for_a_record(self.recorder, "ours")?;
        wait_for_a_record(self.recorder, "java")
    }
}
