//! The bridge to the world's coordinator: which node serves which group, who waits for which
//! answer, and when to come back.
//!
//! Each group has a coordinator of its own, so that one group can move and leave the others where
//! they are (SPEC Y3). A move is what it is in Kafka: a reload from records.

use std::collections::{BTreeMap, HashMap, HashSet};

use handover_machine::{
    ErrorCode, FoundCoordinator, Joined, Left, Name, OffsetCommitted, OffsetsFetched, Request,
    Response, Synced, Time, TopicPartition,
};
use handover_world::{
    Caller, Client, Committed, Coordinator, CoordinatorConfig, GroupDescription, GroupListing,
};
use tokio::sync::oneshot;

/// Groups that are kept. Clients choose the names, so something must bound them (SPEC Y6).
const GROUP_LIMIT: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Groups {
    config: CoordinatorConfig,
    /// How many nodes there are: a new group's home is one of them by its hash.
    nodes: usize,
    hosted: BTreeMap<Name, Hosted>,
    callers: u64,
}

/// A group and where it is.
#[derive(Debug)]
struct Hosted {
    /// The node that coordinates it; `None` while no node is up.
    node: Option<i32>,
    coordinator: Coordinator,
    /// Whose answer is still to come.
    waiting: HashMap<Caller, oneshot::Sender<Response>>,
    /// It gave member ids, which must never be given again, or was moved by hand.
    kept: bool,
}

impl Groups {
    pub(crate) fn new(config: CoordinatorConfig, nodes: usize) -> Groups {
        Groups { config, nodes, hosted: BTreeMap::new(), callers: 0 }
    }

    /// The node that coordinates `group`, of those that are up.
    pub(crate) fn node_of(&self, group: &str, live: &[i32]) -> Option<i32> {
        match self.hosted.get(group) {
            Some(hosted) => hosted.node,
            None => home(group, self.nodes, live),
        }
    }

    /// Gives a request that reached the node `at.0`, of those that are up, to the group's
    /// coordinator. The answer comes by the receiver; if the receiver fails there will be none,
    /// as Kafka too loses a parked request whose member sent it again or left.
    pub(crate) fn handle(
        &mut self,
        now: Time,
        at: (i32, &[i32]),
        client: &Client,
        request: Request,
    ) -> oneshot::Receiver<Response> {
        self.callers += 1;
        let caller = Caller(self.callers);
        let (sender, receiver) = oneshot::channel();
        let group = group_of(&request).clone();
        if let Err(error) = self.admit(&group, at) {
            // The receiver is at hand, so this can't fail.
            let _ = sender.send(refuse(&request, error));
            return receiver;
        }
        let config = &self.config;
        let hosted = self.hosted.entry(group.clone()).or_insert_with(|| Hosted::new(config, at.0));
        let may_park = !matches!(request, Request::Heartbeat(_) | Request::OffsetCommit(_));
        hosted.kept |= matches!(request, Request::JoinGroup(_));
        hosted.waiting.insert(caller, sender);
        hosted.coordinator.handle(now, caller, client, request);
        hosted.settle(may_park);
        if !hosted.kept && hosted.is_empty() {
            self.hosted.remove(&group);
        }
        receiver
    }

    /// Moves `group` to `node`, as its records would: parked requests get NOT_COORDINATOR.
    pub(crate) fn move_to(&mut self, now: Time, group: &str, node: i32) {
        let config = &self.config;
        let fresh = || Hosted::new(config, node);
        let hosted = self.hosted.entry(Name::from(group)).or_insert_with(fresh);
        hosted.kept = true;
        hosted.relocate(now, Some(node));
    }

    /// Groups whose node is not among `live` move to one that is, or wait for one.
    pub(crate) fn elect(&mut self, now: Time, live: &[i32]) {
        for (name, hosted) in &mut self.hosted {
            if !hosted.node.is_some_and(|node| live.contains(&node)) {
                hosted.relocate(now, home(name, self.nodes, live));
            }
        }
    }

    /// When [`Groups::wake`] is due.
    pub(crate) fn next_wake(&self) -> Time {
        let wakes = self.hosted.values().map(|hosted| hosted.coordinator.next_wake());
        wakes.min().unwrap_or(Time::NEVER)
    }

    /// Lets everything happen that is due by `now`.
    pub(crate) fn wake(&mut self, now: Time) {
        let due = |hosted: &&mut Hosted| hosted.coordinator.next_wake() <= now;
        for hosted in self.hosted.values_mut().filter(due) {
            hosted.coordinator.wake(now);
            hosted.settle(true);
        }
    }

    /// The group, asked at `node`.
    pub(crate) fn describe(
        &self,
        group: &str,
        at: (i32, &[i32]),
    ) -> Result<GroupDescription, ErrorCode> {
        if self.node_of(group, at.1) != Some(at.0) {
            return Err(ErrorCode::NotCoordinator);
        }
        self.look(group).ok_or(ErrorCode::GroupIdNotFound)
    }

    /// The group, wherever it is.
    pub(crate) fn look(&self, group: &str) -> Option<GroupDescription> {
        self.hosted.get(group)?.coordinator.describe(group).ok()
    }

    /// Whom a rebalance of the group waits for.
    pub(crate) fn awaited(&self, group: &str) -> Vec<Name> {
        self.hosted.get(group).map(|hosted| hosted.coordinator.awaited(group)).unwrap_or_default()
    }

    /// The groups that `node` coordinates.
    pub(crate) fn list(&self, node: i32) -> Vec<GroupListing> {
        let here = self.hosted.values().filter(|hosted| hosted.node == Some(node));
        here.filter_map(|hosted| hosted.coordinator.list().ok()).flatten().collect()
    }

    /// Deletes a group without members, with its offsets.
    pub(crate) fn delete(&mut self, group: &str, at: (i32, &[i32])) -> Result<(), ErrorCode> {
        self.existing(group, at)?.delete_group(group)
    }

    /// Deletes committed offsets.
    pub(crate) fn delete_offsets(
        &mut self,
        group: &str,
        at: (i32, &[i32]),
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, ErrorCode)>, ErrorCode> {
        self.existing(group, at)?.delete_offsets(group, partitions)
    }

    /// A deleted topic's offsets go with it.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.hosted.values_mut().for_each(|hosted| hosted.coordinator.forget_topic(topic));
    }

    /// The committed offsets of a group, in the order of the partitions.
    pub(crate) fn committed(&self, group: &str) -> Vec<(TopicPartition, Committed)> {
        let Some(hosted) = self.hosted.get(group) else { return Vec::new() };
        let offsets = hosted.coordinator.offsets(group);
        offsets.map(|(partition, committed)| (partition.clone(), committed.clone())).collect()
    }

    fn existing(&mut self, group: &str, at: (i32, &[i32])) -> Result<&mut Coordinator, ErrorCode> {
        self.admit(group, at)?;
        let hosted = self.hosted.get_mut(group).ok_or(ErrorCode::GroupIdNotFound)?;
        Ok(&mut hosted.coordinator)
    }

    /// Whether the node `at.0` may serve `group`.
    fn admit(&self, group: &str, (node, live): (i32, &[i32])) -> Result<(), ErrorCode> {
        if self.node_of(group, live) != Some(node) {
            return Err(ErrorCode::NotCoordinator);
        }
        if self.hosted.len() >= GROUP_LIMIT && !self.hosted.contains_key(group) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        Ok(())
    }
}

impl Hosted {
    fn new(config: &CoordinatorConfig, node: i32) -> Hosted {
        let coordinator = Coordinator::new(config.clone());
        Hosted { node: Some(node), coordinator, waiting: HashMap::new(), kept: false }
    }

    /// Moves to `node`; without one, nobody serves the group.
    fn relocate(&mut self, now: Time, node: Option<i32>) {
        self.node = node;
        self.coordinator.unload();
        if node.is_some() {
            self.coordinator.load(now);
        }
        self.settle(true);
    }

    fn is_empty(&self) -> bool {
        self.coordinator.list().is_ok_and(|groups| groups.is_empty())
    }

    /// Hands out the answers; if `lossy`, also forgets those who will get none.
    fn settle(&mut self, lossy: bool) {
        while let Some((caller, answer)) = self.coordinator.poll_answer() {
            if let Some(sender) = self.waiting.remove(&caller) {
                // The connection may be gone with its node: then nobody is there to be told.
                let _ = sender.send(answer);
            }
        }
        if lossy && !self.waiting.is_empty() {
            let parked: HashSet<Caller> = self.coordinator.parked().collect();
            self.waiting.retain(|caller, _| parked.contains(caller));
        }
    }
}

/// The node that a group belongs to: by Java's hash of its name, as
/// `GroupCoordinatorService.partitionFor` has it, and the next one that is up.
fn home(group: &str, nodes: usize, live: &[i32]) -> Option<i32> {
    let java = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = group.encode_utf16().fold(0, java) & i32::MAX;
    let first = i32::try_from(hash as usize % nodes.max(1)).unwrap_or(0) + 1;
    live.iter().find(|node| **node >= first).or(live.first()).copied()
}

fn group_of(request: &Request) -> &Name {
    match request {
        Request::FindCoordinator(request) => &request.group,
        Request::JoinGroup(request) => &request.group,
        Request::SyncGroup(request) => &request.group,
        Request::Heartbeat(request) => &request.group,
        Request::LeaveGroup(request) => &request.group,
        Request::OffsetCommit(request) => &request.group,
        Request::OffsetFetch(request) => &request.group,
    }
}

/// The answer to a request that is refused as a whole.
pub(crate) fn refuse(request: &Request, error: ErrorCode) -> Response {
    match request {
        Request::FindCoordinator(_) => {
            Response::FindCoordinator(FoundCoordinator { error, node: None })
        }
        Request::JoinGroup(request) => Response::JoinGroup(Joined {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: Name::default(),
            member: request.member.clone(),
            skip_assignment: false,
            members: Vec::new(),
        }),
        Request::SyncGroup(_) => Response::SyncGroup(Synced {
            error,
            protocol_type: None,
            protocol: None,
            assignment: Vec::new(),
        }),
        Request::Heartbeat(_) => Response::Heartbeat(error),
        Request::LeaveGroup(_) => Response::LeaveGroup(Left { error, members: Vec::new() }),
        Request::OffsetCommit(request) => {
            let refused = request.offsets.iter().map(|offset| (offset.partition.clone(), error));
            Response::OffsetCommit(OffsetCommitted { partitions: refused.collect() })
        }
        Request::OffsetFetch(_) => {
            Response::OffsetFetch(OffsetsFetched { error, offsets: Vec::new() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_belongs_to_the_node_of_its_hash_or_the_next_that_is_up() {
        // "orders".hashCode() is -1008770331, which without its sign leaves 0 of 3.
        let hash: i32 = -1_008_770_331;
        let expected = (hash & i32::MAX) % 3 + 1;
        assert_eq!(home("orders", 3, &[1, 2, 3]), Some(expected));
        let without: Vec<i32> = (1..=3).filter(|node| *node != expected).collect();
        let next = without.iter().find(|node| **node > expected).unwrap_or(&without[0]);
        assert_eq!(home("orders", 3, &without), Some(*next));
        assert_eq!(home("orders", 3, &[]), None);
    }
}
