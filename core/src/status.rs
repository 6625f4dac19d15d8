//! The board: what the member is doing, for whoever looks.

use std::fmt;

use handover_machine::Status;

use crate::sync::{Arc, Mutex};

/// One value behind a lock: written by the driver when it changed, read by anybody. Neither side
/// keeps the lock while it copies a status: what changes hands is a pointer.
pub(crate) struct Board(Mutex<Arc<Status>>);

impl Board {
    pub(crate) fn new(status: Status) -> Board {
        Board(Mutex::new(Arc::new(status)))
    }

    pub(crate) fn publish(&self, status: Status) {
        let old = std::mem::replace(&mut *self.0.lock(), Arc::new(status));
        drop(old);
    }

    pub(crate) fn read(&self) -> Arc<Status> {
        Arc::clone(&self.0.lock())
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Board")
    }
}
