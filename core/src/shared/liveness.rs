//! Whether the application lives: the word behind the max poll interval (SPEC S4).
//!
//! ```text
//!   63                           2       1         0
//!   +-----------------------------+---------+---------+
//!   |       number of polls       | AWAITED | PENDING |
//!   +-----------------------------+---------+---------+
//! ```
//!
//! The consuming side counts its polls and says whether one is pending; the driver reads it when
//! it has another reason to run, so polling costs one atomic operation and wakes nobody. Only
//! when the member left because nobody polled, the driver sets `AWAITED`, and the poll that
//! takes the flag away wakes it.
//!
//! No wake-up is lost: flag and count are one word. A poll that came before the flag is in the
//! count that setting it returns; a poll that came after finds the flag. Relaxed is enough, since
//! nothing but the word itself is read on account of it.

use std::fmt;

use super::mailbox::Mailbox;
use crate::sync::{AtomicU64, Ordering};

const PENDING: u64 = 1;
const AWAITED: u64 = 2;
const POLL: u64 = 4;

/// Counts the application's polls.
pub struct Liveness {
    word: AtomicU64,
    mailbox: Mailbox,
}

/// What the driver saw last.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Seen(u64);

impl Liveness {
    /// Before the first poll.
    pub fn new(mailbox: Mailbox) -> Liveness {
        Liveness { word: AtomicU64::new(0), mailbox }
    }

    /// Counts a poll, and says whether it is still pending. A pending poll that is given up
    /// counts once more, as not pending. The consuming side's.
    pub fn polled(&self, pending: bool) {
        let pending = u64::from(pending) * PENDING;
        let before = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            Some(((word & !(PENDING | AWAITED)) | pending).wrapping_add(POLL))
        });
        if before.is_ok_and(|word| word & AWAITED != 0) {
            self.mailbox.nudge();
        }
    }

    /// Whether there was a poll since `seen`, or one is pending. The driver's.
    pub fn lives(&self, seen: &mut Seen) -> bool {
        Self::judge(self.word.load(Ordering::Relaxed), seen)
    }

    /// The same, and asks to be woken by the next poll. The driver's.
    pub fn wait_for_poll(&self, seen: &mut Seen) -> bool {
        Self::judge(self.word.fetch_or(AWAITED, Ordering::Relaxed), seen)
    }

    fn judge(word: u64, seen: &mut Seen) -> bool {
        let polls = word & !(PENDING | AWAITED);
        let moved = polls != seen.0;
        seen.0 = polls;
        moved || word & PENDING != 0
    }
}

impl fmt::Debug for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Liveness")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    #[test]
    fn a_pending_poll_lives_until_it_is_given_up() {
        let liveness = Liveness::new(Mailbox::new());
        let mut seen = Seen::default();
        assert!(!liveness.lives(&mut seen));
        liveness.polled(true);
        assert!(liveness.lives(&mut seen) && liveness.lives(&mut seen));
        liveness.polled(false);
        assert!(liveness.lives(&mut seen), "it lived until then");
        assert!(!liveness.lives(&mut seen));
    }

    #[test]
    fn only_the_poll_that_is_awaited_wakes_the_driver() {
        let mailbox = Mailbox::new();
        let liveness = Liveness::new(mailbox.clone());
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Seen::default();
        liveness.polled(false);
        assert!(mailbox.poll_collect(&mut cx).is_pending());
        assert!(liveness.wait_for_poll(&mut seen), "the poll before it");
        liveness.polled(true);
        assert!(mailbox.poll_collect(&mut cx).is_ready());
        liveness.polled(true);
        assert!(mailbox.poll_collect(&mut cx).is_pending(), "once");
    }
}
