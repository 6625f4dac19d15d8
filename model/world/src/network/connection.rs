//! One connection of a member: what waits for it, and the one request that is on it.

use alloc::collections::VecDeque;

use handover_machine::{Request, RequestId, Response, Time};

/// A connection, or the wish for one: a broken one is made anew for the next request.
///
/// ```
/// use handover_world::Connection;
/// assert!(Connection::default().is_idle());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Connection {
    /// The request that is on the connection. A broker reads the next one only after it has
    /// answered (SPEC G1), so the member keeps the others back, which looks the same from
    /// both ends.
    pub(super) flight: Option<Flight>,
    pub(super) queue: VecDeque<Queued>,
}

/// A request that waits for its turn.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Queued {
    pub(super) id: RequestId,
    pub(super) deadline: Time,
    pub(super) request: Request,
}

/// A request on its way, and its answer on the way back.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Flight {
    pub(super) id: RequestId,
    /// When the member gives up.
    pub(super) deadline: Time,
    pub(super) stage: Stage,
    /// Nothing moves any more but the member's clock.
    pub(super) stalled: bool,
}

/// How far a request has come.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Stage {
    /// Written by the member, not read by the broker.
    Written(Request),
    /// The broker has it, parked.
    Parked,
    /// The answer is written, not read by the member.
    Answered(Response),
}

impl Connection {
    pub(super) fn send(&mut self, id: RequestId, deadline: Time, request: Request) {
        self.queue.push_back(Queued { id, deadline, request });
        self.advance();
    }

    /// Writes the next request if none is on its way.
    pub(super) fn advance(&mut self) {
        if self.flight.is_none() {
            self.flight = self.queue.pop_front().map(|next| Flight {
                id: next.id,
                deadline: next.deadline,
                stage: Stage::Written(next.request),
                stalled: false,
            });
        }
    }

    /// The flight, if it is not stalled.
    pub(super) fn moving(&mut self) -> Option<&mut Flight> {
        self.flight.as_mut().filter(|flight| !flight.stalled)
    }

    /// Whether the request on its way is to be given up before the broker has read it.
    pub(super) fn overdue_unread(&self, now: Time) -> bool {
        let flight = self.flight.as_ref().filter(|flight| flight.deadline <= now);
        flight.is_some_and(|flight| matches!(flight.stage, Stage::Written(_)))
    }

    /// When the member next gives something up.
    pub(super) fn deadline(&self) -> Time {
        let flight = self.flight.iter().map(|flight| flight.deadline);
        let queued = self.queue.iter().map(|queued| queued.deadline);
        flight.chain(queued).min().unwrap_or(Time::NEVER)
    }
}
