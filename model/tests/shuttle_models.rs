//! The models under shuttle: every schedule of two threads by depth-first search, with all
//! atomics sequentially consistent, and any waiter of a condition allowed to win.

/// What a model is written against. `loom_models.rs` has the same names.
mod backend {
    pub(crate) use handover_core_shuttle as core;
    pub(crate) use shuttle::future::block_on;
    pub(crate) use shuttle::thread::spawn;

    pub(crate) const CHECKER: &str = "shuttle";
    /// The most executions that a model may need: more are too slow to be run at each change.
    pub(crate) const BUDGET: usize = 1_000_000;
    /// For the broken twins that some controls are made of.
    pub(crate) mod sync {
        pub(crate) use shuttle::sync::Mutex;
        pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    }

    /// What the checker says when every thread that is left is blocked.
    pub(crate) const DEADLOCK: &str = "deadlock!";

    /// Runs every schedule. Nothing bounds their number.
    pub(crate) fn explore(body: impl Fn() + Send + Sync + 'static) {
        let mut config = shuttle::Config::new();
        config.silence_warnings = true;
        config.stack_size = 1 << 19;
        let every_schedule = shuttle::scheduler::DfsScheduler::new(None, false);
        shuttle::Runner::new(every_schedule, config).run(body);
    }
}

mod models;
