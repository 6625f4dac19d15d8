//! Heartbeat: keeps the session, and tells of a rebalance.

use handover_machine::{ErrorCode, Heartbeat, Time};

use super::{
    Coordinator,
    group::{Group, Phase},
};

impl Coordinator {
    pub(super) fn heartbeat(&mut self, now: Time, request: &Heartbeat) -> ErrorCode {
        match self.groups.get_mut(&request.group) {
            Some(group) => group.heartbeat(now, request).err().unwrap_or(ErrorCode::None),
            None => ErrorCode::UnknownMemberId,
        }
    }
}

impl Group {
    /// A member may beat between JoinGroup's answer and SyncGroup's: it is told nothing then
    /// (`GroupMetadataManager.classicGroupHeartbeatToClassicGroup`).
    fn heartbeat(&mut self, now: Time, request: &Heartbeat) -> Result<(), ErrorCode> {
        let identity = &request.identity;
        self.check_member(&identity.member, identity.instance.as_ref())?;
        if identity.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if let Some(member) = self.members.get_mut(&identity.member) {
            member.touch(now);
        }
        match self.phase {
            Phase::Preparing { .. } => Err(ErrorCode::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(()),
            // Has no members, so the check above has refused it.
            Phase::Empty => Err(ErrorCode::UnknownMemberId),
        }
    }
}
