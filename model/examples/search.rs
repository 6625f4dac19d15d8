//! Searches one of the named systems: `cargo run -p handover-model --example search -- <name>`.

use std::process::ExitCode;

use handover_model::{configs, explore::search};

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some(setup) = configs::ALL.iter().find(|setup| setup.name == name) else {
        let names: Vec<&str> = configs::ALL.iter().map(|setup| setup.name).collect();
        eprintln!("name one of: {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    match search(setup) {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(counterexample) => {
            println!("{counterexample}");
            ExitCode::FAILURE
        }
    }
}
