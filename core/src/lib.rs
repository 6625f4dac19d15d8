//! The consumer-group core for any Rust client: membership, leases, commits.

pub use handover_machine as machine;

mod shared;
mod sync;

pub use shared::assignments::{Assign, Assignments};
pub use shared::deliveries::{Deliveries, Next};
pub use shared::delivery::Delivery;
pub use shared::events::{EventGuard, Events};
pub use shared::feed::Feed;
pub use shared::lanes::{Batch, Change, Position, Refused};
pub use shared::lease::{Hold, Lease, LeaseState};
pub use shared::notices::Notices;
pub use shared::ticket::{Stopped, Ticket, WaitError};

/// The shared pieces one by one, for the models that check them. Not for use, and not covered by
/// semantic versioning.
#[doc(hidden)]
pub mod parts {
    pub use crate::shared::assignments::{Desk, assignments};
    pub use crate::shared::deliveries::{Queue, delivery};
    pub use crate::shared::events::{EventQueue, events};
    pub use crate::shared::liveness::{Liveness, Seen};
    pub use crate::shared::mailbox::{Letter, Mail, Mailbox};
    pub use crate::shared::notices::{Ring, notices};
    pub use crate::shared::ticket::Resolver;
}
