//! The four compressions of Kafka, with a bound on what comes out.

use core::fmt;
use std::io::{Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{RecordError, xerial};

/// How the records of a batch are compressed.
///
/// ```
/// use handover_wire::records::Compression;
/// assert_eq!(Compression::from_code(4), Ok(Compression::Zstd));
/// assert_eq!(Compression::Zstd.to_string(), "zstd");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy, in the framing of the Java library xerial; without it is read too.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The number in a batch's attributes.
    pub const fn code(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    /// The compression with this number.
    ///
    /// # Errors
    ///
    /// [`RecordError::UnknownCompression`].
    pub fn from_code(code: u8) -> Result<Compression, RecordError> {
        let known = Compression::ALL.into_iter().find(|one| one.code() == code);
        known.ok_or(RecordError::UnknownCompression { code })
    }

    /// Kafka's name for it, as in `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Unpacks to at most `limit` bytes (SPEC W8). The buffer grows with what comes out, and begins
/// with a guess from what went in, never from what the packed bytes announce.
pub(super) fn decompress(
    compression: Compression,
    packed: &[u8],
    limit: usize,
) -> Result<Vec<u8>, RecordError> {
    let read = |reader: &mut dyn Read| bounded(compression, reader, packed.len(), limit);
    match compression {
        Compression::None => read(&mut &packed[..]),
        Compression::Gzip => read(&mut flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::Snappy => xerial::decompress(packed, limit),
        Compression::Lz4 => read(&mut FrameDecoder::new(packed)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)
                .map_err(|error| broken(compression, &error))?;
            // The window is reserved by the frame's word, so it is bounded like all else.
            decoder.window_log_max(window(limit)).map_err(|error| broken(compression, &error))?;
            read(&mut decoder)
        }
    }
}

/// The logarithm of a window that holds `limit` bytes, within what zstd takes and needs: 27 is its
/// own bound, and no encoder at its usual levels needs more than 23.
fn window(limit: usize) -> u32 {
    limit.checked_next_power_of_two().map_or(27, |size| size.ilog2().clamp(23, 27))
}

fn bounded(
    compression: Compression,
    reader: &mut dyn Read,
    packed: usize,
    limit: usize,
) -> Result<Vec<u8>, RecordError> {
    let mut unpacked = Vec::with_capacity(packed.saturating_mul(4).min(limit));
    // One byte more than allowed tells a full buffer from a greater one.
    let mut reader = reader.take((limit as u64).saturating_add(1));
    reader.read_to_end(&mut unpacked).map_err(|error| broken(compression, &error))?;
    if unpacked.len() > limit { Err(RecordError::TooLarge { limit }) } else { Ok(unpacked) }
}

pub(super) fn broken(compression: Compression, error: &dyn fmt::Display) -> RecordError {
    RecordError::Decompress { compression, detail: error.to_string().into() }
}

/// Appends `records`, packed, to `batch`.
pub(super) fn compress(
    compression: Compression,
    records: &[u8],
    batch: &mut Vec<u8>,
) -> Result<(), RecordError> {
    let failed = |error: &dyn fmt::Display| RecordError::Unencodable {
        detail: format!("{compression} failed: {error}").into(),
    };
    match compression {
        Compression::None => batch.extend_from_slice(records),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(batch, flate2::Compression::default());
            encoder.write_all(records).map_err(|error| failed(&error))?;
            encoder.finish().map_err(|error| failed(&error))?;
        }
        Compression::Snappy => xerial::compress(records, batch).map_err(|error| failed(&error))?,
        Compression::Lz4 => {
            // Java takes no blocks that depend on each other (`Lz4BlockInputStream`).
            let independent =
                FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(independent, batch);
            encoder.write_all(records).map_err(|error| failed(&error))?;
            encoder.finish().map_err(|error| failed(&error))?;
        }
        Compression::Zstd => {
            zstd::stream::copy_encode(records, batch, zstd::DEFAULT_COMPRESSION_LEVEL)
                .map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}
