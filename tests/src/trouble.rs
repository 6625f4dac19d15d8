//! What can go wrong with foreign programs.

use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Why a foreign program does not do what it was started for.
///
/// `Debug` is `Display`, so that a test that unwraps it shows the sentence.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// A program is not installed, or is too old.
    Missing {
        /// Which.
        program: &'static str,
        /// What to do about it.
        install: &'static str,
    },
    /// A program ended as it should not.
    Failed {
        /// What it was to do.
        what: String,
        /// Its exit status.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// Something did not happen in time.
    Late {
        /// What.
        what: String,
        /// Within which time.
        limit: Duration,
        /// The end of the log of the program that was to do it.
        log: String,
    },
    /// The operating system refused something.
    Refused {
        /// What.
        what: String,
        /// Its words.
        error: String,
    },
}

impl Trouble {
    pub(crate) fn refused(what: impl Into<String>, error: &std::io::Error) -> Trouble {
        Trouble::Refused { what: what.into(), error: error.to_string() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Missing { program, install } => write!(f, "{program} is missing: {install}"),
            Trouble::Failed { what, status, log } => {
                write!(f, "{what} failed with {status}; its log ends with\n{log}")
            }
            Trouble::Late { what, limit, log } => {
                write!(f, "{what} took more than {limit:?}; its log ends with\n{log}")
            }
            Trouble::Refused { what, error } => write!(f, "could not {what}: {error}"),
        }
    }
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Trouble {}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
