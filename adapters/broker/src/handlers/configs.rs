//! DescribeConfigs: what `kafka-topics --describe` cannot do without.

use handover_machine::ErrorCode;
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::describe_configs_request::DescribeConfigsResource;
use handover_wire::codec::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use handover_wire::codec::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::text;
use crate::cluster::State;
use crate::dispatch::{Context, Serve};
use crate::topics::{SETTINGS, Setting, Topic};

/// `ConfigResource.Type.TOPIC` and `BROKER`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// `ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG` and `DEFAULT_CONFIG`.
const SET: i8 = 1;
const DEFAULT: i8 = 5;

/// A setting of a topic, as it is now.
pub(crate) struct Told<'a> {
    pub(crate) name: &'static str,
    pub(crate) value: &'a str,
    kind: i8,
    is_set: bool,
}

impl Told<'_> {
    pub(crate) fn source(&self) -> i8 {
        if self.is_set { SET } else { DEFAULT }
    }
}

/// All settings of a topic.
pub(crate) fn of_topic(topic: &Topic) -> impl Iterator<Item = Told<'_>> {
    SETTINGS.iter().map(|Setting { name, default, kind }| {
        let set = topic.settings.get(*name);
        let value = set.map_or(*default, String::as_str);
        Told { name, value, kind: *kind, is_set: set.is_some() }
    })
}

impl Serve for DescribeConfigsRequest {
    async fn serve(self, cx: &Context) -> DescribeConfigsResponse {
        let state = cx.cluster.lock();
        let results = self.resources.iter().map(|resource| {
            match describe(&state, resource, self.include_synonyms) {
                Ok(configs) => described(resource).with_configs(configs),
                Err(error) => described(resource)
                    .with_error_code(error.code())
                    .with_error_message(Some(text(error.name()))),
            }
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    fn refuse(&self, error: ErrorCode, _: &Context) -> DescribeConfigsResponse {
        let refused = |resource| described(resource).with_error_code(error.code());
        let results = self.resources.iter().map(refused).collect();
        DescribeConfigsResponse::default().with_results(results)
    }
}

fn described(resource: &DescribeConfigsResource) -> DescribeConfigsResult {
    DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
}

/// A node has no settings that a client could set, so there are none to tell.
fn describe(
    state: &State,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, ErrorCode> {
    match resource.resource_type {
        TOPIC => {
            let topic = state.topics.get(&resource.resource_name);
            let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
            let keys = resource.configuration_keys.as_deref();
            let wanted = of_topic(topic).filter(|told| is_wanted(keys, told.name));
            Ok(wanted.map(|told| tell(&told, synonyms)).collect())
        }
        BROKER => {
            let node = resource.resource_name.parse().ok().and_then(|id| state.node(id));
            if node.is_some() || resource.resource_name.is_empty() {
                Ok(Vec::new())
            } else {
                Err(ErrorCode::InvalidRequest)
            }
        }
        _ => Err(ErrorCode::InvalidRequest),
    }
}

/// No list of keys, or an empty one, asks for all.
fn is_wanted(keys: Option<&[StrBytes]>, name: &str) -> bool {
    keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| **key == *name))
}

fn tell(told: &Told<'_>, synonyms: bool) -> DescribeConfigsResourceResult {
    let synonym = || {
        DescribeConfigsSynonym::default()
            .with_name(text(told.name))
            .with_value(Some(text(told.value)))
            .with_source(told.source())
    };
    DescribeConfigsResourceResult::default()
        .with_name(text(told.name))
        .with_value(Some(text(told.value)))
        .with_config_source(told.source())
        .with_config_type(told.kind)
        .with_synonyms(if synonyms { vec![synonym()] } else { Vec::new() })
}
