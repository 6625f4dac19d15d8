//! The models under loom: every interleaving of two threads, and every value that each load of
//! the C11 memory model (as far as loom follows it) may return.

#![allow(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]
// With reference counts there are other models: see `loom_lifetimes.rs`.
#![cfg(not(feature = "lifetimes"))]

/// What a model is written against. `shuttle_models.rs` has the same names.
mod backend {
    pub(crate) use handover_core_loom as core;
    pub(crate) use loom::future::block_on;
    use loom::thread::JoinHandle;

    pub(crate) const CHECKER: &str = "loom";
    /// What the name of a model of the whole core begins with.
    pub(crate) const WHOLE: &str = "";
    /// The most executions that a model may need: more are too slow to be run at each change.
    pub(crate) const BUDGET: usize = 200_000;
    /// For the broken twins that some controls are made of.
    pub(crate) mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
        pub(crate) use loom::sync::{Condvar, Mutex};
    }

    /// What the checker says when every thread that is left is blocked.
    pub(crate) const DEADLOCK: &str = "deadlock; threads =";

    /// The driver and the machine need more than a generator's default stack.
    pub(crate) fn spawn<T: Send + 'static>(
        body: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let builder = loom::thread::Builder::new().stack_size(1 << 16);
        builder.spawn(body).expect("loom's spawn does not fail")
    }

    /// Runs every execution. Nothing bounds it, also not the environment (`LOOM_MAX_*`).
    pub(crate) fn explore(body: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = None;
        builder.max_duration = None;
        builder.max_permutations = None;
        builder.max_branches = 100_000;
        builder.check(body);
    }

    /// The whole core is explored like its parts.
    pub(crate) fn explore_whole(body: impl Fn() + Send + Sync + 'static) {
        explore(body);
    }
}

mod models;
