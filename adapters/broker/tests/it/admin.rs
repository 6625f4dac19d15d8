//! Every API that is not about records or members, at its lowest and its highest version.

use handover_broker::{Api, Broker, Record};
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::create_partitions_request::CreatePartitionsTopic;
use handover_wire::codec::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use handover_wire::codec::messages::delete_topics_request::DeleteTopicState;
use handover_wire::codec::messages::describe_configs_request::DescribeConfigsResource;
use handover_wire::codec::messages::metadata_request::MetadataRequestTopic;
use handover_wire::codec::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use handover_wire::codec::messages::{
    ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    GroupId, InitProducerIdRequest, ListGroupsRequest, MetadataRequest, OffsetDeleteRequest,
};
use handover_wire::{Offer, decode_api_versions};

use crate::client::{Client, name, text};
use crate::members::{commit_of, identity, join};

/// The lowest and the highest version.
fn ends(api: Api) -> [i16; 2] {
    [*api.versions().start(), *api.versions().end()]
}

#[tokio::test]
async fn api_versions_announces_the_table() {
    let broker = Broker::start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    for version in ends(Api::ApiVersions) {
        let answer = client.call(&ApiVersionsRequest::default(), version).await;
        let announced =
            answer.api_keys.iter().map(|api| (api.api_key, api.min_version..=api.max_version));
        let table = Api::ALL.iter().map(|api| (api.key(), api.announced()));
        assert!(announced.eq(table), "version {version}");
        let produce = answer.api_keys.iter().find(|api| api.api_key == 0).unwrap();
        assert_eq!(produce.min_version, 0, "librdkafka wants it so");
    }
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_as_the_first() {
    let broker = Broker::start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    // A header of version 2, as every ApiVersions since version 3 has, and some body.
    let mut frame = vec![0, 18, 0, 99, 0, 0, 0, 7, 0, 2, b'm', b'e', 0, 0xff, 0xff];
    frame.splice(0..0, (frame.len() as i32).to_be_bytes());
    client.write(&frame).await;
    let answer = client.read().await.unwrap();
    assert_eq!(decode_api_versions(answer, 99, 7), Ok(Offer::AskWith(4)));
    // The connection goes on.
    assert_eq!(client.call(&ApiVersionsRequest::default(), 4).await.error_code, 0);
}

#[tokio::test]
async fn metadata_tells_of_topics_by_name_by_id_and_all() {
    let broker = Broker::builder().nodes(2).topic("orders", 3).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    for version in ends(Api::Metadata) {
        let all = if version == 0 { Some(Vec::new()) } else { None };
        let answer = client.call(&MetadataRequest::default().with_topics(all), version).await;
        assert_eq!(answer.brokers.len(), 2, "version {version}");
        let leaders = answer.topics[0].partitions.iter().map(|p| p.leader_id.0);
        assert_eq!(leaders.collect::<Vec<_>>(), [1, 2, 1]);
        let lost = MetadataRequestTopic::default().with_name(Some(name("lost")));
        let request = MetadataRequest::default().with_topics(Some(vec![lost]));
        assert_eq!(client.call(&request, version).await.topics[0].error_code, 3);
    }
    let all = client.call(&MetadataRequest::default().with_topics(None), 13).await;
    let by_id =
        MetadataRequestTopic::default().with_name(None).with_topic_id(all.topics[0].topic_id);
    let request = MetadataRequest::default().with_topics(Some(vec![by_id]));
    assert_eq!(client.call(&request, 13).await.topics[0].name, Some(name("orders")));
    let unknown = MetadataRequestTopic::default()
        .with_name(None)
        .with_topic_id(handover_wire::codec::Uuid::max());
    let request = MetadataRequest::default().with_topics(Some(vec![unknown]));
    assert_eq!(client.call(&request, 13).await.topics[0].error_code, 100);
}

#[tokio::test]
async fn a_topic_that_is_asked_for_is_created_if_both_sides_want_it() {
    let broker = Broker::builder().auto_create_topics(4).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let ask = |topic: &str, allow| {
        let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        request.with_allow_auto_topic_creation(allow)
    };
    assert_eq!(client.call(&ask("orders", false), 13).await.topics[0].error_code, 3);
    assert_eq!(client.call(&ask("orders", true), 13).await.topics[0].partitions.len(), 4);
    assert_eq!(client.call(&ask("no spaces", true), 13).await.topics[0].error_code, 17);
}

#[tokio::test]
async fn the_cluster_is_described() {
    let broker = Broker::builder().nodes(3).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    for version in ends(Api::DescribeCluster) {
        let request = DescribeClusterRequest::default();
        let answer = client.call(&request, version).await;
        let ports = answer.brokers.iter().map(|broker| broker.port);
        assert!(ports.eq(broker.nodes().iter().map(|node| i32::from(node.port))));
        assert!(!answer.cluster_id.is_empty());
    }
}

#[tokio::test]
async fn topics_are_created_grown_described_and_deleted() {
    let broker = Broker::start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let versions = ends(Api::CreateTopics).into_iter().zip(ends(Api::DeleteTopics));
    for (at, (create, delete)) in versions.enumerate() {
        let topic = CreatableTopic::default()
            .with_name(name("made"))
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(vec![
                CreatableTopicConfig::default()
                    .with_name(text("retention.bytes"))
                    .with_value(Some(text("1000"))),
            ]);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        let only_asked = client.call(&request.clone().with_validate_only(true), create).await;
        assert_eq!((only_asked.topics[0].error_code, broker.offsets("made").is_ok()), (0, false));
        assert_eq!(client.call(&request, create).await.topics[0].error_code, 0);
        assert_eq!(client.call(&request, create).await.topics[0].error_code, 36);

        let grow = CreatePartitionsTopic::default().with_name(name("made")).with_count(5);
        let grow = CreatePartitionsRequest::default().with_topics(vec![grow]);
        let version = ends(Api::CreatePartitions)[at];
        assert_eq!(client.call(&grow, version).await.results[0].error_code, 0);
        assert_eq!(client.call(&grow, version).await.results[0].error_code, 37);
        assert_eq!(broker.offsets("made").unwrap().len(), 5);

        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("made"));
        let describe = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let answer = client.call(&describe, ends(Api::DescribeConfigs)[at]).await;
        let set = answer.results[0].configs.iter().filter(|config| config.config_source == 1);
        let set: Vec<_> = set.map(|config| (&*config.name, config.value.as_deref())).collect();
        assert_eq!(set, [("retention.bytes", Some("1000"))]);

        let state = DeleteTopicState::default().with_name(Some(name("made")));
        let request = if delete < 6 {
            DeleteTopicsRequest::default().with_topic_names(vec![name("made")])
        } else {
            DeleteTopicsRequest::default().with_topics(vec![state])
        };
        assert_eq!(client.call(&request, delete).await.responses[0].error_code, 0);
        assert_eq!(client.call(&request, delete).await.responses[0].error_code, 3);
    }
}

#[tokio::test]
async fn topics_that_can_not_be_are_refused() {
    let broker = Broker::start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let asked = |partitions, factor| {
        CreatableTopic::default()
            .with_name(name("t"))
            .with_num_partitions(partitions)
            .with_replication_factor(factor)
    };
    let strange = CreatableTopicConfig::default().with_name(text("colour"));
    let refused = [
        (asked(0, 1), 37),
        (asked(i32::MAX, 1), 37),
        (asked(1, 2), 38),
        (asked(1, 1).with_configs(vec![strange]), 40),
        (asked(1, 1).with_name(name("a/b")), 17),
    ];
    for (topic, error) in refused {
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        assert_eq!(client.call(&request, 7).await.topics[0].error_code, error);
    }
    let twice = CreateTopicsRequest::default().with_topics(vec![asked(1, 1), asked(1, 1)]);
    let answer = client.call(&twice, 7).await;
    assert!(answer.topics.iter().all(|topic| topic.error_code == 42));
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() {
    let broker = Broker::start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let mut ids = Vec::new();
    for version in ends(Api::InitProducerId) {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let answer = client.call(&request, version).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        ids.push(answer.producer_id.0);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn groups_are_described_listed_and_deleted() {
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let group = || GroupId(text("billing"));
    let versions = ends(Api::DescribeGroups).into_iter().zip(ends(Api::ListGroups));
    for (at, (describe, list)) in versions.enumerate() {
        let (member, generation) = join(&mut client, "billing").await;
        let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
        let described = client.call(&request, describe).await.groups.remove(0);
        assert_eq!((described.error_code, &*described.group_state), (0, "Stable"));
        assert_eq!(*described.members[0].member_id, *member);
        assert_eq!(
            (&*described.members[0].client_id, &*described.members[0].client_host),
            ("test", "/127.0.0.1")
        );

        let listed = client.call(&ListGroupsRequest::default(), list).await.groups;
        assert_eq!(&*listed[0].group_id.0, "billing");
        if list >= 5 {
            let share = ListGroupsRequest::default().with_types_filter(vec![text("share")]);
            assert!(client.call(&share, list).await.groups.is_empty());
        }

        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
        let version = ends(Api::DeleteGroups)[at];
        assert_eq!(client.call(&delete, version).await.results[0].error_code, 68, "has a member");
        crate::members::leave(&mut client, "billing", &member).await;
        commit_of(&mut client, "billing", identity("", -1), 0, 7).await;
        assert_eq!(broker.committed("billing").len(), 1, "generation {generation}");
        assert_eq!(client.call(&delete, version).await.results[0].error_code, 0);
        assert!(broker.committed("billing").is_empty());
        let gone = client.call(&request, describe).await.groups.remove(0);
        let error = if describe < 6 { 0 } else { 69 };
        assert_eq!((gone.error_code, &*gone.group_state), (error, "Dead"));
    }
}

#[tokio::test]
async fn offsets_are_deleted_where_nobody_needs_them() {
    let broker = Broker::builder().topic("orders", 2).start().await.unwrap();
    broker.produce("orders", 0, [Record::from("a")]).unwrap();
    let mut client = Client::connect(&broker).await;
    commit_of(&mut client, "billing", identity("", -1), 0, 1).await;
    let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(name("orders"))
        .with_partitions(vec![partition(0), partition(9)]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_topics(vec![topic]);
    let answer = client.call(&request, 0).await;
    let errors = answer.topics[0].partitions.iter().map(|partition| partition.error_code);
    assert_eq!((answer.error_code, errors.collect::<Vec<_>>()), (0, vec![0, 3]));
    assert!(broker.committed("billing").is_empty());
    let unknown = request.with_group_id(GroupId(StrBytes::from_static_str("nobody")));
    assert_eq!(client.call(&unknown, 0).await.error_code, 69);
}
