//! The engine against an embedded broker, with leases of a real member and its driver.

mod rig;
mod starts;
