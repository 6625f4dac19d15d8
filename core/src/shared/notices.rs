//! Notices: what the application may want to know, in a ring that forgets the oldest.
//!
//! Unlike events, notices oblige nobody, so nobody has to take them: the ring holds the newest
//! [`CAPACITY`] and counts what it dropped. One slot; see its essay for the wake-ups.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use handover_machine::Notice;

use super::slot::{Slot, Wake};
use crate::sync::Arc;

/// How many notices wait at most.
const CAPACITY: usize = 64;

/// The application's end: what the member says about itself.
///
/// ```
/// # use handover_core::machine::Config;
/// let mut member = handover_core::member::<()>(Config::new("orders"), Default::default())?;
/// assert_eq!(member.notices.missed(), 0);
/// # Ok::<(), handover_core::machine::ConfigError>(())
/// ```
pub struct Notices(Arc<Ring>);

/// The driver's end.
pub struct Ring(Slot<Inner>);

struct Inner {
    waiting: VecDeque<Notice>,
    /// How many were dropped unread.
    missed: u64,
    /// Cleared once, by the driver's end.
    open: bool,
}

/// Both ends of an empty ring.
pub fn notices() -> (Arc<Ring>, Notices) {
    let inner = Inner { waiting: VecDeque::new(), missed: 0, open: true };
    let ring = Arc::new(Ring(Slot::new(inner)));
    (Arc::clone(&ring), Notices(ring))
}

impl Notices {
    /// The next notice; `None` once the driver has ended and all were read. Cancel safe.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.0.0.poll(0, cx, |inner| match inner.waiting.pop_front() {
            Some(notice) => Some(Some(notice)),
            None if inner.open => None,
            None => Some(None),
        })
    }

    /// The next notice; `None` once the driver has ended and all were read. Cancel safe.
    pub async fn next(&mut self) -> Option<Notice> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// How many notices were dropped, because nobody read them in time.
    pub fn missed(&self) -> u64 {
        self.0.0.peek(|inner| inner.missed)
    }
}

impl Ring {
    /// Adds a notice, in the place of the oldest if there is none left.
    pub fn push(&self, notice: Notice) {
        let dropped = self.0.change(|inner| {
            let dropped = (inner.waiting.len() == CAPACITY).then(|| inner.waiting.pop_front());
            inner.missed += u64::from(dropped.is_some());
            inner.waiting.push_back(notice);
            (dropped, Wake::FIRST)
        });
        drop(dropped);
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.0.change(|inner| {
            inner.open = false;
            ((), Wake::FIRST)
        });
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn the_oldest_are_forgotten_and_counted() {
        let (ring, mut notices) = notices();
        for _ in 0..=CAPACITY {
            ring.push(Notice::SessionExpired);
        }
        ring.push(Notice::SessionRestored);
        ring.close();
        assert_eq!(notices.missed(), 2);
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = Vec::new();
        while let Poll::Ready(Some(notice)) = notices.poll_next(&mut cx) {
            read.push(notice);
        }
        assert_eq!(read.len(), CAPACITY);
        assert_eq!(read.last(), Some(&Notice::SessionRestored));
        assert_eq!(notices.poll_next(&mut cx), Poll::Ready(None));
    }
}
