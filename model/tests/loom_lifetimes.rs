//! The models of the parts under loom once more, with loom's reference counts: nothing that is
//! made in an execution outlives it, no call, no queued thing and no waker (SPEC P2).
//!
//! Apart from `loom_models.rs`, since each clone and drop is a branch here, and the feature that
//! makes it so is one of the whole mirror.

#![allow(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

/// What a model is written against.
mod backend {
    pub(crate) use handover_core_loom as core;
    pub(crate) use loom::future::block_on;
    pub(crate) use loom::thread::spawn;

    pub(crate) const CHECKER: &str = "loom, lifetimes";
    /// The most executions that a model may need: more are too slow to be run at each change.
    pub(crate) const BUDGET: usize = 200_000;

    /// For the broken twins that some controls are made of.
    pub(crate) mod sync {
        pub(crate) use loom::sync::Mutex;
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    }

    /// What the checker says when every thread that is left is blocked.
    pub(crate) const DEADLOCK: &str = "deadlock; threads =";

    /// Runs every execution. Nothing bounds it, also not the environment (`LOOM_MAX_*`).
    pub(crate) fn explore(body: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = None;
        builder.max_duration = None;
        builder.max_permutations = None;
        builder.max_branches = 100_000;
        builder.check(body);
    }
}

#[path = "models"]
mod models {
    mod check;
    mod fixture;

    mod assignments;
    mod cancel;
    mod delivery_comes_back;
    mod delivery_or_purge;
    mod event_once;
    mod event_silent;
    mod hold_or_revoke;
    mod leak;
    mod liveness;
    mod lost_wins;
    mod mailbox;
    mod mark_before_drained;
    mod reentrant;
    mod repoll;
    mod room;
    mod seek_voids;
    mod ticket;
    mod wait;
}
