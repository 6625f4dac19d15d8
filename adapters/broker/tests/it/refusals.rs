//! Every API can be made to say an error, in its lowest and its highest version, and the client
//! can read it.

use std::fmt::Debug;

use handover_broker::{Api, Broker, ErrorCode};
use handover_machine::{FindCoordinator, Name, OffsetFetch, Request, SyncGroup};
use handover_wire::codec::messages::create_partitions_request::CreatePartitionsTopic;
use handover_wire::codec::messages::create_topics_request::CreatableTopic;
use handover_wire::codec::messages::delete_topics_request::DeleteTopicState;
use handover_wire::codec::messages::describe_configs_request::DescribeConfigsResource;
use handover_wire::codec::messages::fetch_request::{FetchPartition, FetchTopic};
use handover_wire::codec::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use handover_wire::codec::messages::metadata_request::MetadataRequestTopic;
use handover_wire::codec::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use handover_wire::codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use handover_wire::codec::messages::{
    ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    FetchRequest, GroupId, InitProducerIdRequest, ListGroupsRequest, ListOffsetsRequest,
    MetadataRequest, OffsetDeleteRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};
use handover_wire::codec::protocol;

use crate::client::{Client, name, text};
use crate::members;

/// A code that no handler gives by itself: UNSUPPORTED_SASL_MECHANISM.
const STRANGE: ErrorCode = ErrorCode::Other(33);

struct Refused {
    broker: Broker,
    client: Client,
}

impl Refused {
    /// The answer, as text, says the error that the broker was told to say.
    async fn one<R>(&mut self, api: Api, request: impl Fn(i16) -> R)
    where
        R: protocol::Request,
        R::Response: Debug,
    {
        for version in [*api.versions().start(), *api.versions().end()] {
            let fault = self.broker.faults().on(api).answer(STRANGE);
            let answer = self.client.call(&request(version), version).await;
            let said = format!("{answer:?}");
            assert!(said.contains("error_code: 33"), "{api} {version}: {said}");
            assert_eq!(fault.hits(), 1);
        }
    }

    async fn group(&mut self, api: Api, request: impl Fn(i16) -> Request) {
        for version in [*api.versions().start(), *api.versions().end()] {
            self.broker.faults().on(api).answer(STRANGE);
            let said = format!("{:?}", self.client.group(request(version), version).await);
            assert!(said.contains("Other(33)"), "{api} {version}: {said}");
        }
    }
}

async fn refused() -> Refused {
    let broker = Broker::builder().topic("orders", 1).start().await.unwrap();
    let client = Client::connect(&broker).await;
    Refused { broker, client }
}

#[tokio::test]
async fn the_cluster_s() {
    let mut refused = refused().await;
    refused.one(Api::ApiVersions, |_| ApiVersionsRequest::default()).await;
    let topic = || MetadataRequestTopic::default().with_name(Some(name("orders")));
    refused
        .one(Api::Metadata, |_| MetadataRequest::default().with_topics(Some(vec![topic()])))
        .await;
    refused.one(Api::DescribeCluster, |_| DescribeClusterRequest::default()).await;
    let topic = || CreatableTopic::default().with_name(name("more")).with_num_partitions(1);
    refused
        .one(Api::CreateTopics, |_| CreateTopicsRequest::default().with_topics(vec![topic()]))
        .await;
    let topic = || DeleteTopicState::default().with_name(Some(name("orders")));
    let delete = |version| match version {
        6 => DeleteTopicsRequest::default().with_topics(vec![topic()]),
        _ => DeleteTopicsRequest::default().with_topic_names(vec![name("orders")]),
    };
    refused.one(Api::DeleteTopics, delete).await;
    let topic = || CreatePartitionsTopic::default().with_name(name("orders")).with_count(5);
    let grow = |_| CreatePartitionsRequest::default().with_topics(vec![topic()]);
    refused.one(Api::CreatePartitions, grow).await;
    let resource = || DescribeConfigsResource::default().with_resource_name(text("orders"));
    let describe = |_| DescribeConfigsRequest::default().with_resources(vec![resource()]);
    refused.one(Api::DescribeConfigs, describe).await;
    // Nothing was applied.
    assert_eq!(refused.broker.offsets("orders").unwrap().len(), 1);
    assert!(refused.broker.offsets("more").is_err());
}

#[tokio::test]
async fn the_records() {
    let mut refused = refused().await;
    let named = |version| if version < 13 { name("orders") } else { name("") };
    let produce = |version| {
        let data = PartitionProduceData::default().with_records(None);
        let topic =
            TopicProduceData::default().with_name(named(version)).with_partition_data(vec![data]);
        ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(1)
            .with_topic_data(vec![topic])
    };
    refused.one(Api::Produce, produce).await;
    let init = |_| InitProducerIdRequest::default().with_transactional_id(None);
    refused.one(Api::InitProducerId, init).await;
    let fetch = |version| {
        let topic = FetchTopic::default()
            .with_topic(named(version))
            .with_partitions(vec![FetchPartition::default()]);
        FetchRequest::default().with_topics(vec![topic])
    };
    refused.one(Api::Fetch, fetch).await;
    let list = |_| {
        let asked = vec![ListOffsetsPartition::default()];
        let topic = ListOffsetsTopic::default().with_name(name("orders")).with_partitions(asked);
        ListOffsetsRequest::default().with_topics(vec![topic])
    };
    refused.one(Api::ListOffsets, list).await;
    let epoch = |_| {
        let asked = vec![OffsetForLeaderPartition::default()];
        let topic =
            OffsetForLeaderTopic::default().with_topic(name("orders")).with_partitions(asked);
        OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
    };
    refused.one(Api::OffsetForLeaderEpoch, epoch).await;
}

#[tokio::test]
async fn the_groups() {
    let mut refused = refused().await;
    let group = || vec![GroupId(text("billing"))];
    let describe = |_| DescribeGroupsRequest::default().with_groups(group());
    refused.one(Api::DescribeGroups, describe).await;
    refused.one(Api::ListGroups, |_| ListGroupsRequest::default()).await;
    let delete = |_| DeleteGroupsRequest::default().with_groups_names(group());
    refused.one(Api::DeleteGroups, delete).await;
    refused.one(Api::OffsetDelete, |_| OffsetDeleteRequest::default()).await;

    let me = || members::identity("me", 1);
    let name = || Name::from("billing");
    refused
        .group(Api::FindCoordinator, |_| {
            Request::FindCoordinator(FindCoordinator { group: name() })
        })
        .await;
    refused.group(Api::JoinGroup, |_| members::join_request("billing", "me")).await;
    let sync = |_| {
        let (protocol_type, protocol) = (None, None);
        let identity = me();
        let assignments = Vec::new();
        Request::SyncGroup(SyncGroup {
            group: name(),
            identity,
            protocol_type,
            protocol,
            assignments,
        })
    };
    refused.group(Api::SyncGroup, sync).await;
    refused.group(Api::Heartbeat, |_| members::heartbeat_request("billing", me())).await;
    refused.group(Api::LeaveGroup, |_| members::leave_request("billing", "me")).await;
    refused.group(Api::OffsetCommit, |_| members::commit_request("billing", me(), 0, 1)).await;
    let fetch = |version| {
        // Before version 2 there is only the partitions' own error, and no way to ask for all.
        let orders = vec![handover_broker::TopicPartition::new("orders", 0)];
        let partitions = if version < 2 { Some(orders) } else { None };
        Request::OffsetFetch(OffsetFetch { group: name(), partitions, require_stable: false })
    };
    refused.group(Api::OffsetFetch, fetch).await;
}
