//! The facade: the only file that knows which checker, if any, this build is for.
//!
//! `handover-core` has none of the features named here. Its mirrors `handover-core-loom` and
//! `handover-core-shuttle`, whose sources are these very files, have one each.
