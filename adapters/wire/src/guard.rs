//! A bound on what the codec allocates.
//!
//! `kafka-protocol` reserves room for as many elements as an array announces, before it reads the
//! first: twenty hostile bytes ask for hundreds of gigabytes and abort the process. The decoder
//! is generic over its buffer, so the buffer can stop it (SPEC W2).
//!
//! A length that honest bytes can hold is never greater than what remains of them. In the compact
//! encodings each length is an unsigned varint and nothing else is that large, so a greater one is
//! refused at once. In the older encodings a length is a plain 32-bit integer, which looks like
//! any other number. There the guard hands the decoder the most negative integer instead: as a
//! length it makes the decoder fail, as a number it does no harm. If the decoder succeeds, no
//! length was too great, and a second pass with the true numbers is safe.
//!
//! What is left: an element may have fewer bytes on the wire than in memory, so one array may
//! reserve up to the size of its element, some 50 to 250 bytes, for each byte that was really
//! sent. The frame limit bounds that; a broker that is open to strangers sets it low.

use std::ops::Range;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// Below this a number is never suspect, whatever remains. It lets tags of vendors' own fields
/// pass and saves most second passes; as a count it reserves a few megabytes at most.
const HARMLESS: u64 = 16 * 1024;

/// An unsigned varint of 32 bits has at most this many bytes.
const VARINT: usize = 5;

/// Decodes one message from the front of `bytes`; what is behind it stays there.
pub(crate) fn decode<M: Decodable>(bytes: &mut Bytes, version: i16) -> Result<M, Box<str>> {
    let mut probe = Guard::new(bytes.clone(), Suspects::Replace);
    let first = M::decode(&mut probe, version);
    if let Some(refusal) = probe.refusal {
        return Err(refusal);
    }
    let message = first.map_err(|error| probe.explain(&error))?;
    if !probe.replaced {
        *bytes = probe.inner;
        return Ok(message);
    }
    let mut guard = Guard::new(bytes.clone(), Suspects::Pass);
    let message = M::decode(&mut guard, version).map_err(|error| guard.explain(&error))?;
    *bytes = guard.inner;
    Ok(message)
}

/// What to do with a 32-bit integer that is greater than what remains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suspects {
    /// Hand out the most negative integer, which no length is.
    Replace,
    /// Hand out the number: the first pass has shown that it is no length.
    Pass,
}

struct Guard {
    inner: Bytes,
    suspects: Suspects,
    /// Whether a number was replaced, so that the message decoded is not the true one.
    replaced: bool,
    /// The greatest number replaced, for the error's text.
    greatest: i32,
    /// Why nothing is read any more.
    refusal: Option<Box<str>>,
    /// The last single bytes read, oldest first: a varint may have begun at any of them.
    varint: [u8; VARINT],
    /// How many of them are valid.
    read: usize,
}

impl Guard {
    fn new(inner: Bytes, suspects: Suspects) -> Guard {
        Guard {
            inner,
            suspects,
            replaced: false,
            greatest: 0,
            refusal: None,
            varint: [0; VARINT],
            read: 0,
        }
    }

    fn allowed(&self) -> u64 {
        // A compact length is announced one higher, so that 0 can mean null.
        (self.inner.remaining() as u64 + 1).max(HARMLESS)
    }

    /// Takes note of a single byte; false if it ends a varint that can't be a length. Which byte
    /// began the varint can't be known, as a boolean is a single byte too, so each is tried; a
    /// later beginning gives a smaller number, so honest bytes always pass.
    fn admits(&mut self, byte: u8) -> bool {
        if self.read == VARINT {
            self.varint.rotate_left(1);
            self.read -= 1;
        }
        self.varint[self.read] = byte;
        self.read += 1;
        let run = &self.varint[..self.read];
        let allowed = self.allowed();
        (0..run.len()).all(|begin| value(&run[begin..]) <= allowed)
    }

    fn explain(&self, error: &dyn std::fmt::Display) -> Box<str> {
        let left = self.inner.remaining();
        let text = if self.replaced && self.suspects == Suspects::Replace {
            format!("a length of up to {} is announced and {left} bytes are left", self.greatest)
        } else {
            format!("{} with {left} bytes left", error.to_string().trim_end())
        };
        text.into_boxed_str()
    }
}

/// The number that these bytes are as a varint; 0 if they are not one varint to the end.
fn value(bytes: &[u8]) -> u64 {
    let Some((last, before)) = bytes.split_last() else { return 0 };
    if before.iter().any(|byte| *byte < 0x80) || (*last >= 0x80 && bytes.len() < VARINT) {
        return 0;
    }
    bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

fn too_short() -> TryGetError {
    TryGetError { requested: 1, available: 0 }
}

impl Buf for Guard {
    fn remaining(&self) -> usize {
        // Nothing is left to a decoder that was refused, so it fails at its next step.
        if self.refusal.is_some() { 0 } else { self.inner.remaining() }
    }

    fn chunk(&self) -> &[u8] {
        if self.refusal.is_some() { &[] } else { self.inner.chunk() }
    }

    fn advance(&mut self, count: usize) {
        // Each read that is not of a single byte comes by here and ends a run of single bytes.
        self.read = 0;
        self.inner.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        if self.refusal.is_some() {
            return Err(too_short());
        }
        let byte = self.inner.try_get_u8()?;
        if self.admits(byte) {
            return Ok(byte);
        }
        let left = self.inner.remaining();
        self.refusal =
            Some(format!("a length is announced that is beyond the {left} bytes left").into());
        Err(too_short())
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.read = 0;
        if self.refusal.is_some() {
            return Err(too_short());
        }
        let number = self.inner.try_get_i32()?;
        let suspect = i64::from(number) > self.allowed() as i64;
        if !suspect || self.suspects == Suspects::Pass {
            return Ok(number);
        }
        self.replaced = true;
        self.greatest = self.greatest.max(number);
        Ok(i32::MIN)
    }
}

impl ByteBuf for Guard {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.inner.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.read = 0;
        self.inner.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use kafka_protocol::messages::{FetchResponse, JoinGroupRequest, MetadataResponse};

    use super::*;

    /// As `Vec::with_capacity` of this many elements would abort the process, to come back from
    /// the decoder at all is what is tested.
    const HUGE: i32 = i32::MAX - 1;

    #[test]
    fn a_huge_count_is_refused_in_the_old_encoding() {
        // Metadata version 0: an array of brokers, of 56 bytes each in memory.
        let mut bytes = Bytes::copy_from_slice(&HUGE.to_be_bytes());
        let refused = decode::<MetadataResponse>(&mut bytes, 0).unwrap_err();
        assert!(refused.contains("2147483646"), "{refused}");
    }

    #[test]
    fn a_huge_count_is_refused_in_the_compact_encoding() {
        // Metadata version 9: throttle time, then the brokers.
        let mut bytes = Bytes::from_static(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        let refused = decode::<MetadataResponse>(&mut bytes, 9).unwrap_err();
        assert!(refused.contains("beyond"), "{refused}");
    }

    #[test]
    fn bytes_before_a_varint_do_not_hide_it() {
        for hiding in 1..=9 {
            let mut guard = Guard::new(Bytes::new(), Suspects::Replace);
            for _ in 0..hiding {
                guard.admits(0x80);
            }
            let honest = [0xff, 0xff, 0xff, 0xff].iter().all(|byte| guard.admits(*byte));
            assert!(!(honest && guard.admits(0x0f)), "hidden behind {hiding} bytes");
        }
    }

    #[test]
    fn great_numbers_that_are_no_lengths_pass() {
        // Throttle time, no error, session id, no topics.
        let mut bytes = bytes::BytesMut::new();
        bytes.put_i32(i32::MAX);
        bytes.put_i16(0);
        bytes.put_i32(i32::MAX);
        bytes.put_i32(0);
        let fetched: FetchResponse = decode(&mut bytes.freeze(), 7).unwrap();
        assert_eq!((fetched.throttle_time_ms, fetched.session_id), (i32::MAX, i32::MAX));
    }

    #[test]
    fn what_is_behind_the_message_stays() {
        let mut bytes = bytes::BytesMut::new();
        bytes.put_slice(&[0, 1, b'g', 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.put_i32(0);
        bytes.put_slice(b"rest");
        let mut bytes = bytes.freeze();
        decode::<JoinGroupRequest>(&mut bytes, 0).unwrap();
        assert_eq!(bytes, &b"rest"[..]);
    }
}
