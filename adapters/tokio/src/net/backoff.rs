//! How long to wait before something is tried again.

use std::time::Duration;

/// Exponential backoff with jitter: doubled with each failure, with 20 % either way, so that the
/// clients of a broker that comes back do not come back in step.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts at `first` and never waits longer than `longest` and its jitter.
    pub(crate) fn new((first, longest): (Duration, Duration)) -> Backoff {
        Backoff { first, longest, failures: 0 }
    }

    /// Something failed: how long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.longest).mul_f64(0.8 + 0.4 * fastrand::f64())
    }

    /// Something worked: the next failure starts anew.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_stops_at_the_longest_and_starts_anew() {
        let bounds = (Duration::from_millis(50), Duration::from_secs(1));
        let mut backoff = Backoff::new(bounds);
        for expected in [50, 100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next().as_secs_f64() * 1000.0;
            let expected = f64::from(expected);
            assert!((expected * 0.79..expected * 1.21).contains(&wait), "{wait} for {expected}");
        }
        assert_eq!(backoff.failures(), 7);
        backoff.reset();
        assert!(backoff.next() < Duration::from_millis(61));
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff::new((Duration::from_secs(1), Duration::from_secs(2)));
        assert!((0..1000).all(|_| backoff.next() < Duration::from_millis(2_401)));
    }
}
