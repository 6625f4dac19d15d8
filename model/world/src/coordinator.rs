//! The classic group coordinator: requests in, answers out, no clock and no socket.

mod admin;
mod canonical;
mod config;
mod group;
mod heartbeat;
mod join;
mod leave;
mod offsets;
mod rebalance;
mod subscription;
mod sync;
mod timers;

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    vec::Vec,
};
use core::{mem, time::Duration};

use handover_machine::{
    ErrorCode, FoundCoordinator, Joined, Left, Name, OffsetCommitted, OffsetsFetched, Request,
    Response, Synced, Time,
};

pub use admin::{GroupDescription, GroupListing, GroupState, MemberDescription};
pub use config::{Caller, Client, CoordinatorConfig};
pub use offsets::Committed;

use group::Group;

/// A group coordinator of Apache Kafka 4.x for the classic protocol
/// (`GroupCoordinatorService`, `GroupMetadataManager`, `OffsetMetadataManager`).
///
/// Every request goes in by [`handle`](Coordinator::handle) and is answered at once, later, or,
/// where Kafka loses it too, never: a JoinGroup or SyncGroup that the same member sends again
/// takes the place of the parked one, and so does the departure of the member by another
/// connection (SPEC G5).
///
/// ```
/// use handover_machine::{Heartbeat, Identity, ErrorCode, Request, Response, Time};
/// use handover_world::{Caller, Client, Coordinator, CoordinatorConfig};
///
/// let mut coordinator = Coordinator::new(CoordinatorConfig::default());
/// let identity = Identity { member: "nobody".into(), generation: 1, instance: None };
/// let heartbeat = Request::Heartbeat(Heartbeat { group: "orders".into(), identity });
/// coordinator.handle(Time::ZERO, Caller(7), &Client::new("orders-1", "127.0.0.1"), heartbeat);
///
/// let answer = Response::Heartbeat(ErrorCode::UnknownMemberId);
/// assert_eq!(coordinator.poll_answer(), Some((Caller(7), answer)));
/// assert_eq!(coordinator.next_wake(), Time::NEVER);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Coordinator {
    config: CoordinatorConfig,
    service: Service,
    groups: BTreeMap<Name, Group>,
    /// How many member ids were given. Survives a reload, as Kafka's random ids never recur.
    ids: u64,
    answers: VecDeque<(Caller, Response)>,
}

/// Whether this broker is the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Service {
    Active,
    Loading,
    Elsewhere,
}

impl Coordinator {
    /// A coordinator without groups.
    pub fn new(config: CoordinatorConfig) -> Coordinator {
        Coordinator {
            config,
            service: Service::Active,
            groups: BTreeMap::new(),
            ids: 0,
            answers: VecDeque::new(),
        }
    }

    /// Takes other settings. They hold from here on; what is parked or timed stays as it is.
    pub fn configure(&mut self, config: CoordinatorConfig) {
        self.config = config;
    }

    /// Takes a request. Its answer comes by [`poll_answer`](Coordinator::poll_answer) under the
    /// name `caller`. FindCoordinator, which is not a coordinator's to answer, gets
    /// COORDINATOR_NOT_AVAILABLE.
    pub fn handle(&mut self, now: Time, caller: Caller, client: &Client, request: Request) {
        let answer = match self.refusal(&request) {
            Some(error) => Some(refuse(request, error)),
            None => self.serve(now, caller, client, request),
        };
        self.answers.extend(answer.map(|answer| (caller, answer)));
    }

    /// The next answer that is ready, oldest first.
    pub fn poll_answer(&mut self) -> Option<(Caller, Response)> {
        self.answers.pop_front()
    }

    /// Who is parked, in no order: JoinGroup and SyncGroup that will be answered later.
    pub fn parked(&self) -> impl Iterator<Item = Caller> {
        let members = self.groups.values().flat_map(|group| group.members.values());
        members.flat_map(|member| member.joining.into_iter().chain(member.syncing))
    }

    /// The coordinator moves away: parked requests are answered NOT_COORDINATOR, as is every
    /// later request until [`load`](Coordinator::load).
    pub fn unload(&mut self) {
        let groups = mem::take(&mut self.groups);
        let (kept, mut turn) = self.turn(Time::ZERO);
        for (name, group) in groups {
            kept.extend(group.unload(&mut turn).map(|group| (name, group)));
        }
        self.service = Service::Elsewhere;
    }

    /// The coordinator comes here and reads its records: until [`load`](Coordinator::load)
    /// requests are answered COORDINATOR_LOAD_IN_PROGRESS, heartbeats NONE
    /// (`GroupCoordinatorService.heartbeat`).
    pub fn start_load(&mut self) {
        self.service = Service::Loading;
    }

    /// The records are read. What was in them is back, with fresh sessions (SPEC G9).
    pub fn load(&mut self, now: Time) {
        self.service = Service::Active;
        let (groups, mut turn) = self.turn(now);
        for group in groups.values_mut() {
            group.load(&mut turn);
        }
    }

    /// The coordinator moves or restarts in an instant: [`unload`](Coordinator::unload) and
    /// [`load`](Coordinator::load). Pending ids, generations whose leader has not synced and
    /// parked requests are gone; ids, generations and offsets in records stay (SPEC G9).
    pub fn reload(&mut self, now: Time) {
        self.unload();
        self.load(now);
    }

    fn serve(
        &mut self,
        now: Time,
        caller: Caller,
        client: &Client,
        request: Request,
    ) -> Option<Response> {
        match request {
            Request::FindCoordinator(_) => {
                Some(refuse(request, ErrorCode::CoordinatorNotAvailable))
            }
            Request::JoinGroup(join) => {
                self.join(now, caller, client, join);
                None
            }
            Request::SyncGroup(sync) => self.sync(now, caller, sync).map(Response::SyncGroup),
            Request::Heartbeat(beat) => Some(Response::Heartbeat(self.heartbeat(now, &beat))),
            Request::LeaveGroup(leave) => Some(Response::LeaveGroup(self.leave(now, leave))),
            Request::OffsetCommit(commit) => {
                Some(Response::OffsetCommit(self.commit(now, client, commit)))
            }
            Request::OffsetFetch(fetch) => Some(Response::OffsetFetch(self.fetch(fetch))),
        }
    }

    /// What is refused before any group is looked at (`GroupCoordinatorService`). Commits and
    /// fetches may name the empty group, for the sake of old clients.
    fn refusal(&self, request: &Request) -> Option<ErrorCode> {
        let group = match request {
            Request::JoinGroup(r) => &r.group,
            Request::SyncGroup(r) => &r.group,
            Request::Heartbeat(r) => &r.group,
            Request::LeaveGroup(r) => &r.group,
            _ => return self.available().err(),
        };
        if group.is_empty() {
            return Some(ErrorCode::InvalidGroupId);
        }
        if let Request::JoinGroup(join) = request {
            let CoordinatorConfig { min_session_timeout, max_session_timeout, .. } = self.config;
            let timeout = u64::try_from(join.session_timeout_ms).map(Duration::from_millis);
            if !timeout.is_ok_and(|t| min_session_timeout <= t && t <= max_session_timeout) {
                return Some(ErrorCode::InvalidSessionTimeout);
            }
        }
        match (self.available(), request) {
            // It cannot know yet, and a member that is told anything else would leave its group.
            (Err(ErrorCode::CoordinatorLoadInProgress), Request::Heartbeat(_)) => {
                Some(ErrorCode::None)
            }
            (available, _) => available.err(),
        }
    }

    /// Whether this broker is the coordinator, or what it answers instead.
    pub(crate) fn available(&self) -> Result<(), ErrorCode> {
        match self.service {
            Service::Active => Ok(()),
            Service::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            Service::Elsewhere => Err(ErrorCode::NotCoordinator),
        }
    }

    fn turn(&mut self, now: Time) -> (&mut BTreeMap<Name, Group>, Turn<'_>) {
        let turn =
            Turn { now, config: &self.config, ids: &mut self.ids, answers: &mut self.answers };
        (&mut self.groups, turn)
    }
}

/// What the groups need of the coordinator while one request or one timer is dealt with.
struct Turn<'a> {
    now: Time,
    config: &'a CoordinatorConfig,
    ids: &'a mut u64,
    answers: &'a mut VecDeque<(Caller, Response)>,
}

impl Turn<'_> {
    /// An id that was never given before.
    fn new_id(&mut self, prefix: &str) -> Name {
        *self.ids += 1;
        format!("{prefix}-{:06}", self.ids).into()
    }

    fn answer_join(&mut self, caller: Caller, joined: Joined) {
        self.answers.push_back((caller, Response::JoinGroup(joined)));
    }

    fn answer_sync(&mut self, caller: Caller, synced: Synced) {
        self.answers.push_back((caller, Response::SyncGroup(synced)));
    }
}

/// JoinGroup's answer where there is no generation.
fn not_joined(member: Name, error: ErrorCode) -> Joined {
    Joined {
        error,
        generation: -1,
        protocol_type: None,
        protocol: None,
        leader: Name::default(),
        member,
        skip_assignment: false,
        members: Vec::new(),
    }
}

fn not_synced(error: ErrorCode) -> Synced {
    Synced { error, protocol_type: None, protocol: None, assignment: Vec::new() }
}

/// The answer to a request that is refused as a whole.
fn refuse(request: Request, error: ErrorCode) -> Response {
    match request {
        Request::FindCoordinator(_) => {
            Response::FindCoordinator(FoundCoordinator { error, node: None })
        }
        Request::JoinGroup(join) => Response::JoinGroup(not_joined(join.member, error)),
        Request::SyncGroup(_) => Response::SyncGroup(not_synced(error)),
        Request::Heartbeat(_) => Response::Heartbeat(error),
        Request::LeaveGroup(_) => Response::LeaveGroup(Left { error, members: Vec::new() }),
        Request::OffsetCommit(commit) => {
            let refused = commit.offsets.into_iter().map(|o| (o.partition, error));
            Response::OffsetCommit(OffsetCommitted { partitions: refused.collect() })
        }
        Request::OffsetFetch(_) => {
            Response::OffsetFetch(OffsetsFetched { error, offsets: Vec::new() })
        }
    }
}
