//! All that threads share: each file is one protocol, headed by why it is safe.

pub(crate) mod assignments;
pub(crate) mod deliveries;
pub(crate) mod delivery;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod lanes;
pub(crate) mod lease;
pub(crate) mod liveness;
pub(crate) mod mailbox;
pub(crate) mod notices;
mod progress;
pub(crate) mod slot;
pub(crate) mod ticket;
