//! Which partition a record goes to.

/// The partition of a keyed record among `count`: the same as the Java client's default
/// (`BuiltInPartitioner.partitionForKey`), so that clients of both kinds agree on it.
pub(super) fn of_key(key: &[u8], count: usize) -> Option<i32> {
    let positive = murmur2(key) & 0x7fff_ffff;
    let count = u32::try_from(count).ok().filter(|count| *count > 0)?;
    i32::try_from(positive % count).ok()
}

/// Any partition of `count`, and another than `not` if there is one: records without a key stay
/// with one partition for a batch and then go on to the next (KIP-480).
pub(super) fn any(count: usize, not: Option<i32>) -> Option<i32> {
    let count = i32::try_from(count).ok().filter(|count| *count > 0)?;
    let not = not.filter(|not| (0..count).contains(not) && count > 1);
    let Some(not) = not else { return Some(fastrand::i32(0..count)) };
    let drawn = fastrand::i32(0..count - 1);
    Some(if drawn < not { drawn } else { drawn + 1 })
}

/// Murmur2 in 32 bits with Kafka's seed (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka's length is an `int`; keys of 2 GiB do not occur.
    let mut hash = SEED ^ data.len() as u32;
    let words = data.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let word = word.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let mut k = word.wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that Kafka's own `UtilsTest.testMurmur2` expects.
    #[test]
    fn the_hash_is_kafkas() {
        for (key, expected) in [
            (&b"21"[..], -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key) as i32, expected, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn a_key_stays_with_its_partition() {
        assert_eq!(of_key(b"foobar", 10), Some(((-790_332_482_i32) & 0x7fff_ffff) % 10));
        assert_eq!(of_key(b"foobar", 1), Some(0));
        assert_eq!(of_key(b"foobar", 0), None);
    }

    #[test]
    fn the_next_partition_is_another_one_and_each_is_met() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let next = any(4, Some(2)).unwrap();
            assert_ne!(next, 2);
            seen.insert(next);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(any(1, Some(0)), Some(0));
        assert_eq!(any(0, None), None);
        assert!((0..3).contains(&any(3, Some(7)).unwrap()));
    }
}
