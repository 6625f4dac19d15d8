//! SyncGroup: the leader's plan in, everybody's assignment out.

use alloc::{collections::BTreeMap, vec::Vec};

use handover_machine::{ErrorCode, Name, SyncGroup, Synced, Time};

use super::{
    Caller, Coordinator, Turn,
    group::{Group, Phase},
    not_synced,
};

impl Coordinator {
    /// `None` if the request is parked or answered with the others'.
    pub(super) fn sync(&mut self, now: Time, caller: Caller, request: SyncGroup) -> Option<Synced> {
        let (groups, mut turn) = self.turn(now);
        match groups.get_mut(&request.group) {
            Some(group) if group.phase != Phase::Empty => group.sync(&mut turn, caller, request),
            _ => Some(not_synced(ErrorCode::UnknownMemberId)),
        }
    }
}

impl Group {
    /// `GroupMetadataManager.classicGroupSyncToClassicGroup`.
    fn sync(&mut self, turn: &mut Turn<'_>, caller: Caller, request: SyncGroup) -> Option<Synced> {
        if let Err(error) = self.check_sync(&request) {
            return Some(not_synced(error));
        }
        let id = request.identity.member;
        match self.phase {
            Phase::Empty | Phase::Preparing { .. } => {
                Some(not_synced(ErrorCode::RebalanceInProgress))
            }
            Phase::Completing => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.syncing = Some(caller);
                }
                self.saw_sync(&id);
                if self.is_leader(&id) {
                    self.take_plan(turn, request.assignments);
                }
                None
            }
            Phase::Stable => {
                self.saw_sync(&id);
                let assignment = self.members.get(&id).map_or(&[][..], |m| &m.assignment);
                Some(self.synced(assignment))
            }
        }
    }

    fn check_sync(&self, request: &SyncGroup) -> Result<(), ErrorCode> {
        let identity = &request.identity;
        self.check_member(&identity.member, identity.instance.as_ref())?;
        if identity.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |theirs: &Option<Name>, ours: &Option<Name>| {
            theirs.is_some() && ours.is_some() && theirs != ours
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn saw_sync(&mut self, id: &str) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_deadline = None;
        }
    }

    /// Whoever the leader left out gets nothing; whoever it made up is passed over.
    fn take_plan(&mut self, turn: &mut Turn<'_>, plan: Vec<(Name, Vec<u8>)>) {
        let mut plan: BTreeMap<Name, Vec<u8>> = plan.into_iter().collect();
        for (id, member) in &mut self.members {
            member.assignment = plan.remove(id).unwrap_or_default();
        }
        self.persist();
        self.answer_syncs(turn, ErrorCode::None);
        self.phase = Phase::Stable;
    }
}
