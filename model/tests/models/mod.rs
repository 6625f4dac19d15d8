//! The models of the shared memory and the driver: one property a file, the same body under both
//! checkers. See `check.rs` for how a model counts and how its control must fail.

mod check;
mod fixture;

mod assignments;
mod cancel;
mod close;
mod delivery_comes_back;
mod delivery_or_purge;
mod event_once;
mod event_silent;
mod hold_or_revoke;
mod liveness;
mod lost_wins;
mod mailbox;
mod mark_before_drained;
mod rebalance;
mod reentrant;
mod repoll;
mod room;
mod seek_voids;
mod the_seed;
mod ticket;
mod town;
