//! Where fetching starts.

use handover_broker::Broker;

use super::rig::{Rig, earliest, names, produce};

#[tokio::test]
async fn from_the_beginning_and_on() {
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    produce(&broker, 0, 10);
    produce(&broker, 1, 5);
    let mut rig = Rig::new(&broker.bootstrap(), earliest());
    rig.assign(0..2).await;
    let taken = rig.take(15).await;
    assert_eq!(taken[&0], names(0, 0..10));
    assert_eq!(taken[&1], names(1, 0..5));
    produce(&broker, 0, 3);
    assert_eq!(rig.take(3).await[&0], names(0, 10..13));
}
