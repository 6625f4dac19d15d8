//! OffsetCommit and OffsetFetch. Nothing here asks who owns a partition: a commit under the
//! present generation is taken for any (SPEC G8).

use alloc::vec::Vec;

use handover_machine::{
    ErrorCode, FetchedOffset, Identity, Name, OffsetCommit, OffsetCommitted, OffsetFetch,
    OffsetToCommit, OffsetsFetched, Time, TopicPartition,
};

use super::{
    Client, Coordinator, CoordinatorConfig,
    group::{Group, Phase},
};

/// A committed offset.
///
/// ```
/// use handover_world::{Coordinator, CoordinatorConfig};
///
/// let coordinator = Coordinator::new(CoordinatorConfig::default());
/// assert_eq!(coordinator.offsets("orders").count(), 0);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Committed {
    /// The next offset to be consumed.
    pub offset: i64,
    /// The leader epoch of the last record consumed, or -1.
    pub leader_epoch: i32,
    /// The application's note; empty if there was none.
    pub metadata: Name,
}

impl Coordinator {
    /// The committed offsets of a group, in the order of the partitions.
    pub fn offsets(&self, group: &str) -> impl Iterator<Item = (&TopicPartition, &Committed)> {
        self.groups.get(group).into_iter().flat_map(|group| &group.offsets)
    }

    pub(super) fn commit(
        &mut self,
        now: Time,
        client: &Client,
        request: OffsetCommit,
    ) -> OffsetCommitted {
        let answered = |partitions| OffsetCommitted { partitions };
        if let Err(error) = self.check_commit(now, client, &request) {
            let refused = request.offsets.into_iter().map(|o| (o.partition, error));
            return answered(refused.collect());
        }
        let limit = self.config.offset_metadata_max;
        let too_large = |o: &OffsetToCommit| {
            o.metadata.as_ref().is_some_and(|m| m.encode_utf16().count() > limit)
        };
        let fits = fits_one_batch(&self.config, &request, too_large);
        let group = self.groups.entry(request.group).or_default();
        let mut partitions = Vec::with_capacity(request.offsets.len());
        for offset in request.offsets {
            let error = match (fits, too_large(&offset)) {
                (false, _) => ErrorCode::UnknownServerError,
                (true, true) => ErrorCode::OffsetMetadataTooLarge,
                (true, false) => ErrorCode::None,
            };
            partitions.push((offset.partition.clone(), error));
            if error.is_none() {
                let committed = Committed {
                    offset: offset.offset,
                    leader_epoch: offset.leader_epoch,
                    metadata: offset.metadata.unwrap_or_default(),
                };
                group.offsets.insert(offset.partition, committed);
            }
        }
        answered(partitions)
    }

    fn check_commit(
        &mut self,
        now: Time,
        client: &Client,
        request: &OffsetCommit,
    ) -> Result<(), ErrorCode> {
        match self.groups.get_mut(&request.group) {
            Some(group) => group.check_commit(now, &request.identity),
            None if request.identity.generation < 0 => Ok(()),
            None if client.version >= 9 => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// Offset -1 for what was never committed; a group that is not there has nothing committed.
    pub(super) fn fetch(&self, request: OffsetFetch) -> OffsetsFetched {
        let group = self.groups.get(&request.group);
        let fetched = |partition: &TopicPartition, committed: Option<&Committed>| FetchedOffset {
            partition: partition.clone(),
            offset: committed.map_or(-1, |c| c.offset),
            leader_epoch: committed.map_or(-1, |c| c.leader_epoch),
            metadata: Some(committed.map(|c| c.metadata.clone()).unwrap_or_default()),
            error: ErrorCode::None,
        };
        let offsets = match &request.partitions {
            Some(asked) => {
                let find = |p: &TopicPartition| fetched(p, group.and_then(|g| g.offsets.get(p)));
                asked.iter().map(find).collect()
            }
            None => {
                let all = group.into_iter().flat_map(|g| &g.offsets);
                all.map(|(p, c)| fetched(p, Some(c))).collect()
            }
        };
        OffsetsFetched { error: ErrorCode::None, offsets }
    }
}

impl Group {
    /// SPEC G7 (`ClassicGroup.validateOffsetCommit`, `OffsetMetadataManager`). A good commit
    /// keeps the session.
    fn check_commit(&mut self, now: Time, identity: &Identity) -> Result<(), ErrorCode> {
        if identity.generation < 0 && self.phase == Phase::Empty {
            return Ok(());
        }
        let anonymous =
            identity.generation < 0 && identity.member.is_empty() && identity.instance.is_none();
        if anonymous {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&identity.member, identity.instance.as_ref())?;
        if identity.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.phase == Phase::Completing {
            return Err(ErrorCode::RebalanceInProgress);
        }
        if let Some(member) = self.members.get_mut(&identity.member) {
            member.touch(now);
        }
        Ok(())
    }
}

/// A commit is one atomic batch in the offsets topic, and one that is too big is refused whole.
/// The sizes are about those of `OffsetCommitKey` and of `OffsetCommitValue` with a topic id, and
/// of the frames of a record and a batch.
fn fits_one_batch(
    config: &CoordinatorConfig,
    request: &OffsetCommit,
    left_out: impl Fn(&OffsetToCommit) -> bool,
) -> bool {
    const BATCH: usize = 61;
    const FRAME: usize = 10;
    const KEY: usize = 2 + 2 + 2 + 4;
    const VALUE: usize = 2 + 8 + 4 + 2 + 8 + 1 + 18;
    let record = |o: &OffsetToCommit| {
        let metadata = o.metadata.as_ref().map_or(0, |m| m.len());
        FRAME + KEY + request.group.len() + o.partition.topic.len() + VALUE + metadata
    };
    let kept = request.offsets.iter().filter(|o| !left_out(o));
    BATCH + kept.map(record).sum::<usize>() <= config.commit_batch_max
}
