//! The member machine against a coordinator played by the test.

mod closing;
mod errors;
mod joining;
mod peer;
mod staying;
