//! Where a partition goes on when that is not where it was: resets, seeks to the ends, truncated
//! logs.

use handover_core::machine::{LeaseId, Mark};
use tokio::time::Instant;

use super::engine::{Engine, Work};
use super::epochs::{self, Ends};
use super::partition::{Place, Stage, policy};
use crate::net::Topic;
use crate::offsets::Found;

impl Engine {
    pub(super) fn located(&mut self, work: &Work, found: &Found) {
        for lease in &work.leases {
            if !self.returned(work, *lease) {
                continue;
            }
            let Some(partition) = self.partitions.get_mut(lease) else { continue };
            match found.get(&partition.name) {
                Some(Ok(offset)) if *offset >= 0 => self.go_to(*lease, Mark::at(*offset), -1),
                Some(Err(error)) => self.refuse(*lease, *error, -1),
                Some(Ok(_)) | None => partition.failed(Instant::now()),
            }
        }
    }

    /// The log goes on at `to`, whatever was expected.
    fn go_to(&mut self, lease: LeaseId, to: Mark, compared: i32) {
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        tracing::info!(partition = %partition.name, offset = to.offset, "moved");
        match self.feed.moved(lease, partition.position, to.offset) {
            Ok(position) => {
                partition.position = position;
                partition.enter(Stage::Fetch(Place { compared, ..Place::new(to) }));
            }
            Err(refused) => self.turned_away(lease, refused),
        }
    }

    pub(super) fn compared(&mut self, work: &Work, asks: Vec<epochs::Ask>, ends: &Ends) {
        for (lease, ask) in work.leases.iter().zip(asks) {
            if !self.returned(work, *lease) {
                continue;
            }
            let Some(partition) = self.partitions.get_mut(lease) else { continue };
            let Stage::Fetch(place) = &mut partition.stage else { continue };
            let told = match ends {
                // Nothing can be known: as before there were epochs.
                Ends::NotOffered => {
                    place.compared = ask.leader_epoch;
                    continue;
                }
                Ends::Told(told) => told.get(&ask.partition),
            };
            match told {
                Some(Ok(Some(end))) if end.offset >= place.offset => {
                    place.compared = ask.leader_epoch;
                }
                Some(Ok(end)) => self.truncated(*lease, *end, ask.leader_epoch),
                Some(Err(error)) => self.refuse(*lease, *error, ask.leader_epoch),
                None => partition.failed(Instant::now()),
            }
        }
    }

    /// Records that were read are not in the leader's log (KIP-320): goes on where the two part,
    /// if that is known, as far as the policy lets it.
    fn truncated(&mut self, lease: LeaseId, end: Option<epochs::End>, leader_epoch: i32) {
        let Some(partition) = self.partitions.get(&lease) else { return };
        tracing::warn!(partition = %partition.name, ?end, "the log was truncated");
        match end {
            Some(end) if policy(self.config.reset).is_some() => {
                let to = Mark { offset: end.offset, leader_epoch: end.epoch };
                self.go_to(lease, to, leader_epoch);
            }
            _ => self.reset(lease, "the log was truncated"),
        }
    }

    /// A topic made anew has other records under the same offsets.
    pub(super) fn check_topic(&mut self, lease: LeaseId, topic: &Topic) {
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        let before = std::mem::replace(&mut partition.topic_id, topic.id);
        let remade = !before.is_nil() && !topic.id.is_nil() && before != topic.id;
        if remade && matches!(partition.stage, Stage::Fetch(_)) {
            self.reset(lease, "the topic was made anew");
        }
    }

    /// Starts again where the policy says.
    pub(super) fn reset(&mut self, lease: LeaseId, why: &str) {
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        tracing::warn!(partition = %partition.name, policy = ?self.config.reset, why, "reset");
        match policy(self.config.reset) {
            Some(at) => {
                partition.enter(Stage::Locate(at));
                // A broker that refuses each offset that it names must not keep us running.
                partition.failed(Instant::now());
            }
            None => {
                partition.enter(Stage::Stuck);
                self.tell_no_offset(lease);
            }
        }
    }
}
