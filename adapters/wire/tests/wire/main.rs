//! The package as its users see it: whole frames, from one side to the other.

// Helpers are tests too; clippy knows only the functions marked so.
#![allow(clippy::unwrap_used)]

mod golden;
mod group;
mod hostile;
mod support;
