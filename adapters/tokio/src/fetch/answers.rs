//! What errands come back with, and what follows from it.

use std::collections::BTreeSet;

use handover_core::machine::{ErrorCode, LeaseId, Mark, Name};
use handover_core::{Batch, Refused};
use tokio::time::Instant;

use super::FetchReport;
use super::engine::{Engine, Kind, Work};
use super::errands::{Answer, Fetched, Outcome};
use super::partition::{Place, Stage, Verdict};
use super::unread::{Reading, Unread};
use crate::error::{ClusterError, ConnectionError, Named};
use crate::net::Line;

impl Engine {
    /// An errand is done; without an outcome if its task panicked.
    pub(super) fn finish(&mut self, work: Work, outcome: Option<Outcome>) {
        match outcome {
            None => self.abandoned(&work),
            Some(Outcome::Connected(line, connected)) => {
                self.put_back(work.kind, line);
                if let Err(error) = connected {
                    self.unreachable(&work, &error);
                }
            }
            Some(Outcome::Fetched(line, fetched)) => {
                self.put_back(work.kind, line);
                match fetched {
                    Ok(fetched) => self.fetched(&work, fetched),
                    Err(error) => self.unanswered(&work, &error),
                }
            }
            Some(Outcome::Located(Ok(found))) => self.located(&work, &found),
            Some(Outcome::Compared(asks, Ok(ends))) => self.compared(&work, asks, &ends),
            Some(Outcome::Located(Err(error)) | Outcome::Compared(_, Err(error))) => {
                self.unanswered(&work, &error);
            }
            Some(Outcome::Read(lease, unread, reading)) => {
                if self.returned(&work, lease) {
                    self.deliver(lease, -1, None, reading, unread);
                }
            }
            Some(Outcome::Refreshed(refreshed)) => self.refreshed(refreshed),
        }
    }

    pub(super) fn returned(&mut self, work: &Work, lease: LeaseId) -> bool {
        self.partitions.get_mut(&lease).is_some_and(|p| p.returned(work.errand))
    }

    fn put_back(&mut self, kind: Kind, line: Line) {
        let (Kind::Connect { broker, lane } | Kind::Fetch { broker, lane }) = kind else { return };
        if let Some(lanes) = self.brokers.get_mut(&broker) {
            lanes[lane].line = Some(line);
            lanes[lane].fetching = false;
        }
    }

    /// Pauses a lane that brought nothing and should have, or lets it go on.
    fn pace(&mut self, kind: Kind, failed: bool) {
        let (Kind::Connect { broker, lane } | Kind::Fetch { broker, lane }) = kind else { return };
        let Some(lane) = self.brokers.get_mut(&broker).map(|lanes| &mut lanes[lane]) else {
            return;
        };
        if failed {
            lane.pause = Some(Instant::now() + lane.backoff.next());
        } else {
            lane.pause = None;
            lane.backoff.reset();
        }
    }

    fn abandoned(&mut self, work: &Work) {
        self.put_back(work.kind, Line::new(self.cluster.config()));
        self.pace(work.kind, true);
        if work.kind == Kind::Refresh {
            self.metadata.out = false;
            self.metadata.next = Instant::now() + self.metadata.backoff.next();
        }
        self.fail(work);
    }

    /// What is left of an errand's leases is tried again later.
    fn fail(&mut self, work: &Work) {
        let now = Instant::now();
        for lease in &work.leases {
            if let Some(partition) = self.partitions.get_mut(lease) {
                if partition.returned(work.errand) {
                    partition.failed(now);
                }
            }
        }
    }

    /// Somebody else may lead its partitions by now.
    fn unreachable(&mut self, work: &Work, error: &ConnectionError) {
        match error {
            // Such as a batch beyond `max_answer_bytes`: trying again may not help.
            ConnectionError::Protocol(error) => {
                tracing::warn!(kind = ?work.kind, %error, "an answer can't be read");
            }
            error => tracing::debug!(kind = ?work.kind, %error, "no answer"),
        }
        self.pace(work.kind, true);
        let led = work.leases.iter().filter_map(|lease| self.partitions.get(lease));
        let topics: BTreeSet<&Name> = led.map(|partition| &partition.name.topic).collect();
        topics.into_iter().for_each(|topic| self.cluster.mark_stale(topic));
        for lease in &work.leases {
            if let Some(partition) = self.partitions.get_mut(lease) {
                // If it was a replica, its leader may still be there.
                partition.replica = None;
            }
        }
        if error.is_lasting() {
            let leases = work.leases.clone();
            leases.into_iter().for_each(|l| self.tell_denied(l, ErrorCode::UnsupportedVersion));
        }
    }

    fn unanswered(&mut self, work: &Work, error: &ConnectionError) {
        self.unreachable(work, error);
        self.fail(work);
    }

    fn refreshed(&mut self, refreshed: Result<Vec<(Name, ErrorCode)>, ClusterError>) {
        self.metadata.out = false;
        let whole = match refreshed {
            Ok(refused) => {
                for (topic, error) in &refused {
                    self.refuse_topic(topic, *error);
                }
                refused.is_empty()
                    && self.partitions.values().all(|p| {
                        let topic = self.cluster.fresh(&p.name.topic);
                        topic.is_some_and(|topic| topic.leader(p.name.partition).is_some())
                    })
            }
            Err(error) => {
                tracing::debug!(%error, "no metadata");
                if let ClusterError::Refused { error, .. } = error {
                    let topics = self.partitions.values().map(|p| p.name.topic.clone());
                    let topics: BTreeSet<Name> = topics.collect();
                    topics.iter().for_each(|topic| self.refuse_topic(topic, error));
                }
                false
            }
        };
        if whole {
            self.metadata.backoff.reset();
        }
        self.metadata.next = Instant::now() + self.metadata.backoff.next();
        self.drop_idle();
    }

    fn refuse_topic(&mut self, topic: &Name, error: ErrorCode) {
        if Verdict::of(error) != Verdict::Denied {
            return;
        }
        let of_topic = self.partitions.iter().filter(|(_, p)| p.name.topic == *topic);
        let leases: Vec<LeaseId> = of_topic.map(|(lease, _)| *lease).collect();
        leases.into_iter().for_each(|lease| self.tell_denied(lease, error));
    }

    /// Closes the connections to brokers that lead nothing of ours any more.
    fn drop_idle(&mut self) {
        let leaders = self.partitions.values().filter_map(|p| {
            let leader = self.cluster.known(&p.name.topic)?.leader(p.name.partition)?;
            Some([Some(leader.broker), p.replica.map(|(replica, _)| replica)])
        });
        let used: BTreeSet<i32> = leaders.flatten().flatten().collect();
        self.brokers.retain(|broker, lanes| {
            used.contains(broker) || lanes.iter().any(|lane| lane.line.is_none())
        });
    }

    fn fetched(&mut self, work: &Work, fetched: Fetched) {
        let Fetched { error, answers, took, wait } = fetched;
        let spoke = !error.is_none()
            || answers.iter().any(|a| a.bytes > 0 || !a.error.is_none() || a.replica.is_some());
        // A broker that has nothing is to wait for it, not to say so at once.
        self.pace(work.kind, !error.is_none() || (!spoke && took < wait / 2));
        if !error.is_none() {
            tracing::debug!(error = %Named(error), "a fetch was refused");
            for lease in &work.leases {
                if self.returned(work, *lease) {
                    self.refuse(*lease, error, -1);
                }
            }
        }
        for answer in answers {
            if self.returned(work, answer.lease) {
                self.answered(answer);
            }
        }
        // Those that the answer does not speak of.
        self.fail(work);
    }

    fn answered(&mut self, answer: Answer) {
        let Answer { lease, asked_epoch, error, high, replica, bytes, reading, unread } = answer;
        if !error.is_none() {
            return self.refuse(lease, error, asked_epoch);
        }
        let now = Instant::now();
        let until = now + self.cluster.config().metadata_max_age;
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        if let Some(high) = high {
            self.watermarks.set(&partition.name, high);
        }
        if replica.is_some() {
            tracing::debug!(partition = %partition.name, ?replica, "reading from a replica");
            partition.replica = replica.map(|replica| (replica, until));
        }
        let barren = reading.pieces.is_empty() && !reading.more && reading.failed.is_none();
        if bytes > 0 && barren {
            tracing::debug!(partition = %partition.name, bytes, "no whole batch came");
            return partition.failed(now);
        }
        self.deliver(lease, asked_epoch, high, reading, unread);
    }

    /// Hands over what was read, in order, and notes where to go on.
    fn deliver(
        &mut self,
        lease: LeaseId,
        asked_epoch: i32,
        high: Option<i64>,
        reading: Reading,
        unread: Unread,
    ) {
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        let Stage::Fetch(place) = &mut partition.stage else { return };
        if !reading.pieces.is_empty() {
            self.last_turn += 1;
            partition.turn = self.last_turn;
        }
        place.compared = place.compared.max(asked_epoch);
        let mut got_on = reading.failed.is_none();
        for piece in reading.pieces {
            got_on = true;
            let (next, leader_epoch, bytes) = (piece.next, piece.leader_epoch, piece.bytes());
            if let Some(payload) = piece.batch {
                let (position, first) = (partition.position, place.pushed);
                let batch = Batch { lease, position, first, next, leader_epoch, bytes, payload };
                if let Err((refused, _)) = self.feed.push(batch) {
                    return self.turned_away(lease, refused);
                }
                place.pushed = next;
            }
            place.offset = next;
            place.epoch = leader_epoch;
        }
        let at_end = high.is_some_and(|high| place.offset >= high);
        let behind = place.pushed < place.offset;
        if got_on {
            partition.progressed();
        }
        if let Some(error) = reading.failed {
            return self.corrupt(lease, error);
        }
        if reading.more {
            self.keep(lease, unread);
        } else if at_end && behind {
            self.pass_over(lease);
        }
    }

    /// The lease is closed or there was a seek: the change that says so is on its way.
    pub(super) fn turned_away(&mut self, lease: LeaseId, refused: Refused) {
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        tracing::debug!(partition = %partition.name, %refused, "records dropped");
        if let Refused::Gap { expected } = refused {
            // Not to be: each push begins where the last one ended. Fetching goes on from where
            // the queue ends, so that nothing is lost.
            partition.enter(Stage::Fetch(Place::new(Mark::at(expected))));
        }
        partition.failed(Instant::now());
    }

    /// Keeps what there was no room to read, if that is not too much of all partitions together.
    fn keep(&mut self, lease: LeaseId, unread: Unread) {
        let packed = |stage: &Stage| match stage {
            Stage::Fetch(Place { unread: Some(unread), .. }) => unread.left(),
            _ => 0,
        };
        let kept: usize = self.partitions.values().map(|p| packed(&p.stage)).sum();
        let most = usize::try_from(self.config.max_bytes).unwrap_or(0);
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        if let Stage::Fetch(place) = &mut partition.stage {
            // Else it is fetched again.
            place.unread = Some(unread).filter(|unread| kept + unread.left() <= most);
        }
    }

    /// The log ends with batches that are for nobody: they count as done, or the lag would stay.
    fn pass_over(&mut self, lease: LeaseId) {
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        let Stage::Fetch(place) = &mut partition.stage else { return };
        match self.feed.moved(lease, partition.position, place.offset) {
            Ok(position) => {
                partition.position = position;
                place.pushed = place.offset;
            }
            Err(refused) => self.turned_away(lease, refused),
        }
    }

    /// A batch can't be read. Once it is fetched anew; then the application is told as well.
    fn corrupt(&mut self, lease: LeaseId, error: handover_wire::records::RecordError) {
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        let Stage::Fetch(place) = &mut partition.stage else { return };
        let offset = place.offset;
        let again = place.suspect.replace(offset) == Some(offset);
        tracing::warn!(partition = %partition.name, offset, %error, again, "a batch can't be read");
        partition.failed(Instant::now());
        if again {
            let report = FetchReport::Corrupt { partition: partition.name.clone(), offset, error };
            self.tell(lease, report);
        }
    }

    /// The broker refuses a partition. `asked_epoch` is of the leader that was asked.
    pub(super) fn refuse(&mut self, lease: LeaseId, error: ErrorCode, asked_epoch: i32) {
        let now = Instant::now();
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        let name = &partition.name;
        tracing::debug!(partition = %name, error = %Named(error), "refused");
        let was_replica = partition.replica.take().is_some();
        match Verdict::of(error) {
            // A replica may lag behind its leader: only the leader's word counts.
            Verdict::OutOfRange if !was_replica && matches!(partition.stage, Stage::Fetch(_)) => {
                self.reset(lease, "the offset is out of range");
            }
            Verdict::OutOfRange | Verdict::Wait => partition.failed(now),
            Verdict::Stale => {
                let topic = self.cluster.known(&name.topic);
                let leader = topic.and_then(|topic| topic.leader(name.partition));
                // Told with the error (KIP-951): nothing to ask, nothing to wait for.
                if !leader.is_some_and(|leader| leader.epoch > asked_epoch && asked_epoch >= 0) {
                    self.cluster.mark_stale(&name.topic);
                    partition.failed(now);
                }
            }
            Verdict::Denied => {
                partition.failed(now);
                self.tell_denied(lease, error);
            }
        }
    }

    pub(super) fn tell_no_offset(&mut self, lease: LeaseId) {
        if let Some(partition) = self.partitions.get(&lease) {
            let report = FetchReport::NoOffset { partition: partition.name.clone() };
            self.tell(lease, report);
        }
    }

    fn tell_denied(&mut self, lease: LeaseId, error: ErrorCode) {
        if let Some(partition) = self.partitions.get(&lease) {
            let report = FetchReport::Denied { partition: partition.name.clone(), error };
            self.tell(lease, report);
        }
    }

    fn tell(&mut self, lease: LeaseId, report: FetchReport) {
        let new = self.partitions.get_mut(&lease).and_then(|p| p.tell(report));
        new.into_iter().for_each(|report| {
            self.outbox.insert(lease, report);
        });
    }
}
