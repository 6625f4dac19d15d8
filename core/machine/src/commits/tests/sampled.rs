//! Random calls, answers, seeks and ends of leases against a small coordinator, many seeds.
//!
//! Checked: P1, each call resolves once. P4, what the coordinator holds never goes back unless a
//! rewind was asked for (in every second run none is), and what a straggler moved back is mended. What an outcome claims is
//! true of the coordinator. In the end nothing is left.

use alloc::{collections::BTreeMap, string::String};

use super::*;

const SEEDS: u64 = 3_000;
const STEPS: u64 = 120;
const LEASES: u64 = 3;

/// A linear congruential generator (Knuth's MMIX constants): a seed is the whole run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// What one partition's coordinator knows, and what was asked of it.
#[derive(Default)]
struct Held {
    /// What the last request in order wrote.
    told: i64,
    /// What is there: a straggler may have written since.
    actual: i64,
    /// Rewinds asked for and not yet seen, in order: the lowest offset each allows.
    rewinds: Vec<i64>,
    /// The notes of requests that were applied or still may be. A note names one entry.
    touched: BTreeSet<Name>,
    /// The highest offset that any request wrote or may have written since the start.
    highest: i64,
    /// Whether some request came to no certain end.
    doubt: bool,
    /// Requests of dead connections that may land.
    stragglers: Vec<i64>,
}

struct Run {
    dice: Dice,
    /// Whether the application ever goes back.
    rewinds: bool,
    b: Bench,
    held: BTreeMap<LeaseId, Held>,
    live: Vec<LeaseId>,
    next_ticket: u64,
    /// What was asked for by each open call.
    asked: BTreeMap<u64, Vec<(LeaseId, i64, Name)>>,
    request: Option<Vec<OffsetToCommit>>,
    /// What happened, for a person who reads a failure.
    log: Vec<String>,
    /// How many calls came to each kind of outcome: a run that never sees one checks nothing.
    seen: BTreeMap<&'static str, u64>,
}

impl Held {
    /// A request writes `offset`, in order.
    fn write(&mut self, offset: i64) {
        if offset < self.told {
            let allowed = self.rewinds.iter().position(|to| *to <= offset);
            let allowed =
                allowed.unwrap_or_else(|| panic!("{} went back to {offset} unasked", self.told));
            self.rewinds.drain(..=allowed);
        }
        self.told = offset;
        self.actual = offset;
        self.highest = self.highest.max(offset);
    }
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut ledger = Ledger::new(BACKOFF);
        let live: Vec<LeaseId> = (1..=LEASES).map(LeaseId).collect();
        let mut held = BTreeMap::new();
        for &lease in &live {
            ledger.open(lease, place(lease));
            held.insert(lease, Held::default());
        }
        let b = Bench { ledger, now: Time::from_millis(1_000), out: Vec::new() };
        let (asked, seen) = (BTreeMap::new(), BTreeMap::new());
        let rewinds = seed % 2 == 0;
        Run {
            dice: Dice(seed),
            rewinds,
            b,
            held,
            live,
            next_ticket: 0,
            asked,
            request: None,
            log: Vec::new(),
            seen,
        }
    }

    fn held(&mut self, lease: LeaseId) -> &mut Held {
        self.held.get_mut(&lease).unwrap()
    }

    fn any_lease(&mut self) -> LeaseId {
        LeaseId(1 + self.dice.roll(LEASES))
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0..=4 => self.call(),
            5 if self.rewinds => {
                let (lease, to) = (self.any_lease(), self.dice.roll(40) as i64);
                if self.live.contains(&lease) {
                    self.held(lease).rewinds.push(to);
                }
                self.log.push(format!("rewind {lease:?} to {to}"));
                self.b.ledger.rewind(lease, to);
            }
            6..=7 => {
                let (lease, offset) = (self.any_lease(), self.dice.roll(40) as i64);
                self.log.push(format!("mark {lease:?} at {offset}"));
                self.b.ledger.mark(lease, Mark::at(offset));
            }
            8 if self.next_ticket > 0 => {
                let ticket = self.dice.roll(self.next_ticket);
                self.log.push(format!("cancel {ticket}"));
                self.b.ledger.cancel(TicketId(ticket));
            }
            9 => {
                self.log.push(String::from("mend"));
                self.b.ledger.mend();
            }
            10 if self.dice.roll(12) == 0 => self.end(),
            11..=13 => {
                let millis = self.dice.roll(400);
                self.b.pass(millis);
            }
            14 => self.straggle(),
            15..=17 => self.send(),
            _ => self.answer(),
        }
        self.b.ledger.invariants();
        self.check_resolved();
    }

    fn call(&mut self) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let mut entries = Vec::new();
        for slot in 0..self.dice.roll(4) {
            let (lease, offset) = (self.any_lease(), 1 + self.dice.roll(40) as i64);
            let rewind = self.dice.roll(6) == 0 && self.rewinds;
            if rewind && self.live.contains(&lease) {
                self.held(lease).rewinds.push(offset);
            }
            let note = format!("{ticket}/{slot}");
            self.log.push(format!("call {note}: {lease:?} at {offset}, rewind {rewind}"));
            entries.push(ResolvedEntry { rewind, ..noted(lease, offset, &note) });
        }
        let asked =
            |e: &ResolvedEntry| (e.lease.unwrap(), e.mark.offset, e.metadata.clone().unwrap());
        self.asked.insert(ticket, entries.iter().map(asked).collect());
        let deadline = self.b.now + Duration::from_millis(self.dice.roll(3_000));
        self.b.ledger.commit(self.b.now, TicketId(ticket), entries, deadline);
    }

    fn end(&mut self) {
        let lease = self.any_lease();
        self.live.retain(|live| *live != lease);
        self.log.push(format!("end {lease:?}"));
        self.b.end(lease);
    }

    fn send(&mut self) {
        let request = self.b.request();
        for offset in request.iter().flatten() {
            let lease = LeaseId(offset.partition.partition as u64);
            self.log.push(format!("send {lease:?} at {}, {:?}", offset.offset, offset.metadata));
            assert!(self.live.contains(&lease), "sent for a lease that ended");
        }
        assert!(request.is_none() || self.request.is_none(), "two requests are out");
        self.request = request.or(self.request.take());
    }

    fn answer(&mut self) {
        let Some(request) = self.request.take() else { return };
        let applied = self.dice.roll(2) == 0;
        let answer = match self.dice.roll(12) {
            0 => Err(Unanswered::NotSent),
            1..=2 => {
                self.doubt(&request, applied, !applied);
                Err(Unanswered::Lost)
            }
            3 => {
                self.doubt(&request, applied, false);
                let error = DOUBT[self.dice.roll(3) as usize];
                Ok(request.iter().map(|o| (o.partition.clone(), error)).collect())
            }
            4 => {
                let codes = [
                    ErrorCode::RebalanceInProgress,
                    ErrorCode::CoordinatorLoadInProgress,
                    ErrorCode::StaleMemberEpoch,
                    ErrorCode::IllegalGeneration,
                    ErrorCode::InvalidCommitOffsetSize,
                    ErrorCode::UnknownServerError,
                ];
                // What was taken once is not too large by itself.
                let codes = if request.len() > 1 { &codes[..] } else { &codes[..4] };
                let error = codes[self.dice.roll(codes.len() as u64) as usize];
                Ok(request.iter().map(|o| (o.partition.clone(), error)).collect())
            }
            _ => Ok(request.iter().filter_map(|o| self.answer_one(o)).collect()),
        };
        self.log.push(format!("answer {answer:?}, applied {applied} if in doubt"));
        self.b.answer(answer);
    }

    /// Mostly applied; now and then refused, or left out of the answer.
    fn answer_one(&mut self, offset: &OffsetToCommit) -> Option<(TopicPartition, ErrorCode)> {
        // Some notes are too long, always.
        if offset.metadata.as_ref().is_some_and(|note| note.starts_with('3')) {
            return Some((offset.partition.clone(), ErrorCode::OffsetMetadataTooLarge));
        }
        let error = match self.dice.roll(24) {
            0 => ErrorCode::TopicAuthorizationFailed,
            1 => ErrorCode::UnknownTopicOrPartition,
            2 => {
                let applied = self.dice.roll(2) == 0;
                self.doubt(core::slice::from_ref(offset), applied, false);
                return None;
            }
            _ => ErrorCode::None,
        };
        if error.is_none() {
            let held = self.held(LeaseId(offset.partition.partition as u64));
            held.write(offset.offset);
            held.touched.extend(offset.metadata.clone());
        }
        Some((offset.partition.clone(), error))
    }

    /// The member does not learn whether `applied`.
    fn doubt(&mut self, request: &[OffsetToCommit], applied: bool, lands_later: bool) {
        for offset in request {
            let held = self.held(LeaseId(offset.partition.partition as u64));
            held.touched.extend(offset.metadata.clone());
            held.highest = held.highest.max(offset.offset);
            held.doubt = true;
            if applied {
                held.write(offset.offset);
            }
            if lands_later {
                held.stragglers.push(offset.offset);
            }
        }
    }

    fn straggle(&mut self) {
        let lease = self.any_lease();
        let held = self.held(lease);
        if let Some(offset) = held.stragglers.pop() {
            held.actual = offset;
        }
    }

    fn check_resolved(&mut self) {
        while let Some((ticket, outcomes)) = self.b.ledger.poll_resolved() {
            let asked = self.asked.remove(&ticket.0).expect("a call resolves once");
            assert_eq!(outcomes.len(), asked.len());
            for ((lease, offset, note), (partition, outcome)) in asked.into_iter().zip(outcomes) {
                assert_eq!(partition, place(lease));
                self.log.push(format!("resolved {note}: {outcome}"));
                self.check(lease, offset, &note, outcome);
            }
        }
    }

    /// An outcome is a claim about the coordinator.
    fn check(&mut self, lease: LeaseId, offset: i64, note: &Name, outcome: PartitionOutcome) {
        let ended = !self.live.contains(&lease);
        let out = self.request.iter().flatten().any(|o| o.partition == place(lease));
        let held = self.held(lease);
        let kind = match outcome {
            Committed { at } => {
                assert!(at >= offset && at <= held.highest, "{outcome:?} of {offset}");
                "committed"
            }
            Unknown => {
                assert!(held.doubt || out, "every attempt was answered");
                "unknown"
            }
            Fenced(_) => {
                assert!(ended && !held.touched.contains(note), "applied, and fenced");
                "fenced"
            }
            Rejected(_) => {
                assert!(!held.touched.contains(note), "applied, and rejected");
                "rejected"
            }
            Withdrawn => {
                assert!(!held.touched.contains(note), "applied, and withdrawn");
                "withdrawn"
            }
        };
        *self.seen.entry(kind).or_default() += 1;
    }

    /// What stands is told once more, to a coordinator that works.
    fn mend(&mut self) {
        self.b.pass(5_000);
        self.check_resolved();
        self.answer_well();
        for lease in 1..=LEASES {
            let held = self.held(LeaseId(lease));
            if let Some(offset) = held.stragglers.pop() {
                held.actual = offset;
            }
        }
        self.b.ledger.mend();
        self.send();
        self.answer_well();
        for lease in self.live.clone() {
            let committed = self.b.ledger.committed(lease).is_some();
            let held = self.held(lease);
            assert!(
                !committed || held.actual == held.told,
                "{lease:?}: a straggler has the last word"
            );
        }
    }

    fn answer_well(&mut self) {
        while let Some(request) = self.request.take() {
            for o in &request {
                let held = self.held(LeaseId(o.partition.partition as u64));
                held.write(o.offset);
                held.touched.extend(o.metadata.clone());
            }
            self.b
                .answer(Ok(request.into_iter().map(|o| (o.partition, ErrorCode::None)).collect()));
            self.check_resolved();
            self.b.pass(5_000);
            self.send();
        }
    }

    /// All leases end, the answer comes, all deadlines pass.
    fn finish(&mut self) {
        for lease in core::mem::take(&mut self.live) {
            self.b.end(lease);
        }
        self.check_resolved();
        self.b.answer(Err(Unanswered::Lost));
        for held in self.held.values_mut() {
            held.doubt = true;
        }
        self.b.pass(10_000);
        self.check_resolved();
        assert_eq!(self.asked.len(), 0, "calls that never resolve: {:?}", self.asked);
        let ledger = &self.b.ledger;
        assert!(ledger.accounts.is_empty() && ledger.waiting.is_empty() && !ledger.in_flight());
        assert_eq!(ledger.tickets, Tickets::default());
        assert_eq!(ledger.windows()[0], Window::NEVER);
    }
}

#[test]
fn calls_resolve_once_commits_keep_their_order_and_nothing_is_left() {
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                run.step();
            }
            run.mend();
            run.finish();
        }));
        assert!(outcome.is_ok(), "seed {seed} fails as above after\n{}", run.log.join("\n"));
        for (kind, times) in run.seen {
            *seen.entry(kind).or_default() += times;
        }
    }
    std::println!("{seen:?}");
    for kind in ["committed", "unknown", "fenced", "rejected", "withdrawn"] {
        assert!(seen.get(kind).is_some_and(|times| *times > 100), "{kind} in {seen:?}");
    }
}
