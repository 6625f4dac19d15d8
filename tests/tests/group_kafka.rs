//! Groups of our consumers on Apache Kafka.

use handover_tests::bed::{Bed, Outcome};
use handover_tests::kafka::{Setup, Version};
use handover_tests::scenes;
use handover_tokio::machine::Assignor;

#[test]
fn on_4_3() -> Outcome {
    alone(Setup::new(Version::V4_3))
}

#[test]
fn on_3_9_with_the_scala_coordinator() -> Outcome {
    alone(Setup::new(Version::V3_9))
}

#[test]
fn on_3_9_with_the_new_coordinator() -> Outcome {
    alone(Setup::new(Version::V3_9).new_coordinator())
}

/// What members of ours do among themselves.
fn alone(setup: Setup) -> Outcome {
    let bed = Bed::kafka(setup.start()?)?;
    scenes::members_come_and_go(&bed, &Assignor::range())?;
    scenes::members_come_and_go(&bed, &Assignor::cooperative_sticky())?;
    scenes::commits_cancelled_in_rebalances(&bed, 50)
}
