//! Finding the coordinator.

use crate::clock::Tick;
use crate::machine::Machine;
use crate::{
    Api, Cause, ErrorCode, Fatal, FindCoordinator, FoundCoordinator, Lane, Notice, Phase, Request,
    Time, Verdict, judge,
};

use crate::lanes::What;

impl Machine {
    /// Looks for the coordinator whenever it is not known and somebody needs it.
    pub(crate) fn step_discovery(&mut self, tick: Tick) {
        let wanted = self.coordinator.is_none() && self.needs_coordinator();
        if wanted && self.lanes.is_free(Lane::Control) && self.discovery.is_over(tick) {
            let group = self.config.group.clone();
            let request = Request::FindCoordinator(FindCoordinator { group });
            self.send(tick.now, Lane::Control, request, What::Find);
        }
    }

    pub(crate) fn needs_coordinator(&self) -> bool {
        let member = !matches!(self.phase, Phase::Idle | Phase::Failed | Phase::Closed)
            || !self.member.id.is_empty();
        !self.config.group.is_empty() && (member || self.has_errands())
    }

    pub(crate) fn found(&mut self, now: Time, answer: Result<FoundCoordinator, Cause>) {
        let cause = match answer {
            Ok(FoundCoordinator { error: ErrorCode::None, node: Some(node) }) => {
                self.discovery.succeeded();
                self.coordinator = Some(node.clone());
                // What a dead connection still carries may land; say the last word again.
                self.ledger.mend();
                self.notice(Notice::Coordinator(node));
                self.changed();
                return;
            }
            Ok(FoundCoordinator { error: ErrorCode::None, node: None }) => Cause::Malformed,
            Ok(FoundCoordinator { error, .. }) => {
                if judge(Api::FindCoordinator, error) == Verdict::Fatal {
                    self.fail(Fatal { api: Api::FindCoordinator, error });
                    return;
                }
                Cause::Error(error)
            }
            Err(cause) => cause,
        };
        self.discovery.failed(now, self.config.retry_backoff);
        self.retrying(Api::FindCoordinator, cause);
    }
}
