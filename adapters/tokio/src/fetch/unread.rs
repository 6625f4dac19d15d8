//! A partition's bytes out of a fetch answer, on their way to be records.
//!
//! They are unpacked batch by batch and only as far as there is room: a small answer may unpack to
//! a large multiple of itself, so what is not wanted yet stays packed (SPEC F4).

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use handover_wire::records::{
    Batch, BatchHeader, BatchReader, ControlMarker, DecodedBatch, MAX_DECOMPRESSED, RecordError,
};

/// How much is unpacked in one go. Heartbeats may be waiting for the same thread.
const GO: usize = 256 << 10;

/// What a batch costs beside its records.
const BATCH_OVERHEAD: usize = 128;

/// Batches that were fetched and not read.
#[derive(Debug)]
pub(super) struct Unread {
    batches: BatchReader,
    /// For readers of committed records.
    aborted: Option<Aborted>,
    /// The offset to go on from: what is before it was delivered, or passed over.
    at: i64,
}

/// One batch that was read, or passed over.
#[derive(Debug)]
pub(super) struct Piece {
    /// The fetch position after it.
    pub(super) next: i64,
    /// The leader epoch of its last record.
    pub(super) leader_epoch: i32,
    /// `None` if nothing of it is for the application.
    pub(super) batch: Option<DecodedBatch>,
}

/// What came of reading.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) pieces: Vec<Piece>,
    /// There was no room to go on.
    pub(super) more: bool,
    /// Why it ended before the end.
    pub(super) failed: Option<RecordError>,
}

impl Piece {
    /// What it counts for in the byte budget.
    pub(super) fn bytes(&self) -> usize {
        BATCH_OVERHEAD + self.batch.as_ref().map_or(0, |batch| batch.payload().len())
    }
}

impl Unread {
    /// What was fetched from `at`. `aborted` lists the aborted transactions among it, by producer
    /// and first offset; `None` if they are delivered all the same.
    pub(super) fn new(records: Bytes, at: i64, aborted: Option<Vec<(i64, i64)>>) -> Unread {
        Unread { batches: BatchReader::new(records), aborted: aborted.map(Aborted::new), at }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.batches.left()
    }

    /// Reads on until `room` is used up: one batch at least, if there is room at all.
    ///
    /// It lets other tasks run now and then.
    pub(super) async fn read(&mut self, room: &mut usize) -> Reading {
        let mut reading = Reading::default();
        let mut unpacked = 0;
        while *room > 0 {
            match self.next() {
                None => break,
                Some(Ok(piece)) => {
                    *room = room.saturating_sub(piece.bytes());
                    unpacked += piece.bytes();
                    reading.pieces.push(piece);
                }
                Some(Err(error)) => {
                    reading.failed = Some(error);
                    break;
                }
            }
            if unpacked > GO {
                unpacked = 0;
                tokio::task::yield_now().await;
            }
        }
        // A batch that was cut at its end is left too: it is not read with more room either.
        reading.more = *room == 0 && self.left() > 0;
        reading
    }

    fn next(&mut self) -> Option<Result<Piece, RecordError>> {
        loop {
            let batch = match self.batches.next()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            };
            // A broker starts with the batch that holds the offset; one before it is of no use,
            // if it is what it says.
            if batch.header().next_offset() > self.at {
                return Some(self.unpack(&batch));
            }
            if let Err(error) = batch.verify() {
                return Some(Err(error));
            }
        }
    }

    fn unpack(&mut self, batch: &Batch) -> Result<Piece, RecordError> {
        let header = *batch.header();
        let wanted = if header.attributes.is_control() {
            let marker = control_marker(&batch.decode(MAX_DECOMPRESSED)?)?;
            self.aborted.iter_mut().for_each(|aborted| aborted.end(&header, marker));
            None
        } else if self.aborted.as_mut().is_some_and(|aborted| aborted.hides(&header)) {
            batch.verify()?;
            None
        } else {
            self.walk(batch.decode(MAX_DECOMPRESSED)?)?
        };
        let next = header.next_offset();
        self.at = next;
        Ok(Piece { next, leader_epoch: header.leader_epoch, batch: wanted })
    }

    /// Reads each record once, so that nobody who reads it later meets an error. `None` if none of
    /// them is wanted: compaction may have left a batch of nothing.
    fn walk(&self, batch: DecodedBatch) -> Result<Option<DecodedBatch>, RecordError> {
        let mut wanted = false;
        for record in batch.records() {
            wanted |= record?.offset >= self.at;
        }
        Ok(wanted.then_some(batch))
    }
}

fn control_marker(batch: &DecodedBatch) -> Result<Option<ControlMarker>, RecordError> {
    let record = batch.records().next().transpose()?;
    Ok(record.and_then(|record| record.control()))
}

/// Which transactions of an answer were aborted (Kafka's `CompletedFetch`).
#[derive(Debug)]
struct Aborted {
    /// First offset and producer of those that begin later, by offset.
    coming: VecDeque<(i64, i64)>,
    /// Producers within one.
    producers: HashSet<i64>,
}

impl Aborted {
    fn new(listed: Vec<(i64, i64)>) -> Aborted {
        let mut coming: Vec<(i64, i64)> =
            listed.into_iter().map(|(producer, first)| (first, producer)).collect();
        coming.sort_unstable();
        Aborted { coming: coming.into(), producers: HashSet::new() }
    }

    /// Whether these records are of an aborted transaction.
    fn hides(&mut self, header: &BatchHeader) -> bool {
        self.advance(header);
        header.attributes.is_transactional() && self.producers.contains(&header.producer_id)
    }

    /// A control batch: the transaction of its producer is over.
    fn end(&mut self, header: &BatchHeader, marker: Option<ControlMarker>) {
        self.advance(header);
        if marker == Some(ControlMarker::Abort) {
            self.producers.remove(&header.producer_id);
        }
    }

    fn advance(&mut self, header: &BatchHeader) {
        while self.coming.front().is_some_and(|(first, _)| *first <= header.last_offset()) {
            self.producers.extend(self.coming.pop_front().map(|(_, producer)| producer));
        }
    }
}
