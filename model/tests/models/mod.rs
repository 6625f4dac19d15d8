//! The models of the shared memory and the driver: one property a file, the same body under both
//! checkers. See `check.rs` for how a model counts and how its control must fail.

mod check;
mod fixture;
mod town;
mod whole;

// The parts, by two threads.
mod assignments;
mod cancel;
mod delivery_comes_back;
mod delivery_or_purge;
mod event_once;
mod event_silent;
mod hold_or_revoke;
mod liveness;
mod lost_wins;
mod mailbox;
mod mark_before_drained;
mod reentrant;
mod repoll;
mod room;
mod seek_voids;
mod ticket;
mod wait;

// The whole core, with a coordinator.
mod close;
mod rebalance;
mod the_round;
mod the_seed;
