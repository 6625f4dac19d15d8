//! CreateTopics, DeleteTopics, CreatePartitions.

use std::collections::{BTreeMap, BTreeSet};

use handover_machine::ErrorCode;
use handover_wire::codec::messages::create_partitions_request::CreatePartitionsTopic;
use handover_wire::codec::messages::create_partitions_response::CreatePartitionsTopicResult;
use handover_wire::codec::messages::create_topics_request::CreatableTopic;
use handover_wire::codec::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use handover_wire::codec::messages::delete_topics_request::DeleteTopicState;
use handover_wire::codec::messages::delete_topics_response::DeletableTopicResult;
use handover_wire::codec::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};

use handover_wire::codec::StrBytes;

use super::{code, configs, text};
use crate::cluster::State;
use crate::dispatch::{Context, Serve};
use crate::topics::{Topic, TopicError, check_settings};

/// An error code and what a person should know.
type Refusal = (ErrorCode, String);

/// The version from which on the answer describes the topic created.
const DESCRIBED: i16 = 5;

/// The version from which on topics can be deleted by their id.
const BY_ID: i16 = 6;

impl Serve for CreateTopicsRequest {
    async fn serve(self, cx: &Context) -> CreateTopicsResponse {
        let mut state = cx.cluster.lock();
        let default = cx.cluster.settings.default_partitions;
        let mut names = BTreeSet::new();
        let twice: BTreeSet<_> = self
            .topics
            .iter()
            .filter(|topic| !names.insert(&topic.name))
            .map(|t| &t.name)
            .collect();
        let results = self.topics.iter().map(|topic| {
            let created = if twice.contains(&topic.name) {
                Err((ErrorCode::InvalidRequest, "the request names the topic twice".to_owned()))
            } else {
                create(&mut state, topic, default, self.validate_only, cx.version)
            };
            created.unwrap_or_else(|refusal| not_created(&topic.name, refusal))
        });
        CreateTopicsResponse::default().with_topics(results.collect())
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> CreateTopicsResponse {
        let refusal = || (error, error.name().to_owned());
        let results = self.topics.iter().map(|topic| not_created(&topic.name, refusal()));
        CreateTopicsResponse::default().with_topics(results.collect())
    }
}

fn not_created(name: &TopicName, (error, message): Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name.clone())
        .with_error_code(error.code())
        .with_error_message(Some(text(&message)))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}

fn create(
    state: &mut State,
    asked: &CreatableTopic,
    default: i32,
    validate_only: bool,
    version: i16,
) -> Result<CreatableTopicResult, Refusal> {
    let (partitions, leaders) = layout(state, asked, default)?;
    let value = |value: &Option<StrBytes>| value.as_deref().unwrap_or_default().to_owned();
    let settings: BTreeMap<String, String> =
        asked.configs.iter().map(|set| (set.name.to_string(), value(&set.value))).collect();
    if validate_only {
        state.topics.check(&asked.name, partitions).map_err(refusal)?;
        check_settings(&settings).map_err(refusal)?;
        return Ok(CreatableTopicResult::default().with_name(asked.name.clone()));
    }
    let nodes = state.nodes.len();
    let topic =
        state.topics.create(&asked.name, partitions, settings, &leaders).map_err(refusal)?;
    let result =
        CreatableTopicResult::default().with_name(asked.name.clone()).with_topic_id(topic.id);
    if version < DESCRIBED {
        return Ok(result);
    }
    Ok(result
        .with_num_partitions(partitions)
        .with_replication_factor(i16::try_from(nodes).unwrap_or(i16::MAX))
        .with_configs(Some(settings_of(topic))))
}

/// How many partitions, and who leads them in turn.
///
/// A record is on every node here, since all share one log (SPEC Y7): the replication factor only
/// has to be one that the cluster could have.
fn layout(state: &State, asked: &CreatableTopic, default: i32) -> Result<(i32, Vec<i32>), Refusal> {
    let nodes = state.nodes.len();
    let factor = usize::try_from(asked.replication_factor).unwrap_or(0);
    if asked.assignments.is_empty() {
        if asked.replication_factor != -1 && !(1..=nodes).contains(&factor) {
            let message =
                format!("expected a replication factor from 1 to {nodes}, the number of nodes");
            return Err((code::INVALID_REPLICATION_FACTOR, message));
        }
        let partitions = if asked.num_partitions == -1 { default } else { asked.num_partitions };
        return Ok((partitions, state.live()));
    }
    let mut leaders = vec![None; asked.assignments.len()];
    for assignment in &asked.assignments {
        let place = usize::try_from(assignment.partition_index).ok();
        let slot = place.and_then(|place| leaders.get_mut(place));
        let leader = assignment.broker_ids.first().filter(|id| state.node(id.0).is_some());
        match (slot, leader) {
            (Some(slot @ None), Some(leader)) => *slot = Some(leader.0),
            _ => {
                let message = "expected partitions from 0 on, once each, on nodes that exist";
                return Err((code::INVALID_REPLICA_ASSIGNMENT, message.to_owned()));
            }
        }
    }
    let leaders: Vec<i32> = leaders.into_iter().flatten().collect();
    Ok((i32::try_from(leaders.len()).unwrap_or(i32::MAX), leaders))
}

fn settings_of(topic: &Topic) -> Vec<CreatableTopicConfigs> {
    let told = configs::of_topic(topic).map(|setting| {
        CreatableTopicConfigs::default()
            .with_name(text(setting.name))
            .with_value(Some(text(setting.value)))
            .with_config_source(setting.source())
    });
    told.collect()
}

fn refusal(error: TopicError) -> Refusal {
    let code = match &error {
        TopicError::InvalidName => ErrorCode::InvalidTopic,
        TopicError::Exists => code::TOPIC_ALREADY_EXISTS,
        TopicError::Unknown => ErrorCode::UnknownTopicOrPartition,
        TopicError::InvalidPartitions(_) => code::INVALID_PARTITIONS,
        TopicError::InvalidSetting(_) => code::INVALID_CONFIG,
    };
    (code, error.to_string())
}

impl Serve for DeleteTopicsRequest {
    async fn serve(self, cx: &Context) -> DeleteTopicsResponse {
        let mut state = cx.cluster.lock();
        let responses =
            asked(&self, cx.version).into_iter().map(|topic| delete(&mut state, &topic));
        let response = DeleteTopicsResponse::default().with_responses(responses.collect());
        drop(state);
        // Parked fetches of a topic that is gone have something to say now.
        cx.cluster.appended.send_replace(());
        response
    }

    fn refuse(&self, error: ErrorCode, cx: &Context) -> DeleteTopicsResponse {
        let refused = |topic: &DeleteTopicState| deleted(topic).with_error_code(error.code());
        let responses = asked(self, cx.version).iter().map(refused).collect();
        DeleteTopicsResponse::default().with_responses(responses)
    }
}

fn asked(request: &DeleteTopicsRequest, version: i16) -> Vec<DeleteTopicState> {
    if version >= BY_ID {
        return request.topics.clone();
    }
    let named = |name: &TopicName| DeleteTopicState::default().with_name(Some(name.clone()));
    request.topic_names.iter().map(named).collect()
}

fn delete(state: &mut State, asked: &DeleteTopicState) -> DeletableTopicResult {
    let found = match &asked.name {
        Some(name) => state.topics.get(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        None => state.topics.by_id(asked.topic_id).ok_or(ErrorCode::UnknownTopicId),
    };
    match found.map(|topic| (topic.name.clone(), topic.id)) {
        Ok((name, id)) => {
            state.topics.delete(&name);
            state.groups.forget_topic(&name);
            let name = TopicName(text(&name));
            DeletableTopicResult::default().with_name(Some(name)).with_topic_id(id)
        }
        Err(error) => deleted(asked).with_error_code(error.code()),
    }
}

fn deleted(asked: &DeleteTopicState) -> DeletableTopicResult {
    DeletableTopicResult::default().with_name(asked.name.clone()).with_topic_id(asked.topic_id)
}

impl Serve for CreatePartitionsRequest {
    async fn serve(self, cx: &Context) -> CreatePartitionsResponse {
        let mut state = cx.cluster.lock();
        let results =
            self.topics.iter().map(|topic| match grow(&mut state, topic, self.validate_only) {
                Ok(()) => grown(&topic.name),
                Err((error, message)) => grown(&topic.name)
                    .with_error_code(error.code())
                    .with_error_message(Some(text(&message))),
            });
        CreatePartitionsResponse::default().with_results(results.collect())
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> CreatePartitionsResponse {
        let results =
            self.topics.iter().map(|topic| grown(&topic.name).with_error_code(error.code()));
        CreatePartitionsResponse::default().with_results(results.collect())
    }
}

fn grown(name: &TopicName) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default().with_name(name.clone())
}

fn grow(
    state: &mut State,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refusal> {
    let topic = state.topics.get(&asked.name).ok_or_else(|| refusal(TopicError::Unknown))?;
    let has = topic.partitions.len();
    if validate_only {
        return state.topics.check_count(has, asked.count).map_err(refusal);
    }
    let live = state.live();
    state.topics.grow(&asked.name, asked.count, &live).map_err(refusal)
}
