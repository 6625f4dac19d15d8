//! Broken and hostile peers: an error each time, no panic, no memory that was not paid for in
//! bytes. A reservation by a hostile count would abort the whole test process.

use bytes::{Bytes, BytesMut};
use handover_wire::codec::messages::*;
use handover_wire::codec::protocol::Request as Wire;
use handover_wire::{
    FrameLimit, RequestHead, WireError, decode_request, decode_response, encode_group_request,
};

use crate::support::{every_version, reply_to, request, response, serve, unframed};

/// A linear congruential generator: the same bytes in each run (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    for (api, version) in every_version() {
        let asked = request(api, version);
        let (wire, sent) = encode_group_request(&asked, version, 77, Some("test")).unwrap();
        let frame = unframed(wire);
        for end in 0..frame.len() {
            assert!(serve(frame.slice(..end)).is_err(), "{api:?} {version}, {end} bytes");
        }
        let answer = reply_to(&asked, version).encode(&[response(api, version)]).unwrap();
        let frame = unframed(answer);
        for end in 0..frame.len() {
            let cut = sent.decode(frame.slice(..end));
            assert!(matches!(cut, Err(WireError::Malformed { .. })), "{api:?} {version}: {cut:?}");
        }
    }
}

#[test]
fn bytes_behind_a_message_are_an_error() {
    for (api, version) in every_version() {
        let asked = request(api, version);
        let (wire, sent) = encode_group_request(&asked, version, 77, Some("test")).unwrap();
        let longer = |frame: Bytes| Bytes::from([&frame[..], &[0, 0]].concat());
        let refusal = serve(longer(unframed(wire))).unwrap_err();
        assert!(matches!(refusal, WireError::Trailing { bytes: 2, .. }), "{refusal}");
        let answer = reply_to(&asked, version).encode(&[response(api, version)]).unwrap();
        let refusal = sent.decode(longer(unframed(answer))).unwrap_err();
        assert!(matches!(refusal, WireError::Trailing { bytes: 2, .. }), "{refusal}");
    }
}

/// Overwrites a few bytes anywhere: with noise, or with what may be a huge count.
fn damage(frame: &Bytes, random: &mut Random) -> Bytes {
    const HUGE: [[u8; 5]; 4] = [
        [0x7f, 0xff, 0xff, 0xff, 0xff],
        [0xff, 0xff, 0xff, 0xff, 0x0f],
        [0xff, 0xff, 0xff, 0xff, 0xff],
        [0x80, 0x80, 0x80, 0x80, 0x01],
    ];
    let mut damaged = frame.to_vec();
    let at = random.below(damaged.len());
    let patch = match random.below(8) {
        which @ 0..4 => HUGE[which].to_vec(),
        length => random.bytes(length),
    };
    for (place, byte) in damaged[at..].iter_mut().zip(patch) {
        *place = byte;
    }
    Bytes::from(damaged)
}

#[test]
fn damaged_group_messages_never_panic() {
    let mut random = Random(1);
    let mut refused = 0;
    for (api, version) in every_version() {
        let asked = request(api, version);
        let (wire, sent) = encode_group_request(&asked, version, 77, Some("test")).unwrap();
        let question = unframed(wire);
        let answer = reply_to(&asked, version).encode(&[response(api, version)]).unwrap();
        let answer = unframed(answer);
        for _ in 0..500 {
            refused += usize::from(serve(damage(&question, &mut random)).is_err());
            refused += usize::from(sent.decode(damage(&answer, &mut random)).is_err());
        }
    }
    assert!(refused > 10_000, "only {refused} were refused: the damage does nothing");
}

/// Random bodies behind a good header, and a body that announces as many elements as it can at
/// each place.
fn throw<R: Wire>(random: &mut Random) {
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        for _ in 0..60 {
            let length = random.below(120);
            let mut bytes = random.bytes(length);
            if random.below(2) == 0 {
                // Mostly zeros: more of the message makes sense, so the decoder comes further.
                bytes.iter_mut().for_each(|byte| *byte = if *byte < 200 { 0 } else { *byte });
            }
            let _ = decode_request::<R>(Bytes::from(bytes.clone()), version);
            let _ = decode_response::<R>(Bytes::from(bytes), version, 0);
        }
        for at in 0..40 {
            for huge in [[0x7f, 0xff, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff, 0x0f]] {
                let bytes = Bytes::from([&vec![0; at][..], &huge, &[0; 64]].concat());
                let _ = decode_request::<R>(bytes.clone(), version);
                let _ = decode_response::<R>(bytes, version, 0);
            }
        }
    }
}

#[test]
fn random_bytes_never_panic_in_any_message() {
    let random = &mut Random(2);
    throw::<ProduceRequest>(random);
    throw::<FetchRequest>(random);
    throw::<ListOffsetsRequest>(random);
    throw::<MetadataRequest>(random);
    throw::<OffsetCommitRequest>(random);
    throw::<OffsetFetchRequest>(random);
    throw::<FindCoordinatorRequest>(random);
    throw::<JoinGroupRequest>(random);
    throw::<HeartbeatRequest>(random);
    throw::<LeaveGroupRequest>(random);
    throw::<SyncGroupRequest>(random);
    throw::<DescribeGroupsRequest>(random);
    throw::<ListGroupsRequest>(random);
    throw::<SaslHandshakeRequest>(random);
    throw::<ApiVersionsRequest>(random);
    throw::<CreateTopicsRequest>(random);
    throw::<DeleteTopicsRequest>(random);
    throw::<InitProducerIdRequest>(random);
    throw::<OffsetForLeaderEpochRequest>(random);
    throw::<DescribeConfigsRequest>(random);
    throw::<SaslAuthenticateRequest>(random);
    throw::<CreatePartitionsRequest>(random);
    throw::<DeleteGroupsRequest>(random);
    throw::<OffsetDeleteRequest>(random);
    throw::<DescribeClusterRequest>(random);
}

#[test]
fn random_frames_never_panic() {
    let mut random = Random(3);
    for _ in 0..20_000 {
        let length = random.below(40);
        let mut bytes = random.bytes(length);
        let mut buffer = BytesMut::from(&bytes[..]);
        let _ = FrameLimit::new(30).split(&mut buffer);
        // A known API, so that more than the key is read.
        if let [first, second, ..] = &mut bytes[..] {
            (*first, *second) = (0, *second % 70);
        }
        let mut frame = Bytes::from(bytes);
        let _ = RequestHead::decode(&mut frame);
    }
}

#[test]
fn a_frame_beyond_the_limit_is_refused_by_its_length_alone() {
    let limit = FrameLimit::new(1_000);
    let mut buffer = BytesMut::from(&1_001_i32.to_be_bytes()[..]);
    let refusal = limit.split(&mut buffer).unwrap_err();
    assert_eq!(refusal, WireError::FrameTooLarge { size: 1_001, limit: 1_000 });
    let words = refusal.to_string();
    assert!(words.contains("1000") && words.contains("1001"), "{words}");
    let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xfe][..]);
    assert_eq!(limit.split(&mut buffer), Err(WireError::FrameNegative { size: -2 }));
}

#[test]
fn frames_come_out_whole_however_they_arrive() {
    let wire = b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01z";
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for byte in wire {
        buffer.extend_from_slice(&[*byte]);
        frames.extend(FrameLimit::DEFAULT.split(&mut buffer).unwrap());
    }
    assert_eq!(frames, [&b"abc"[..], b"", b"z"]);
}
