//! Fetch sessions: a client names its partitions once, and from then on only what changes
//! (KIP-227, `FetchSession` and `FetchManager`).

use std::collections::HashMap;

use handover_machine::ErrorCode;
use handover_wire::codec::Uuid;
use handover_wire::codec::messages::fetch_request::{FetchPartition, FetchTopic};
use handover_wire::codec::messages::fetch_response::PartitionData;
use handover_wire::codec::messages::{FetchRequest, FetchResponse, TopicName};

use crate::handlers::{code, text};

/// Sessions that are kept (`max.incremental.fetch.session.cache.slots`). The one longest unused
/// makes room for another; its client is told that it is gone, and begins anew (SPEC Y6).
const SESSION_LIMIT: usize = 1_000;

/// The epoch of a request that wants no session, or no longer.
const FINAL: i32 = -1;

/// The epoch of a request that wants a new session.
const INITIAL: i32 = 0;

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: HashMap<i32, Session>,
    created: i32,
    /// Counts uses, by which the longest unused is found.
    uses: u64,
}

#[derive(Debug)]
struct Session {
    /// The node that keeps it: a session ends with its node.
    node: i32,
    /// What the next request must say.
    epoch: i32,
    used: u64,
    partitions: HashMap<Key, Tracked>,
    /// Counts the places given out.
    places: u64,
}

/// A partition: by its topic's name or id, whichever the client's version of Fetch uses.
type Key = (TopicName, Uuid, i32);

/// A partition that a session fetches.
#[derive(Debug)]
struct Tracked {
    asked: FetchPartition,
    /// Its place in the line, the lowest first.
    place: u64,
    /// High watermark and log start as the client was told them last.
    told: Option<(i64, i64)>,
}

/// The session of one fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// There is none: everything is asked and everything is answered.
    Without,
    /// It begins: everything is answered.
    First(i32),
    /// It goes on: only what changed is answered.
    Later(i32),
}

impl Sessions {
    /// Takes note of a fetch that reached `node`, and completes its topics by what its session
    /// knows.
    pub(crate) fn begin(
        &mut self,
        node: i32,
        request: &mut FetchRequest,
    ) -> Result<Turn, ErrorCode> {
        self.uses += 1;
        let id = request.session_id;
        if let FINAL | INITIAL = request.session_epoch {
            self.by_id.remove(&id);
            if request.session_epoch == FINAL {
                return Ok(Turn::Without);
            }
            return Ok(Turn::First(self.create(node, request)));
        }
        let session = self.by_id.get_mut(&id).filter(|session| session.node == node);
        let session = session.ok_or(code::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.epoch != request.session_epoch {
            return Err(code::INVALID_FETCH_SESSION_EPOCH);
        }
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        session.used = self.uses;
        session.update(request);
        request.topics = session.topics();
        Ok(Turn::Later(id))
    }

    /// Leaves out of an answer what the client knows already, and names the session.
    pub(crate) fn finish(&mut self, turn: Turn, mut answer: FetchResponse) -> FetchResponse {
        let (Turn::First(id) | Turn::Later(id)) = turn else { return answer };
        // It may have been ended by another fetch meanwhile: then the client will find out.
        let Some(session) = self.by_id.get_mut(&id) else { return answer };
        for topic in &mut answer.responses {
            let (name, topic_id) = (topic.topic.clone(), topic.topic_id);
            topic.partitions.retain(|data| {
                let news = session.tell(&name, topic_id, data);
                news || matches!(turn, Turn::First(_))
            });
        }
        answer.responses.retain(|topic| !topic.partitions.is_empty());
        answer.with_session_id(id)
    }

    /// The sessions of a node end with it.
    pub(crate) fn forget_node(&mut self, node: i32) {
        self.by_id.retain(|_, session| session.node != node);
    }

    fn create(&mut self, node: i32, request: &FetchRequest) -> i32 {
        if self.by_id.len() >= SESSION_LIMIT {
            let unused = self.by_id.iter().min_by_key(|(_, session)| session.used);
            if let Some(id) = unused.map(|(id, _)| *id) {
                self.by_id.remove(&id);
            }
        }
        self.created = self.created.checked_add(1).unwrap_or(1);
        let mut session =
            Session { node, epoch: 1, used: self.uses, partitions: HashMap::new(), places: 0 };
        session.update(request);
        self.by_id.insert(self.created, session);
        self.created
    }
}

impl Session {
    /// Adds and changes what the request names, and drops what it forgets.
    fn update(&mut self, request: &FetchRequest) {
        for forgotten in &request.forgotten_topics_data {
            for partition in &forgotten.partitions {
                self.partitions.remove(&(forgotten.topic.clone(), forgotten.topic_id, *partition));
            }
        }
        for topic in &request.topics {
            // A copy, as what was decoded keeps its whole frame.
            let name = TopicName(text(&topic.topic));
            for asked in &topic.partitions {
                self.places += 1;
                let fresh = Tracked { asked: asked.clone(), place: self.places, told: None };
                let key = (name.clone(), topic.topic_id, asked.partition);
                self.partitions.entry(key).or_insert(fresh).asked = asked.clone();
            }
        }
    }

    /// All partitions, in their line.
    fn topics(&self) -> Vec<FetchTopic> {
        let mut line: Vec<(&Key, &Tracked)> = self.partitions.iter().collect();
        line.sort_unstable_by_key(|(_, tracked)| tracked.place);
        let mut topics: Vec<FetchTopic> = Vec::new();
        for ((name, id, _), tracked) in line {
            match topics.last_mut().filter(|topic| topic.topic == *name && topic.topic_id == *id) {
                Some(topic) => topic.partitions.push(tracked.asked.clone()),
                None => topics.push(
                    FetchTopic::default()
                        .with_topic(name.clone())
                        .with_topic_id(*id)
                        .with_partitions(vec![tracked.asked.clone()]),
                ),
            }
        }
        topics
    }

    /// Whether a partition's answer says anything that its client does not know. A partition that
    /// brought records goes to the end of the line, so that it does not starve the others.
    fn tell(&mut self, topic: &TopicName, id: Uuid, data: &PartitionData) -> bool {
        let key = (topic.clone(), id, data.partition_index);
        let Some(tracked) = self.partitions.get_mut(&key) else { return true };
        let told = Some((data.high_watermark, data.log_start_offset));
        let known = std::mem::replace(&mut tracked.told, told);
        let brings = data.records.as_ref().is_some_and(|records| !records.is_empty());
        if brings {
            self.places += 1;
            tracked.place = self.places;
        }
        let parted = data.diverging_epoch.end_offset >= 0;
        brings || known != told || data.error_code != 0 || parted
    }
}
