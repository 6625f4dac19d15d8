//! LeaveGroup: by a member, or by an administrator for several.

use alloc::vec::Vec;

use handover_machine::{ErrorCode, LeaveGroup, Leaver, Left, Time};

use super::{
    Coordinator, Turn,
    group::{Group, Phase},
};

impl Coordinator {
    pub(super) fn leave(&mut self, now: Time, request: LeaveGroup) -> Left {
        let (groups, mut turn) = self.turn(now);
        let mut group = groups.get_mut(&request.group);
        let mut members = Vec::with_capacity(request.members.len());
        for leaver in request.members {
            let error = match &mut group {
                Some(group) => group.leave(&mut turn, &leaver).err().unwrap_or(ErrorCode::None),
                None => ErrorCode::UnknownMemberId,
            };
            members.push((leaver.member, leaver.instance, error));
        }
        let anyone = members.iter().any(|(_, _, error)| error.is_none());
        if let Some(group) = group.filter(|_| anyone) {
            group.after_leave(&mut turn);
        }
        Left { error: ErrorCode::None, members }
    }
}

impl Group {
    fn leave(&mut self, turn: &mut Turn<'_>, leaver: &Leaver) -> Result<(), ErrorCode> {
        let id = if leaver.member.is_empty() {
            let known = leaver.instance.as_ref().and_then(|i| self.instance_member(i));
            known.ok_or(ErrorCode::UnknownMemberId)?.clone()
        } else {
            if !self.pending.contains_key(&leaver.member) {
                self.check_member(&leaver.member, leaver.instance.as_ref())?;
            }
            leaver.member.clone()
        };
        self.remove_member(turn, &id);
        Ok(())
    }

    /// Any departure from a stable group moves it, also that of an id that never joined
    /// (`classicGroupLeaveToClassicGroup`).
    fn after_leave(&mut self, turn: &mut Turn<'_>) {
        if self.phase != Phase::Empty {
            self.prepare_or_complete(turn);
        }
    }
}
