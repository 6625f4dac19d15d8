//! FindCoordinator, versions 0 to 6. From 4 on a request asks for several keys (KIP-699).

use handover_machine::{ErrorCode, FindCoordinator, FoundCoordinator, Name, Node};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Detail, name, text};

/// The first version with several keys.
const BATCHED: i16 = 4;
/// Kafka's `CoordinatorType.GROUP`; 1 is a transaction, 2 a share group.
const GROUP: i8 = 0;

pub(crate) fn to_request(find: &FindCoordinator, version: i16) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default().with_key_type(GROUP);
    if version < BATCHED {
        request.with_key(text(&find.group))
    } else {
        request.with_coordinator_keys(vec![text(&find.group)])
    }
}

pub(crate) fn from_response(
    response: FindCoordinatorResponse,
    version: i16,
    group: &Name,
) -> Result<FoundCoordinator, Detail> {
    if version < BATCHED {
        let FindCoordinatorResponse { error_code, node_id, host, port, .. } = response;
        return found(error_code, node_id, &host, port);
    }
    let [Coordinator { key, error_code, node_id, host, port, .. }] = &response.coordinators[..]
    else {
        let count = response.coordinators.len();
        return Err(format!("of 1 coordinator that was asked for {count} came").into());
    };
    if **key != **group {
        return Err(format!("of the coordinator of {group:?} that of {key:?} came").into());
    }
    found(*error_code, *node_id, host, *port)
}

fn found(
    error: i16,
    node: BrokerId,
    host: &StrBytes,
    port: i32,
) -> Result<FoundCoordinator, Detail> {
    let error = ErrorCode::from_code(error);
    if !error.is_none() {
        return Ok(FoundCoordinator { error, node: None });
    }
    let port = u16::try_from(port).map_err(|_| format!("{port} came as a port"))?;
    let node = Node { id: node.0, host: name(host), port };
    Ok(FoundCoordinator { error, node: Some(node) })
}

/// The keys asked for, and whether they are groups.
pub(crate) fn from_request(request: FindCoordinatorRequest, version: i16) -> (Vec<Name>, bool) {
    let keys = if version < BATCHED {
        vec![name(&request.key)]
    } else {
        request.coordinator_keys.iter().map(name).collect()
    };
    (keys, request.key_type == GROUP)
}

/// The answers to the keys, in their order and of their number.
pub(crate) fn to_response(
    keys: &[Name],
    answers: &[&FoundCoordinator],
    version: i16,
) -> FindCoordinatorResponse {
    let batch = || keys.iter().zip(answers).map(|(key, found)| coordinator(key, found));
    if version >= BATCHED {
        return FindCoordinatorResponse::default().with_coordinators(batch().collect());
    }
    // Before version 4 there is exactly one key.
    let Coordinator { error_code, error_message, node_id, host, port, .. } =
        batch().next().unwrap_or_default();
    FindCoordinatorResponse::default()
        .with_error_code(error_code)
        .with_error_message(error_message)
        .with_node_id(node_id)
        .with_host(host)
        .with_port(port)
}

fn coordinator(key: &Name, found: &FoundCoordinator) -> Coordinator {
    // Kafka's `Node.noNode()` where there is none.
    let (id, host, port) = match &found.node {
        Some(node) => (node.id, &*node.host, i32::from(node.port)),
        None => (-1, "", -1),
    };
    let message = (!found.error.is_none()).then(|| text(found.error.name()));
    Coordinator::default()
        .with_key(text(key))
        .with_node_id(BrokerId(id))
        .with_host(text(host))
        .with_port(port)
        .with_error_code(found.error.code())
        .with_error_message(message)
}
