//! How a rebalance begins, goes on and ends; the part that join, sync, leave and the timers
//! share. Follows `GroupMetadataManager`.

use alloc::vec::Vec;
use core::time::Duration;

use handover_machine::{ErrorCode, Name};

use super::{
    Turn,
    group::{Delay, Group, Phase},
    not_joined, not_synced,
};

impl Group {
    /// Begins a rebalance, or ends the join phase of the present one if nobody is missing.
    pub(super) fn prepare_or_complete(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Preparing { .. } => self.maybe_complete_join(turn),
            Phase::Empty | Phase::Completing | Phase::Stable => self.prepare_rebalance(turn),
        }
    }

    /// Asks everybody to join. Whoever has a SyncGroup parked is told; the others learn it from
    /// their heartbeats.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.phase == Phase::Completing {
            for member in self.members.values_mut() {
                member.assignment.clear();
            }
            self.answer_syncs(turn, ErrorCode::RebalanceInProgress);
        }
        self.unsynced.clear();
        self.sync_deadline = None;

        let timeout = self.rebalance_timeout();
        if self.phase == Phase::Empty {
            let round = turn.config.initial_rebalance_delay;
            let remaining = timeout.saturating_sub(round);
            let delay = Some(Delay { round, remaining });
            self.phase = Phase::Preparing { deadline: turn.now + round, initial: true, delay };
            return;
        }
        self.phase = Phase::Preparing { deadline: turn.now + timeout, initial: false, delay: None };
        if self.all_joined() {
            self.complete_join(turn);
        }
    }

    /// Ends the join phase if nobody is missing. The first one of a group that was empty ends by
    /// its timer alone (`maybeCompleteJoinPhase`).
    pub(super) fn maybe_complete_join(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Preparing { initial: false, .. }) && self.all_joined() {
            self.complete_join(turn);
        }
    }

    /// The join timer fired: another round of the initial delay if a member came in this one,
    /// else the end of the join phase.
    pub(super) fn join_timer(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Preparing { deadline, delay: Some(delay), .. } = &mut self.phase {
            if self.newcomer && !delay.remaining.is_zero() {
                let round = delay.remaining.min(turn.config.initial_rebalance_delay);
                let remaining = delay.remaining.saturating_sub(delay.round);
                *delay = Delay { round, remaining };
                *deadline = turn.now + round;
                self.newcomer = false;
                return;
            }
        }
        self.complete_join(turn);
    }

    /// Ends the join phase: removes dynamic members that are missing, keeps static ones, and
    /// opens the next generation (`completeClassicGroupJoin`). It is in no record until the
    /// leader syncs (SPEC G9).
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        let missing = self.members.iter();
        let missing = missing.filter(|(_, m)| m.joining.is_none() && m.instance.is_none());
        let missing: Vec<Name> = missing.map(|(id, _)| id.clone()).collect();
        for id in missing {
            self.remove(&id);
        }
        if self.members.is_empty() {
            self.generation += 1;
            self.protocol = None;
            self.phase = Phase::Empty;
            self.persist();
            return;
        }
        if !self.elect_joined_leader() {
            // Only static members are left, and none of them came: wait for their sessions. At
            // least a moment, or a rebalance timeout of zero would never let `wake` return.
            let deadline = turn.now + self.rebalance_timeout().max(Duration::from_millis(1));
            if let Phase::Preparing { deadline: timer, delay, .. } = &mut self.phase {
                *timer = deadline;
                *delay = None;
            }
            return;
        }
        self.generation += 1;
        self.protocol = self.elect_protocol();
        self.phase = Phase::Completing;
        self.answer_joins(turn);
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_deadline = Some(turn.now + self.rebalance_timeout());
    }

    fn answer_joins(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<Name> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.joined(&id, self.is_leader(&id));
            if let Some(member) = self.members.get_mut(&id) {
                if let Some(caller) = member.joining.take() {
                    turn.answer_join(caller, answer);
                }
                member.touch(turn.now);
                member.fresh = false;
            }
        }
    }

    /// Answers the parked SyncGroups, with the assignments if `error` is none. Only those
    /// members' sessions start anew.
    pub(super) fn answer_syncs(&mut self, turn: &mut Turn<'_>, error: ErrorCode) {
        let template = match error {
            ErrorCode::None => self.synced(&[]),
            error => not_synced(error),
        };
        for member in self.members.values_mut() {
            if let Some(caller) = member.syncing.take() {
                let mut answer = template.clone();
                answer.assignment.clone_from(&member.assignment);
                turn.answer_sync(caller, answer);
                member.touch(turn.now);
            }
        }
    }

    /// A leader that did not come is replaced by the first member that did; false if none did.
    fn elect_joined_leader(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.is_some_and(|member| member.joining.is_some()) {
            return true;
        }
        let came = self.members.iter().find(|(_, member)| member.joining.is_some());
        let Some((id, _)) = came else { return false };
        self.leader = Some(id.clone());
        true
    }

    /// Removes a member, answering its parked JoinGroup so that it may try again.
    pub(super) fn remove_member(&mut self, turn: &mut Turn<'_>, id: &str) {
        let joining = self.members.get_mut(id).and_then(|member| member.joining.take());
        if let Some(caller) = joining {
            turn.answer_join(caller, not_joined(Name::default(), ErrorCode::UnknownMemberId));
        }
        self.remove(id);
    }
}
