//! Searches one of the named systems, or one like it:
//! `cargo run -p handover-model --example search -- eager-cut members=3 stalls=1`.

use std::process::ExitCode;

use handover_machine::SessionExpiry;
use handover_model::system::{Assigns, Setup, Style};
use handover_model::{configs, explore::search};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let Some(known) = configs::ALL.iter().find(|known| known.setup.name == name) else {
        let names: Vec<&str> = configs::ALL.iter().map(|known| known.setup.name).collect();
        eprintln!("name one of: {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    let mut setup = known.setup.clone();
    for word in words {
        if let Err(why) = change(&mut setup, &word) {
            eprintln!("{word}: {why}");
            return ExitCode::FAILURE;
        }
    }
    match search(&setup) {
        Ok(found) => {
            println!("{found}");
            for (phase, label) in &found.covered {
                println!("  {phase}: {label:?}");
            }
            ExitCode::SUCCESS
        }
        Err(counterexample) => {
            println!("{counterexample}");
            ExitCode::FAILURE
        }
    }
}

/// Changes a setting, given as `name=number`.
fn change(setup: &mut Setup, word: &str) -> Result<(), String> {
    let (name, number) = word.split_once('=').ok_or("expected name=number")?;
    let number: u64 = number.parse().map_err(|error| format!("{error}"))?;
    let few = u8::try_from(number).map_err(|error| format!("{error}"));
    match name {
        "members" => setup.members = number as usize,
        "settled" => setup.settled = number as usize,
        "partitions" => setup.partitions = number as u32,
        "records" => setup.records = number as i64,
        "cooperative" => setup.cooperative = number > 0,
        "blocking" if number > 0 => setup.style = Style::Blocking,
        "closes" => setup.closes = number > 0,
        "failures" => setup.assignor = Assigns::Later(few?),
        "cancels" => setup.cancels = few?,
        "rejoins" => setup.rejoins = few?,
        "unsubscribes" => setup.unsubscribes = few?,
        "absences" => setup.absences = few?,
        "instances" => setup.instances = number > 0,
        "crashes" => setup.crashes = few?,
        "lost" if number > 0 => setup.expiry = SessionExpiry::Lost,
        "keep" if number > 0 => setup.expiry = SessionExpiry::Keep,
        "poll" => setup.timing.poll = Some(number),
        "auto" => setup.timing.auto_commit = Some(number),
        "delays" => setup.delays = few?,
        "cuts" => setup.faults.cuts = few?,
        "stalls" => setup.faults.stalls = few?,
        "stragglers" => setup.faults.stragglers = few?,
        "late" => setup.faults.late_writes = few?,
        "reloads" => setup.faults.reloads = few?,
        "unloads" => setup.faults.unloads = few?,
        "heartbeat" => setup.timing.heartbeat = number,
        "session" => setup.timing.session = number,
        "rebalance" => setup.timing.rebalance = number,
        "drain" => setup.timing.drain = number,
        "request" => setup.timing.request = number,
        "backoff" => setup.timing.backoff.0 = number,
        "longest" => setup.timing.backoff.1 = number,
        "commit" => setup.timing.commit = Some(number),
        "close" => setup.timing.close = Some(number),
        _ => return Err(String::from("there is no such setting")),
    }
    Ok(())
}
