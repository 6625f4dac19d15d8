//! What can happen next between the members and the coordinator.

use handover_machine::Lane;

/// One connection's place: a member and one of its lanes.
///
/// ```
/// use handover_machine::Lane;
/// use handover_world::Line;
/// assert_ne!(Line { member: 0, lane: Lane::Join }, Line { member: 0, lane: Lane::Commit });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Line {
    /// Which member, from 0.
    pub member: usize,
    /// Which of its connections.
    pub lane: Lane,
}

/// One thing that happens. All but [`Step::Fault`] is progress and costs nothing.
///
/// ```
/// use handover_world::{Fault, Step};
/// assert!(Step::Fault(Fault::Reload).is_fault());
/// assert!(!Step::Tick.is_fault());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// The broker reads the request of a connection and deals with it.
    Deliver(Line),
    /// The member reads the answer.
    Answer(Line),
    /// The member has waited for as long as it wanted and closes the connection.
    TimeOut {
        /// Which connection.
        line: Line,
        /// Whether the broker still applies a request that it had not read, by [`Step::Stray`].
        lingers: bool,
    },
    /// The broker applies the request of a closed connection; its answer goes nowhere.
    Stray(usize),
    /// The coordinator's timers fire.
    Tick,
    /// The coordinator comes back, and reads its records.
    StartLoad,
    /// It has read them.
    Load,
    /// Something goes wrong; each fault has a budget.
    Fault(Fault),
}

impl Step {
    /// Whether this costs something of the budget.
    pub fn is_fault(&self) -> bool {
        matches!(self, Step::Fault(_) | Step::TimeOut { lingers: true, .. })
    }
}

/// Something that goes wrong.
///
/// ```
/// use handover_world::{Fault, Faults};
/// assert!(!Faults::default().allow(&Fault::Reload));
/// assert!(Faults { reloads: 1, ..Faults::default() }.allow(&Fault::Reload));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// The connection can't be made: no byte of the request leaves. Costs a cut.
    Refuse(Line),
    /// The connection breaks before the answer is read. Costs a cut, and a straggler if it
    /// lingers.
    Cut {
        /// Which connection.
        line: Line,
        /// Whether the broker still applies a request that it had not read, by [`Step::Stray`].
        lingers: bool,
    },
    /// Nothing moves on the connection any more, until the member's timeout closes it.
    Stall(Line),
    /// A commit is applied, but its replication takes too long: it is answered
    /// COORDINATOR_NOT_AVAILABLE (`CoordinatorRuntime.OperationTimeout`).
    LateWrite(Line),
    /// The coordinator moves or restarts in an instant: what no record holds is gone.
    Reload,
    /// The coordinator goes; [`Step::StartLoad`] and [`Step::Load`] bring it back.
    Unload,
}

/// How many faults of each kind may still happen. None by default.
///
/// ```
/// use handover_world::Faults;
/// assert_eq!(Faults { cuts: 2, ..Faults::default() }.stragglers, 0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Faults {
    /// [`Fault::Refuse`] and [`Fault::Cut`].
    pub cuts: u8,
    /// [`Fault::Stall`].
    pub stalls: u8,
    /// Requests that outlive their connection unread.
    pub stragglers: u8,
    /// [`Fault::LateWrite`].
    pub late_writes: u8,
    /// [`Fault::Reload`].
    pub reloads: u8,
    /// [`Fault::Unload`].
    pub unloads: u8,
}

impl Faults {
    /// Whether the budget has room for this fault.
    pub fn allow(&self, fault: &Fault) -> bool {
        self.less(fault).is_some()
    }

    /// What is left after this fault; `None` if there is no room for it.
    pub(super) fn less(mut self, fault: &Fault) -> Option<Faults> {
        let kind = match fault {
            Fault::Refuse(_) | Fault::Cut { .. } => &mut self.cuts,
            Fault::Stall(_) => &mut self.stalls,
            Fault::LateWrite(_) => &mut self.late_writes,
            Fault::Reload => &mut self.reloads,
            Fault::Unload => &mut self.unloads,
        };
        *kind = kind.checked_sub(1)?;
        if let Fault::Cut { lingers: true, .. } = fault { self.straggler() } else { Some(self) }
    }

    /// What is left after one more straggler.
    pub(super) fn straggler(mut self) -> Option<Faults> {
        self.stragglers = self.stragglers.checked_sub(1)?;
        Some(self)
    }
}
