//! The lines of Kafka's VerifiableConsumer, one JSON object each.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use handover_tokio::Record;
use handover_tokio::machine::TopicPartition;
use serde::{Serialize, Serializer};

/// What happened.
#[derive(Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(super) enum Report {
    StartupComplete,
    ShutdownRequested,
    ShutdownComplete,
    PartitionsAssigned {
        #[serde(serialize_with = "as_partitions")]
        partitions: Vec<TopicPartition>,
    },
    PartitionsRevoked {
        #[serde(serialize_with = "as_partitions")]
        partitions: Vec<TopicPartition>,
    },
    RecordsConsumed(Consumed),
    RecordData(RecordData),
    OffsetsCommitted(Committed),
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: u128,
    #[serde(flatten)]
    report: &'a Report,
}

impl Report {
    /// Prints the line, at once: whoever reads it acts on it.
    pub(super) fn print(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = Line { timestamp: now.as_millis(), report: self };
        let mut out = std::io::stdout().lock();
        // A reader that went away is no reason to stop consuming.
        if let Ok(line) = serde_json::to_string(&line) {
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    }
}

#[derive(Serialize)]
struct Partition<'a> {
    topic: &'a str,
    partition: i32,
}

fn as_partitions<S: Serializer>(of: &[TopicPartition], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(of.iter().map(|p| Partition { topic: &p.topic, partition: p.partition }))
}

/// `records_consumed`: how many, and from where to where.
#[derive(Default, Serialize)]
pub(super) struct Consumed {
    count: u64,
    partitions: Vec<ConsumedPartition>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsumedPartition {
    topic: String,
    partition: i32,
    count: u64,
    min_offset: i64,
    max_offset: i64,
}

impl Consumed {
    pub(super) fn add(&mut self, record: &Record<'_>) {
        self.count += 1;
        let fits = |p: &&mut ConsumedPartition| {
            p.partition == record.partition() && p.topic == record.topic()
        };
        let offset = record.offset();
        match self.partitions.iter_mut().find(fits) {
            Some(partition) => {
                partition.count += 1;
                partition.max_offset = offset;
            }
            None => self.partitions.push(ConsumedPartition {
                topic: record.topic().into(),
                partition: record.partition(),
                count: 1,
                min_offset: offset,
                max_offset: offset,
            }),
        }
    }
}

/// `record_data`: one record, with `--verbose`.
#[derive(Serialize)]
pub(super) struct RecordData {
    key: Option<String>,
    value: Option<String>,
    topic: String,
    partition: i32,
    offset: i64,
}

impl RecordData {
    pub(super) fn of(record: &Record<'_>) -> RecordData {
        let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
        RecordData {
            key: text(record.key()),
            value: text(record.value()),
            topic: record.topic().into(),
            partition: record.partition(),
            offset: record.offset(),
        }
    }
}

/// `offsets_committed`: what was to be committed, and whether it all was.
#[derive(Serialize)]
pub(super) struct Committed {
    offsets: Vec<CommittedOffset>,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct CommittedOffset {
    topic: String,
    partition: i32,
    offset: i64,
}

impl Committed {
    pub(super) fn new(offsets: Vec<(TopicPartition, i64)>, error: Option<String>) -> Committed {
        let offset = |(partition, offset): (TopicPartition, i64)| CommittedOffset {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset,
        };
        let offsets = offsets.into_iter().map(offset).collect();
        Committed { offsets, success: error.is_none(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(report: &Report) -> serde_json::Value {
        serde_json::to_value(Line { timestamp: 7, report }).unwrap()
    }

    #[test]
    fn lines_are_those_of_kafkas_tool() {
        assert_eq!(
            json(&Report::StartupComplete),
            serde_json::json!({"timestamp": 7, "name": "startup_complete"})
        );
        let partitions = vec![TopicPartition::new("t", 3)];
        assert_eq!(
            json(&Report::PartitionsAssigned { partitions }),
            serde_json::json!({
                "timestamp": 7,
                "name": "partitions_assigned",
                "partitions": [{"topic": "t", "partition": 3}],
            })
        );
        let offsets = vec![(TopicPartition::new("t", 3), 9)];
        assert_eq!(
            json(&Report::OffsetsCommitted(Committed::new(offsets, Some("why".into())))),
            serde_json::json!({
                "timestamp": 7,
                "name": "offsets_committed",
                "offsets": [{"topic": "t", "partition": 3, "offset": 9}],
                "success": false,
                "error": "why",
            })
        );
    }
}
