//! How a model is run: exhausted, counted, and compared with `counts.toml`.
//!
//! A model that explores less than it did is a defect like one that fails, and neither checker
//! tells when it stops early. So each run counts its executions and fails unless they are as
//! many as the file says. After a change that means to alter them:
//!
//! ```sh
//! HANDOVER_BLESS=1 cargo test -p handover-model --features loom,shuttle --tests
//! ```
//!
//! rewrites the file, and a review sees the difference.
//!
//! What a model asserts on it keeps in the checker's own atomics: loom leaves out executions that
//! differ only in the order of steps that it does not see.
//!
//! A control is a model with a defect put in. It runs in a child process, because loom aborts
//! when it unwinds past its own primitives after a deadlock, and must end with the reason stated.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fs};

use crate::backend::{BUDGET, CHECKER, DEADLOCK, explore};

const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.toml");
const BLESS: &str = "HANDOVER_BLESS";
const CONTROL: &str = "HANDOVER_CONTROL";

/// Explores `body` to the end and compares the number of executions.
pub(crate) fn check(name: impl Into<String>, body: impl Fn() + Send + Sync + 'static) {
    run(name.into(), explore, body);
}

/// Runs a model and compares its number of executions under this name.
pub(crate) fn run<B: Fn() + Send + Sync + 'static>(
    name: String,
    explore: impl FnOnce(Box<dyn Fn() + Send + Sync>),
    body: B,
) {
    let model = name.clone();
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    explore(Box::new(move || {
        let so_far = counter.fetch_add(1, Relaxed);
        assert!(so_far < BUDGET, "{model} needs more than {BUDGET} executions");
        body();
    }));
    let executions = executions.load(Relaxed);
    println!("{CHECKER} {name}: {executions} executions");
    compare(&name, executions);
}

/// How a control must fail.
pub(crate) enum Reason {
    /// Somebody waits for ever.
    Deadlock,
    /// An assertion of the model says this.
    Says(&'static str),
}

/// Explores `body`, which must fail for this reason. `name` is the path of the calling test
/// below `models`: the child process runs that one again.
pub(crate) fn control(name: &str, reason: &Reason, body: impl Fn() + Send + Sync + 'static) {
    must_fail(name, reason, || explore(body));
}

/// Runs a control: in a child process, which must say the reason.
pub(crate) fn must_fail(name: &str, reason: &Reason, explore: impl FnOnce()) {
    if env::var_os(CONTROL).is_some_and(|chosen| *chosen == *name) {
        return explore();
    }
    let itself = env::current_exe().expect("a running test has a path");
    let child = Command::new(itself)
        .args([&format!("models::{name}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(CONTROL, name)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("a test can run itself");
    let said = String::from_utf8_lossy(&child.stderr) + String::from_utf8_lossy(&child.stdout);
    let expected = match reason {
        Reason::Deadlock => DEADLOCK,
        Reason::Says(text) => text,
    };
    assert!(!child.status.success(), "the control {name} passed, so its model proves nothing");
    assert!(said.contains(expected), "{name} failed, but not by {expected:?}:\n{said}");
}

fn compare(name: &str, executions: usize) {
    // Two tests of this process may end at the same time.
    static FILE: Mutex<()> = Mutex::new(());
    let _file = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut counts = read();
    let counted = counts.entry(CHECKER.into()).or_default();
    let expected = counted.insert(name.into(), executions);
    if env::var_os(BLESS).is_some() {
        return write(&counts);
    }
    assert_eq!(
        Some(executions),
        expected,
        "{name}: not the executions that counts.toml states; if that is meant, run with {BLESS}=1"
    );
}

/// Checker, model, executions.
type Counts = BTreeMap<String, BTreeMap<String, usize>>;

fn read() -> Counts {
    let mut counts = Counts::new();
    let mut checker = String::new();
    for line in fs::read_to_string(COUNTS).unwrap_or_default().lines() {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            checker = section.into();
        } else if let Some((name, executions)) = line.split_once(" = ") {
            let executions = executions.parse().expect("counts.toml has whole numbers");
            let name = name.trim_matches('"').into();
            counts.entry(checker.clone()).or_default().insert(name, executions);
        }
    }
    counts
}

fn write(counts: &Counts) {
    let mut text = String::from(
        "# How many executions each model explores, to exhaustion and without a preemption bound.\n\
         # Written by `HANDOVER_BLESS=1 cargo test`; compared by every other run.\n",
    );
    for (checker, models) in counts {
        writeln!(text, "\n[{checker}]").expect("writing to a string does not fail");
        for (name, executions) in models {
            writeln!(text, "\"{name}\" = {executions}").expect("writing to a string does not fail");
        }
    }
    fs::write(COUNTS, text).expect("counts.toml can be written");
}
