//! Assignors, and the bytes of `ConsumerProtocol` in which members and leader speak to each other.
