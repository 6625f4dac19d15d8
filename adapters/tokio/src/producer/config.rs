//! The settings of a producer.

use std::time::Duration;

use handover_core::machine::ConfigError;
use handover_wire::records::Compression;

use crate::config::check_duration;

/// When a record counts as written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Acks {
    /// When it was handed to the kernel: it may be lost without a word, and has no offset.
    None,
    /// When the partition's leader has it.
    Leader,
    /// When all replicas in sync have it.
    #[default]
    All,
}

impl Acks {
    pub(super) fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// How a producer batches, retries and waits.
///
/// ```
/// use handover_tokio::producer::{Acks, Compression, ProducerConfig};
///
/// let mut config = ProducerConfig::default();
/// config.compression = Compression::Lz4;
/// assert!(config.validate().is_ok());
///
/// config.acks = Acks::Leader;
/// assert_eq!(
///     config.validate().unwrap_err().to_string(),
///     "idempotent needs all replicas to acknowledge; set acks to All, or idempotent to false",
/// );
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// How batches are compressed. Default: not at all.
    pub compression: Compression,
    /// When a record counts as written. Default: when all replicas in sync have it.
    pub acks: Acks,
    /// Whether the broker is to recognise a batch that is sent again, so that no record is written
    /// twice (KIP-98). Default true. Otherwise a retry may write a batch twice.
    pub idempotent: bool,
    /// How long a batch waits for more records. Default 5 ms; zero sends at once.
    pub linger: Duration,
    /// The size at which a batch does not wait any longer, in bytes before compression. Default
    /// 64 KiB. A larger record is a batch of its own.
    pub batch_bytes: usize,
    /// The most bytes in one request, and so the largest record, before compression. Default
    /// 1 MiB; keep it under the broker's `message.max.bytes`.
    pub request_bytes: usize,
    /// The most bytes of records that are not written yet; who has more waits. Default 32 MiB.
    pub buffer_bytes: usize,
    /// How long [`enqueue`](super::Producer::enqueue) may wait for room and for what it must know
    /// of the topic. Default 60 s.
    pub max_block: Duration,
    /// How long a record may take from its acceptance to its outcome; what is on its way to a
    /// broker then is still waited for. Default 120 s.
    pub delivery_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig {
            compression: Compression::None,
            acks: Acks::All,
            idempotent: true,
            linger: Duration::from_millis(5),
            batch_bytes: 64 << 10,
            request_bytes: 1 << 20,
            buffer_bytes: 32 << 20,
            max_block: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

impl ProducerConfig {
    /// Checks every setting, and says of the first wrong one what is wrong and what to do.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |setting, problem: &str, fix| Err(ConfigError::new(setting, problem, fix));
        if self.idempotent && self.acks != Acks::All {
            let fix = "set acks to All, or idempotent to false";
            return wrong("idempotent", "needs all replicas to acknowledge", fix);
        }
        check_duration("max_block", self.max_block)?;
        check_duration("delivery_timeout", self.delivery_timeout)?;
        if self.linger >= self.delivery_timeout {
            let fix = "shorten it, or lengthen delivery_timeout";
            return wrong("linger", "is not shorter than delivery_timeout", fix);
        }
        if self.batch_bytes == 0 {
            return wrong("batch_bytes", "is zero", "use 1 for a batch for each record");
        }
        if self.request_bytes < self.batch_bytes {
            let fix = "make it batch_bytes or more";
            return wrong("request_bytes", "is less than batch_bytes", fix);
        }
        if self.request_bytes > 1 << 30 {
            return wrong("request_bytes", "is more than 1 GiB", "brokers take about 1 MiB");
        }
        if self.buffer_bytes < self.request_bytes {
            let fix = "make it request_bytes or more, or a record of that size never fits";
            return wrong("buffer_bytes", "is less than request_bytes", fix);
        }
        if u32::try_from(self.buffer_bytes).is_err() {
            return wrong("buffer_bytes", "is 4 GiB or more", "keep it under 4 GiB");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut ProducerConfig)) -> &'static str {
        let mut config = ProducerConfig::default();
        change(&mut config);
        config.validate().unwrap_err().setting
    }

    #[test]
    fn each_setting_is_checked_and_named() {
        assert_eq!(ProducerConfig::default().validate(), Ok(()));
        assert_eq!(wrong(|c| c.acks = Acks::None), "idempotent");
        assert_eq!(wrong(|c| c.max_block = Duration::ZERO), "max_block");
        assert_eq!(wrong(|c| c.delivery_timeout = Duration::MAX), "delivery_timeout");
        assert_eq!(wrong(|c| c.linger = Duration::from_secs(120)), "linger");
        assert_eq!(wrong(|c| c.batch_bytes = 0), "batch_bytes");
        assert_eq!(wrong(|c| c.request_bytes = 1000), "request_bytes");
        assert_eq!(wrong(|c| c.request_bytes = 2 << 30), "request_bytes");
        assert_eq!(wrong(|c| c.buffer_bytes = 1 << 16), "buffer_bytes");
        assert_eq!(wrong(|c| c.buffer_bytes = 1 << 33), "buffer_bytes");
    }
}
