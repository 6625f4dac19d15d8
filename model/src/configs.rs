//! The closed systems that are searched, as data.

use handover_world::Faults;

use crate::system::{Assigns, NO_FAULTS, Setup, Style};

/// A system, and how large it is: a search that finds less than it did is a defect like one that
/// fails, so both numbers are compared exactly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Searched {
    /// What is searched.
    pub setup: Setup,
    /// How many states it has.
    pub states: usize,
    /// How many steps lead from one to another.
    pub edges: usize,
}

const fn searched(setup: Setup, states: usize, edges: usize) -> Searched {
    Searched { setup, states, edges }
}

/// All of them.
pub const ALL: &[Searched] = &[
    searched(EAGER_CLOSES, 607_644, 1_462_945),
    searched(COOPERATIVE_CLOSES, 387_333, 858_968),
    searched(EAGER_CUT, 95_966, 229_612),
    searched(COOPERATIVE_CUT, 54_971, 132_316),
    searched(EAGER_BLOCKING, 48_311, 151_159),
    searched(COOPERATIVE_BLOCKING, 37_490, 107_990),
    searched(BLOCKING_CUT, 312_133, 1_092_158),
    searched(STRAGGLER, 385_050, 1_163_151),
    searched(BLOCKING_STRAGGLER, 1_428_221, 6_100_198),
    searched(STALL, 84_794, 212_150),
    searched(RELOAD, 64_152, 159_251),
    searched(UNLOAD, 717_013, 1_907_581),
    searched(LATE_WRITE, 35_109, 95_353),
    searched(DELAY, 611_553, 1_900_454),
    searched(LATER, 19_452, 44_622),
    searched(DEADLINES, 2_614_917, 8_733_418),
    searched(TWO_PARTITIONS, 1_947_958, 5_048_085),
    searched(CUT_CLOSES, 2_902_616, 7_714_196),
];

/// Two eager members that come and go at any moment.
pub const EAGER_CLOSES: Setup = Setup { name: "eager-closes", closes: true, ..Setup::TWO_MEMBERS };

/// Two cooperative members that come and go at any moment.
pub const COOPERATIVE_CLOSES: Setup =
    Setup { name: "cooperative-closes", cooperative: true, ..EAGER_CLOSES };

/// One connection breaks.
pub const EAGER_CUT: Setup =
    Setup { name: "eager-cut", faults: Faults { cuts: 1, ..NO_FAULTS }, ..Setup::TWO_MEMBERS };

/// One connection breaks.
pub const COOPERATIVE_CUT: Setup =
    Setup { name: "cooperative-cut", cooperative: true, ..EAGER_CUT };

/// The application waits for its commits while it holds what it commits, and may give up: the
/// circumstances of the defect that handover is built to exclude.
pub const EAGER_BLOCKING: Setup =
    Setup { name: "eager-blocking", style: Style::Blocking, cancels: 1, ..Setup::TWO_MEMBERS };

/// The same, cooperatively.
pub const COOPERATIVE_BLOCKING: Setup =
    Setup { name: "cooperative-blocking", cooperative: true, ..EAGER_BLOCKING };

/// And a connection breaks.
pub const BLOCKING_CUT: Setup = Setup {
    name: "blocking-cut",
    settled: 1,
    faults: Faults { cuts: 1, ..NO_FAULTS },
    ..EAGER_BLOCKING
};

/// A request outlives its connection.
pub const STRAGGLER: Setup = Setup {
    name: "straggler",
    settled: 1,
    records: 2,
    faults: Faults { cuts: 1, stragglers: 1, ..NO_FAULTS },
    ..Setup::TWO_MEMBERS
};

/// A request outlives its connection while the application waits for its commits.
pub const BLOCKING_STRAGGLER: Setup =
    Setup { name: "blocking-straggler", style: Style::Blocking, ..STRAGGLER };

/// Nothing moves on a connection any more.
pub const STALL: Setup = Setup {
    name: "stall",
    settled: 1,
    faults: Faults { stalls: 1, ..NO_FAULTS },
    ..Setup::TWO_MEMBERS
};

/// The coordinator restarts.
pub const RELOAD: Setup =
    Setup { name: "reload", faults: Faults { reloads: 1, ..NO_FAULTS }, ..Setup::TWO_MEMBERS };

/// The coordinator goes and comes back.
pub const UNLOAD: Setup = Setup {
    name: "unload",
    settled: 1,
    faults: Faults { unloads: 1, ..NO_FAULTS },
    ..Setup::TWO_MEMBERS
};

/// A commit is applied and answered with an error.
pub const LATE_WRITE: Setup = Setup {
    name: "late-write",
    style: Style::Blocking,
    faults: Faults { late_writes: 1, ..NO_FAULTS },
    ..Setup::TWO_MEMBERS
};

/// Time passes while messages are on their way.
pub const DELAY: Setup = Setup { name: "delay", settled: 1, delays: 2, ..Setup::TWO_MEMBERS };

/// The assignor takes its time, and fails once.
pub const LATER: Setup = Setup { name: "later", assignor: Assigns::Later(1), ..Setup::TWO_MEMBERS };

/// Commits and closes that may not take long.
pub const DEADLINES: Setup = {
    let mut setup =
        Setup { name: "deadlines", settled: 1, closes: true, cancels: 1, ..EAGER_BLOCKING };
    (setup.timing.commit, setup.timing.close) = (Some(2), Some(3));
    setup
};

/// Two partitions, so that cooperative members hand one over and keep the other.
pub const TWO_PARTITIONS: Setup = Setup {
    name: "two-partitions",
    cooperative: true,
    partitions: 2,
    settled: 1,
    closes: true,
    ..Setup::TWO_MEMBERS
};

/// Members come and go, and a connection breaks.
pub const CUT_CLOSES: Setup = Setup { name: "cut-closes", closes: true, settled: 1, ..EAGER_CUT };
