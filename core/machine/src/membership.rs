//! Being a member of a classic group: joining, assigning as leader, syncing.
//!
//! Kafka's counterpart is `AbstractCoordinator` with `ConsumerCoordinator`.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use crate::assign::{Subscription, user_data};
use crate::clock::{Tick, Window, rebase};
use crate::lanes::{Sent, What};
use crate::machine::Machine;
use crate::{
    Api, AssignFailure, Cause, ErrorCode, Event, Fatal, Identities, Identity, JoinGroup, Joined,
    Lane, LossReason, Name, Notice, Output, Phase, Plan, Protocol, Request, SyncGroup, Synced,
    Time, TopicPartition, Verdict, judge,
};

pub(crate) const PROTOCOL_TYPE: &str = "consumer";

/// What the application wants this machine to be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Want {
    Nothing,
    /// A member that consumes these topics.
    Topics(BTreeSet<Name>),
    /// No member: partitions assigned by hand.
    ByHand,
}

/// Who we are to the coordinator.
///
/// A generation number is no identity: after a failover it falls back and is issued again
/// (`GroupMetadataManager.completeClassicGroupJoin` writes no record). So each change of who we
/// are is an epoch of our own, and each JoinGroup an attempt; answers are judged against both.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Member {
    /// Given by the coordinator; empty before that.
    pub(crate) id: Name,
    /// -1 outside any generation.
    pub(crate) generation: i32,
    pub(crate) epoch: u64,
    pub(crate) attempt: u64,
}

impl Member {
    pub(crate) fn nobody() -> Member {
        Member { id: Name::from(""), generation: -1, epoch: 0, attempt: 0 }
    }
}

/// What belongs to one generation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Round {
    /// Counts the plans asked for.
    pub(crate) number: u64,
    pub(crate) leader: bool,
    pub(crate) protocol: Option<Name>,
    /// As leader: the plan for SyncGroup.
    plan: Vec<(Name, Vec<u8>)>,
    /// As leader: the partition counts that the plan was made for.
    topics: BTreeMap<Name, u32>,
    /// As leader: until when the assignor may take.
    assign_by: Time,
    /// Why we joined, for the coordinator.
    reason: Option<Name>,
    /// Leases are taken away that others wait for: join again when they are handed over.
    pub(crate) followup: bool,
}

impl Round {
    pub(crate) fn rebase(&mut self, by: Time) {
        rebase(&mut self.assign_by, by);
    }

    pub(crate) fn visit(&mut self, visitor: &mut dyn Identities) {
        self.plan.iter_mut().for_each(|(member, _)| visitor.member(member));
    }
}

impl Machine {
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            member: self.member.id.clone(),
            generation: self.member.generation,
            instance: self.config.instance.clone(),
        }
    }

    /// Whether `sent` went out under the identity that we still have.
    pub(crate) fn is_current(&self, sent: &Sent) -> bool {
        sent.epoch == self.member.epoch
    }

    pub(crate) fn step_membership(&mut self, tick: Tick) {
        match self.phase {
            Phase::Idle if self.wants_membership() => self.set_phase(Phase::Preparing),
            Phase::Preparing if !self.is_leaving() => self.join_if_ready(tick),
            Phase::Assigning if tick.now >= self.round.assign_by => {
                self.assign_failed(tick.now, AssignFailure::Abandoned);
            }
            Phase::Syncing if self.coordinator.is_some() && self.lanes.is_free(Lane::Join) => {
                self.send_sync(tick.now);
            }
            Phase::Stable if !self.is_leaving() => {
                if self.round.followup && !self.leases.any_revoking() {
                    self.round.followup = false;
                    self.want_rejoin("handed partitions over");
                }
                if self.round.leader && self.topics_moved() {
                    self.want_rejoin("partitions were added or topics created");
                }
                if self.rejoin.is_some() {
                    self.prepare(tick.now);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn wants_membership(&self) -> bool {
        matches!(self.want, Want::Topics(_)) && !self.is_leaving() && !self.absent
    }

    pub(crate) fn want_rejoin(&mut self, reason: &str) {
        if self.rejoin.is_none() {
            self.rejoin = Some(Name::from(reason));
            self.changed();
        }
    }

    /// A rebalance begins: give up what it takes. Eager members give up everything before they
    /// join, cooperative ones only what they no longer want (KIP-429).
    pub(crate) fn prepare(&mut self, now: Time) {
        let reason = self.rejoin.clone().unwrap_or_else(|| Name::from("rejoining"));
        self.notice(Notice::Rebalancing { reason });
        self.set_phase(Phase::Preparing);
        let by = self.drain_deadline(now, self.beat.rejoin_by());
        let keep = match &self.want {
            Want::Topics(topics) if self.config.cooperative() => topics.clone(),
            _ => BTreeSet::new(),
        };
        self.revoke(by, |lease| !lease.by_hand && !keep.contains(&lease.partition.topic));
        // What was on its way out already is now waited for by the whole group.
        self.revoke(by, |lease| !lease.is_active());
    }

    /// Joins once nothing that is given up has a hold or an unanswered commit (SPEC H2).
    fn join_if_ready(&mut self, tick: Tick) {
        let ready = !self.leases.any_revoking()
            && self.coordinator.is_some()
            && self.lanes.is_free(Lane::Join)
            // A leave that is on its way would end what is joined now, under the same id.
            && !self.lanes.is_out(|what| *what == What::Leave)
            && self.joining.is_over(tick);
        if !ready {
            return;
        }
        if self.config.instance.is_some() && self.versions.0.get(&Api::JoinGroup) < Some(&5) {
            let known = !self.versions.0.is_empty();
            if known {
                let error = ErrorCode::UnsupportedVersion;
                return self.fail(Fatal { api: Api::JoinGroup, error });
            }
        }
        // What comes up from here on is for the round after this one.
        if let Some(reason) = self.rejoin.take() {
            self.round.reason = Some(reason);
        }
        self.member.attempt += 1;
        let request = Request::JoinGroup(self.join_request());
        self.send(tick.now, Lane::Join, request, What::Join);
        self.set_phase(Phase::Joining);
    }

    fn join_request(&self) -> JoinGroup {
        let config = &self.config;
        let offer = |name: &Name| Protocol {
            name: name.clone(),
            metadata: self.subscription(name).encode(),
        };
        JoinGroup {
            group: config.group.clone(),
            member: self.member.id.clone(),
            instance: config.instance.clone(),
            session_timeout_ms: config.session_timeout.as_millis() as i32,
            rebalance_timeout_ms: config.rebalance_timeout.as_millis() as i32,
            protocol_type: Name::from(PROTOCOL_TYPE),
            protocols: config.assignors.iter().map(|a| offer(&a.name)).collect(),
            reason: self.round.reason.clone(),
            member_id_required: self.member.id.is_empty() && config.instance.is_none(),
        }
    }

    fn subscription(&self, protocol: &str) -> Subscription {
        let mut owned: Vec<TopicPartition> =
            self.leases.active().map(|lease| lease.partition.clone()).collect();
        owned.sort();
        let topics = match &self.want {
            Want::Topics(topics) => topics.iter().cloned().collect(),
            Want::Nothing | Want::ByHand => Vec::new(),
        };
        Subscription {
            topics,
            user_data: user_data(protocol, self.member.generation),
            owned,
            generation: self.member.generation,
            rack: self.config.rack.clone(),
        }
    }

    pub(crate) fn joined(&mut self, now: Time, sent: &Sent, answer: Result<Joined, Cause>) {
        if sent.attempt != self.member.attempt || self.phase != Phase::Joining {
            return;
        }
        let joined = match answer {
            Ok(joined) => joined,
            Err(cause) => return self.join_again(now, sent, cause),
        };
        let error = joined.error;
        match judge(Api::JoinGroup, error) {
            Verdict::Fine => self.accept(now, sent, joined),
            Verdict::TakeMemberId if joined.member.is_empty() => {
                self.join_again(now, sent, Cause::Malformed);
            }
            Verdict::TakeMemberId => {
                // Once is how joining goes; a second time is a coordinator that forgot.
                if !self.member.id.is_empty() {
                    self.joining.stumbled(now, self.config.retry_backoff);
                }
                self.member.id = joined.member;
                self.set_phase(Phase::Preparing);
            }
            Verdict::Rejoin => {
                self.joining.stumbled(now, self.config.retry_backoff);
                self.set_phase(Phase::Preparing);
            }
            verdict @ (Verdict::LoseGeneration | Verdict::LoseMember) => {
                self.set_phase(Phase::Preparing);
                self.lose_identity(now, verdict);
            }
            Verdict::Retry | Verdict::Rediscover => {
                self.join_again(now, sent, Cause::Error(error));
            }
            Verdict::RejectPartition | Verdict::Fatal => {
                self.fail(Fatal { api: Api::JoinGroup, error });
            }
        }
    }

    /// Back to the start of the round, after a while. Identity and leases stay.
    fn join_again(&mut self, now: Time, sent: &Sent, cause: Cause) {
        match cause {
            Cause::Error(error) if judge(sent.what.api(), error) == Verdict::Retry => {
                self.retrying(sent.what.api(), cause);
            }
            _ => self.unanswered(sent, cause),
        }
        self.joining.failed(now, self.config.retry_backoff);
        self.set_phase(Phase::Preparing);
    }

    /// In: a new generation, and with it a new identity.
    fn accept(&mut self, now: Time, sent: &Sent, joined: Joined) {
        if joined.member.is_empty() || joined.generation < 0 {
            return self.join_again(now, sent, Cause::Malformed);
        }
        let offered = |name: &Name| self.config.assignors.iter().any(|a| a.name == *name);
        let consumers = joined.protocol_type.as_deref().is_none_or(|kind| kind == PROTOCOL_TYPE);
        let Some(protocol) = joined.protocol.filter(|name| offered(name) && consumers) else {
            let error = ErrorCode::InconsistentGroupProtocol;
            return self.fail(Fatal { api: Api::JoinGroup, error });
        };
        let leader = joined.leader == joined.member;
        self.member.id = joined.member;
        self.member.generation = joined.generation;
        self.member.epoch += 1;
        let heard = self.heard_at(now);
        self.beat.joined(now, heard, self.config.heartbeat_interval);
        self.session_restored();
        let number = self.round.number + 1;
        self.round = Round { number, leader, protocol: Some(protocol.clone()), ..Round::default() };
        // A static leader that came back does not assign but watches all the same (KIP-814).
        self.round.topics = self.topics.clone();
        if leader && !joined.skip_assignment {
            self.round.assign_by = now + self.config.rebalance_timeout;
            self.set_phase(Phase::Assigning);
            self.push(Output::Assign { round: number, protocol, members: joined.members });
        } else {
            self.set_phase(Phase::Syncing);
        }
        self.changed();
    }

    pub(crate) fn assigned(&mut self, now: Time, round: u64, plan: Result<Plan, AssignFailure>) {
        if self.phase != Phase::Assigning || round != self.round.number {
            return;
        }
        match plan {
            Ok(plan) => {
                self.round.plan = plan.assignments;
                // The plan saw the cluster last; older news must not start another round.
                self.topics.clone_from(&plan.topics);
                self.round.topics = plan.topics;
                self.set_phase(Phase::Syncing);
            }
            Err(failure) => self.assign_failed(now, failure),
        }
    }

    fn assign_failed(&mut self, now: Time, failure: AssignFailure) {
        self.notice(Notice::AssignFailed(failure));
        self.joining.failed(now, self.config.retry_backoff);
        self.rejoin = Some(Name::from("the leader could not assign"));
        self.set_phase(Phase::Preparing);
    }

    fn send_sync(&mut self, now: Time) {
        let request = SyncGroup {
            group: self.config.group.clone(),
            identity: self.identity(),
            protocol_type: Some(Name::from(PROTOCOL_TYPE)),
            protocol: self.round.protocol.clone(),
            assignments: core::mem::take(&mut self.round.plan),
        };
        self.send(now, Lane::Join, Request::SyncGroup(request), What::Sync);
    }

    pub(crate) fn synced(&mut self, now: Time, sent: &Sent, answer: Result<Synced, Cause>) {
        if !self.is_current(sent) || self.phase != Phase::Syncing {
            return;
        }
        let synced = match answer {
            Ok(synced) => synced,
            Err(cause) => return self.join_again(now, sent, cause),
        };
        let error = synced.error;
        match judge(Api::SyncGroup, error) {
            Verdict::Fine => self.install(now, sent, synced),
            Verdict::Rejoin => {
                self.joining.stumbled(now, self.config.retry_backoff);
                self.set_phase(Phase::Preparing);
            }
            verdict @ (Verdict::LoseGeneration | Verdict::LoseMember) => {
                self.lose_identity(now, verdict);
            }
            Verdict::Retry | Verdict::Rediscover | Verdict::TakeMemberId => {
                self.join_again(now, sent, Cause::Error(error));
            }
            Verdict::RejectPartition | Verdict::Fatal => {
                self.fail(Fatal { api: Api::SyncGroup, error });
            }
        }
    }

    /// The coordinator goes on without us: the leases are lost, and what it still knows of us
    /// is kept, so that nothing of ours holds the group up (SPEC P15).
    pub(crate) fn lose_identity(&mut self, now: Time, verdict: Verdict) {
        // While a JoinGroup is out, its answer alone says who we are. A commit may reach the
        // coordinator after the rebalance completed and be refused for its old generation
        // before we hear, on the other lane, that we are in the new one, with all our leases.
        if self.phase == Phase::Joining {
            return;
        }
        let member = verdict == Verdict::LoseMember;
        let reason = if member { LossReason::UnknownMember } else { LossReason::IllegalGeneration };
        self.lose_all(reason);
        if member {
            self.member.id = Name::from("");
        }
        self.forget_generation();
        self.joining.stumbled(now, self.config.retry_backoff);
        if self.phase != Phase::Failed && self.phase != Phase::Idle {
            self.set_phase(Phase::Preparing);
        }
    }

    pub(crate) fn forget_generation(&mut self) {
        self.member.generation = -1;
        self.member.epoch += 1;
        self.member.attempt += 1;
        self.round.leader = false;
        self.round.followup = false;
        self.changed();
    }

    /// Nothing but the application's help gets any further.
    pub(crate) fn fail(&mut self, fatal: Fatal) {
        let fenced = fatal.error == ErrorCode::FencedInstanceId;
        self.lose_all(if fenced { LossReason::FencedInstance } else { LossReason::Failed });
        if fenced {
            // The id belongs to another client now.
            self.member.id = Name::from("");
        }
        self.forget_generation();
        self.set_phase(Phase::Failed);
        self.tell_fatal(fatal);
    }

    pub(crate) fn tell_fatal(&mut self, fatal: Fatal) {
        self.event(Event::Fatal(fatal));
        self.notice(Notice::Fatal(fatal));
    }

    /// A leader watches the topics of all members, since only it is asked to assign them.
    fn topics_moved(&self) -> bool {
        let ours = |topic: &Name| match &self.want {
            Want::Topics(subscribed) => subscribed.contains(topic),
            Want::Nothing | Want::ByHand => false,
        };
        let moved = |(topic, count): (&Name, &u32)| match self.round.topics.get(topic) {
            Some(planned) => planned != count,
            None => ours(topic),
        };
        self.topics.iter().any(moved)
    }

    pub(crate) fn membership_windows(&self) -> [Window; 3] {
        let joining = match self.phase {
            Phase::Preparing => self.joining.until(),
            _ => Window::NEVER,
        };
        let assigning = match self.phase {
            Phase::Assigning => Window::at(self.round.assign_by),
            _ => Window::NEVER,
        };
        let wanted = self.coordinator.is_none() && self.needs_coordinator();
        let discovery = if wanted { self.discovery.until() } else { Window::NEVER };
        [joining, assigning, discovery]
    }
}
