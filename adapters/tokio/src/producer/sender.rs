//! The producer's task: sends what is due, and brings back what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use handover_core::machine::{ErrorCode, Name, TopicPartition};
use handover_wire::codec::StrBytes;
use handover_wire::codec::messages::produce_request::{PartitionProduceData, TopicProduceData};
use handover_wire::codec::messages::produce_response::PartitionProduceResponse;
use handover_wire::codec::messages::{
    InitProducerIdRequest, ProduceRequest, ProduceResponse, TopicName,
};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::batcher::{Due, Fate, ProducerId};
use super::delivery::Written;
use super::{Acks, ProduceError, Shared};
use crate::config::millis;
use crate::error::{ClusterError, Unanswered, code};
use crate::net::{AtMost, Backoff, Cluster, Use};

/// Requests that a broker may have at a time.
const IN_FLIGHT: usize = 5;
/// The last version of Produce that names topics by their name.
const BY_NAME: i16 = 12;
const INIT_PRODUCER_ID: handover_wire::ApiKey = handover_wire::ApiKey(22);

/// Runs until it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let backoff = || Backoff::new(shared.cluster.config().retry_backoff);
    let mut sender = Sender {
        metadata: Pace::new(backoff()),
        name: Pace::new(backoff()),
        in_flight: BTreeMap::new(),
        jobs: JoinSet::new(),
        running: BTreeMap::new(),
        shared: &shared,
    };
    loop {
        let next = sender.start_what_is_due();
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(done) = sender.jobs.join_next_with_id() => sender.finish(done),
            () = shared.work.notified() => {}
            () = sleep => {}
        }
    }
}

struct Sender<'a> {
    shared: &'a Shared,
    jobs: JoinSet<Done>,
    /// What each job is, for the case that it panics.
    running: BTreeMap<Id, Job>,
    /// Requests by broker.
    in_flight: BTreeMap<i32, usize>,
    metadata: Pace,
    name: Pace,
}

enum Job {
    Produce(i32, Vec<TopicPartition>),
    Metadata,
    Name,
}

enum Done {
    Produced(Vec<(TopicPartition, Fate)>),
    /// The topics that were refused.
    Metadata(Result<Vec<(Name, ErrorCode)>, ClusterError>),
    Name(Result<ProducerId, ClusterError>),
}

/// Something that is asked for one at a time, and not too often.
struct Pace {
    running: bool,
    not_before: Option<Instant>,
    backoff: Backoff,
}

impl Pace {
    fn new(backoff: Backoff) -> Pace {
        Pace { running: false, not_before: None, backoff }
    }

    /// When it may be asked for; `None` while it is being asked for.
    fn at(&self, now: Instant) -> Option<Instant> {
        (!self.running).then(|| self.not_before.unwrap_or(now).max(now))
    }

    fn ended(&mut self, now: Instant) {
        self.running = false;
        self.not_before = Some(now + self.backoff.next());
    }

    fn not_wanted(&mut self) {
        self.backoff.reset();
    }
}

impl Sender<'_> {
    /// Starts what is due; gives the moment at which more will be.
    fn start_what_is_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let due = self.look(now);
        self.shared.room.add_permits(due.freed);
        let mut next = due.next;
        let mut later = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        if due.leaderless.is_empty() {
            self.metadata.not_wanted();
        } else if let Some(at) = self.metadata.at(now) {
            if at <= now { self.ask_leaders(due.leaderless) } else { later(at) }
        }
        if !due.nameless {
            self.name.not_wanted();
        } else if let Some(at) = self.name.at(now) {
            if at <= now { self.ask_name() } else { later(at) }
        }
        for (broker, batches) in due.requests {
            self.send(broker, batches);
        }
        next
    }

    fn look(&self, now: Instant) -> Due {
        let Shared { cluster, hurrying, .. } = self.shared;
        let leader = |place: &TopicPartition| {
            let topic = cluster.fresh(&place.topic)?;
            topic.leader(place.partition).map(|leader| leader.broker)
        };
        let room = |broker| self.in_flight.get(&broker).is_none_or(|out| *out < IN_FLIGHT);
        let hurry = hurrying.load(Ordering::Relaxed) > 0;
        self.shared.batcher().due(now, leader, room, hurry)
    }

    fn ask_leaders(&mut self, topics: Vec<Name>) {
        self.metadata.running = true;
        // A partition without a leader is known well enough: only the brokers know better.
        topics.iter().for_each(|topic| self.shared.cluster.mark_stale(topic));
        let cluster = self.shared.cluster.clone();
        self.start(Job::Metadata, async move { Done::Metadata(cluster.update(&topics).await) });
    }

    fn ask_name(&mut self) {
        self.name.running = true;
        let cluster = self.shared.cluster.clone();
        self.start(Job::Name, async move { Done::Name(ask_name(&cluster).await) });
    }

    fn send(&mut self, broker: i32, batches: Vec<(TopicPartition, Bytes)>) {
        *self.in_flight.entry(broker).or_insert(0) += 1;
        let places = batches.iter().map(|(place, _)| place.clone()).collect();
        let (cluster, acks) = (self.shared.cluster.clone(), self.shared.config.acks);
        self.start(Job::Produce(broker, places), async move {
            Done::Produced(produce(&cluster, broker, acks, batches).await)
        });
    }

    fn start(&mut self, job: Job, work: impl Future<Output = Done> + Send + 'static) {
        let id = self.jobs.spawn(work).id();
        self.running.insert(id, job);
    }

    fn finish(&mut self, done: Result<(Id, Done), JoinError>) {
        let id = done.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(job) = self.running.remove(&id) else { return };
        let now = Instant::now();
        match (job, done.map(|(_, done)| done)) {
            (Job::Produce(broker, places), done) => {
                if let Some(out) = self.in_flight.get_mut(&broker) {
                    *out -= 1;
                }
                let lost = || places.into_iter().map(|place| (place, lost())).collect();
                self.settle(match done {
                    Ok(Done::Produced(fates)) => fates,
                    _ => lost(),
                });
            }
            (Job::Metadata, done) => {
                self.metadata.ended(now);
                match done {
                    Ok(Done::Metadata(Ok(refused))) => {
                        self.shared.batcher().set_trouble(None);
                        self.refuse(refused);
                    }
                    Ok(Done::Metadata(Err(error))) => self.trouble(error),
                    _ => {}
                }
            }
            (Job::Name, done) => {
                self.name.ended(now);
                self.take_name(done);
            }
        }
    }

    fn settle(&mut self, fates: Vec<(TopicPartition, Fate)>) {
        let now = Instant::now();
        let mut batcher = self.shared.batcher();
        let freed: usize =
            fates.into_iter().map(|(place, fate)| batcher.settle(&place, fate, now)).sum();
        drop(batcher);
        self.shared.room.add_permits(freed);
    }

    fn trouble(&self, error: ClusterError) {
        tracing::debug!(%error, "the producer cannot go on for now");
        if let ClusterError::Connection(error) = error {
            self.shared.batcher().set_trouble(Some(error));
        }
    }

    /// Ends what goes to topics that are refused for good.
    fn refuse(&self, refused: Vec<(Name, ErrorCode)>) {
        for (topic, error) in refused {
            if !code::is_retriable(error) {
                let refused = ProduceError::Refused { error, message: None };
                let freed = self.shared.batcher().fail(&refused, |place| place.topic == topic);
                self.shared.room.add_permits(freed);
            }
        }
    }

    fn take_name(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Name(Ok(name))) => {
                tracing::debug!(id = name.id, epoch = name.epoch, "producer id");
                self.shared.batcher().set_name(name);
            }
            Ok(Done::Name(Err(ClusterError::Refused { error, message, .. })))
                if !code::is_retriable(error) =>
            {
                let refused = ProduceError::Refused { error, message };
                let freed = self.shared.batcher().fail(&refused, |_| true);
                self.shared.room.add_permits(freed);
            }
            Ok(Done::Name(Err(error))) => self.trouble(error),
            _ => {}
        }
    }
}

fn lost() -> Fate {
    Fate::Again { maybe_written: true, failure: None }
}

async fn ask_name(cluster: &Cluster) -> Result<ProducerId, ClusterError> {
    let connection = cluster.any().await?;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX);
    let answer = connection.call(&request, cluster.config().request_timeout).await?;
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => {
            Ok(ProducerId { id: answer.producer_id.0, epoch: answer.producer_epoch })
        }
        error => Err(ClusterError::Refused { api: INIT_PRODUCER_ID, error, message: None }),
    }
}

/// Sends one request, and judges what came of each batch in it.
async fn produce(
    cluster: &Cluster,
    broker: i32,
    acks: Acks,
    batches: Vec<(TopicPartition, Bytes)>,
) -> Vec<(TopicPartition, Fate)> {
    let places: Vec<TopicPartition> = batches.iter().map(|(place, _)| place.clone()).collect();
    let timeout = cluster.config().request_timeout;
    let request = AtMost(BY_NAME, request(acks, timeout, batches));
    let outcome = match cluster.broker(broker, Use::Produce).await {
        Err(error) => Err(Unanswered::NotSent(error)),
        Ok(connection) if acks == Acks::None => {
            connection.tell(&request, timeout).await.map(|()| None)
        }
        Ok(connection) => connection.call(&request, timeout).await.map(Some),
    };
    match outcome {
        Ok(Some(answer)) => judge_all(cluster, places, answer),
        Ok(None) => {
            let written = Written { base: None, append_time: None };
            places.into_iter().map(|place| (place, Fate::Written(written))).collect()
        }
        Err(unanswered) => {
            tracing::debug!(broker, error = %unanswered.reason(), "a produce request failed");
            let judge = |place: TopicPartition| {
                // Perhaps it does not lead any more; who does is asked for.
                cluster.mark_stale(&place.topic);
                let fate = judge_unanswered(&unanswered);
                (place, fate)
            };
            places.into_iter().map(judge).collect()
        }
    }
}

fn judge_unanswered(unanswered: &Unanswered) -> Fate {
    match unanswered {
        Unanswered::NotSent(error) => {
            Fate::Again { maybe_written: false, failure: Some(error.clone()) }
        }
        Unanswered::Lost(error) => {
            Fate::Again { maybe_written: true, failure: Some(error.clone()) }
        }
    }
}

fn request(acks: Acks, timeout: Duration, batches: Vec<(TopicPartition, Bytes)>) -> ProduceRequest {
    let mut topics: BTreeMap<Name, Vec<PartitionProduceData>> = BTreeMap::new();
    for (place, bytes) in batches {
        let data =
            PartitionProduceData::default().with_index(place.partition).with_records(Some(bytes));
        topics.entry(place.topic).or_default().push(data);
    }
    let topic = |(name, partitions): (Name, Vec<PartitionProduceData>)| {
        TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(name.to_string())))
            .with_partition_data(partitions)
    };
    ProduceRequest::default()
        .with_acks(acks.code())
        .with_timeout_ms(millis(timeout))
        .with_topic_data(topics.into_iter().map(topic).collect())
}

fn judge_all(
    cluster: &Cluster,
    places: Vec<TopicPartition>,
    answer: ProduceResponse,
) -> Vec<(TopicPartition, Fate)> {
    for node in &answer.node_endpoints {
        cluster.learn_node(node.node_id.0, &node.host, node.port);
    }
    let mut answers = BTreeMap::new();
    for topic in answer.responses {
        let name = Name::from(topic.name.as_str());
        for partition in topic.partition_responses {
            answers.insert(TopicPartition::new(name.clone(), partition.index), partition);
        }
    }
    let judge = |place: TopicPartition| {
        // What a broker leaves out it may have written.
        let fate =
            answers.remove(&place).map_or_else(lost, |answer| judge(cluster, &place, &answer));
        (place, fate)
    };
    places.into_iter().map(judge).collect()
}

/// What an answer means for its batch (Kafka's `Sender.completeBatch`).
fn judge(cluster: &Cluster, place: &TopicPartition, answer: &PartitionProduceResponse) -> Fate {
    let error = ErrorCode::from_code(answer.error_code);
    match error {
        ErrorCode::None => Fate::Written(Written {
            base: (answer.base_offset >= 0).then_some(answer.base_offset),
            append_time: (answer.log_append_time_ms >= 0).then_some(answer.log_append_time_ms),
        }),
        // It stands in the log since an attempt before this one.
        code::DUPLICATE_SEQUENCE_NUMBER => Fate::Written(Written { base: None, append_time: None }),
        code::OUT_OF_ORDER_SEQUENCE_NUMBER
        | code::UNKNOWN_PRODUCER_ID
        | code::INVALID_PRODUCER_EPOCH => {
            tracing::warn!(%place, %error, "the broker lost the producer's sequence");
            Fate::Renew
        }
        error if code::is_retriable(error) => {
            tracing::debug!(%place, %error, "sending a batch again");
            if code::is_stale_metadata(error) {
                cluster.mark_stale(&place.topic);
                let leader = &answer.current_leader;
                cluster.learn_leader(place, leader.leader_id.0, leader.leader_epoch);
            }
            Fate::Again { maybe_written: may_be_written(error), failure: None }
        }
        error => {
            let message = answer.error_message.as_ref().map(ToString::to_string);
            Fate::Refused(ProduceError::Refused { error, message })
        }
    }
}

/// Whether a batch may stand in the leader's log although it was answered with this error.
fn may_be_written(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::RequestTimedOut
            | ErrorCode::NetworkException
            | ErrorCode::StorageError
            | code::NOT_ENOUGH_REPLICAS_AFTER_APPEND
            // Told also to those who wait for replicas when the leadership moves.
            | ErrorCode::NotLeaderOrFollower
    )
}

#[cfg(test)]
mod tests {
    use handover_wire::codec::messages::produce_response::TopicProduceResponse;

    use super::*;
    use crate::config::ClientConfig;

    fn judged(error: i16) -> Fate {
        let cluster = Cluster::new(ClientConfig::new("localhost:1")).unwrap();
        let place = TopicPartition::new("t", 0);
        let answer = PartitionProduceResponse::default().with_error_code(error).with_base_offset(5);
        judge(&cluster, &place, &answer)
    }

    #[test]
    fn each_answer_means_one_of_five_things() {
        assert!(matches!(judged(0), Fate::Written(Written { base: Some(5), .. })));
        assert!(matches!(judged(46), Fate::Written(Written { base: None, .. })));
        for lost_sequence in [45, 47, 59] {
            assert!(matches!(judged(lost_sequence), Fate::Renew), "{lost_sequence}");
        }
        for maybe in [6, 7, 20, 56] {
            let fate = judged(maybe);
            assert!(matches!(fate, Fate::Again { maybe_written: true, .. }), "{maybe}");
        }
        for surely_not in [3, 5, 19, 74] {
            let fate = judged(surely_not);
            assert!(matches!(fate, Fate::Again { maybe_written: false, .. }), "{surely_not}");
        }
        for refused in [10, 17, 29, 31, 87, -1, 999] {
            assert!(matches!(judged(refused), Fate::Refused(_)), "{refused}");
        }
    }

    #[test]
    fn what_an_answer_leaves_out_may_be_written() {
        let cluster = Cluster::new(ClientConfig::new("localhost:1")).unwrap();
        let places: Vec<_> = (0..2).map(|p| TopicPartition::new("t", p)).collect();
        // Partition 0 twice, and one that was not asked for.
        let partition = |index| PartitionProduceResponse::default().with_index(index);
        let topic = TopicProduceResponse::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partition_responses(vec![partition(0), partition(0), partition(9)]);
        let answer = ProduceResponse::default().with_responses(vec![topic]);
        let fates = judge_all(&cluster, places, answer);
        assert!(matches!(
            &fates[..],
            [(_, Fate::Written(_)), (_, Fate::Again { maybe_written: true, .. })]
        ));
    }
}
