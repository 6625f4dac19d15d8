//! JoinGroup: the many ways into a group, or into its next generation. Follows the
//! `classicGroupJoin…` methods of `GroupMetadataManager`.

use handover_machine::{ErrorCode, JoinGroup, Joined, Name, Time};

use super::{
    Caller, Client, Coordinator, Turn,
    group::{Group, Member, Phase},
    not_joined, not_synced,
};

/// A JoinGroup on its way.
struct Joining<'a> {
    caller: Caller,
    client: &'a Client,
    request: JoinGroup,
}

impl Coordinator {
    pub(super) fn join(&mut self, now: Time, caller: Caller, client: &Client, request: JoinGroup) {
        let (groups, mut turn) = self.turn(now);
        if !groups.contains_key(&request.group) {
            if !request.member.is_empty() {
                let unknown = not_joined(request.member, ErrorCode::UnknownMemberId);
                return turn.answer_join(caller, unknown);
            }
            // A new group is written down at once, before it has a member.
            let mut group = Group::default();
            group.persist();
            groups.insert(request.group.clone(), group);
        }
        if let Some(group) = groups.get_mut(&request.group) {
            group.join(&mut turn, Joining { caller, client, request });
        }
    }
}

impl Group {
    fn join(&mut self, turn: &mut Turn<'_>, joining: Joining<'_>) {
        let request = &joining.request;
        let refused = if !self.has_room(turn, &request.member) {
            self.remove(&request.member);
            Some((Name::default(), ErrorCode::GroupMaxSizeReached))
        } else if !self.supports(&request.protocol_type, &request.protocols) {
            Some((request.member.clone(), ErrorCode::InconsistentGroupProtocol))
        } else {
            None
        };
        match refused {
            Some((member, error)) => turn.answer_join(joining.caller, not_joined(member, error)),
            None if !request.member.is_empty() => self.join_known(turn, joining),
            None if request.instance.is_some() => self.join_static(turn, joining),
            None => self.join_dynamic(turn, joining),
        }
    }

    /// While a rebalance prepares, those that wait count, so that of too many members the last
    /// to rejoin are put out; later all members do (`acceptJoiningMember`).
    fn has_room(&self, turn: &Turn<'_>, id: &str) -> bool {
        let known = self.members.get(id);
        let max = turn.config.max_group_size;
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing { .. } => {
                let waiting = self.members.values().filter(|m| m.joining.is_some()).count();
                known.is_some_and(|m| m.joining.is_some()) || waiting < max
            }
            Phase::Completing | Phase::Stable => known.is_some() || self.members.len() < max,
        }
    }

    /// A newcomer is told its id and must come back with it (KIP-394), so that a lost answer
    /// leaves no member behind; only an id, for one session.
    fn join_dynamic(&mut self, turn: &mut Turn<'_>, joining: Joining<'_>) {
        let id = turn.new_id(&joining.client.id);
        if !joining.request.member_id_required {
            return self.admit(turn, id, joining);
        }
        let member = Member::new(joining.client, &joining.request);
        self.pending.insert(id.clone(), turn.now + member.session_timeout);
        turn.answer_join(joining.caller, not_joined(id, ErrorCode::MemberIdRequired));
    }

    fn join_static(&mut self, turn: &mut Turn<'_>, joining: Joining<'_>) {
        let instance = joining.request.instance.clone().unwrap_or_default();
        let id = turn.new_id(&instance);
        match self.instance_member(&instance).cloned() {
            Some(old) => self.replace(turn, &old, id, joining),
            None => self.admit(turn, id, joining),
        }
    }

    fn join_known(&mut self, turn: &mut Turn<'_>, joining: Joining<'_>) {
        let request = &joining.request;
        let id = request.member.clone();
        if self.pending.contains_key(&id) {
            if request.instance.is_some() {
                // Kafka throws here: a pending id is a dynamic member's.
                let error = ErrorCode::UnknownServerError;
                return turn.answer_join(joining.caller, not_joined(Name::default(), error));
            }
            return self.admit(turn, id, joining);
        }
        if let Err(error) = self.check_member(&id, request.instance.as_ref()) {
            return turn.answer_join(joining.caller, not_joined(id, error));
        }
        let unchanged =
            self.members.get(&id).is_some_and(|member| member.protocols == request.protocols);
        let leader = self.is_leader(&id);
        match self.phase {
            // Its JoinGroup's answer was lost: here it is again.
            Phase::Completing if unchanged => {
                turn.answer_join(joining.caller, self.joined(&id, leader));
            }
            Phase::Stable if unchanged && !leader => {
                turn.answer_join(joining.caller, self.joined(&id, false));
            }
            // A leader that joins asks for a new plan, whatever its reason.
            Phase::Preparing { .. } | Phase::Completing | Phase::Stable => {
                self.park(&id, &joining);
                self.prepare_or_complete(turn);
            }
            Phase::Empty => {
                turn.answer_join(joining.caller, not_joined(id, ErrorCode::UnknownMemberId));
            }
        }
    }

    /// Takes in a member that was none. Its session is long, since it can't beat before it is
    /// answered, but ends even while it is parked: its client may be gone.
    fn admit(&mut self, turn: &mut Turn<'_>, id: Name, joining: Joining<'_>) {
        let mut member = Member::new(joining.client, &joining.request);
        member.session = turn.now + turn.config.new_member_join_timeout;
        member.joining = Some(joining.caller);
        self.newcomer |= matches!(self.phase, Phase::Preparing { initial: true, .. });
        self.add(id, member, &joining.request.protocol_type);
        self.prepare_or_complete(turn);
    }

    /// Parks a member's JoinGroup. One that is parked already is never answered (SPEC G5).
    fn park(&mut self, id: &str, joining: &Joining<'_>) {
        if let Some(member) = self.members.get_mut(id) {
            member.update(&joining.request);
            member.joining = Some(joining.caller);
        }
    }

    /// A static member comes back without its id: it gets a new one, its old self is fenced,
    /// and the group rests if that changes nothing for it (KIP-345, KIP-814;
    /// `updateStaticMemberThenRebalanceOrCompleteJoin`).
    fn replace(&mut self, turn: &mut Turn<'_>, old: &Name, id: Name, joining: Joining<'_>) {
        let was_leader = self.is_leader(old);
        let Some(mut member) = self.members.remove(old) else { return };
        let error = ErrorCode::FencedInstanceId;
        if let Some(caller) = member.joining.take() {
            turn.answer_join(caller, not_joined(old.clone(), error));
        }
        if let Some(caller) = member.syncing.take() {
            turn.answer_sync(caller, not_synced(error));
        }
        member.fresh = false;
        member.touch(turn.now);
        self.members.insert(id.clone(), member);
        if was_leader {
            self.leader = Some(id.clone());
        }
        self.park(&id, &joining);
        match self.phase {
            Phase::Stable if self.elect_protocol() == self.protocol => {
                self.persist();
                let answer = self.replaced(old, &id, was_leader, joining.client.version >= 9);
                if let Some(caller) = self.members.get_mut(&id).and_then(|m| m.joining.take()) {
                    turn.answer_join(caller, answer);
                }
            }
            // The leader may have been told of the old id already, so its plan would not fit.
            Phase::Stable | Phase::Completing => self.prepare_rebalance(turn),
            Phase::Preparing { .. } | Phase::Empty => self.maybe_complete_join(turn),
        }
    }

    /// A returning leader must not assign, or it would move a group that rests. Where the
    /// version can't say so, it is told that its old self leads, and takes itself for a follower.
    fn replaced(&self, old: &Name, id: &Name, was_leader: bool, can_skip: bool) -> Joined {
        let mut answer = self.joined(id, was_leader && can_skip);
        answer.skip_assignment = was_leader && can_skip;
        if was_leader && !can_skip {
            answer.leader = old.clone();
        }
        answer
    }
}
