//! The driver's dice: when, within a window, the machine is woken.

use std::hash::{BuildHasher, Hasher, RandomState};

use handover_machine::Time;

/// SplitMix64 (Steele, Lea and Flood, 2014): small, seeded, and good enough to keep members from
/// acting in step, which is all it is for.
pub(crate) struct Random(u64);

impl Random {
    /// From a seed, or from the system's randomness.
    pub(crate) fn new(seed: Option<u64>) -> Random {
        Random(seed.unwrap_or_else(|| RandomState::new().build_hasher().finish()))
    }

    /// A moment between the two, both included.
    pub(crate) fn between(&mut self, earliest: Time, latest: Time) -> Time {
        let (from, to) = (earliest.as_millis(), latest.as_millis());
        let width = to.saturating_sub(from);
        if width == 0 {
            return earliest;
        }
        // A span is far shorter than 2^64, so the bias of the remainder is far below what a
        // timer's lateness adds.
        let drawn = self.next();
        Time::from_millis(from + width.checked_add(1).map_or(drawn, |moments| drawn % moments))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_of_a_window_is_drawn_and_none_outside() {
        let mut random = Random::new(Some(7));
        let mut drawn = [0; 5];
        for _ in 0..1_000 {
            let at = random.between(Time::from_millis(10), Time::from_millis(14));
            drawn[usize::try_from(at.as_millis()).unwrap() - 10] += 1;
        }
        assert!(drawn.iter().all(|&n| n > 150), "{drawn:?}");
        let at = Time::from_millis(3);
        assert_eq!(random.between(at, at), at);
        assert_eq!(random.between(at, Time::ZERO), at, "an empty window");
    }

    #[test]
    fn equal_seeds_draw_equally() {
        let draw = |seed| {
            let mut random = Random::new(Some(seed));
            [(); 4].map(|()| random.between(Time::ZERO, Time::from_millis(1 << 40)))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut unseeded = [(); 2].map(|()| Random::new(None));
        let drawn = unseeded.each_mut().map(|random| random.next());
        assert_ne!(drawn[0], drawn[1]);
    }
}
