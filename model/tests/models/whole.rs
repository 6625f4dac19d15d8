//! How a model of the whole core is run: to the end under loom, by samples under shuttle, whose
//! search reduces nothing. The name in `counts.toml` says which.

use super::check::{Reason, must_fail, run};
use crate::backend::{WHOLE, explore_whole};

/// Explores a body and compares the number of executions.
pub(crate) fn check_whole(name: impl Into<String>, body: impl Fn() + Send + Sync + 'static) {
    run(format!("{WHOLE}{}", name.into()), explore_whole, body);
}

/// Explores a body, which must fail for this reason. See [`control`](super::check::control).
pub(crate) fn control_whole(name: &str, reason: &Reason, body: impl Fn() + Send + Sync + 'static) {
    must_fail(name, reason, || explore_whole(body));
}
