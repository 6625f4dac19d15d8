//! `range`: each topic cut into as many contiguous pieces as it has subscribers.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{Assigned, Member, in_order, pools};
use crate::{Name, TopicPartition};

/// Gives each subscriber of a topic one contiguous range of its partitions; the first ones, in
/// the order of SPEC A2, get one more where it does not divide evenly (SPEC A3).
///
/// Topics with as many partitions and the same subscribers are cut alike, so that partition `n`
/// of each goes to one member: what joins rely on (co-partitioning). Every member is in the
/// result; its partitions are sorted. Topics that `topics` lacks are passed over.
///
/// Equal to the Java client's `RangeAssignor` as long as not both consumers and brokers name
/// racks. Its rack-aware variant (KIP-881) is not implemented: racks are not looked at.
///
/// ```
/// use handover_machine::{TopicPartition, assign::{Member, Subscription, range}};
///
/// let subscription = Subscription { topics: vec!["t".into()], ..Subscription::default() };
/// let members = ["a", "b"].map(|id| Member {
///     id: id.into(),
///     instance: None,
///     subscription: subscription.clone(),
/// });
/// let assigned = range(&members, &[("t".into(), 3)].into());
/// assert_eq!(assigned["a"], [TopicPartition::new("t", 0), TopicPartition::new("t", 1)]);
/// assert_eq!(assigned["b"], [TopicPartition::new("t", 2)]);
/// ```
pub fn range(members: &[Member], topics: &BTreeMap<Name, u32>) -> Assigned {
    let members = in_order(members);
    let mut shares: Vec<Vec<TopicPartition>> = members.iter().map(|_| Vec::new()).collect();
    for pool in pools(&members, topics) {
        for (topic, count) in pool.topics {
            let mut next = 0;
            for (place, &member) in pool.members.iter().enumerate() {
                let end = next + share(count, pool.members.len(), place) as i32;
                shares[member].extend((next..end).map(|p| TopicPartition::new(topic.clone(), p)));
                next = end;
            }
        }
    }
    let mut assigned = Assigned::new();
    for (member, mut share) in members.iter().zip(shares) {
        share.sort_unstable();
        assigned.entry(member.id.clone()).or_default().extend(share);
    }
    assigned
}

/// How many of `count` partitions the subscriber at `place` gets.
fn share(count: usize, subscribers: usize, place: usize) -> usize {
    count / subscribers + usize::from(place < count % subscribers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assign::Subscription;
    use alloc::{format, string::String};

    fn member(id: &str, instance: Option<&str>, topics: &[&str]) -> Member {
        let topics = topics.iter().map(|t| Name::from(*t)).collect();
        let subscription = Subscription { topics, ..Subscription::default() };
        Member { id: id.into(), instance: instance.map(Name::from), subscription }
    }

    /// `a: t-0 t-1; b: t-2`
    fn shown(members: &[Member], topics: &[(&str, u32)]) -> String {
        let topics = topics.iter().map(|(t, n)| (Name::from(*t), *n)).collect();
        let line = |(id, partitions): (&Name, &Vec<TopicPartition>)| {
            let names: Vec<String> = partitions.iter().map(|p| format!("{p}")).collect();
            format!("{id}: {}", names.join(" "))
        };
        range(members, &topics).iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn the_first_members_get_one_more_of_each_topic() {
        let members = [member("b", None, &["t", "u"]), member("a", None, &["u", "t"])];
        assert_eq!(shown(&members, &[("t", 3), ("u", 3)]), "a: t-0 t-1 u-0 u-1; b: t-2 u-2");
    }

    #[test]
    fn more_members_than_partitions() {
        let members = ["a", "b", "c"].map(|id| member(id, None, &["t"]));
        assert_eq!(shown(&members, &[("t", 2)]), "a: t-0; b: t-1; c: ");
    }

    #[test]
    fn a_topic_is_cut_among_its_own_subscribers() {
        let members =
            [member("a", None, &["t"]), member("b", None, &["t", "u"]), member("c", None, &["t"])];
        assert_eq!(shown(&members, &[("t", 3), ("u", 2)]), "a: t-0; b: t-1 u-0 u-1; c: t-2");
    }

    #[test]
    fn topics_alike_are_cut_alike() {
        let members = ["a", "b", "c"].map(|id| member(id, None, &["t", "u"]));
        assert_eq!(
            shown(&members, &[("t", 5), ("u", 5)]),
            "a: t-0 t-1 u-0 u-1; b: t-2 t-3 u-2 u-3; c: t-4 u-4"
        );
    }

    /// The member id of a static member changes with each restart, its place does not.
    #[test]
    fn static_members_keep_their_place() {
        for ids in [["x", "y"], ["y", "x"]] {
            let members = [
                member(ids[0], Some("1"), &["t"]),
                member(ids[1], Some("2"), &["t"]),
                member("a", None, &["t"]),
            ];
            let topics = [(Name::from("t"), 4)].into();
            let first: &[TopicPartition] = &range(&members, &topics)[ids[0]];
            assert_eq!(first, [TopicPartition::new("t", 0), TopicPartition::new("t", 1)]);
        }
    }

    #[test]
    fn what_is_not_there_is_passed_over() {
        let members = [member("a", None, &["gone", "t", "t", "none"]), member("b", None, &["t"])];
        assert_eq!(shown(&members, &[("t", 2), ("none", 0), ("x", 9)]), "a: t-0; b: t-1");
        assert_eq!(shown(&[], &[("t", 2)]), "");
    }
}
