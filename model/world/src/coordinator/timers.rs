//! What happens because nothing happened: sessions, the join phase, missing SyncGroups.

use alloc::vec::Vec;

use handover_machine::{Name, Time};

use super::{
    Coordinator, Turn,
    group::{Group, Phase},
};

/// A group's timer. Of timers due at the same moment the first in this order fires first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    Join,
    Sync,
    /// Of a member or of a pending id.
    Session(Name),
}

impl Coordinator {
    /// The next moment at which something happens by itself; `NEVER` if nothing does.
    pub fn next_wake(&self) -> Time {
        self.groups
            .values()
            .filter_map(Group::next_timer)
            .map(|(at, _)| at)
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// Lets everything happen that is due by `now`. Any other moment does no harm.
    pub fn wake(&mut self, now: Time) {
        let names: Vec<Name> = self.groups.keys().cloned().collect();
        let (groups, mut turn) = self.turn(now);
        for name in names {
            let Some(group) = groups.get_mut(&name) else { continue };
            while let Some((_, timer)) = group.next_timer().filter(|(at, _)| *at <= now) {
                group.fire(&mut turn, &timer);
            }
        }
    }
}

impl Group {
    fn next_timer(&self) -> Option<(Time, Timer)> {
        let join = match self.phase {
            Phase::Preparing { deadline, .. } => Some((deadline, Timer::Join)),
            _ => None,
        };
        let sync = self.sync_deadline.map(|at| (at, Timer::Sync));
        let pending = self.pending.iter().map(|(id, at)| (at, id));
        let sessions = self.members.iter().map(|(id, member)| (&member.session, id));
        let session = pending.chain(sessions).min();
        let session = session.map(|(at, id)| (*at, Timer::Session(id.clone())));
        let timers = [join, sync, session].into_iter().flatten();
        timers.filter(|(at, _)| *at < Time::NEVER).min()
    }

    fn fire(&mut self, turn: &mut Turn<'_>, timer: &Timer) {
        match timer {
            Timer::Join => self.join_timer(turn),
            Timer::Sync => self.sync_timer(turn),
            Timer::Session(id) => self.session_timer(turn, id),
        }
    }

    /// Members that got a generation and never asked for their assignment go
    /// (`expirePendingSync`).
    fn sync_timer(&mut self, turn: &mut Turn<'_>) {
        self.sync_deadline = None;
        for id in core::mem::take(&mut self.unsynced) {
            self.remove(&id);
        }
        self.prepare_rebalance(turn);
    }

    /// SPEC G4. A parked request keeps its sender alive, save in the first join of all
    /// (`expireClassicGroupMemberHeartbeat`, `ClassicGroupMember.hasSatisfiedHeartbeat`).
    fn session_timer(&mut self, turn: &mut Turn<'_>, id: &Name) {
        if self.pending.contains_key(id) {
            self.remove(id);
        } else if let Some(member) = self.members.get_mut(id) {
            let parked = member.joining.is_some() || member.syncing.is_some();
            if parked && !member.fresh {
                member.session = Time::NEVER;
                return;
            }
            self.remove_member(turn, id);
            if matches!(self.phase, Phase::Completing | Phase::Stable) {
                self.prepare_rebalance(turn);
                return;
            }
        }
        if matches!(self.phase, Phase::Preparing { .. }) && self.all_joined() {
            self.complete_join(turn);
        }
    }
}
