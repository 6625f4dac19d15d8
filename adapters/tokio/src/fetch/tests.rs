//! The engine against the embedded broker, and against brokers played by hand where that one is
//! too honest. Leases come out of a bare queue, so that each test says what is wanted and when;
//! one test goes through a member and its driver.

mod brokers;
mod fake;
mod moves;
mod records;
mod rig;
mod starts;
mod strange;
