//! Where threads and tasks tell their events, and where a test waits for them.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Event, History, Kind, Verdict};

/// Milliseconds of the wall clock: what [`Event::at`] counts.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A [`History`] that many write and tests wait on. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub struct Recorder {
    shared: Arc<(Mutex<History>, Condvar)>,
}

impl Recorder {
    /// Adds an event that happens now.
    pub fn tell(&self, member: &str, kind: Kind) {
        self.record(Event { at: now(), member: member.into(), kind });
    }

    /// Adds an event that says itself when it happened.
    pub fn record(&self, event: Event) {
        self.lock().record(event);
        self.shared.1.notify_all();
    }

    /// Looks at what was told until now. Nobody can tell more meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&History) -> R) -> R {
        look(&self.lock())
    }

    /// Judges what was told until now.
    pub fn judge(&self) -> Verdict {
        self.look(History::judge)
    }

    /// Waits until what is waited for is in the history, which is looked at after each event.
    /// `what` completes the sentence "waited for ...".
    pub fn wait(
        &self,
        what: &str,
        limit: Duration,
        mut come: impl FnMut(&History) -> bool,
    ) -> Result<(), TimedOut> {
        let end = Instant::now() + limit;
        let mut history = self.lock();
        while !come(&history) {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                let last = history.events().iter().rev().take(10).rev().cloned().collect();
                return Err(TimedOut { what: what.into(), limit, last });
            };
            let waited = self.shared.1.wait_timeout(history, left);
            history = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// A thread that panicked while it told an event left the history as good as it was.
    fn lock(&self) -> MutexGuard<'_, History> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was waited for did not come.
#[derive(Clone, PartialEq, Eq)]
pub struct TimedOut {
    what: String,
    limit: Duration,
    last: Vec<Event>,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waited {:?} in vain for {}; the last events are", self.limit, self.what)?;
        self.last.iter().try_for_each(|e| write!(f, "\n  {} {}: {:?}", e.at, e.member, e.kind))
    }
}

/// A test that unwraps it shows the sentence.
impl fmt::Debug for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for TimedOut {}
