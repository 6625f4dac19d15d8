//! The consumer-group core for any Rust client: membership, leases, commits.
//!
//! The core owns no socket, clock, thread or runtime. It comes in three layers:
//!
//! * the [`machine`], a pure state machine that decides everything;
//! * the shared memory, where threads meet: [`Handle`], [`Events`], [`Deliveries`], [`Feed`];
//! * the [`Driver`], a future that joins the two with a [`Link`], which an embedder implements.
//!
//! [`member`] makes all of it; `handover-tokio` is a client built on it.
//!
//! **What holds.** Every call resolves, once, provided the driver is polled or dropped. A dropped
//! call leaves nothing behind. A lease is handed over in the order drain, commit, give up, and
//! nothing of it is delivered after that has begun. No lock is held while foreign code runs, so
//! any method may be called from anywhere. The shared memory and the driver are explored
//! exhaustively under loom, as these very sources, and under shuttle, which only samples the whole.

pub use handover_machine as machine;

mod bridge;
mod driver;
mod handle;
mod link;
mod member;
mod random;
mod shared;
mod status;
mod sync;

pub use driver::Driver;
pub use handle::{CallError, CloseOnDrop, Committed, Handle, Reply};
pub use link::{Incoming, Link, Outgoing};
pub use member::{Member, Options, Seed, member};
pub use shared::assignments::{Assign, Assignments};
pub use shared::deliveries::{Deliveries, Valve};
pub use shared::delivery::Delivery;
pub use shared::events::{EventGuard, Events};
pub use shared::feed::Feed;
pub use shared::lanes::{Batch, Change, Position, Refused};
pub use shared::lease::{Hold, Lease, LeaseState};
pub use shared::notices::Notices;

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
    pub use crate::shared::ticket::{Resolver, Stopped, Ticket, WaitError};
    pub use crate::sync::Arc;
}
