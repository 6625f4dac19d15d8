//! The one part of a `ConsumerProtocolSubscription` that a coordinator reads: its topics.

/// The topics of a subscription of any version; `None` if the bytes are none. All versions begin
/// as version 0 does: the version, then the topics.
pub(super) fn topics(bytes: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (_version, rest) = bytes.split_at_checked(2)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let mut check = rest;
    for _ in 0..count {
        string(&mut check)?;
    }
    let mut rest = rest;
    Some((0..count).map_while(move |_| string(&mut rest)))
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<2>()?;
    let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
    let (text, tail) = tail.split_at_checked(length)?;
    *rest = tail;
    Some(text)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    #[test]
    fn reads_topics_and_refuses_what_is_cut_short() {
        let bytes = b"\0\x03\0\0\0\x02\0\x01a\0\x02bc-what later versions add";
        let topics: Vec<&[u8]> = super::topics(bytes).unwrap().collect();
        assert_eq!(topics, [&b"a"[..], b"bc"]);
        for end in 0..13 {
            assert!(super::topics(&bytes[..end]).is_none(), "{end} bytes are no subscription");
        }
        assert!(super::topics(b"\0\0\x7f\xff\xff\xff").is_none());
        assert!(super::topics(b"\0\0\xff\xff\xff\xff").is_none());
    }
}
