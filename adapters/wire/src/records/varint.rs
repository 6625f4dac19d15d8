//! The zigzag varints of record bodies.

use bytes::BufMut;

/// What is left of the bytes of a record, read from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    /// `None` if it does not end, or does not fit 32 bits.
    #[inline]
    pub(super) fn varint(&mut self) -> Option<i32> {
        i32::try_from(self.varlong()?).ok()
    }

    /// `None` if it does not end, or does not fit 64 bits.
    #[inline]
    pub(super) fn varlong(&mut self) -> Option<i64> {
        // Nearly all are of one byte: lengths below 64, deltas of offsets and times.
        if let [byte @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Some(unzigzag(u64::from(*byte)));
        }
        self.long_varlong()
    }

    fn long_varlong(&mut self) -> Option<i64> {
        let mut value = 0;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * index);
            if *byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Some(unzigzag(value));
            }
        }
        None
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// A length and that many bytes; `Some(None)` for the length -1, which is null.
    #[inline]
    pub(super) fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => self.take(length).map(Some),
        }
    }

    #[inline]
    pub(super) fn take(&mut self, length: i32) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// How many bytes [`put`] writes.
pub(super) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(super) fn put(buffer: &mut impl BufMut, value: i64) {
    let mut value = zigzag(value);
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_and_has_the_size_told() {
        let around = |bits: u32| {
            let power = 1_i64.checked_shl(bits).unwrap_or(0);
            [power.wrapping_sub(1), power, power.wrapping_neg(), power.wrapping_neg() - 1]
        };
        for value in (0..63).flat_map(around).chain([i64::MIN, i64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes.len(), size(value), "{value}");
            assert_eq!(Rest(&bytes).varlong(), Some(value));
            assert_eq!(Rest(&bytes).varint(), i32::try_from(value).ok());
            assert_eq!(Rest(&bytes[1..]).varlong().is_none(), bytes.len() == 1);
        }
    }

    #[test]
    fn the_known_numbers_have_their_known_bytes() {
        for (value, expected) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (300, &[0xd8, 0x04]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes, expected, "{value}");
        }
    }

    #[test]
    fn endless_and_overlong_numbers_are_none() {
        assert_eq!(Rest(&[0xff; 20]).varlong(), None);
        assert_eq!(Rest(&[0x80; 9]).varlong(), None);
        let mut over = [0xff; 10];
        over[9] = 2;
        assert_eq!(Rest(&over).varlong(), None);
        assert_eq!(Rest(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint(), None);
    }

    #[test]
    fn a_length_beyond_the_bytes_is_none() {
        assert_eq!(Rest(&[4, 1]).nullable(), None);
        assert_eq!(Rest(&[3, 1, 1]).nullable(), None, "-2 is no length");
        assert_eq!(Rest(&[1, 1]).nullable(), Some(None));
        assert_eq!(Rest(&[2, 9]).nullable(), Some(Some(&[9][..])));
    }
}
