//! What is searched, as data.

use std::time::Duration;

use handover_machine::{Assignor, Config, SessionExpiry};
use handover_world::{CoordinatorConfig, Faults};

/// A closed system: how many members, what they do, what may go wrong.
///
/// Everything that may happen is bounded but progress: messages, timers and the application's
/// duties go on for as long as they like, so no cap makes a state look stuck that is not.
///
/// ```
/// use handover_model::system::Setup;
/// let setup = Setup { members: 3, ..Setup::TWO_MEMBERS };
/// assert_eq!(setup.partitions, 1);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Setup {
    /// For people.
    pub name: &'static str,
    /// How many members there are.
    pub members: usize,
    /// How many of them, the first ones, are in the group before anything else happens. The
    /// others subscribe at any moment, or never.
    pub settled: usize,
    /// How many partitions the topic has.
    pub partitions: u32,
    /// How many records each partition has.
    pub records: i64,
    /// Whether the members keep what they own while a rebalance runs.
    pub cooperative: bool,
    /// How the application commits.
    pub style: Style,
    /// Whether the leader's assignor takes a while, and how often that of each member fails.
    pub assignor: Assigns,
    /// Whether members may close, at any moment.
    pub closes: bool,
    /// How many commits of each member may be cancelled.
    pub cancels: u8,
    /// How often each application asks for a rebalance.
    pub rejoins: u8,
    /// How often each application unsubscribes; it may subscribe again.
    pub unsubscribes: u8,
    /// How often each application stops polling for a while.
    pub absences: u8,
    /// Whether the members are static.
    pub instances: bool,
    /// How many members die and start anew.
    pub crashes: u8,
    /// What becomes of the leases after a session without an answer.
    pub expiry: SessionExpiry,
    /// What may go wrong on the connections and with the coordinator.
    pub faults: Faults,
    /// How often time may pass although a message could arrive.
    pub delays: u8,
    /// How long everything takes.
    pub timing: Timing,
    /// What is broken on purpose, for a control.
    pub sabotage: Option<Sabotage>,
}

/// How the application commits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Style {
    /// It marks each batch when it is done, and the member commits the marks.
    Auto,
    /// It holds its batch until the commit that it waits for has an outcome.
    Blocking,
}

/// How a leader comes to its plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Assigns {
    /// In the same step.
    AtOnce,
    /// At any later moment, and each member fails this often.
    Later(u8),
}

/// Durations in milliseconds; `None` is as long as it takes. They are small and have common
/// multiples, so that few moments are to be told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timing {
    /// See [`Config::heartbeat_interval`].
    pub heartbeat: u64,
    /// See [`Config::session_timeout`].
    pub session: u64,
    /// See [`Config::rebalance_timeout`].
    pub rebalance: u64,
    /// See [`Config::drain_timeout`].
    pub drain: u64,
    /// See [`Config::request_timeout`].
    pub request: u64,
    /// See [`Config::retry_backoff`].
    pub backoff: (u64, u64),
    /// See [`Config::max_poll_interval`].
    pub poll: Option<u64>,
    /// See [`Config::auto_commit`]; none: at hand-overs alone.
    pub auto_commit: Option<u64>,
    /// How long a commit may take.
    pub commit: Option<u64>,
    /// How long a close may take.
    pub close: Option<u64>,
}

/// What a broken driver, application or assignor does. Each one must be caught.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sabotage {
    /// The assignor gives every partition to every member.
    AssignsToAll,
    /// The driver writes a commit once more with the first heartbeat of the next generation.
    CommitsForOthers,
    /// The driver writes each commit lower than the one before.
    CommitsBackwards,
    /// The driver tells each outcome of a commit twice.
    ResolvesTwice,
    /// The driver drops the outcome of each commit.
    ForgetsOutcomes,
    /// The driver forgets to tell a lease that it ended.
    ForgetsTheEnd,
    /// The driver writes heartbeats under the generation before.
    BeatsForTheDead,
    /// The driver writes each heartbeat twice.
    WritesTwice,
    /// The shared memory loses the mark of a lease on its way out.
    LosesMarks,
    /// The driver drops the answers to commits.
    DropsCommitAnswers,
    /// The driver's timer never fires once a close was asked for.
    SleepsThroughClose,
    /// The assignor may fail each time.
    AssignorMayFail,
    /// The driver calls a commit withdrawn that was answered.
    CallsCommittedWithdrawn,
    /// The shared memory calls a lease drained while a batch of it is held.
    DrainsTooEarly,
    /// The data path begins at the beginning whatever is committed.
    StartsAtTheBeginning,
    /// The driver says of a request whose answer was lost that it was never written.
    CallsLostUnsent,
    /// The handle gives a name to a commit that another one still has.
    ReusesTickets,
}

impl Setup {
    /// Two eager members of one partition with one record, marks committed, nothing goes wrong.
    pub const TWO_MEMBERS: Setup = Setup {
        name: "two members",
        members: 2,
        settled: 0,
        partitions: 1,
        records: 1,
        cooperative: false,
        style: Style::Auto,
        assignor: Assigns::AtOnce,
        closes: false,
        cancels: 0,
        rejoins: 0,
        unsubscribes: 0,
        absences: 0,
        instances: false,
        crashes: 0,
        expiry: SessionExpiry::Pause,
        faults: NO_FAULTS,
        delays: 0,
        timing: Timing {
            heartbeat: 1,
            session: 4,
            rebalance: 10,
            drain: 3,
            request: 2,
            backoff: (1, 1),
            poll: None,
            auto_commit: None,
            commit: None,
            close: None,
        },
        sabotage: None,
    };

    /// The name of the group.
    pub const GROUP: &'static str = "g";
    /// The name of the topic.
    pub const TOPIC: &'static str = "t";

    pub(super) fn machine(&self, member: usize) -> Config {
        let Timing { heartbeat, session, rebalance, drain, request, backoff, .. } = self.timing;
        let mut config = Config::new(Setup::GROUP);
        config.assignors = match self.cooperative {
            true => vec![Assignor::cooperative_sticky()],
            false => vec![Assignor::range()],
        };
        config.heartbeat_interval = Duration::from_millis(heartbeat);
        config.session_timeout = Duration::from_millis(session);
        config.rebalance_timeout = Duration::from_millis(rebalance);
        config.drain_timeout = Duration::from_millis(drain);
        config.request_timeout = Duration::from_millis(request);
        config.retry_backoff = (Duration::from_millis(backoff.0), Duration::from_millis(backoff.1));
        config.max_poll_interval = span(self.timing.poll);
        config.auto_commit = (self.style == Style::Auto).then(|| span(self.timing.auto_commit));
        config.on_session_expiry = self.expiry;
        config.instance = self.instances.then(|| format!("i{member}").into());
        config
    }

    pub(super) fn coordinator(&self) -> CoordinatorConfig {
        CoordinatorConfig {
            initial_rebalance_delay: Duration::ZERO,
            min_session_timeout: Duration::from_millis(1),
            new_member_join_timeout: Duration::from_millis(2 * self.timing.rebalance),
            ..CoordinatorConfig::default()
        }
    }
}

/// A budget of no fault at all.
pub const NO_FAULTS: Faults =
    Faults { cuts: 0, stalls: 0, stragglers: 0, late_writes: 0, reloads: 0, unloads: 0 };

pub(super) fn span(millis: Option<u64>) -> Duration {
    millis.map_or(Duration::MAX, Duration::from_millis)
}
