//! How the command fails: one sentence that says what to do.

use std::fmt;
use std::process::ExitCode;

/// Why the command failed, in one sentence, and with which code it exits.
#[derive(Debug)]
pub(crate) struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    /// Something outside went wrong: code 1.
    pub(crate) fn new(what: impl fmt::Display, why: impl fmt::Display) -> Failure {
        Failure { sentence: format!("{what}: {why}"), code: 1 }
    }

    /// What was asked for can't be done: code 2, as for a wrong option.
    pub(crate) fn usage(sentence: impl Into<String>) -> Failure {
        Failure { sentence: sentence.into(), code: 2 }
    }

    pub(crate) fn report(self) -> ExitCode {
        eprintln!("error: {}", self.sentence);
        ExitCode::from(self.code)
    }
}
