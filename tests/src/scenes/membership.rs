//! Members join and leave while records are produced.

use handover_tokio::machine::Assignor;

use super::{assert_once, judged, wait_for_a_record, wait_for_shares, wait_for_the_rest};
use crate::bed::{Bed, Outcome};
use crate::history::Recorder;
use crate::ours::Ours;

const PARTITIONS: i32 = 6;

/// Up to three members, of which each leaves in good order: nothing is lost, nothing is owned or
/// consumed twice.
pub fn members_come_and_go(bed: &Bed, assignor: &Assignor) -> Outcome {
    let topic = format!("come-and-go-{}", assignor.name);
    bed.create_topic(&topic, PARTITIONS)?;
    let recorder = Recorder::default();
    let producer = bed.produce(&topic, PARTITIONS, &recorder)?;
    let start = |name: &str| {
        let builder = bed.consumer(&topic, &topic).assignors([assignor.clone()]);
        Ours::start(name, builder, &recorder)
    };
    let one = start("one")?;
    wait_for_shares(&recorder, &[("one", 6)])?;
    let two = start("two")?;
    wait_for_shares(&recorder, &[("one", 3), ("two", 3)])?;
    let three = start("three")?;
    wait_for_shares(&recorder, &[("one", 2), ("two", 2), ("three", 2)])?;
    wait_for_a_record(&recorder, "three")?;
    assert!(one.stop()?.is_clean());
    wait_for_shares(&recorder, &[("two", 3), ("three", 3)])?;
    let four = start("four")?;
    wait_for_shares(&recorder, &[("two", 2), ("three", 2), ("four", 2)])?;
    wait_for_a_record(&recorder, "four")?;
    assert!(two.stop()?.is_clean());
    assert!(three.stop()?.is_clean());
    wait_for_shares(&recorder, &[("four", 6)])?;
    producer.finish(bed)?;
    wait_for_the_rest(&recorder)?;
    assert!(four.stop()?.is_clean());
    assert_once(&judged(&topic, &recorder), &[]);
    Ok(())
}
