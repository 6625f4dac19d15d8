//! The command `handover`.
fn main() {}
