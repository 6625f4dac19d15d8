//! Equal futures, equal states: what the exact search compares (SPEC X1).

use crate::Time;
use crate::clock::rebase;
use crate::machine::Machine;

impl Machine {
    /// This machine as if `now` were [`Time::ZERO`]: every moment that it keeps is a deadline, so
    /// all count from now, and what is past is past.
    ///
    /// Two machines with equal canonical forms behave equally from here on, whenever they are.
    pub fn canonical(&self, now: Time) -> Machine {
        let mut same = self.clone();
        same.joining.rebase(now);
        same.discovery.rebase(now);
        same.beat.rebase(now);
        same.leases.rebase(now);
        same.ledger.rebase(now);
        same.offsets.rebase(now);
        same.round.rebase(now);
        same.lanes.rebase(now);
        rebase(&mut same.poll_by, now);
        rebase(&mut same.auto_commit, now);
        if let Some(closing) = &mut same.closing {
            closing.rebase(now);
        }
        same.forget_revision();
        same.forget_wake();
        same
    }
}
