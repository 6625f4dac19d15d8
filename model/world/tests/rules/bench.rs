//! A coordinator on a bench: short words for what the tests do to it.

use std::{collections::BTreeMap, time::Duration};

use handover_machine::*;
use handover_world::*;

pub(crate) const GROUP: &str = "orders";
pub(crate) const SESSION: i32 = 10_000;
pub(crate) const REBALANCE: i32 = 60_000;

pub(crate) struct Bench {
    pub(crate) coordinator: Coordinator,
    pub(crate) now: Time,
    pub(crate) client: Client,
    callers: u64,
    answers: BTreeMap<Caller, Response>,
}

impl Bench {
    /// Without an initial delay, so that a join ends when everybody is in.
    pub(crate) fn new() -> Bench {
        Bench::with(CoordinatorConfig {
            initial_rebalance_delay: Duration::ZERO,
            ..CoordinatorConfig::default()
        })
    }

    pub(crate) fn with(config: CoordinatorConfig) -> Bench {
        Bench {
            coordinator: Coordinator::new(config),
            now: Time::from_millis(1),
            client: Client::new("client", "host"),
            callers: 0,
            answers: BTreeMap::new(),
        }
    }

    pub(crate) fn ask(&mut self, request: Request) -> Caller {
        self.callers += 1;
        let caller = Caller(self.callers);
        self.coordinator.handle(self.now, caller, &self.client, request);
        self.collect();
        caller
    }

    pub(crate) fn collect(&mut self) {
        while let Some((caller, response)) = self.coordinator.poll_answer() {
            let before = self.answers.insert(caller, response);
            assert_eq!(before, None, "{caller:?} was answered twice");
        }
    }

    pub(crate) fn take(&mut self, caller: Caller) -> Option<Response> {
        self.answers.remove(&caller)
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.coordinator.next_wake() <= end {
            self.now = self.now.max(self.coordinator.next_wake());
            self.coordinator.wake(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// Lets what is due at this moment happen.
    pub(crate) fn settle(&mut self) {
        self.pass(0);
    }

    pub(crate) fn reload(&mut self) {
        self.coordinator.reload(self.now);
        self.collect();
    }

    pub(crate) fn state(&self) -> GroupState {
        self.coordinator.describe(GROUP).map_or(GroupState::Dead, |group| group.state)
    }

    pub(crate) fn describe(&self) -> GroupDescription {
        self.coordinator.describe(GROUP).expect("there is a group")
    }

    pub(crate) fn join(&mut self, join: JoinGroup) -> Caller {
        self.ask(Request::JoinGroup(join))
    }

    /// The answer to a JoinGroup, which must be there.
    pub(crate) fn joined(&mut self, caller: Caller) -> Joined {
        match self.take(caller) {
            Some(Response::JoinGroup(joined)) => joined,
            other => panic!("JoinGroup is answered {other:?}"),
        }
    }

    pub(crate) fn join_error(&mut self, join: JoinGroup) -> ErrorCode {
        let caller = self.join(join);
        self.joined(caller).error
    }

    /// Joins without an id, takes the id that is given, and joins again with it.
    pub(crate) fn enter(&mut self) -> (Name, Caller) {
        let first = self.join(join(""));
        let told = self.joined(first);
        assert_eq!(told.error, ErrorCode::MemberIdRequired);
        let caller = self.join(join(&told.member));
        (told.member, caller)
    }

    pub(crate) fn sync(&mut self, member: &str, generation: i32, plan: &[(&Name, &str)]) -> Caller {
        self.ask(Request::SyncGroup(SyncGroup {
            group: GROUP.into(),
            identity: identity(member, generation),
            protocol_type: None,
            protocol: None,
            assignments: plan.iter().map(|(m, a)| ((*m).clone(), a.as_bytes().into())).collect(),
        }))
    }

    pub(crate) fn synced(&mut self, caller: Caller) -> Synced {
        match self.take(caller) {
            Some(Response::SyncGroup(synced)) => synced,
            other => panic!("SyncGroup is answered {other:?}"),
        }
    }

    pub(crate) fn beat(&mut self, member: &str, generation: i32) -> ErrorCode {
        self.beat_as(identity(member, generation))
    }

    pub(crate) fn beat_as(&mut self, identity: Identity) -> ErrorCode {
        let caller = self.ask(Request::Heartbeat(Heartbeat { group: GROUP.into(), identity }));
        match self.take(caller) {
            Some(Response::Heartbeat(error)) => error,
            other => panic!("Heartbeat is answered {other:?}"),
        }
    }

    pub(crate) fn leave(&mut self, leavers: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
        let leaver = |(member, instance): &(&str, Option<&str>)| Leaver {
            member: (*member).into(),
            instance: instance.map(Into::into),
            reason: None,
        };
        let members = leavers.iter().map(leaver).collect();
        let caller = self.ask(Request::LeaveGroup(LeaveGroup { group: GROUP.into(), members }));
        match self.take(caller) {
            Some(Response::LeaveGroup(Left { error: ErrorCode::None, members })) => {
                members.into_iter().map(|(_, _, error)| error).collect()
            }
            other => panic!("LeaveGroup is answered {other:?}"),
        }
    }

    /// Commits `offset` for partition 0.
    pub(crate) fn commit(&mut self, member: &str, generation: i32, offset: i64) -> ErrorCode {
        self.commit_as(identity(member, generation), offset)
    }

    pub(crate) fn commit_as(&mut self, identity: Identity, offset: i64) -> ErrorCode {
        let errors = self.commit_all(identity, vec![to_commit(0, offset, None)]);
        errors[0]
    }

    pub(crate) fn commit_all(
        &mut self,
        identity: Identity,
        all: Vec<OffsetToCommit>,
    ) -> Vec<ErrorCode> {
        let commit = OffsetCommit { group: GROUP.into(), identity, offsets: all };
        let caller = self.ask(Request::OffsetCommit(commit));
        match self.take(caller) {
            Some(Response::OffsetCommit(done)) => {
                done.partitions.into_iter().map(|(_, error)| error).collect()
            }
            other => panic!("OffsetCommit is answered {other:?}"),
        }
    }

    /// Commits something for another group, outside any generation.
    pub(crate) fn commit_group(&mut self, group: &str) {
        self.ask(Request::OffsetCommit(OffsetCommit {
            group: group.into(),
            identity: identity("", -1),
            offsets: vec![to_commit(0, 1, None)],
        }));
    }

    /// What is committed for partition 0.
    pub(crate) fn committed(&self) -> Option<i64> {
        let mut offsets = self.coordinator.offsets(GROUP);
        offsets.find(|(p, _)| p.partition == 0).map(|(_, committed)| committed.offset)
    }

    /// A stable group of this many dynamic members in generation 1; the first leads. The
    /// assignment of member n is the digit n.
    pub(crate) fn stable(&mut self, members: usize) -> Vec<Name> {
        let (ids, joins): (Vec<Name>, Vec<Caller>) = (0..members).map(|_| self.enter()).unzip();
        self.settle();
        for caller in joins {
            assert_eq!(self.joined(caller).error, ErrorCode::None);
        }
        self.sync_all(&ids, 1);
        ids
    }

    /// Everybody syncs, the leader last; the assignment of member n is the digit n.
    pub(crate) fn sync_all(&mut self, ids: &[Name], generation: i32) {
        let leader = self.describe().leader.expect("somebody leads");
        let digits: Vec<String> = (0..ids.len()).map(|n| n.to_string()).collect();
        let plan: Vec<(&Name, &str)> = ids.iter().zip(digits.iter().map(String::as_str)).collect();
        let followers: Vec<Name> = ids.iter().filter(|id| **id != leader).cloned().collect();
        let mut callers: Vec<Caller> =
            followers.iter().map(|id| self.sync(id, generation, &[])).collect();
        callers.push(self.sync(&leader, generation, &plan));
        for caller in callers {
            assert_eq!(self.synced(caller).error, ErrorCode::None);
        }
        assert_eq!(self.state(), GroupState::Stable);
    }

    /// Everybody joins again with what the group knows of them already, until the next
    /// generation is there. The leader first, since its JoinGroup begins a rebalance.
    pub(crate) fn rejoin_all(&mut self, ids: &[Name]) -> Vec<Joined> {
        let callers: Vec<Caller> = ids.iter().map(|id| self.join(join(id))).collect();
        callers.into_iter().map(|caller| self.joined(caller)).collect()
    }
}

pub(crate) fn identity(member: &str, generation: i32) -> Identity {
    Identity { member: member.into(), generation, instance: None }
}

pub(crate) fn static_identity(member: &str, generation: i32, instance: &str) -> Identity {
    Identity { instance: Some(instance.into()), ..identity(member, generation) }
}

/// A dynamic member's JoinGroup, for the assignor `range`.
pub(crate) fn join(member: &str) -> JoinGroup {
    JoinGroup {
        group: GROUP.into(),
        member: member.into(),
        instance: None,
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: REBALANCE,
        protocol_type: "consumer".into(),
        protocols: protocols(&["range"]),
        reason: None,
        member_id_required: true,
    }
}

/// A static member's JoinGroup.
pub(crate) fn static_join(member: &str, instance: &str) -> JoinGroup {
    JoinGroup { instance: Some(instance.into()), ..join(member) }
}

/// Protocols whose metadata subscribes the topic `t`.
pub(crate) fn protocols(names: &[&str]) -> Vec<Protocol> {
    let metadata = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff".to_vec();
    names.iter().map(|name| Protocol { name: (*name).into(), metadata: metadata.clone() }).collect()
}

pub(crate) fn to_commit(partition: i32, offset: i64, metadata: Option<&str>) -> OffsetToCommit {
    OffsetToCommit {
        partition: TopicPartition::new("t", partition),
        offset,
        leader_epoch: -1,
        metadata: metadata.map(Into::into),
    }
}
