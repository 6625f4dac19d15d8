//! Assignors, and the bytes of `ConsumerProtocol` in which members and leader speak to each other.
//!
//! An assignor is a pure function of the members' subscriptions and of the partition counts of
//! their topics. It runs outside the machine, which asks for a plan with
//! [`Output::Assign`](crate::Output::Assign) and takes it as
//! [`Input::Assigned`](crate::Input::Assigned); [`topics_of`] says what to look up first and
//! [`plan`] does the rest.

mod consumer_protocol;
mod cooperative_sticky;
mod levels;
#[cfg(test)]
mod properties;
mod range;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::cmp::Ordering;

pub use consumer_protocol::{Assignment, DecodeError, Subscription};
pub use cooperative_sticky::cooperative_sticky;
pub use range::range;

use crate::{AssignFailure, JoinedMember, Name, Plan, TopicPartition};

/// A member as an assignor sees it.
///
/// ```
/// use handover_machine::assign::{Member, Subscription, range};
///
/// let subscription = Subscription { topics: vec!["orders".into()], ..Subscription::default() };
/// let members = [Member { id: "m1".into(), instance: None, subscription }];
/// let assigned = range(&members, &[("orders".into(), 3)].into());
/// assert_eq!(assigned["m1"].len(), 3);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Its member id.
    pub id: Name,
    /// Its instance id, if it is static.
    pub instance: Option<Name>,
    /// What it told.
    pub subscription: Subscription,
}

type Assigned = BTreeMap<Name, Vec<TopicPartition>>;

/// An assignor: members and partition counts to what each member is to own.
type Assign = fn(&[Member], &BTreeMap<Name, u32>) -> Assigned;

const BUILT_IN: [(&str, Assign); 2] =
    [("range", range), ("cooperative-sticky", cooperative_sticky)];

/// The whole of a leader's duty for the built-in assignors: decode, assign, encode.
///
/// `topics` are the partition counts of what [`topics_of`] named; a topic that is not there, or
/// has no partition, is left out of the plan, and the leader joins again when it appears.
///
/// ```
/// use handover_machine::{JoinedMember, assign::{Assignment, Subscription, plan}};
///
/// let subscription = Subscription { topics: vec!["orders".into()], ..Subscription::default() };
/// let metadata = subscription.encode();
/// let members = [JoinedMember { member: "m1".into(), instance: None, metadata }];
///
/// let plan = plan("range", &members, &[("orders".into(), 2)].into()).unwrap();
/// let (member, bytes) = &plan.assignments[0];
/// assert_eq!(&**member, "m1");
/// assert_eq!(Assignment::decode(bytes).unwrap().partitions.len(), 2);
/// ```
pub fn plan(
    protocol: &str,
    members: &[JoinedMember],
    topics: &BTreeMap<Name, u32>,
) -> Result<Plan, AssignFailure> {
    let built_in = BUILT_IN.iter().find(|(name, _)| *name == protocol);
    let (_, assign) = built_in.ok_or(AssignFailure::UnknownAssignor)?;
    let members: Vec<Member> = members.iter().map(decoded).collect::<Result<_, _>>()?;
    let wanted: BTreeSet<&Name> = members.iter().flat_map(|m| &m.subscription.topics).collect();
    let counted = topics.iter().filter(|(topic, _)| wanted.contains(topic));
    let encoded =
        |(member, partitions)| (member, Assignment { partitions, user_data: Vec::new() }.encode());
    Ok(Plan {
        assignments: assign(&members, topics).into_iter().map(encoded).collect(),
        topics: counted.map(|(topic, count)| (topic.clone(), *count)).collect(),
    })
}

/// What the leader must know the partition counts of: all topics that any member wants.
///
/// ```
/// use handover_machine::{JoinedMember, assign::{Subscription, topics_of}};
///
/// let subscription = Subscription { topics: vec!["orders".into()], ..Subscription::default() };
/// let metadata = subscription.encode();
/// let members = [JoinedMember { member: "m1".into(), instance: None, metadata }];
/// assert!(topics_of(&members).unwrap().contains("orders"));
/// ```
pub fn topics_of(members: &[JoinedMember]) -> Result<BTreeSet<Name>, AssignFailure> {
    let mut topics = BTreeSet::new();
    for member in members {
        topics.extend(decoded(member)?.subscription.topics);
    }
    Ok(topics)
}

/// What the built-in assignor of this name writes into [`Subscription::user_data`]: the Java
/// client's cooperative-sticky repeats the generation there, for leaders that read version 1.
///
/// ```
/// use handover_machine::assign::user_data;
/// assert_eq!(user_data("cooperative-sticky", 7), [0, 0, 0, 7]);
/// assert!(user_data("range", 7).is_empty());
/// ```
pub fn user_data(protocol: &str, generation: i32) -> Vec<u8> {
    match protocol {
        "cooperative-sticky" => generation.to_be_bytes().to_vec(),
        _ => Vec::new(),
    }
}

fn decoded(joined: &JoinedMember) -> Result<Member, AssignFailure> {
    let bad = |_| AssignFailure::BadSubscription(joined.member.clone());
    let subscription = Subscription::decode(&joined.metadata).map_err(bad)?;
    Ok(Member { id: joined.member.clone(), instance: joined.instance.clone(), subscription })
}

/// The members in the order in which the Java client serves them (SPEC A2): static ones first, by
/// instance id, so that a restart does not change their place; then the others by member id.
fn in_order(members: &[Member]) -> Vec<&Member> {
    let mut ordered: Vec<&Member> = members.iter().collect();
    ordered.sort_by(|a, b| match (&a.instance, &b.instance) {
        (Some(a_id), Some(b_id)) => java_order(a_id, b_id).then_with(|| java_order(&a.id, &b.id)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_order(&a.id, &b.id),
    });
    ordered
}

/// Topics that the same members want.
struct Pool<'a> {
    /// Each with its partition count, sorted.
    topics: Vec<(&'a Name, usize)>,
    /// Who wants them: places in the order of SPEC A2, rising.
    members: Vec<usize>,
}

/// Sorts the topics that have partitions by who wants them. Members of equal subscriptions are
/// looked at together, which is what makes large groups quick: most have one subscription. A
/// topic that a member names twice is wanted once.
fn pools<'a>(members: &[&'a Member], topics: &'a BTreeMap<Name, u32>) -> Vec<Pool<'a>> {
    let mut alike: BTreeMap<Vec<&Name>, Vec<usize>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        let mut wanted: Vec<&Name> = member.subscription.topics.iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        alike.entry(wanted).or_default().push(place);
    }
    let alike: Vec<(Vec<&Name>, Vec<usize>)> = alike.into_iter().collect();
    let mut wanted_by: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
    for (class, (wanted, _)) in alike.iter().enumerate() {
        for topic in wanted {
            wanted_by.entry(topic).or_default().push(class);
        }
    }
    let mut pools: BTreeMap<Vec<usize>, Vec<(&Name, usize)>> = BTreeMap::new();
    for (topic, classes) in wanted_by {
        if let Some((topic, &count)) = topics.get_key_value(topic).filter(|(_, n)| **n > 0) {
            pools.entry(classes).or_default().push((topic, count as usize));
        }
    }
    let pool = |(classes, topics): (Vec<usize>, _)| {
        let mut members: Vec<usize> = classes.iter().flat_map(|c| alike[*c].1.clone()).collect();
        members.sort_unstable();
        Pool { topics, members }
    };
    pools.into_iter().map(pool).collect()
}

/// Java compares UTF-16 units, which is not the order of characters past U+FFFF.
fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn joined(id: &str, topics: &[&str]) -> JoinedMember {
        let topics = topics.iter().map(|t| Name::from(*t)).collect();
        let metadata = Subscription { topics, ..Subscription::default() }.encode();
        JoinedMember { member: id.into(), instance: None, metadata }
    }

    #[test]
    fn a_plan_gives_every_member_its_bytes_and_says_what_it_was_made_for() {
        let members = [joined("a", &["t", "gone"]), joined("b", &["t"]), joined("idle", &[])];
        let topics: BTreeMap<Name, u32> = [("t".into(), 3), ("other".into(), 9)].into();
        for (protocol, of_a) in [("range", [0, 1]), ("cooperative-sticky", [0, 2])] {
            let plan = plan(protocol, &members, &topics).unwrap();
            let ids: Vec<&str> = plan.assignments.iter().map(|(id, _)| &**id).collect();
            assert_eq!(ids, ["a", "b", "idle"]);
            let got = Assignment::decode(&plan.assignments[0].1).unwrap().partitions;
            assert_eq!(got, of_a.map(|p| TopicPartition::new("t", p)), "{protocol}");
            assert_eq!(plan.topics, [("t".into(), 3)].into());
        }
    }

    #[test]
    fn a_plan_that_cannot_be_made_says_why() {
        let broken = JoinedMember { member: "x".into(), instance: None, metadata: vec![0] };
        let members = [joined("a", &["t"]), broken];
        let bad = AssignFailure::BadSubscription("x".into());
        assert_eq!(plan("range", &members, &BTreeMap::new()), Err(bad.clone()));
        assert_eq!(topics_of(&members), Err(bad));
        assert_eq!(plan("mine", &[], &BTreeMap::new()), Err(AssignFailure::UnknownAssignor));
        assert_eq!(topics_of(&[]), Ok(BTreeSet::new()));
    }

    #[test]
    fn static_members_come_first_and_utf16_decides() {
        let member = |id: &str, instance: Option<&str>| Member {
            id: id.into(),
            instance: instance.map(Name::from),
            subscription: Subscription::default(),
        };
        let members = [
            member("\u{ff5e}", None),
            member("\u{1f600}", None),
            member("a", None),
            member("z", Some("2")),
            member("y", Some("10")),
        ];
        let ids: Vec<&str> = in_order(&members).iter().map(|m| &*m.id).collect();
        assert_eq!(ids, ["y", "z", "a", "\u{1f600}", "\u{ff5e}"]);
    }
}
