//! Staying a member: heartbeats, the session, the max poll interval.

use core::time::Duration;

use crate::clock::{Backoff, Tick, Window, rebase};
use crate::lanes::{Sent, What};
use crate::machine::Machine;
use crate::membership::Want;
use crate::{
    Api, Cause, ErrorCode, Fatal, Heartbeat, Lane, LossReason, Notice, Output, Phase, Request,
    SessionExpiry, Time, Verdict, judge,
};

/// After each change the member beats early, at these distances, before it falls back to its
/// steady pace (SPEC S2): peers learn of a rebalance, and newcomers of their partitions, only by
/// a heartbeat, and would otherwise wait a whole interval.
pub const EARLY_BEATS: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// When to beat, and what the last beats came to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Beat {
    due: Time,
    /// How many early beats are spent.
    step: usize,
    backoff: Backoff,
    /// What the coordinator's last acknowledgement is worth.
    heard: Heard,
    /// Nothing was heard for a session, and the policy was applied.
    expired: bool,
}

/// Two deadlines that begin with the sending of a request the coordinator acknowledged. Kept as
/// deadlines, since a past moment would tell otherwise equal states apart for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Heard {
    /// When the session ends if nothing more is heard.
    pub(crate) session_end: Time,
    /// The soonest moment at which a rebalance that began right after may stop waiting for us.
    pub(crate) rejoin_by: Time,
}

impl Heard {
    pub(crate) fn rebase(&mut self, by: Time) {
        rebase(&mut self.session_end, by);
        rebase(&mut self.rejoin_by, by);
    }
}

impl Default for Beat {
    fn default() -> Self {
        Beat {
            due: Time::ZERO,
            step: EARLY_BEATS.len(),
            backoff: Backoff::NONE,
            heard: Heard { session_end: Time::ZERO, rejoin_by: Time::ZERO },
            expired: false,
        }
    }
}

impl Beat {
    pub(crate) fn joined(&mut self, now: Time, heard: Heard, interval: Duration) {
        self.heard = heard;
        self.due = now + interval;
        self.backoff.succeeded();
    }

    pub(crate) fn quicken(&mut self, now: Time, heard: Heard, interval: Duration) {
        self.heard = heard;
        self.step = 0;
        self.next(now, interval);
    }

    /// The next beat after one at `now`.
    fn next(&mut self, now: Time, interval: Duration) {
        let early = EARLY_BEATS.get(self.step).copied().unwrap_or(interval);
        self.step = (self.step + 1).min(EARLY_BEATS.len());
        self.due = now + early.min(interval);
    }

    pub(crate) fn rejoin_by(&self) -> Time {
        self.heard.rejoin_by
    }

    /// For the canonical form: early beats that are not earlier than the others are not counted.
    pub(crate) fn forget_spent_steps(&mut self, interval: Duration) {
        if EARLY_BEATS.iter().skip(self.step).all(|early| *early >= interval) {
            self.step = EARLY_BEATS.len();
        }
    }

    pub(crate) fn settle(&mut self, tick: Tick) {
        self.backoff.settle(tick);
    }

    pub(crate) fn rebase(&mut self, by: Time) {
        rebase(&mut self.due, by);
        self.backoff.rebase(by);
        self.heard.rebase(by);
    }
}

impl Machine {
    /// While JoinGroup is parked the coordinator keeps the session by itself.
    fn beats(&self) -> bool {
        let phase = matches!(
            self.phase,
            Phase::Preparing | Phase::Assigning | Phase::Syncing | Phase::Stable
        );
        phase && self.member.generation >= 0 && !self.lanes.is_out(|what| *what == What::Leave)
    }

    pub(crate) fn step_heartbeat(&mut self, tick: Tick) {
        let ready = self.beats()
            && self.coordinator.is_some()
            && self.lanes.is_free(Lane::Control)
            && tick.now >= self.beat.due
            && self.beat.backoff.is_over(tick);
        if ready {
            self.beat.next(tick.now, self.config.heartbeat_interval);
            let group = self.config.group.clone();
            let request = Request::Heartbeat(Heartbeat { group, identity: self.identity() });
            self.send(tick.now, Lane::Control, request, What::Beat);
        }
    }

    pub(crate) fn beaten(&mut self, now: Time, sent: &Sent, answer: Result<ErrorCode, Cause>) {
        let error = match answer {
            Ok(error) => error,
            Err(cause) => {
                self.beat.backoff.failed(now, self.config.retry_backoff);
                return self.unanswered(sent, cause);
            }
        };
        let verdict = judge(Api::Heartbeat, error);
        if verdict == Verdict::Rediscover {
            self.beat.backoff.failed(now, self.config.retry_backoff);
            return self.unanswered(sent, Cause::Error(error));
        }
        if !self.is_current(sent) {
            return;
        }
        match verdict {
            Verdict::Fine => {
                self.heard(sent);
                // Only now is the round a success: a generation that is refused with its first
                // heartbeat, again and again, must not be joined without a pause.
                self.joining.succeeded();
                self.beat.heard.rejoin_by = sent.heard.rejoin_by;
            }
            // A rebalance is on: we are still a member, so the session goes on.
            Verdict::Rejoin => {
                self.heard(sent);
                if self.phase == Phase::Stable {
                    self.want_rejoin("the coordinator asked for it");
                }
            }
            Verdict::LoseGeneration | Verdict::LoseMember => self.lose_identity(now, verdict),
            Verdict::Retry | Verdict::Rediscover | Verdict::TakeMemberId => {
                self.beat.backoff.failed(now, self.config.retry_backoff);
                self.retrying(Api::Heartbeat, Cause::Error(error));
            }
            Verdict::RejectPartition | Verdict::Fatal => {
                self.fail(Fatal { api: Api::Heartbeat, error });
            }
        }
    }

    /// What an acknowledgement of a request sent now would be worth.
    pub(crate) fn heard_at(&self, now: Time) -> Heard {
        let session_end = now + self.config.session_timeout;
        Heard { session_end, rejoin_by: now + self.config.rebalance_timeout }
    }

    fn heard(&mut self, sent: &Sent) {
        self.beat.backoff.succeeded();
        let heard = &mut self.beat.heard;
        heard.session_end = heard.session_end.max(sent.heard.session_end);
        self.session_restored();
    }

    pub(crate) fn session_restored(&mut self) {
        if core::mem::take(&mut self.beat.expired) {
            if self.config.on_session_expiry == SessionExpiry::Pause {
                self.push(Output::Deliver(true));
            }
            self.notice(Notice::SessionRestored);
            self.changed();
        }
    }

    /// Nothing was heard for a session: peers may own our partitions by now (SPEC S3).
    pub(crate) fn expire_session(&mut self, now: Time) {
        if !self.beats() || self.beat.expired || now < self.beat.heard.session_end {
            return;
        }
        self.beat.expired = true;
        self.notice(Notice::SessionExpired);
        match self.config.on_session_expiry {
            SessionExpiry::Keep => {}
            SessionExpiry::Pause => self.push(Output::Deliver(false)),
            SessionExpiry::Lost => {
                // The id stays: the coordinator may still hold it against the group.
                self.lose_all(LossReason::SessionExpired);
                self.forget_generation();
                self.set_phase(Phase::Preparing);
            }
        }
        self.changed();
    }

    pub(crate) fn polled_at(&mut self, now: Time) {
        self.poll_by = now + self.config.max_poll_interval;
        if core::mem::take(&mut self.absent) {
            // It may have come back before it left, and has no leases all the same.
            self.want_rejoin("the application polls again");
            self.changed();
        }
    }

    /// The application is stuck: let others have its partitions (KIP-62).
    pub(crate) fn expire_poll_interval(&mut self, now: Time) {
        if self.watches_polls() && now >= self.poll_by {
            self.notice(Notice::PollIntervalExceeded);
            self.lose_all(LossReason::PollInterval);
            self.absent = true;
            self.changed();
        }
    }

    fn watches_polls(&self) -> bool {
        matches!(self.want, Want::Topics(_))
            && !self.absent
            && self.closing.is_none()
            && self.phase != Phase::Failed
    }

    pub(crate) fn heartbeat_windows(&self) -> [Window; 4] {
        let only = |wanted: bool, window| if wanted { window } else { Window::NEVER };
        let session = self.beats() && !self.beat.expired;
        [
            only(self.beats(), Window::at(self.beat.due)),
            only(self.beats(), self.beat.backoff.until()),
            only(session, Window::at(self.beat.heard.session_end)),
            only(self.watches_polls(), Window::at(self.poll_by)),
        ]
    }
}
