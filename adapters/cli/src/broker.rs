//! `handover broker`: the embedded broker, for anyone.

use std::net::IpAddr;

use clap::Args as ClapArgs;
use handover_broker::{Broker, StartError};

use crate::failure::Failure;

/// Runs an embedded Kafka broker in memory, for tests and trials.
///
/// It speaks Kafka's protocol to any client and keeps nothing: what was written is gone when it
/// ends. Stop it with Ctrl-C.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The port of the first broker; further ones take the ports after it. 0 takes free ones
    #[arg(long, short, default_value_t = 9092)]
    port: u16,
    /// The address to listen on. Anyone who can reach it can read and write
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// The host name that clients are told to connect to, if it is not the address
    #[arg(long)]
    advertise: Option<String>,
    /// How many brokers the cluster has
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=100))]
    nodes: i32,
    /// A topic to make, as NAME or NAME:PARTITIONS; may be given more than once
    #[arg(long = "topic", value_name = "NAME[:PARTITIONS]", value_parser = topic)]
    topics: Vec<(String, i32)>,
    /// Make topics that clients ask for, with this many partitions
    #[arg(long, value_name = "PARTITIONS")]
    auto_create: Option<i32>,
}

fn topic(text: &str) -> Result<(String, i32), String> {
    let Some((name, partitions)) = text.rsplit_once(':') else { return Ok((text.into(), 1)) };
    match partitions.parse() {
        Ok(partitions) if partitions > 0 => Ok((name.into(), partitions)),
        _ => Err(format!("{partitions:?} is no number of partitions; write it as orders:12")),
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut builder = Broker::builder().nodes(args.nodes).address(args.address).port(args.port);
    if let Some(host) = args.advertise {
        builder = builder.advertise(host);
    }
    if let Some(partitions) = args.auto_create {
        builder = builder.auto_create_topics(partitions);
    }
    for (name, partitions) in args.topics {
        builder = builder.topic(name, partitions);
    }
    let broker = builder
        .start()
        .await
        .map_err(|error: StartError| Failure::new("the broker can't be started", error))?;
    println!("listening on {}", broker.bootstrap());
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| Failure::new("Ctrl-C can't be waited for", error))?;
    broker.stop().await;
    Ok(())
}
