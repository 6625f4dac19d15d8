//! Metadata and DescribeCluster: where everything is.

use std::collections::BTreeMap;

use handover_machine::ErrorCode;
use handover_wire::codec::messages::describe_cluster_response::DescribeClusterBroker;
use handover_wire::codec::messages::metadata_request::MetadataRequestTopic;
use handover_wire::codec::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use handover_wire::codec::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, MetadataRequest, MetadataResponse,
    TopicName,
};

use super::text;
use crate::cluster::{Cluster, State};
use crate::dispatch::{Context, Serve};
use crate::topics::{Topic, TopicError};

/// The bitfield that says that nothing was asked about operations.
const NO_OPERATIONS: i32 = i32::MIN;

impl Serve for MetadataRequest {
    async fn serve(self, cx: &Context) -> MetadataResponse {
        let mut state = cx.cluster.lock();
        let create = cx.cluster.settings.auto_create.filter(|_| {
            // Before version 4 nobody could refuse it.
            cx.version < 4 || self.allow_auto_topic_creation
        });
        // In version 0 no topic means all topics.
        let all = self.topics.as_ref().is_none_or(|topics| topics.is_empty() && cx.version == 0);
        let topics = if all {
            state.topics.iter().map(|topic| describe(topic, &state)).collect()
        } else {
            let asked = self.topics.unwrap_or_default();
            asked.iter().map(|asked| look_up(asked, &mut state, create)).collect()
        };
        metadata(&cx.cluster, &state, topics)
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> MetadataResponse {
        let asked = self.topics.iter().flatten();
        MetadataResponse::default()
            .with_topics(asked.map(|topic| unknown(topic, error)).collect())
            .with_error_code(error.code())
    }
}

fn metadata(
    cluster: &Cluster,
    state: &State,
    topics: Vec<MetadataResponseTopic>,
) -> MetadataResponse {
    let live = state.nodes.iter().filter(|node| node.up).map(|node| cluster.announce(node));
    let brokers = live.map(|node| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(node.id))
            .with_host(text(&node.host))
            .with_port(i32::from(node.port))
    });
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(text(&cluster.id)))
        .with_controller_id(controller(state))
        .with_topics(topics)
}

/// Any node will do: every one can do a controller's work here.
fn controller(state: &State) -> BrokerId {
    BrokerId(state.live().first().copied().unwrap_or(-1))
}

fn look_up(
    asked: &MetadataRequestTopic,
    state: &mut State,
    create: Option<i32>,
) -> MetadataResponseTopic {
    let Some(name) = &asked.name else {
        return match state.topics.by_id(asked.topic_id) {
            Some(topic) => describe(topic, state),
            None => unknown(asked, ErrorCode::UnknownTopicId),
        };
    };
    if let Some(partitions) = create {
        let live = state.live();
        let created = state.topics.create(name, partitions, BTreeMap::new(), &live);
        if created.is_err_and(|error| error == TopicError::InvalidName) {
            return unknown(asked, ErrorCode::InvalidTopic);
        }
    }
    match state.topics.get(name) {
        Some(topic) => describe(topic, state),
        None => unknown(asked, ErrorCode::UnknownTopicOrPartition),
    }
}

fn unknown(asked: &MetadataRequestTopic, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        // Before version 12 a name is not nullable, and a topic asked for by id has none.
        .with_name(Some(asked.name.clone().unwrap_or_default()))
        .with_topic_id(asked.topic_id)
        .with_topic_authorized_operations(NO_OPERATIONS)
}

fn describe(topic: &Topic, state: &State) -> MetadataResponseTopic {
    let replicas: Vec<BrokerId> = state.nodes.iter().map(|node| BrokerId(node.id)).collect();
    let down = state.nodes.iter().filter(|node| !node.up).map(|node| BrokerId(node.id));
    let (offline, live): (Vec<_>, Vec<_>) =
        (down.collect(), state.live().into_iter().map(BrokerId).collect());
    let partitions = topic.partitions.iter().zip(0..).map(|(partition, index)| {
        let error = match partition.leader {
            Some(_) => ErrorCode::None,
            None => ErrorCode::LeaderNotAvailable,
        };
        MetadataResponsePartition::default()
            .with_error_code(error.code())
            .with_partition_index(index)
            .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
            .with_leader_epoch(partition.epoch)
            .with_replica_nodes(replicas.clone())
            .with_isr_nodes(Vec::clone(&live))
            .with_offline_replicas(offline.clone())
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(NO_OPERATIONS)
}

impl Serve for DescribeClusterRequest {
    async fn serve(self, cx: &Context) -> DescribeClusterResponse {
        /// `EndpointType.BROKER`: there are no controllers to connect to.
        const BROKERS: i8 = 1;
        if self.endpoint_type != BROKERS {
            return self.refuse(ErrorCode::InvalidRequest, cx);
        }
        let state = cx.cluster.lock();
        let live = state.nodes.iter().filter(|node| node.up).map(|node| cx.cluster.announce(node));
        let brokers = live.map(|node| {
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(node.id))
                .with_host(text(&node.host))
                .with_port(i32::from(node.port))
        });
        DescribeClusterResponse::default()
            .with_cluster_id(text(&cx.cluster.id))
            .with_controller_id(controller(&state))
            .with_brokers(brokers.collect())
            .with_cluster_authorized_operations(NO_OPERATIONS)
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> DescribeClusterResponse {
        DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_cluster_authorized_operations(NO_OPERATIONS)
    }
}
