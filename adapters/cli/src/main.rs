//! The command `handover`: a demo, an embedded broker, a verifiable consumer.

mod broker;
mod demo;
mod failure;
mod verifiable;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use failure::Failure;

/// Kafka consumer groups that neither hang nor lose.
///
/// `handover demo` shows the whole of it in half a minute and needs nothing installed. Set RUST_LOG,
/// such as RUST_LOG=handover_tokio=debug, to see on standard error what the clients do.
#[derive(Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Broker(broker::Args),
    VerifiableConsumer(verifiable::Args),
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new("the runtime can't be started", error).report(),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Broker(args) => broker::run(args).await,
            Command::VerifiableConsumer(args) => verifiable::run(args).await,
        }
    });
    // Whatever still runs in the background is not waited for.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
