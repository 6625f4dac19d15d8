//! What waits to be delivered, lease by lease: the value behind the delivery queue's lock.
//!
//! No lock and no waker in here: each method is one critical section of `feed.rs` or
//! `delivery.rs`, returns what it throws out, and says whom to wake.
//!
//! **Position.** A lease delivers from its *position*, which changes when its offset becomes
//! known and with each seek. Every batch and every delivery carries the position it belongs to.
//! A push under an older one is refused, a mark under an older one does not count, a batch given
//! back under an older one is dropped (SPEC B4). Within a position, batches touch: the queue is
//! one contiguous run of fetch positions, so what is done is one run of ranges too.
//!
//! **Changes** for the fetching side are kept per lease, the newest in the place of the older: an
//! `Open` that was never read and a `Close` cancel out. So a fetcher that sleeps through a
//! hundred rebalances finds only what is left of them.
//!
//! **Turns.** `ready` lists the leases that have something to deliver, each once; the one that
//! was served goes to the end.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use handover_machine::{LeaseId, Start, TopicPartition};

use super::lease::{Hold, Lease};
use super::progress::Progress;
use super::slot::Wake;

/// The place at which the consuming side waits.
pub(crate) const CONSUMER: usize = 0;
/// The place at which the fetching side waits.
pub(crate) const FETCHER: usize = 1;
const WAKE_CONSUMER: Wake = Wake::FIRST;
const WAKE_FETCHER: Wake = Wake::SECOND;

/// Names a run of contiguous records of one lease: from where it was told to deliver, to the
/// next seek. A batch fetched under one position is refused under the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(pub(crate) u64);

/// What the fetching side must know.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Fetch this partition.
    Open {
        /// For which lease.
        lease: LeaseId,
        /// Which partition.
        partition: TopicPartition,
        /// From where.
        start: Start,
        /// To be given back with each batch.
        position: Position,
    },
    /// Fetch it from elsewhere; what was fetched before is void.
    Seek {
        /// Which lease.
        lease: LeaseId,
        /// From where.
        start: Start,
        /// To be given back with each batch from now on.
        position: Position,
    },
    /// Fetch it no more.
    Close {
        /// Which lease.
        lease: LeaseId,
    },
    /// Nothing (`false`) or everything (`true`) is delivered from now on.
    Deliver(bool),
}

/// Some contiguous records of one lease, as fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch<B> {
    /// Whose.
    pub lease: LeaseId,
    /// Under which position it was fetched.
    pub position: Position,
    /// The fetch position that it answers: not after its first record.
    pub first: i64,
    /// The next fetch position: after its last record.
    pub next: i64,
    /// The leader epoch of its last record, or -1.
    pub leader_epoch: i32,
    /// What it counts for against the byte budget.
    pub bytes: usize,
    /// The records, in whatever form.
    pub payload: B,
}

/// Why a push was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Refused {
    /// The lease is not open: it was revoked, ended or lost, or has no position yet.
    Closed,
    /// There was a seek: the batch belongs to an older position.
    Moved,
    /// The batch is empty or does not touch the one before it.
    Gap {
        /// The fetch position expected.
        expected: i64,
    },
}

pub(crate) struct Lanes<B> {
    lanes: BTreeMap<LeaseId, Lane<B>>,
    /// Leases with something to deliver, next turn first. May name a lane that is gone or empty.
    ready: VecDeque<LeaseId>,
    changes: BTreeMap<LeaseId, Change>,
    /// `Deliver` to be told to the fetching side.
    deliver_changed: bool,
    deliver: bool,
    /// Bytes queued in all lanes that are not paused.
    queued: usize,
    budget: usize,
    /// The driver has ended.
    pub(crate) closed: bool,
}

struct Lane<B> {
    lease: Lease,
    /// 0 until the first position is known.
    position: Position,
    /// Whether it takes pushes and what is given back: from its position to its revocation.
    open: bool,
    paused: bool,
    /// Whether `ready` names it.
    ready: bool,
    /// Where the next batch must begin, if that is known.
    next: Option<i64>,
    queue: VecDeque<Queued<B>>,
    bytes: usize,
    progress: Progress,
}

impl<B> Lane<B> {
    /// Another position: what was done before does not count in it.
    fn restart(&mut self) {
        self.position.0 += 1;
        self.next = None;
        self.progress = Progress::new();
        self.lease.clear_mark();
    }
}

/// A batch in a lane or in hand.
pub(crate) struct Queued<B> {
    pub(crate) batch: Batch<B>,
    /// The first offset that is not done: greater than `first` if a part was done and the rest
    /// given back.
    pub(crate) from: i64,
}

/// Batches thrown out; to be dropped outside the lock.
pub(crate) type Purged<B> = VecDeque<Queued<B>>;

impl<B> Lanes<B> {
    pub(crate) fn new(budget: usize) -> Lanes<B> {
        Lanes {
            lanes: BTreeMap::new(),
            ready: VecDeque::new(),
            changes: BTreeMap::new(),
            deliver_changed: false,
            deliver: true,
            queued: 0,
            budget: budget.max(1),
            closed: false,
        }
    }

    /// A new lease, which delivers nothing before it has a position.
    pub(crate) fn grant(&mut self, lease: Lease) {
        let lane = Lane {
            position: Position(0),
            open: false,
            paused: false,
            ready: false,
            next: None,
            queue: VecDeque::new(),
            bytes: 0,
            progress: Progress::new(),
            lease,
        };
        self.lanes.insert(lane.lease.id(), lane);
    }

    /// Delivers from `start`: the first position, or a seek.
    pub(crate) fn start(&mut self, id: LeaseId, start: Start) -> (Purged<B>, Wake) {
        let purged = self.purge(id);
        let Some(lane) = self.lanes.get_mut(&id) else { return (purged, Wake::NOBODY) };
        lane.restart();
        let unread = matches!(self.changes.get(&id), Some(Change::Open { .. }));
        let (lease, position) = (id, lane.position);
        let change = if unread || !mem::replace(&mut lane.open, true) {
            Change::Open { lease, partition: lane.lease.partition().clone(), start, position }
        } else {
            Change::Seek { lease, start, position }
        };
        self.changes.insert(id, change);
        (purged, WAKE_FETCHER)
    }

    /// Delivers nothing more of a lease that is revoked. What is out may still be marked.
    pub(crate) fn close(&mut self, id: LeaseId) -> (Purged<B>, Wake) {
        let purged = self.purge(id);
        let Some(lane) = self.lanes.get_mut(&id) else { return (purged, Wake::NOBODY) };
        if mem::replace(&mut lane.open, false) {
            let unread = matches!(self.changes.remove(&id), Some(Change::Open { .. }));
            if !unread {
                self.changes.insert(id, Change::Close { lease: id });
            }
        }
        (purged, WAKE_FETCHER)
    }

    /// Forgets a lease that has ended or was lost.
    pub(crate) fn remove(&mut self, id: LeaseId) -> (Purged<B>, Wake) {
        let closed = self.close(id);
        self.lanes.remove(&id);
        closed
    }

    /// Stops or resumes all delivery.
    pub(crate) fn deliver(&mut self, deliver: bool) -> Wake {
        if mem::replace(&mut self.deliver, deliver) == deliver {
            return Wake::NOBODY;
        }
        self.deliver_changed = !self.deliver_changed;
        Wake::BOTH
    }

    /// The driver has ended: nothing is delivered any more.
    pub(crate) fn shut(&mut self) -> Vec<Purged<B>> {
        self.closed = true;
        let ids: Vec<LeaseId> = self.lanes.keys().copied().collect();
        ids.into_iter().map(|id| self.remove(id).0).collect()
    }

    /// Counts bytes out of a lane.
    fn take_bytes(&mut self, id: LeaseId, bytes: usize) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.bytes -= bytes;
            self.queued -= if lane.paused { 0 } else { bytes };
        }
    }

    /// Counts bytes into a lane.
    fn add_bytes(&mut self, id: LeaseId, bytes: usize) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.bytes += bytes;
            self.queued += if lane.paused { 0 } else { bytes };
        }
    }

    fn purge(&mut self, id: LeaseId) -> Purged<B> {
        let Some(lane) = self.lanes.get_mut(&id) else { return Purged::new() };
        let bytes = mem::take(&mut lane.bytes);
        self.queued -= if lane.paused { 0 } else { bytes };
        mem::take(&mut lane.queue)
    }
}

/// The fetching side.
impl<B> Lanes<B> {
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        if mem::take(&mut self.deliver_changed) {
            return Some(Change::Deliver(self.deliver));
        }
        self.changes.pop_first().map(|(_, change)| change)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.queued < self.budget
    }

    /// Whether more of this lease should be fetched now.
    pub(crate) fn wants(&self, id: LeaseId) -> bool {
        let share = self.budget / self.lanes.len().max(1);
        let hungry = |lane: &Lane<B>| lane.bytes == 0 || lane.bytes < share;
        self.deliver
            && self.has_room()
            && self.lanes.get(&id).is_some_and(|lane| lane.open && !lane.paused && hungry(lane))
    }

    pub(crate) fn push(&mut self, batch: Batch<B>) -> (Result<(), (Refused, Batch<B>)>, Wake) {
        match self.admits(&batch) {
            Err(refused) => (Err((refused, batch)), Wake::NOBODY),
            Ok(()) => (Ok(()), self.enqueue(batch)),
        }
    }

    fn admits(&self, batch: &Batch<B>) -> Result<(), Refused> {
        let lane = self.lanes.get(&batch.lease).filter(|lane| lane.open);
        let lane = lane.ok_or(Refused::Closed)?;
        if batch.position != lane.position {
            return Err(Refused::Moved);
        }
        let expected = lane.next.unwrap_or(batch.first);
        if batch.first != expected || batch.next <= batch.first {
            return Err(Refused::Gap { expected });
        }
        Ok(())
    }

    fn enqueue(&mut self, batch: Batch<B>) -> Wake {
        let id = batch.lease;
        // `admits` has just found it.
        let Some(lane) = self.lanes.get_mut(&id) else { return Wake::NOBODY };
        lane.next = Some(batch.next);
        lane.progress.begin(batch.first);
        let bytes = batch.bytes;
        lane.queue.push_back(Queued { from: batch.first, batch });
        self.add_bytes(id, bytes);
        self.line_up(id)
    }

    /// The log goes on at `to`. A way forward leaves a gap, which counts as done; a way back is
    /// another position, under which nothing of before counts.
    pub(crate) fn moved(
        &mut self,
        id: LeaseId,
        position: Position,
        to: i64,
    ) -> (Result<Position, Refused>, Purged<B>) {
        let lane = self.lanes.get_mut(&id).filter(|lane| lane.open);
        let Some(lane) = lane else { return (Err(Refused::Closed), Purged::new()) };
        if position != lane.position {
            return (Err(Refused::Moved), Purged::new());
        }
        let from = lane.next.replace(to).unwrap_or(to);
        if to < from {
            lane.restart();
            lane.next = Some(to);
            let position = lane.position;
            return (Ok(position), self.purge(id));
        }
        lane.progress.begin(from);
        let mark = lane.progress.done(from, to, -1);
        mark.into_iter().for_each(|mark| lane.lease.set_mark(mark));
        (Ok(position), Purged::new())
    }

    /// Gives a lane with something to deliver its place in the line.
    fn line_up(&mut self, id: LeaseId) -> Wake {
        let Some(lane) = self.lanes.get_mut(&id) else { return Wake::NOBODY };
        if lane.queue.is_empty() || lane.paused {
            return Wake::NOBODY;
        }
        if !mem::replace(&mut lane.ready, true) {
            self.ready.push_back(id);
        }
        if self.deliver { WAKE_CONSUMER } else { Wake::NOBODY }
    }
}

/// The consuming side.
impl<B> Lanes<B> {
    /// The next batch, with a hold of its lease. Whether there is room again for the fetcher.
    pub(crate) fn take(&mut self) -> (Option<(Queued<B>, Hold)>, Wake) {
        if !self.deliver {
            return (None, Wake::NOBODY);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.ready = false;
            if lane.paused || lane.queue.is_empty() {
                continue;
            }
            // Refused only when a revocation has begun: the driver is about to purge this lane.
            let Some(hold) = lane.lease.hold() else { continue };
            let Some(queued) = lane.queue.pop_front() else { continue };
            let wanted = self.has_room() && self.wants(id);
            self.take_bytes(id, queued.batch.bytes);
            self.line_up(id);
            let wake = Wake::second_if(!wanted && self.wants(id));
            return (Some((queued, hold)), wake);
        }
        (None, Wake::NOBODY)
    }

    /// Counts records as done. `false` if their position or their lease is over.
    pub(crate) fn done(
        &mut self,
        id: LeaseId,
        at: Position,
        from: i64,
        to: i64,
        epoch: i32,
    ) -> bool {
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.position == at) else {
            return false;
        };
        let mark = lane.progress.done(from, to, epoch);
        mark.into_iter().for_each(|mark| lane.lease.set_mark(mark));
        true
    }

    /// Takes a batch back that was not finished, to be delivered again from `queued.from`. Gives
    /// it back if its position or its lease is over.
    pub(crate) fn give_back(&mut self, queued: Queued<B>) -> (Option<Queued<B>>, Wake) {
        let (id, position) = (queued.batch.lease, queued.batch.position);
        let lane = self.lanes.get_mut(&id).filter(|lane| lane.open && lane.position == position);
        let Some(lane) = lane else { return (Some(queued), Wake::NOBODY) };
        let bytes = queued.batch.bytes;
        let behind = lane.queue.iter().position(|other| other.batch.first > queued.batch.first);
        lane.queue.insert(behind.unwrap_or(lane.queue.len()), queued);
        self.add_bytes(id, bytes);
        (None, self.line_up(id))
    }

    /// Pauses or resumes one lease. `false` if it is not there.
    pub(crate) fn pause(&mut self, id: LeaseId, paused: bool) -> (bool, Wake) {
        let Some(lane) = self.lanes.get_mut(&id) else { return (false, Wake::NOBODY) };
        if mem::replace(&mut lane.paused, paused) != paused {
            // A paused lane's bytes do not count, or it would starve the others.
            let bytes = lane.bytes;
            self.queued = if paused { self.queued - bytes } else { self.queued + bytes };
        }
        (true, self.line_up(id) | WAKE_FETCHER)
    }
}
