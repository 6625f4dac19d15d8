//! Groups of our consumers on Apache Kafka.

use handover_tests::bed::{Bed, Outcome};
use handover_tests::java::Protocol;
use handover_tests::kafka::{Setup, Version};
use handover_tests::scenes::{self, First};
use handover_tokio::machine::Assignor;

#[test]
fn on_4_3() -> Outcome {
    let bed = Bed::kafka(Setup::new(Version::V4_3).start()?)?;
    alone(&bed)?;
    with_java(&bed)
}

#[test]
fn on_3_9_with_the_scala_coordinator() -> Outcome {
    let bed = Bed::kafka(Setup::new(Version::V3_9).start()?)?;
    alone(&bed)?;
    with_java(&bed)
}

#[test]
fn on_3_9_with_the_new_coordinator() -> Outcome {
    let setup = Setup::new(Version::V3_9).new_coordinator();
    alone(&Bed::kafka(setup.start()?)?)
}

/// What members of ours do among themselves.
fn alone(bed: &Bed) -> Outcome {
    scenes::members_come_and_go(bed, &Assignor::range())?;
    scenes::members_come_and_go(bed, &Assignor::cooperative_sticky())?;
    scenes::commits_cancelled_in_rebalances(bed, 50)?;
    scenes::members_are_closed_in_any_state(bed)?;
    scenes::a_killed_member_is_replaced(bed)
}

fn with_java(bed: &Bed) -> Outcome {
    for protocol in [Protocol::Range, Protocol::CooperativeSticky] {
        scenes::ours_and_java_share(bed, protocol, First::Ours)?;
        scenes::ours_and_java_share(bed, protocol, First::Java)?;
    }
    Ok(())
}
