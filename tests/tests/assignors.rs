//! Our assignors and the bytes of `ConsumerProtocol` beside the Java client's own.

use std::collections::BTreeMap;
use std::fmt::Write;

use handover_machine::assign::{Member, Subscription, cooperative_sticky, range};
use handover_machine::{Name, TopicPartition};
use handover_tests::kafka::{Jars, Version};

struct Group {
    topics: BTreeMap<Name, u32>,
    members: Vec<Member>,
}

impl Group {
    /// Two to six members that own nothing yet, some of them static, each with topics of its own
    /// or all with the same.
    fn by_chance(chance: &mut fastrand::Rng) -> Group {
        let names = ["t", "u", "v", "w"];
        let topics = names.iter().map(|name| (Name::from(*name), chance.u32(1..9))).collect();
        let equal = chance.bool();
        let mut wanted = Vec::new();
        let members = (0..chance.usize(2..7)).map(|id| {
            if !equal || wanted.is_empty() {
                wanted = chance.choose_multiple(names, 1 + id % 4);
            }
            let subscription = Subscription {
                topics: wanted.iter().map(|name| Name::from(*name)).collect(),
                user_data: vec![255; 4],
                rack: chance.bool().then(|| "rack".into()),
                ..Subscription::default()
            };
            let instance = chance.bool().then(|| format!("i{}", (id * 7) % 11).into());
            Member { id: format!("m{:04}-{id}", chance.u16(..)).into(), instance, subscription }
        });
        Group { members: members.collect(), topics }
    }

    /// The group in the words of `Assignors.java`.
    fn tell(&self, lines: &mut String) {
        for (topic, count) in &self.topics {
            let _ = writeln!(lines, "topic {topic} {count}");
        }
        for Member { id, instance, subscription } in &self.members {
            let instance = instance.as_deref().unwrap_or("-");
            let _ = writeln!(lines, "member {id} {instance} {}", hex(&subscription.encode()));
        }
        lines.push_str("assign\n");
    }
}

#[test]
fn range_is_javas_and_cooperative_sticky_is_as_even() -> Result<(), Box<dyn std::error::Error>> {
    for version in [Version::V3_9, Version::V4_3] {
        let mut chance = fastrand::Rng::with_seed(7);
        let groups: Vec<Group> = (0..2_000).map(|_| Group::by_chance(&mut chance)).collect();
        let mut lines = String::new();
        groups.iter().for_each(|group| group.tell(&mut lines));
        let told = Jars::fetch(version)?.run_source("Assignors.java", &lines)?;
        let mut told = told.lines();
        for group in &groups {
            compare(group, &mut told);
        }
        assert_eq!(told.next(), None);
    }
    Ok(())
}

fn compare<'a>(group: &Group, told: &mut impl Iterator<Item = &'a str>) {
    let ranges = range(&group.members, &group.topics);
    let sticky = cooperative_sticky(&group.members, &group.topics);
    let (mut ours, mut javas) = (0, 0);
    for Member { id, subscription, .. } in &group.members {
        let words: Vec<&str> = told.next().unwrap_or_default().split(' ').collect();
        let [java_id, bytes, java_range, java_sticky] = words[..] else {
            panic!("expected a line for {id}, got {words:?}");
        };
        assert_eq!(java_id, &**id);
        assert_eq!(bytes, hex(&subscription.encode()));
        assert_eq!(java_range, shown(&ranges[id]));
        ours += sticky[id].len().pow(2);
        javas += java_sticky.split(',').filter(|partition| *partition != "[]").count().pow(2);
    }
    assert!(ours <= javas, "{:?}: {ours} against {javas}", group.members);
}

fn shown(partitions: &[TopicPartition]) -> String {
    let mut names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    names.sort();
    format!("[{}]", names.join(","))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
