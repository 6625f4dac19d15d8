//! Faults from code: what goes wrong, for which requests, and how a test learns that it did.
//!
//! A rule counts the requests that it matches and acts on those in its window. Rules are
//! looked at outside the lock, since a predicate is the caller's code (SPEC Y5).

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handover_machine::{ErrorCode, Name};
use tokio::sync::watch;

use crate::Api;

/// The faults of a broker. Cheap to clone; see [`Broker::faults`](crate::Broker::faults).
///
/// ```
/// use handover_broker::{Api, Broker, Cut, ErrorCode};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), handover_broker::StartError> {
/// let broker = Broker::builder().topic("orders", 3).start().await?;
/// let third = broker.faults().on(Api::OffsetCommit).nth(3).answer(ErrorCode::NotCoordinator);
/// broker.faults().on(Api::Heartbeat).client_id("slow").always().delay(Duration::from_secs(2));
/// broker.faults().on(Api::JoinGroup).cut(Cut::After);
/// // ... the test; then, without a sleep:
/// // third.hit().await;
/// # assert_eq!(third.hits(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults {
    script: Arc<Script>,
}

impl Faults {
    /// A fault of the next request of `api`; the builder narrows and widens that.
    pub fn on(&self, api: Api) -> FaultBuilder {
        self.rule(Some(api))
    }

    /// A fault of the next request, whatever its API.
    pub fn on_any(&self) -> FaultBuilder {
        self.rule(None)
    }

    /// Cuts the next connection once `bytes` bytes have gone over it in `direction`: in the
    /// middle of a request or an answer, if that is where the byte is. What the broker received
    /// in whole before that is processed.
    pub fn cut_after_bytes(&self, direction: Direction, bytes: usize) -> Fault {
        let progress = Arc::new(watch::Sender::new(Progress::default()));
        let cut = ByteCut { direction, bytes, progress: Arc::clone(&progress) };
        lock(&self.script.byte_cuts).push(cut);
        Fault { script: Arc::clone(&self.script), progress }
    }

    /// Removes every fault; requests that are held go on.
    pub fn clear(&self) {
        let rules = std::mem::take(&mut *lock(&self.script.rules));
        let cuts = std::mem::take(&mut *lock(&self.script.byte_cuts));
        let progress = rules.iter().map(|rule| &rule.progress);
        for removed in progress.chain(cuts.iter().map(|cut| &cut.progress)) {
            removed.send_modify(|progress| progress.removed = true);
        }
    }

    /// What is to happen to `request`. Called once for each request.
    pub(crate) fn judge(&self, request: &RequestInfo) -> Judgement {
        let rules = lock(&self.script.rules).clone();
        let mut judgement = Judgement::default();
        for rule in rules.iter().filter(|rule| rule.applies_to(request)) {
            match &rule.effect {
                Effect::Delay(by) => judgement.waits.push(Wait::For(*by)),
                Effect::Hold => judgement.waits.push(Wait::Until(rule.progress.subscribe())),
                Effect::End(end) if judgement.end.is_none() => judgement.end = Some(*end),
                Effect::End(_) => continue,
            }
            rule.progress.send_modify(|progress| progress.hits += 1);
        }
        judgement
    }

    /// The byte cut that a new connection takes with it.
    pub(crate) fn take_byte_cut(&self) -> Option<ByteCut> {
        let mut cuts = lock(&self.script.byte_cuts);
        (!cuts.is_empty()).then(|| cuts.remove(0))
    }

    fn rule(&self, api: Option<Api>) -> FaultBuilder {
        FaultBuilder {
            faults: self.clone(),
            api,
            window: 1..=1,
            client_id: None,
            node: None,
            when: None,
        }
    }
}

/// Which requests a fault hits. Made by [`Faults::on`]; the next one, unless told otherwise.
///
/// ```
/// # use handover_broker::{Api, Broker, ErrorCode};
/// # fn test(broker: &Broker) {
/// let of_node_2 = broker.faults().on(Api::Fetch).node(2).always();
/// of_node_2.answer(ErrorCode::NotLeaderOrFollower);
/// let old = broker.faults().on_any().times(5).when(|request| request.version == 0);
/// old.answer(ErrorCode::UnsupportedVersion);
/// # }
/// ```
#[must_use = "a fault exists once its effect is named: `answer`, `delay`, `hold` or `cut`"]
pub struct FaultBuilder {
    faults: Faults,
    api: Option<Api>,
    window: RangeInclusive<u64>,
    client_id: Option<Name>,
    node: Option<i32>,
    when: Option<Predicate>,
}

type Predicate = Arc<dyn Fn(&RequestInfo) -> bool + Send + Sync>;

impl FaultBuilder {
    /// Only the `n`-th matching request from now on, counted from 1.
    pub fn nth(mut self, n: u64) -> Self {
        self.window = n..=n;
        self
    }

    /// The next `n` matching requests.
    pub fn times(mut self, n: u64) -> Self {
        self.window = 1..=n;
        self
    }

    /// Every matching request, until the fault is removed.
    pub fn always(mut self) -> Self {
        self.window = 1..=u64::MAX;
        self
    }

    /// Only requests with this client id.
    pub fn client_id(mut self, id: impl Into<Name>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Only requests to this node.
    pub fn node(mut self, id: i32) -> Self {
        self.node = Some(id);
        self
    }

    /// Only requests of which `predicate` is true.
    pub fn when(
        mut self,
        predicate: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.when = Some(Arc::new(predicate));
        self
    }

    /// The request is not applied and is answered with `error`, where that API puts errors: for
    /// each partition, topic or group that was asked for, else for the whole.
    pub fn answer(self, error: ErrorCode) -> Fault {
        self.install(Effect::End(End::Refuse(error)))
    }

    /// The request is applied, and answered with `error` all the same: what a coordinator does
    /// whose replication times out.
    pub fn apply_then_answer(self, error: ErrorCode) -> Fault {
        self.install(Effect::End(End::ApplyThenRefuse(error)))
    }

    /// The request is looked at `by` later; its connection waits, as a real one does.
    pub fn delay(self, by: Duration) -> Fault {
        self.install(Effect::Delay(by))
    }

    /// The request is looked at once the fault is [removed](Fault::remove).
    pub fn hold(self) -> Fault {
        self.install(Effect::Hold)
    }

    /// The connection is cut.
    pub fn cut(self, cut: Cut) -> Fault {
        self.install(Effect::End(End::Cut(cut)))
    }

    fn install(self, effect: Effect) -> Fault {
        let progress = Arc::new(watch::Sender::new(Progress::default()));
        let rule = Rule {
            api: self.api,
            window: self.window,
            client_id: self.client_id,
            node: self.node,
            when: self.when,
            effect,
            matched: AtomicU64::new(0),
            progress: Arc::clone(&progress),
        };
        lock(&self.faults.script.rules).push(Arc::new(rule));
        Fault { script: self.faults.script, progress }
    }
}

impl fmt::Debug for FaultBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultBuilder")
            .field("api", &self.api)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// A fault that was installed. Dropping it leaves the fault in place.
///
/// ```
/// # use handover_broker::{Api, Broker};
/// # async fn test(broker: &Broker) {
/// let held = broker.faults().on(Api::OffsetCommit).hold();
/// // … start a commit; once it is in the broker's hands, let the group rebalance; then:
/// held.hit().await;
/// held.remove();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    script: Arc<Script>,
    progress: Arc<watch::Sender<Progress>>,
}

impl Fault {
    /// How many requests it has hit.
    pub fn hits(&self) -> u64 {
        self.progress.borrow().hits
    }

    /// Returns once it has hit a request. Cancel safe: dropping the future has no effect.
    pub async fn hit(&self) {
        self.hit_times(1).await;
    }

    /// Returns once it has hit `n` requests. Cancel safe.
    pub async fn hit_times(&self, n: u64) {
        // The sender is in `self`, so the channel can't be closed while this waits.
        let _ = self.progress.subscribe().wait_for(|progress| progress.hits >= n).await;
    }

    /// Removes it: later requests are spared, and held ones go on.
    pub fn remove(&self) {
        lock(&self.script.rules).retain(|rule| !Arc::ptr_eq(&rule.progress, &self.progress));
        lock(&self.script.byte_cuts).retain(|cut| !Arc::ptr_eq(&cut.progress, &self.progress));
        self.progress.send_modify(|progress| progress.removed = true);
    }
}

/// Where a request's connection is cut.
///
/// ```
/// # use handover_broker::{Api, Broker, Cut};
/// # fn test(broker: &Broker) {
/// // The commit is applied, and its client never knows.
/// broker.faults().on(Api::OffsetCommit).cut(Cut::After);
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cut {
    /// Before the request is applied.
    Before,
    /// After it was applied, with no byte of the answer sent.
    After,
    /// After it was applied and this many bytes of the answer, its length included, were sent.
    Within(usize),
}

/// Which way bytes go.
///
/// ```
/// # use handover_broker::{Broker, Direction};
/// # fn test(broker: &Broker) {
/// // Two bytes into the length of the first answer.
/// broker.faults().cut_after_bytes(Direction::ToClient, 2);
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the client to the broker.
    ToBroker,
    /// From the broker to the client.
    ToClient,
}

/// A request as a predicate sees it.
///
/// ```
/// # use handover_broker::{Broker, Cut};
/// # fn test(broker: &Broker) {
/// let from_tests = |request: &handover_broker::RequestInfo| {
///     request.client_id.as_deref().is_some_and(|id| id.starts_with("test-"))
/// };
/// broker.faults().on_any().always().when(from_tests).cut(Cut::Before);
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct RequestInfo {
    /// Its API.
    pub api: Api,
    /// Its version.
    pub version: i16,
    /// The node that received it.
    pub node: i32,
    /// What the client calls itself.
    pub client_id: Option<Name>,
    /// Numbers the broker's connections, from 1.
    pub connection: u64,
}

/// What is to happen to one request: the waits in turn, then the end.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    waits: Vec<Wait>,
    pub(crate) end: Option<End>,
}

impl Judgement {
    /// Serves the waits.
    pub(crate) async fn wait(&mut self) {
        for wait in self.waits.drain(..) {
            match wait {
                Wait::For(time) => tokio::time::sleep(time).await,
                Wait::Until(mut progress) => {
                    // An error means that the rule is gone, which is what is waited for.
                    let _ = progress.wait_for(|progress| progress.removed).await;
                }
            }
        }
    }
}

/// How the request ends, other than with its own answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Refuse(ErrorCode),
    ApplyThenRefuse(ErrorCode),
    Cut(Cut),
}

/// A connection's own end, in bytes.
#[derive(Debug)]
pub(crate) struct ByteCut {
    direction: Direction,
    bytes: usize,
    progress: Arc<watch::Sender<Progress>>,
}

impl ByteCut {
    /// How many bytes may still go in `direction`.
    pub(crate) fn left(&self, direction: Direction) -> usize {
        if direction == self.direction { self.bytes } else { usize::MAX }
    }

    /// Takes note of bytes that went; true if they were the last that may go in `direction`.
    pub(crate) fn spend(&mut self, direction: Direction, bytes: usize) -> bool {
        if direction != self.direction {
            return false;
        }
        self.bytes -= bytes.min(self.bytes);
        if self.bytes == 0 {
            self.progress.send_modify(|progress| progress.hits = 1);
        }
        self.bytes == 0
    }
}

#[derive(Debug, Default)]
struct Script {
    rules: Mutex<Vec<Arc<Rule>>>,
    byte_cuts: Mutex<Vec<ByteCut>>,
}

struct Rule {
    api: Option<Api>,
    window: RangeInclusive<u64>,
    client_id: Option<Name>,
    node: Option<i32>,
    when: Option<Predicate>,
    effect: Effect,
    /// Requests matched so far: those before the window count too.
    matched: AtomicU64,
    progress: Arc<watch::Sender<Progress>>,
}

impl Rule {
    fn applies_to(&self, request: &RequestInfo) -> bool {
        let matches = self.api.is_none_or(|api| api == request.api)
            && self.node.is_none_or(|node| node == request.node)
            && (self.client_id.is_none() || self.client_id == request.client_id)
            && self.when.as_ref().is_none_or(|predicate| predicate(request));
        // Relaxed: the number alone matters, nothing is published with it.
        matches && self.window.contains(&(self.matched.fetch_add(1, Ordering::Relaxed) + 1))
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}: {:?}", self.window, self.api, self.effect)
    }
}

#[derive(Debug)]
enum Effect {
    Delay(Duration),
    Hold,
    End(End),
}

#[derive(Debug)]
enum Wait {
    For(Duration),
    Until(watch::Receiver<Progress>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    hits: u64,
    removed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section is one statement on a `Vec`: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many requests of each API a broker has received.
///
/// ```
/// use handover_broker::{Api, Requests};
/// assert_eq!(Requests::default().count(Api::Fetch), 0);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Requests {
    counts: std::collections::BTreeMap<Api, u64>,
}

impl Requests {
    /// Requests of `api`.
    pub fn count(&self, api: Api) -> u64 {
        self.counts.get(&api).copied().unwrap_or(0)
    }

    /// Requests of every API that was used.
    pub fn iter(&self) -> impl Iterator<Item = (Api, u64)> + '_ {
        self.counts.iter().map(|(api, count)| (*api, *count))
    }

    pub(crate) fn add(&mut self, api: Api) {
        *self.counts.entry(api).or_default() += 1;
    }
}
