//! Properties of the assignors over groups drawn by chance, each judged by brute force.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec,
    vec::Vec,
};

use super::{Assigned, Member, Subscription, cooperative_sticky, range};
use crate::{Name, TopicPartition};

/// A linear congruential generator (Knuth's constants): the same groups in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }
}

struct Group {
    members: Vec<Member>,
    topics: BTreeMap<Name, u32>,
}

impl Group {
    /// Up to four members with claims of several generations, some of them stale, doubled or to
    /// what is not there, and up to three topics.
    fn by_chance(seed: u64, equal: bool) -> Group {
        let mut chance = Chance(seed);
        let names = ["t", "u", "v", "without-metadata"];
        let topics: BTreeMap<Name, u32> =
            names[..3].iter().map(|t| (Name::from(*t), chance.below(5) as u32)).collect();
        let mut wanted = Vec::new();
        let members = (0..chance.below(5)).map(|id| {
            if !equal || wanted.is_empty() {
                wanted = names.into_iter().filter(|_| chance.below(3) > 0).collect();
            }
            let owned = (0..chance.below(8))
                .map(|_| TopicPartition::new(names[chance.below(4)], chance.below(6) as i32));
            let subscription = Subscription {
                topics: wanted.iter().map(|t| Name::from(*t)).collect(),
                owned: owned.collect(),
                generation: chance.below(4) as i32 - 1,
                ..Subscription::default()
            };
            Member { id: format!("m{id}").into(), instance: None, subscription }
        });
        Group { members: members.collect(), topics }
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        let of_topic = |(topic, count): (&Name, &u32)| {
            let topic = topic.clone();
            (0..*count as i32).map(move |p| TopicPartition::new(topic.clone(), p))
        };
        self.topics.iter().flat_map(of_topic).collect()
    }

    /// Those that anybody wants.
    fn wanted(&self) -> BTreeSet<TopicPartition> {
        let anybody = |p: &TopicPartition| self.members.iter().any(|m| wants(m, p));
        self.partitions().into_iter().filter(anybody).collect()
    }

    /// The one member whose claim to a partition stands, said in another way than the assignor
    /// does: no other claim is as new.
    fn owner(&self, partition: &TopicPartition) -> Option<&Member> {
        let rivals: Vec<&Member> =
            self.members.iter().filter(|m| m.subscription.owned.contains(partition)).collect();
        let newest = rivals.iter().map(|m| m.subscription.generation).max()?;
        let mut newest = rivals.iter().filter(|m| m.subscription.generation == newest);
        newest.next().filter(|_| newest.next().is_none()).copied()
    }

    /// What each member owns and still wants, as far as its claim stands.
    fn keepable(&self) -> Assigned {
        let mut keepable: Assigned =
            self.members.iter().map(|m| (m.id.clone(), Vec::new())).collect();
        for partition in self.partitions() {
            if let Some(owner) = self.owner(&partition).filter(|m| wants(m, &partition)) {
                keepable.get_mut(&owner.id).unwrap().push(partition);
            }
        }
        keepable
    }

    /// The group as it joins again after this assignment.
    fn after(&self, assigned: &Assigned) -> Group {
        let members = self.members.iter().map(|member| {
            let mut member = member.clone();
            member.subscription.owned = assigned[&member.id].clone();
            member.subscription.generation = 9;
            member
        });
        Group { members: members.collect(), topics: self.topics.clone() }
    }

    /// By trying every way to share every topic out: the least sum of squares, and with it the
    /// least number of kept partitions that have to move.
    fn best(&self) -> (usize, usize) {
        let keepable = self.keepable();
        let mut best = (usize::MAX, usize::MAX);
        let mut loads = vec![0; self.members.len()];
        let topics: Vec<(&Name, u32)> = self.topics.iter().map(|(t, n)| (t, *n)).collect();
        self.try_all(&topics, 0, &keepable, &mut loads, 0, &mut best);
        best
    }

    fn try_all(
        &self,
        topics: &[(&Name, u32)],
        member: usize,
        keepable: &Assigned,
        loads: &mut [usize],
        moved: usize,
        best: &mut (usize, usize),
    ) {
        let Some(((topic, left), later)) = topics.split_first() else {
            *best = (*best).min((loads.iter().map(|load| load * load).sum(), moved));
            return;
        };
        if member == self.members.len() {
            let nobody = !self.members.iter().any(|m| m.subscription.topics.contains(*topic));
            if *left == 0 || nobody {
                self.try_all(later, 0, keepable, loads, moved, best);
            }
            return;
        }
        let wants = self.members[member].subscription.topics.contains(*topic);
        let kept = &keepable[&self.members[member].id];
        let kept = kept.iter().filter(|p| p.topic == **topic).count();
        for share in 0..=if wants { *left } else { 0 } {
            let mut topics = topics.to_vec();
            topics[0].1 = left - share;
            loads[member] += share as usize;
            let lost = kept.saturating_sub(share as usize);
            self.try_all(&topics, member + 1, keepable, loads, moved + lost, best);
            loads[member] -= share as usize;
        }
    }
}

fn wants(member: &Member, partition: &TopicPartition) -> bool {
    member.subscription.topics.contains(&partition.topic)
}

fn all(assigned: &Assigned) -> Vec<TopicPartition> {
    let mut all: Vec<TopicPartition> = assigned.values().flatten().cloned().collect();
    all.sort();
    all
}

fn squares(assigned: &Assigned) -> usize {
    assigned.values().map(|share| share.len() * share.len()).sum()
}

/// How many partitions of `before` are no longer with their member in `after`.
fn moved(before: &Assigned, after: &Assigned) -> usize {
    let gone = |(id, had): (&Name, &Vec<TopicPartition>)| {
        had.iter().filter(|p| !after[id].contains(p)).count()
    };
    before.iter().map(gone).sum()
}

fn groups(number: u64) -> impl Iterator<Item = (String, Group)> {
    (0..number).map(|seed| {
        let group = Group::by_chance(seed, seed % 2 == 0);
        (format!("seed {seed}: {:?} {:?}", group.members, group.topics), group)
    })
}

#[test]
fn only_who_wants_a_partition_gets_it_and_once() {
    for (name, group) in groups(4_000) {
        for assigned in [range, cooperative_sticky].map(|f| f(&group.members, &group.topics)) {
            assert_eq!(assigned.len(), group.members.len(), "{name}");
            for member in &group.members {
                assert!(assigned[&member.id].iter().all(|p| wants(member, p)), "{name}");
            }
            let given = all(&assigned);
            assert!(given.windows(2).all(|pair| pair[0] != pair[1]), "{name}");
            assert!(given.iter().all(|p| group.wanted().contains(p)), "{name}");
        }
        let given: BTreeSet<_> = all(&range(&group.members, &group.topics)).into_iter().collect();
        assert_eq!(given, group.wanted(), "{name}");
    }
}

/// Nobody gets what another may still be at work on, unless its own claim is newer.
#[test]
fn nothing_is_handed_over_within_one_round() {
    for (name, group) in groups(4_000) {
        let assigned = cooperative_sticky(&group.members, &group.topics);
        for member in &group.members {
            for partition in &assigned[&member.id] {
                let owner = group.owner(partition).is_some_and(|owner| owner.id == member.id);
                let others = group.members.iter().filter(|other| other.id != member.id);
                let mut others = others.map(|other| &other.subscription.owned);
                assert!(owner || !others.any(|o| o.contains(partition)), "{partition}, {name}");
            }
        }
    }
}

#[test]
fn the_follow_up_round_gives_out_the_rest_and_ends_it() {
    for (name, group) in groups(4_000) {
        let first = cooperative_sticky(&group.members, &group.topics);
        let group = group.after(&first);
        let second = cooperative_sticky(&group.members, &group.topics);
        let given: BTreeSet<_> = all(&second).into_iter().collect();
        assert_eq!(given, group.wanted(), "{name}");
        assert_eq!(moved(&first, &second), 0, "{name}");
        let group = group.after(&second);
        assert_eq!(cooperative_sticky(&group.members, &group.topics), second, "{name}");
    }
}

#[test]
fn nothing_is_more_even_and_little_is_moved() {
    let (mut moves, mut needed) = (0, 0);
    for (name, group) in groups(4_000) {
        let first = cooperative_sticky(&group.members, &group.topics);
        let followed = group.after(&first);
        let second = cooperative_sticky(&followed.members, &group.topics);
        let (even, least) = group.best();
        assert_eq!(squares(&second), even, "{name}");
        let lost = moved(&group.keepable(), &second);
        if group.members.windows(2).all(alike) {
            let loads = second.values().map(Vec::len);
            let spread = loads.clone().max().unwrap_or(0) - loads.min().unwrap_or(0);
            assert!(spread <= 1, "{name}");
            assert_eq!(lost, least, "{name}");
        } else {
            assert!(lost == 0 || least > 0, "{name}");
            (moves, needed) = (moves + lost, needed + least);
        }
    }
    // Different subscriptions: never for nothing, and within one in a hundred of the least.
    assert!(needed > 0 && moves * 100 <= needed * 101, "{moves} moved, {needed} had to");
}

fn alike(pair: &[Member]) -> bool {
    pair[0].subscription.topics == pair[1].subscription.topics
}

/// A guard against loops over partitions times members: those would take minutes. The newcomer
/// takes one partition from each of its peers.
#[test]
fn a_thousand_members_and_a_hundred_thousand_partitions() {
    extern crate std;
    let names: Vec<Name> = (0..1_000).map(|t| format!("topic-{t:04}").into()).collect();
    let topics = names.iter().map(|name| (name.clone(), 100)).collect();
    let member = |id: usize| Member {
        id: format!("m{id:04}").into(),
        instance: None,
        subscription: Subscription { topics: names.clone(), ..Subscription::default() },
    };
    let group = Group { members: (0..999).map(member).collect(), topics };
    let start = std::time::Instant::now();
    let first = cooperative_sticky(&group.members, &group.topics);
    let mut group = group.after(&first);
    group.members.push(member(999));
    let second = cooperative_sticky(&group.members, &group.topics);
    assert!(second["m0999"].is_empty());
    assert_eq!(all(&second).len(), 100_000 - 100);
    range(&group.members, &group.topics);
    assert!(start.elapsed().as_secs() < 10);
}
