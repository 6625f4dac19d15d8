//! The models under shuttle: every schedule of two threads by depth-first search, with all
//! atomics sequentially consistent, and any waiter of a condition allowed to win.

#![allow(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

/// What a model is written against. `loom_models.rs` has the same names.
mod backend {
    pub(crate) use handover_core_shuttle as core;
    pub(crate) use shuttle::future::block_on;
    pub(crate) use shuttle::thread::spawn;

    pub(crate) const CHECKER: &str = "shuttle";
    /// What the name of a model of the whole core begins with.
    pub(crate) const WHOLE: &str = "sampled_";
    /// The most executions that a model may need: more are too slow to be run at each change.
    pub(crate) const BUDGET: usize = 1_000_000;
    /// For the broken twins that some controls are made of.
    pub(crate) mod sync {
        pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
        pub(crate) use shuttle::sync::{Condvar, Mutex};
    }

    /// What the checker says when every thread that is left is blocked.
    pub(crate) const DEADLOCK: &str = "deadlock!";

    /// Runs every schedule. Nothing bounds their number.
    pub(crate) fn explore(body: impl Fn() + Send + Sync + 'static) {
        let every_schedule = shuttle::scheduler::DfsScheduler::new(None, false);
        shuttle::Runner::new(every_schedule, config()).run(body);
    }

    /// Runs some schedules: half of them at random, half with a few preemptions at random places
    /// (PCT), which finds the bugs that need few. The seeds are fixed.
    ///
    /// The whole core has some thirty steps on the driver's side and ten on the other, which this
    /// search, that reduces nothing, would interleave in 10^9 ways. loom explores all that matter.
    pub(crate) fn explore_whole(body: impl Fn() + Send + Sync + 'static) {
        let body = std::sync::Arc::new(body);
        let again = std::sync::Arc::clone(&body);
        let random = shuttle::scheduler::RandomScheduler::new_from_seed(1, 5_000);
        shuttle::Runner::new(random, config()).run(move || body());
        let few_preemptions = shuttle::scheduler::PctScheduler::new_from_seed(2, 3, 5_000);
        shuttle::Runner::new(few_preemptions, config()).run(move || again());
    }

    fn config() -> shuttle::Config {
        let mut config = shuttle::Config::new();
        config.silence_warnings = true;
        config.stack_size = 1 << 19;
        config
    }
}

mod models;
