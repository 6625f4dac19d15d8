//! `cooperative-sticky`: as even as the subscriptions allow, moving as little as possible, and
//! nothing given to one member that another has not given up yet.

use alloc::{collections::BTreeMap, vec, vec::Vec};

use super::{Assigned, Member, Pool, Subscription, in_order, levels::Levels, pools};
use crate::{Name, TopicPartition};

/// Shares partitions out evenly and lets members keep what they own (SPEC A4 to A7).
///
/// * **Claims.** A member claims what it says it owns. Of several claims the one of the highest
///   generation stands; two of one generation void each other (KAFKA-13419, KAFKA-14639).
/// * **Even.** Members of equal subscriptions differ by one partition at most; whatever the
///   subscriptions, the sum of the squares of the loads is as low as can be. The Java client
///   stops where no single move helps; chains of moves are seen here too.
/// * **Sticky.** What is claimed moves only if this makes the loads more even.
/// * **Cooperative.** A partition that is claimed and moves, or whose claims void each other, is
///   given to nobody in this round (KIP-429). Whoever claimed it finds it missing, gives it up
///   and joins again, and that round gives it out. A third round changes nothing.
///
/// Every member is in the result; its partitions are sorted. Topics that `topics` lacks are passed
/// over. Same wire contract as the Java client's `CooperativeStickyAssignor`: any mix of ours and
/// its members may lead. Racks are not looked at (KIP-881).
///
/// ```
/// use handover_machine::{TopicPartition, assign::{Member, Subscription, cooperative_sticky}};
///
/// let member = |id: &str, owned: &[i32]| Member {
///     id: id.into(),
///     instance: None,
///     subscription: Subscription {
///         topics: vec!["t".into()],
///         owned: owned.iter().map(|p| TopicPartition::new("t", *p)).collect(),
///         generation: 1,
///         ..Subscription::default()
///     },
/// };
/// let topics = [("t".into(), 2)].into();
///
/// // The newcomer gets nothing until partition 1 was given up.
/// let first = cooperative_sticky(&[member("a", &[0, 1]), member("b", &[])], &topics);
/// assert_eq!(first["a"], [TopicPartition::new("t", 0)]);
/// assert!(first["b"].is_empty());
///
/// let second = cooperative_sticky(&[member("a", &[0]), member("b", &[])], &topics);
/// assert_eq!(second["b"], [TopicPartition::new("t", 1)]);
/// ```
pub fn cooperative_sticky(members: &[Member], topics: &BTreeMap<Name, u32>) -> Assigned {
    let members = in_order(members);
    let pools = pools(&members, topics);
    let space = Space::new(&pools);
    let claims = claims(&members, &space);
    let mut levels = Levels::new(members.len());
    for pool in pools {
        levels.add_pool(pool.members);
    }
    for (partition, claim) in claims.iter().enumerate() {
        let owner = claim.and_then(|claim| claim.owner);
        levels.put(space.topic_of(partition).pool, partition, owner);
    }
    let mut assigned = Assigned::new();
    for (rank, mut share) in levels.share_out().into_iter().enumerate() {
        // Somebody else may still be at work on what is claimed.
        share.retain(|&at| claims[at].is_none_or(|claim| claim.owner == Some(rank)));
        share.sort_unstable();
        let share = share.into_iter().map(|at| space.partition(at));
        assigned.entry(members[rank].id.clone()).or_default().extend(share);
    }
    assigned
}

/// All partitions that are to be given out, numbered in their order.
struct Space<'a> {
    topics: Vec<TopicAt<'a>>,
    len: usize,
}

struct TopicAt<'a> {
    name: &'a Name,
    pool: usize,
    /// The number of its partition 0.
    first: usize,
    count: usize,
}

impl<'a> Space<'a> {
    fn new(pools: &[Pool<'a>]) -> Space<'a> {
        let mut topics = Vec::new();
        for (pool, of_pool) in pools.iter().enumerate() {
            let at = |&(name, count)| TopicAt { name, pool, first: 0, count };
            topics.extend(of_pool.topics.iter().map(at));
        }
        topics.sort_unstable_by_key(|topic| topic.name);
        let mut len = 0;
        for topic in &mut topics {
            topic.first = len;
            len += topic.count;
        }
        Space { topics, len }
    }

    fn topic_of(&self, at: usize) -> &TopicAt<'a> {
        &self.topics[self.topics.partition_point(|topic| topic.first <= at) - 1]
    }

    fn partition(&self, at: usize) -> TopicPartition {
        let topic = self.topic_of(at);
        TopicPartition::new(topic.name.clone(), (at - topic.first) as i32)
    }

    /// The number of a partition, if it is there.
    fn number(&self, partition: &TopicPartition) -> Option<usize> {
        let found = self.topics.binary_search_by_key(&&partition.topic, |topic| topic.name).ok()?;
        let topic = &self.topics[found];
        let inside = usize::try_from(partition.partition).ok()?;
        (inside < topic.count).then_some(topic.first + inside)
    }
}

/// Who owns a partition, as far as members say.
#[derive(Clone, Copy)]
struct Claim {
    generation: i32,
    /// The rank of the member; `None` if two of this generation claim it.
    owner: Option<usize>,
}

/// Also claims to what the member no longer wants: it has the partition until it gives it up.
fn claims(members: &[&Member], space: &Space<'_>) -> Vec<Option<Claim>> {
    let mut claims: Vec<Option<Claim>> = vec![None; space.len];
    for (rank, member) in members.iter().enumerate() {
        let generation = claimed_generation(&member.subscription);
        for at in member.subscription.owned.iter().filter_map(|p| space.number(p)) {
            let own = Claim { generation, owner: Some(rank) };
            match &mut claims[at] {
                Some(other) if other.generation > generation || other.owner == Some(rank) => {}
                Some(other) if other.generation == generation => other.owner = None,
                claim => *claim = Some(own),
            }
        }
    }
    claims
}

/// The generation of a member's claims: its field, or what version 1 has in the user data, or -1
/// where there is neither.
fn claimed_generation(subscription: &Subscription) -> i32 {
    let from_user_data = || subscription.user_data.first_chunk().copied().map(i32::from_be_bytes);
    let known = Some(subscription.generation).filter(|generation| *generation >= 0);
    known.or_else(from_user_data).unwrap_or(-1).max(-1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{
        format,
        string::{String, ToString},
    };

    /// `a 3 t,u: t-0 u-1`: id, generation, topics, owned.
    fn group(lines: &str) -> Vec<Member> {
        let member = |line: &str| {
            let (head, owned) = line.split_once(':').unwrap();
            let [id, generation, topics] = head.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{head}: expected id, generation and topics");
            };
            let partition = |name: &str| {
                let (topic, partition) = name.split_once('-').unwrap();
                TopicPartition::new(topic, partition.parse().unwrap())
            };
            let subscription = Subscription {
                topics: topics.split(',').map(Name::from).collect(),
                owned: owned.split_whitespace().map(partition).collect(),
                generation: generation.parse().unwrap(),
                ..Subscription::default()
            };
            Member { id: id.into(), instance: None, subscription }
        };
        lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(member).collect()
    }

    /// `a: t-0; b: t-1`
    fn shown(members: &[Member], topics: &[(&str, u32)]) -> String {
        let topics = topics.iter().map(|(t, n)| (Name::from(*t), *n)).collect();
        let line = |(id, partitions): (&Name, &Vec<TopicPartition>)| {
            let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{id}: {}", names.join(" "))
        };
        cooperative_sticky(members, &topics).iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_first_round_deals_in_turn() {
        let members = group("a -1 t,u:\n b -1 t,u:\n c -1 t,u:");
        assert_eq!(
            shown(&members, &[("t", 4), ("u", 3)]),
            "a: t-0 t-3 u-2; b: t-1 u-0; c: t-2 u-1"
        );
    }

    #[test]
    fn a_newcomer_waits_for_what_others_give_up() {
        let members = group("a 4 t: t-0 t-1 t-2\n b 4 t: t-3 t-4 t-5\n c -1 t:");
        assert_eq!(shown(&members, &[("t", 6)]), "a: t-0 t-1; b: t-3 t-4; c: ");
        let members = group("a 5 t: t-0 t-1\n b 5 t: t-3 t-4\n c 5 t:");
        assert_eq!(shown(&members, &[("t", 6)]), "a: t-0 t-1; b: t-3 t-4; c: t-2 t-5");
    }

    #[test]
    fn what_a_leaver_had_is_given_out_at_once() {
        let members = group("a 4 t: t-0 t-1\n b 4 t: t-2 t-3");
        assert_eq!(shown(&members, &[("t", 6)]), "a: t-0 t-1 t-4; b: t-2 t-3 t-5");
    }

    #[test]
    fn a_higher_generation_wins_and_the_stale_claim_keeps_nothing() {
        for members in ["a 3 t: t-0\n b 5 t: t-0", "a 5 t: t-0\n b 3 t: t-0"] {
            let winner = if members.starts_with("a 5") { "a: t-0; b: " } else { "a: ; b: t-0" };
            assert_eq!(shown(&group(members), &[("t", 1)]), winner);
        }
    }

    /// Neither may go on at once: each of them believes that it is the owner.
    #[test]
    fn claims_of_one_generation_void_each_other() {
        let members = group("a 3 t: t-0 t-1\n b 3 t: t-1 t-2");
        assert_eq!(shown(&members, &[("t", 3)]), "a: t-0; b: t-2");
        let members = group("a 2 t: t-0\n b 3 t: t-0\n c 3 t: t-0");
        assert_eq!(shown(&members, &[("t", 1)]), "a: ; b: ; c: ");
        let members = group("a 3 t: t-0\n b 3 t: t-0\n c 4 t: t-0");
        assert_eq!(shown(&members, &[("t", 1)]), "a: ; b: ; c: t-0");
    }

    #[test]
    fn a_claim_said_twice_is_one_claim() {
        assert_eq!(shown(&group("a 3 t: t-0 t-0\n b 3 t:"), &[("t", 1)]), "a: t-0; b: ");
    }

    #[test]
    fn version_1_has_its_generation_in_the_user_data() {
        let mut members = group("a -1 t: t-0\n b 5 t: t-0");
        members[0].subscription.user_data = vec![0, 0, 0, 6];
        assert_eq!(shown(&members, &[("t", 1)]), "a: t-0; b: ");
        members[0].subscription.user_data = vec![0, 0, 6];
        assert_eq!(shown(&members, &[("t", 1)]), "a: ; b: t-0");
    }

    /// `a` no longer wants `u` but is still at work on it.
    #[test]
    fn what_a_member_no_longer_wants_is_given_up_first() {
        let members = group("a 3 t: t-0 u-0\n b 3 t,u:");
        assert_eq!(shown(&members, &[("t", 1), ("u", 1)]), "a: t-0; b: ");
        let members = group("a 3 t: t-0 u-0\n b 2 t,u: u-0");
        assert_eq!(shown(&members, &[("t", 1), ("u", 1)]), "a: t-0; b: ");
    }

    #[test]
    fn claims_to_what_is_not_there_are_passed_over() {
        let members = group("a 3 t,gone: t-0 t-7 gone-0 x-0\n b 3 t:");
        assert_eq!(shown(&members, &[("t", 2), ("x", 1)]), "a: t-0; b: t-1");
        assert_eq!(shown(&[], &[("t", 2)]), "");
        assert_eq!(shown(&group("a -1 t:"), &[]), "a: ");
    }

    /// No single move helps (3, 2, 1 in a row), but a chain of two does.
    #[test]
    fn loads_are_levelled_along_chains() {
        let members = group("a 1 t: t-0 t-1 t-2\n b 1 t,u: u-0 u-1\n c 1 u: u-2");
        let topics = [("t", 3), ("u", 3)];
        assert_eq!(shown(&members, &topics), "a: t-0 t-1; b: u-0; c: u-2");
        let members = group("a 2 t: t-0 t-1\n b 2 t,u: u-0\n c 2 u: u-2");
        assert_eq!(shown(&members, &topics), "a: t-0 t-1; b: t-2 u-0; c: u-1 u-2");
    }

    #[test]
    fn the_least_wanted_topics_are_dealt_first() {
        let members = group("a -1 t,u:\n b -1 u:");
        assert_eq!(shown(&members, &[("t", 2), ("u", 2)]), "a: t-0 t-1; b: u-0 u-1");
    }
}
