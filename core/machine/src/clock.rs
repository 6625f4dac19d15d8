//! Moments to wait for: windows, backoffs, the soonest of many.

use core::time::Duration;

use crate::Time;

/// A span of time in which something is to happen. The driver draws the moment, so that members
/// do not act in step; the search tries both ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Window {
    pub(crate) earliest: Time,
    pub(crate) latest: Time,
}

impl Window {
    pub(crate) const NEVER: Window = Window { earliest: Time::NEVER, latest: Time::NEVER };

    pub(crate) const fn at(time: Time) -> Window {
        Window { earliest: time, latest: time }
    }

    /// Whether it is time. Inside the window only a wake counts: any other input that falls into
    /// it would shorten every draw.
    pub(crate) fn is_due(self, tick: Tick) -> bool {
        tick.now >= self.latest || (tick.woken && tick.now >= self.earliest)
    }

    pub(crate) fn sooner(self, other: Window) -> Window {
        if other.latest < self.latest { other } else { self }
    }

    pub(crate) fn rebase(&mut self, by: Time) {
        rebase(&mut self.earliest, by);
        rebase(&mut self.latest, by);
    }
}

/// Subtracts `by` from a moment; what is past becomes 0, what never comes never comes.
pub(crate) fn rebase(time: &mut Time, by: Time) {
    if *time != Time::NEVER {
        *time = Time::from_millis(time.as_millis().saturating_sub(by.as_millis()));
    }
}

/// The moment of an input, and whether it was a wake.
#[derive(Clone, Copy)]
pub(crate) struct Tick {
    pub(crate) now: Time,
    pub(crate) woken: bool,
}

/// How often something failed in a row, and when it may be tried again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Backoff {
    failures: u32,
    until: Window,
}

impl Backoff {
    pub(crate) const NONE: Backoff = Backoff { failures: 0, until: Window::at(Time::ZERO) };

    /// Another failure: wait twice as long as the last time, up to the cap, 20 % more or less.
    pub(crate) fn failed(&mut self, now: Time, (first, cap): (Duration, Duration)) {
        let wait = first.saturating_mul(1 << self.failures.min(20)).min(cap);
        // The counter stops where waiting longer stops, so that the search's states are finite.
        if wait < cap {
            self.failures += 1;
        }
        let fifth = Duration::from_millis(wait.as_millis() as u64 / 5);
        let latest = now + (wait + fifth).max(Duration::from_millis(1));
        self.until = Window { earliest: now + wait.saturating_sub(fifth), latest };
    }

    /// A failure that says itself what to do now, so the first one waits for nothing. More of
    /// them in a row do: nobody may be asked in a circle.
    pub(crate) fn stumbled(&mut self, now: Time, bounds: (Duration, Duration)) {
        match self.failures {
            0 => self.failures = 1,
            _ => self.failed(now, bounds),
        }
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Backoff::NONE;
    }

    pub(crate) fn is_over(&self, tick: Tick) -> bool {
        self.until.is_due(tick)
    }

    pub(crate) fn until(&self) -> Window {
        self.until
    }

    /// Waiting is over for good: a wake that fell into the window must not be asked for twice.
    pub(crate) fn settle(&mut self, tick: Tick) {
        if self.is_over(tick) {
            self.until = Window::at(Time::ZERO);
        }
    }

    pub(crate) fn rebase(&mut self, by: Time) {
        self.until.rebase(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Time = Time::from_millis;

    #[test]
    fn a_backoff_doubles_to_its_cap_and_then_stops_counting() {
        let bounds = (Duration::from_millis(100), Duration::from_millis(1_000));
        let mut backoff = Backoff::NONE;
        let mut latest = Vec::new();
        for _ in 0..8 {
            backoff.failed(Time::ZERO, bounds);
            latest.push(backoff.until.latest.as_millis());
        }
        assert_eq!(latest, [120, 240, 480, 960, 1_200, 1_200, 1_200, 1_200]);
        let before = backoff;
        backoff.failed(Time::ZERO, bounds);
        assert_eq!(backoff, before);
    }

    #[test]
    fn inside_a_window_only_a_wake_is_in_time() {
        let window = Window { earliest: MS(80), latest: MS(120) };
        assert!(!window.is_due(Tick { now: MS(100), woken: false }));
        assert!(window.is_due(Tick { now: MS(100), woken: true }));
        assert!(window.is_due(Tick { now: MS(120), woken: false }));
        assert!(!window.is_due(Tick { now: MS(79), woken: true }));
    }

    extern crate std;
    use std::vec::Vec;
}
