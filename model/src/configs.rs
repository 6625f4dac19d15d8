//! The closed systems that are searched, as data.

use handover_world::Faults;

use crate::system::{Assigns, NO_FAULTS, Setup, Style};

/// All of them.
pub const ALL: &[Setup] = &[
    EAGER_CLOSES,
    COOPERATIVE_CLOSES,
    EAGER_CUT,
    COOPERATIVE_CUT,
    EAGER_BLOCKING,
    COOPERATIVE_BLOCKING,
    BLOCKING_CUT,
    STRAGGLER,
    BLOCKING_STRAGGLER,
    STALL,
    RELOAD,
    UNLOAD,
    LATE_WRITE,
    DELAY,
    LATER,
    COOPERATIVE_TWO,
    CUT_CLOSES,
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

/// The application waits for its commits while it holds what it commits, and may give up.
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

/// A commit outlives its connection.
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

/// Two partitions, so that cooperative members hand one over and keep the other.
pub const COOPERATIVE_TWO: Setup = Setup {
    name: "cooperative-two",
    cooperative: true,
    partitions: 2,
    settled: 1,
    closes: true,
    ..Setup::TWO_MEMBERS
};

/// Closing and a cut.
pub const CUT_CLOSES: Setup = Setup { name: "cut-closes", closes: true, settled: 1, ..EAGER_CUT };
