//! Snappy in the framing that Java's snappy library gives it: a magic, two version numbers, then
//! blocks, each behind its length.

use bytes::{Buf, BufMut};

use super::compression::broken;
use super::{Compression, RecordError};

const MAGIC: &[u8] = b"\x82SNAPPY\0";
/// Magic, version 1, compatible with version 1.
const START: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Java's `SnappyOutputStream` packs this many bytes at a time.
const BLOCK: usize = 32 * 1024;

pub(super) fn compress(records: &[u8], batch: &mut Vec<u8>) -> Result<(), snap::Error> {
    batch.extend_from_slice(START);
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(BLOCK) {
        let length = batch.len();
        let packed = length + 4;
        batch.resize(packed + snap::raw::max_compress_len(block.len()), 0);
        let size = encoder.compress(block, &mut batch[packed..])?;
        // A block of 32 KiB is far from the 2 GiB that the length has room for.
        (&mut batch[length..packed]).put_i32(size as i32);
        batch.truncate(packed + size);
    }
    Ok(())
}

/// Bytes without the framing are one block of plain Snappy, as some clients write it.
pub(super) fn decompress(packed: &[u8], limit: usize) -> Result<Vec<u8>, RecordError> {
    let mut unpacked = Vec::new();
    if !packed.starts_with(MAGIC) {
        append(packed, &mut unpacked, limit)?;
        return Ok(unpacked);
    }
    let mut rest = packed.get(START.len()..).ok_or_else(|| cut("its start"))?;
    while !rest.is_empty() {
        let size = rest.try_get_i32().map_err(|_| cut("the length of a block"))?;
        let block = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
        let (block, behind) = block.ok_or_else(|| cut("a block"))?;
        append(block, &mut unpacked, limit)?;
        rest = behind;
    }
    Ok(unpacked)
}

/// Unpacks one block. It begins with its unpacked length, which is looked at before it is
/// reserved: against the limit, and against what a block of its size can hold at all, which is 64
/// bytes for each copy of three.
fn append(block: &[u8], unpacked: &mut Vec<u8>, limit: usize) -> Result<(), RecordError> {
    let failed = |error: snap::Error| broken(Compression::Snappy, &error);
    let announced = snap::raw::decompress_len(block).map_err(failed)?;
    let begin = unpacked.len();
    if announced > limit - begin {
        return Err(RecordError::TooLarge { limit });
    }
    if announced > block.len().saturating_mul(64) {
        return Err(broken(Compression::Snappy, &"a block announces more than it can hold"));
    }
    unpacked.resize(begin + announced, 0);
    let size =
        snap::raw::Decoder::new().decompress(block, &mut unpacked[begin..]).map_err(failed)?;
    unpacked.truncate(begin + size);
    Ok(())
}

fn cut(what: &str) -> RecordError {
    broken(Compression::Snappy, &format_args!("the bytes end within {what}"))
}
