//! What is due, and errands for it.
//!
//! **Lanes.** A broker answers one request after the other on a connection, and a fetch may wait
//! there for records to come. So each broker has two connections, and each partition is in one
//! fetch at a time: while the first fetch is out, what becomes due meanwhile (a new partition, one
//! after a seek, one that is wanted again) goes over the second, whose fetches wait a quarter as
//! long (SPEC F3).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use handover_core::machine::{LeaseId, Name};
use tokio::time::Instant;
use tracing::Instrument;

use super::engine::{Engine, Kind, LANES, Lane, Work};
use super::epochs;
use super::errands::{self, Fetching, Outcome};
use super::partition::Stage;
use super::request::Asked;
use crate::config::ClientConfig;
use crate::net::{Backoff, Line, Topic};
use crate::offsets::{self, Ask};

/// How much shorter the fetches of each lane wait than those of the lane before.
const SHORTER: u32 = 4;

/// What is due at one broker.
#[derive(Default)]
struct Due {
    locate: Vec<(LeaseId, Ask)>,
    compare: Vec<(LeaseId, epochs::Ask)>,
    /// With its turn.
    fetch: Vec<(u64, Asked)>,
}

impl Engine {
    /// Sends errands for all that is due.
    pub(super) fn schedule(&mut self) {
        let now = Instant::now();
        self.wake = None;
        let mut due: BTreeMap<i32, Due> = BTreeMap::new();
        let mut topics = BTreeMap::new();
        for lease in self.ready(now) {
            if !self.read_on(lease) {
                self.route(now, lease, &mut topics, &mut due);
            }
        }
        self.refresh(now, topics.keys());
        for (broker, due) in due {
            self.locate(broker, due.locate);
            self.compare(broker, due.compare);
            self.fetch(now, broker, due.fetch);
        }
    }

    /// The leases for which something is to be done now.
    fn ready(&mut self, now: Instant) -> Vec<LeaseId> {
        let mut ready = Vec::new();
        for (lease, partition) in &self.partitions {
            let wanted = match partition.stage {
                Stage::Locate(_) => true,
                Stage::Fetch(_) => self.feed.wants(*lease),
                Stage::Stuck => false,
            };
            match partition.retry.filter(|retry| *retry > now) {
                _ if !wanted || partition.errand.is_some() => {}
                Some(retry) => self.wake = sooner(self.wake, retry),
                None => ready.push(*lease),
            }
        }
        ready
    }

    /// Goes on with what was fetched and not read yet. `false` if there is nothing.
    fn read_on(&mut self, lease: LeaseId) -> bool {
        let room = usize::try_from(self.config.partition_max_bytes).unwrap_or(0).max(1);
        let Some(partition) = self.partitions.get_mut(&lease) else { return false };
        let Stage::Fetch(place) = &mut partition.stage else { return false };
        let Some(unread) = place.unread.take() else { return false };
        self.send(Kind::Read, vec![lease], errands::read(lease, unread, room));
        true
    }

    /// Finds the broker to ask, and what to ask it.
    fn route(
        &mut self,
        now: Instant,
        lease: LeaseId,
        topics: &mut BTreeMap<Name, Option<Arc<Topic>>>,
        due: &mut BTreeMap<i32, Due>,
    ) {
        let Some(partition) = self.partitions.get(&lease) else { return };
        let name = partition.name.clone();
        let known = topics.entry(name.topic.clone());
        let known = known.or_insert_with_key(|topic| self.cluster.known(topic));
        let Some(topic) = known.clone() else { return };
        let Some(leader) = topic.leader(name.partition) else {
            return self.cluster.mark_stale(&name.topic);
        };
        self.check_topic(lease, &topic);
        let Some(partition) = self.partitions.get_mut(&lease) else { return };
        match &partition.stage {
            Stage::Stuck => {}
            Stage::Locate(at) => {
                let ask = Ask { partition: name, leader_epoch: leader.epoch, at: *at };
                due.entry(leader.broker).or_default().locate.push((lease, ask));
            }
            Stage::Fetch(place) if place.is_doubtful(leader) => {
                let epoch = place.epoch;
                let ask = epochs::Ask { partition: name, leader_epoch: leader.epoch, epoch };
                due.entry(leader.broker).or_default().compare.push((lease, ask));
            }
            Stage::Fetch(place) => {
                let asked = Asked {
                    lease,
                    partition: name,
                    topic_id: topic.id,
                    leader_epoch: leader.epoch,
                    offset: place.offset,
                };
                let broker = partition.source(leader, now);
                due.entry(broker).or_default().fetch.push((partition.turn, asked));
            }
        }
    }

    fn locate(&mut self, broker: i32, asks: Vec<(LeaseId, Ask)>) {
        if asks.is_empty() {
            return;
        }
        let (leases, asks): (Vec<LeaseId>, Vec<Ask>) = asks.into_iter().unzip();
        let (cluster, isolation) = (self.cluster.clone(), self.config.isolation);
        self.send(Kind::Locate, leases, async move {
            Outcome::Located(offsets::list_offsets(&cluster, broker, isolation, &asks).await)
        });
    }

    fn compare(&mut self, broker: i32, asks: Vec<(LeaseId, epochs::Ask)>) {
        if asks.is_empty() {
            return;
        }
        let (leases, asks): (Vec<LeaseId>, Vec<epochs::Ask>) = asks.into_iter().unzip();
        let cluster = self.cluster.clone();
        self.send(Kind::Compare, leases, async move {
            let ends = epochs::compare(&cluster, broker, &asks).await;
            Outcome::Compared(asks, ends)
        });
    }

    /// Sends a fetch over a lane that is free, or connects it first.
    fn fetch(&mut self, now: Instant, broker: i32, mut due: Vec<(u64, Asked)>) {
        if due.is_empty() {
            return;
        }
        let config = self.cluster.config();
        let lanes = self.brokers.entry(broker);
        let lanes = lanes.or_insert_with(|| std::array::from_fn(|_| Lane::new(config)));
        let Some(lane) = free(lanes) else { return };
        if let Some(pause) = lanes[lane].pause.filter(|pause| *pause > now) {
            self.wake = sooner(self.wake, pause);
            return;
        }
        let Some(mut line) = lanes[lane].line.take() else { return };
        let standing = line.standing();
        lanes[lane].fetching = standing.is_some();
        // What was served longest ago goes first, since a broker fills its answer from the front.
        due.sort_by_key(|(turn, _)| *turn);
        let asked: Vec<Asked> = due.into_iter().map(|(_, asked)| asked).collect();
        let leases = asked.iter().map(|asked| asked.lease).collect();
        let cluster = self.cluster.clone();
        let Some(connection) = standing else {
            let connecting = errands::connect(cluster, line, broker);
            return self.send(Kind::Connect { broker, lane }, leases, connecting);
        };
        let wait = self.config.max_wait / SHORTER.pow(u32::try_from(lane).unwrap_or(0));
        let config = self.config.clone();
        let fetching = Fetching { cluster, config, line, connection, asked, wait };
        self.send(Kind::Fetch { broker, lane }, leases, fetching.run());
    }

    /// Asks for metadata of those topics of which what is known is wrong or old.
    fn refresh<'a>(&mut self, now: Instant, topics: impl Iterator<Item = &'a Name>) {
        if self.metadata.out {
            return;
        }
        let missing = |topic: &&Name| self.cluster.fresh(topic).is_none();
        let topics: Vec<Name> = topics.filter(missing).cloned().collect();
        if topics.is_empty() {
            return;
        }
        if self.metadata.next > now {
            self.wake = sooner(self.wake, self.metadata.next);
            return;
        }
        self.metadata.out = true;
        self.send(Kind::Refresh, Vec::new(), errands::refresh(self.cluster.clone(), topics));
    }

    /// Spawns an errand. While it connects, its leases may be served otherwise.
    fn send(
        &mut self,
        kind: Kind,
        leases: Vec<LeaseId>,
        errand: impl Future<Output = Outcome> + Send + 'static,
    ) {
        self.last_errand += 1;
        let number = self.last_errand;
        if !matches!(kind, Kind::Connect { .. }) {
            for lease in &leases {
                if let Some(partition) = self.partitions.get_mut(lease) {
                    partition.errand = Some(number);
                }
            }
        }
        let id = self.tasks.spawn(errand.in_current_span()).id();
        self.works.insert(id, Work { errand: number, leases, kind });
    }
}

impl Lane {
    fn new(config: &ClientConfig) -> Lane {
        Lane {
            line: Some(Line::new(config)),
            fetching: false,
            pause: None,
            backoff: Backoff::new(config.retry_backoff),
        }
    }
}

/// The first lane, or the second while a fetch is out on the first.
fn free(lanes: &[Lane; LANES]) -> Option<usize> {
    let first = lanes.iter().position(|lane| lane.line.is_some())?;
    lanes[..first].iter().all(|lane| lane.fetching).then_some(first)
}

fn sooner(wake: Option<Instant>, at: Instant) -> Option<Instant> {
    Some(wake.map_or(at, |wake| wake.min(at)))
}
