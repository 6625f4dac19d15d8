//! A seeded random driver of three naive members, against invariants that hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover_machine::*;
use handover_world::*;

use crate::bench::{GROUP, SESSION, join, protocols, to_commit};

const PARTITIONS: u8 = 5;

/// Knuth's linear congruential generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A member that believes whatever it was told last.
#[derive(Default)]
struct Naive {
    instance: Option<Name>,
    member: Name,
    generation: i32,
    leads: Vec<Name>,
}

/// What a caller waits for, and for whom.
struct Wait {
    who: usize,
    member: Name,
    instance: Option<Name>,
    syncs: Option<i32>,
    joins: bool,
}

struct Driver {
    random: Random,
    coordinator: Coordinator,
    client: Client,
    now: Time,
    naive: Vec<Naive>,
    callers: u64,
    waits: BTreeMap<Caller, Wait>,
    /// Who holds each partition in each generation since the last reload that undid it.
    held: BTreeMap<(i32, u8), Name>,
    generation: i32,
    /// How often each kind of thing happened, so that the test can tell that it happened.
    seen: BTreeMap<&'static str, u64>,
}

impl Driver {
    fn new(seed: u64) -> Driver {
        let static_member = Naive { instance: Some("i".into()), ..Naive::default() };
        Driver {
            random: Random(seed),
            coordinator: Coordinator::new(CoordinatorConfig::default()),
            client: Client::new("client", "host"),
            now: Time::ZERO,
            naive: vec![Naive::default(), Naive::default(), static_member],
            callers: 0,
            waits: BTreeMap::new(),
            held: BTreeMap::new(),
            generation: 0,
            seen: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        let who = self.random.below(3) as usize;
        match self.random.below(100) {
            0..=29 => self.join(who),
            30..=54 => self.sync(who),
            55..=69 => self.beat(who),
            70..=79 => self.commit(who),
            80..=82 => self.leave(who),
            83 => self.naive[who].member = Name::default(),
            84 if self.random.one_in(2) => self.reload(),
            _ => {
                let limit = if self.random.one_in(50) { 2 * SESSION as u64 } else { 400 };
                self.now = self.now + Duration::from_millis(self.random.below(limit));
                self.coordinator.wake(self.now);
            }
        }
        self.collect();
        self.check_generation();
    }

    fn ask(&mut self, who: usize, request: Request) {
        self.callers += 1;
        let caller = Caller(self.callers);
        let naive = &self.naive[who];
        let wait = Wait {
            who,
            member: naive.member.clone(),
            instance: naive.instance.clone(),
            syncs: matches!(request, Request::SyncGroup(_)).then_some(naive.generation),
            joins: matches!(request, Request::JoinGroup(_)),
        };
        self.waits.insert(caller, wait);
        self.coordinator.handle(self.now, caller, &self.client, request);
    }

    fn identity(&self, who: usize) -> Identity {
        let naive = &self.naive[who];
        Identity {
            member: naive.member.clone(),
            generation: naive.generation,
            instance: naive.instance.clone(),
        }
    }

    fn join(&mut self, who: usize) {
        let naive = &self.naive[who];
        let (member, instance) = (naive.member.clone(), naive.instance.clone());
        let offer: &[&str] = if self.random.one_in(20) { &["range", "sticky"] } else { &["range"] };
        let protocols = protocols(offer);
        // A member has one JoinGroup out: the one before is given up with its connection.
        self.forget(|wait| wait.joins && wait.who == who);
        self.ask(who, Request::JoinGroup(JoinGroup { instance, protocols, ..join(&member) }));
    }

    fn sync(&mut self, who: usize) {
        let leads = &self.naive[who].leads;
        let mut plan: Vec<(Name, Vec<u8>)> = leads.iter().map(|m| (m.clone(), vec![])).collect();
        for partition in 0..PARTITIONS {
            if !plan.is_empty() {
                let owner = self.random.below(plan.len() as u64) as usize;
                plan[owner].1.push(partition);
            }
        }
        self.forget(|wait| wait.syncs.is_some() && wait.who == who);
        let identity = self.identity(who);
        self.ask(
            who,
            Request::SyncGroup(SyncGroup {
                group: GROUP.into(),
                identity,
                protocol_type: None,
                protocol: None,
                assignments: plan,
            }),
        );
    }

    fn beat(&mut self, who: usize) {
        let identity = self.identity(who);
        self.ask(who, Request::Heartbeat(Heartbeat { group: GROUP.into(), identity }));
    }

    fn commit(&mut self, who: usize) {
        let identity = self.identity(who);
        let offset = self.random.below(1_000) as i64;
        let offsets = vec![to_commit(0, offset, None)];
        let committed = |c: &Coordinator| c.offsets(GROUP).next().map(|(_, c)| c.offset);
        let before = committed(&self.coordinator);
        self.ask(
            who,
            Request::OffsetCommit(OffsetCommit { group: GROUP.into(), identity, offsets }),
        );
        let caller = Caller(self.callers);
        let (answered, response) = self.coordinator.poll_answer().expect("commits never wait");
        assert_eq!(answered, caller);
        let Response::OffsetCommit(done) = &response else { panic!("{response:?}") };
        let expected = if done.partitions[0].1.is_none() { Some(offset) } else { before };
        assert_eq!(committed(&self.coordinator), expected, "only what is acknowledged is applied");
        self.count(if done.partitions[0].1.is_none() { "committed" } else { "commit refused" });
        self.waits.remove(&caller);
    }

    fn leave(&mut self, who: usize) {
        let naive = &self.naive[who];
        let (member, instance) = (naive.member.clone(), naive.instance.clone());
        // A SyncGroup of a member that leaves is never answered.
        self.forget(|wait| wait.syncs.is_some() && wait.member == member);
        let members = vec![Leaver { member, instance, reason: None }];
        self.ask(who, Request::LeaveGroup(LeaveGroup { group: GROUP.into(), members }));
    }

    fn reload(&mut self) {
        self.coordinator.reload(self.now);
        self.collect();
        let generation = self.coordinator.describe(GROUP).map_or(0, |group| group.generation);
        if generation < self.generation {
            self.count("generation undone");
        }
        self.generation = generation;
        self.held.retain(|(g, _), _| *g <= generation);
        assert_eq!(self.coordinator.parked().count(), 0);
    }

    /// Callers that need no answer, but may get one.
    fn forget(&mut self, given_up: impl Fn(&Wait) -> bool) {
        self.waits.retain(|_, wait| !given_up(wait));
    }

    fn collect(&mut self) {
        let mut answered = BTreeSet::new();
        while let Some((caller, response)) = self.coordinator.poll_answer() {
            assert!(answered.insert(caller), "{caller:?} was answered twice");
            assert!(!self.coordinator.parked().any(|parked| parked == caller), "{caller:?}");
            if let Some(wait) = self.waits.remove(&caller) {
                self.learn(&wait, response);
            }
        }
    }

    fn learn(&mut self, wait: &Wait, response: Response) {
        let naive = &mut self.naive[wait.who];
        let error = match response {
            Response::JoinGroup(joined) => {
                match joined.error {
                    ErrorCode::None => {
                        naive.generation = joined.generation;
                        naive.member = joined.member;
                        naive.leads = joined.members.into_iter().map(|m| m.member).collect();
                    }
                    ErrorCode::MemberIdRequired => naive.member = joined.member,
                    ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                        naive.member = Name::default();
                    }
                    _ => {}
                }
                joined.error
            }
            Response::SyncGroup(synced) => {
                if synced.error.is_none() {
                    self.hold(wait, &synced.assignment);
                }
                synced.error
            }
            Response::Heartbeat(error) => error,
            Response::LeaveGroup(left) => left.members[0].2,
            other => panic!("{other:?}"),
        };
        self.count(error.name());
    }

    /// In one generation a partition has one owner; a static member stays itself under a new id.
    fn hold(&mut self, wait: &Wait, assignment: &[u8]) {
        let owner = wait.instance.as_ref().unwrap_or(&wait.member);
        let generation = wait.syncs.expect("a SyncGroup was answered");
        for partition in assignment {
            let holder = self.held.entry((generation, *partition)).or_insert_with(|| owner.clone());
            assert_eq!(holder, owner, "partition {partition} in generation {generation}");
        }
        if !assignment.is_empty() {
            self.count("assigned");
        }
    }

    fn check_generation(&mut self) {
        let group = self.coordinator.describe(GROUP);
        let generation = group.map_or(0, |group| group.generation);
        assert!(generation >= self.generation, "{generation} after {}", self.generation);
        self.generation = generation;
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Lets the timers run until none is left: everybody's session ends.
    fn run_out(&mut self) {
        for _ in 0..1_000 {
            if self.coordinator.next_wake() == Time::NEVER {
                return;
            }
            self.now = self.now.max(self.coordinator.next_wake());
            self.coordinator.wake(self.now);
            self.collect();
        }
        panic!("the timers never end");
    }
}

#[test]
fn three_naive_members_in_a_hundred_thousand_steps() {
    let mut driver = Driver::new(20_260_101);
    for step in 1..=100_000 {
        driver.step();
        if step % 1_000 == 0 {
            driver.run_out();
            let waiting: Vec<&Caller> = driver.waits.keys().collect();
            assert!(waiting.is_empty(), "{waiting:?} are never answered");
        }
    }
    for what in [
        "assigned",
        "committed",
        "commit refused",
        "generation undone",
        "MEMBER_ID_REQUIRED",
        "UNKNOWN_MEMBER_ID",
        "ILLEGAL_GENERATION",
        "REBALANCE_IN_PROGRESS",
        "FENCED_INSTANCE_ID",
        "NOT_COORDINATOR",
    ] {
        let seen = driver.seen.get(what).copied().unwrap_or_default();
        assert!(seen >= 50, "{what} happened {seen} times: {:?}", driver.seen);
    }
}

/// The same by way of connections, with faults: each request has one answer, and in the end all.
#[test]
fn each_request_sent_over_a_bad_network_has_one_answer() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let all = u8::MAX;
        let faults = Faults {
            cuts: all,
            stalls: all,
            stragglers: all,
            late_writes: all,
            reloads: 20,
            unloads: 20,
        };
        let coordinator = Coordinator::new(CoordinatorConfig::default());
        let mut network = Network::new(coordinator, 3, faults);
        let (mut now, mut sent, mut open) = (Time::ZERO, 0, BTreeSet::new());
        let answer = |answer: Option<Answer>, open: &mut BTreeSet<(usize, RequestId)>| {
            if let Some(answer) = answer {
                assert!(open.remove(&(answer.member, answer.id)), "{answer:?} came twice");
            }
        };
        for _ in 0..5_000 {
            let steps: Vec<Step> = network.steps(now).collect();
            if random.one_in(4) {
                sent += 1;
                let member = random.below(3) as usize;
                let lane = Lane::ALL[random.below(3) as usize];
                let request = anything(&mut random, &network);
                let timeout = Duration::from_millis(1 + random.below(40_000));
                open.insert((member, RequestId(sent)));
                network.send(now, member, lane, RequestId(sent), request, timeout);
            } else if random.one_in(8) || steps.is_empty() {
                now = now + Duration::from_millis(random.below(1_000));
            } else {
                let step = steps[random.below(steps.len() as u64) as usize];
                let done = network.apply(now, step);
                answer(done, &mut open);
            }
        }
        while !open.is_empty() {
            let step = network.steps(now).find(|step| !step.is_fault());
            match step {
                Some(step) => answer(network.apply(now, step), &mut open),
                None if network.next_wake() == Time::NEVER => break,
                None => now = now.max(network.next_wake()),
            }
        }
        assert!(open.is_empty(), "seed {seed}: {open:?} are never answered");
        assert!(sent > 1_000);
    }
}

/// A request of a kind drawn at random, under the identity of some member or of none.
fn anything(random: &mut Random, network: &Network) -> Request {
    let group = network.coordinator().describe(GROUP);
    let (generation, member) = match &group {
        Ok(group) if !group.members.is_empty() && !random.one_in(3) => {
            let at = random.below(group.members.len() as u64) as usize;
            (group.generation, group.members[at].member.clone())
        }
        _ => (0, Name::default()),
    };
    let identity = Identity { member: member.clone(), generation, instance: None };
    let group = Name::from(GROUP);
    match random.below(7) {
        0 => Request::FindCoordinator(FindCoordinator { group }),
        1 => Request::JoinGroup(JoinGroup { member_id_required: false, ..join(&member) }),
        2 => Request::SyncGroup(SyncGroup {
            group,
            identity,
            protocol_type: None,
            protocol: None,
            assignments: vec![],
        }),
        3 => Request::Heartbeat(Heartbeat { group, identity }),
        4 => {
            let members = vec![Leaver { member, instance: None, reason: None }];
            Request::LeaveGroup(LeaveGroup { group, members })
        }
        5 => {
            let offsets = vec![to_commit(0, 1, None)];
            Request::OffsetCommit(OffsetCommit { group, identity, offsets })
        }
        _ => Request::OffsetFetch(OffsetFetch { group, partitions: None, require_stable: true }),
    }
}
