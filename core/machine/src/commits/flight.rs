//! The request that is out, and how its answer is read.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::entry::Bid;
use super::verdict::{CommitEffect, Verdict, judge_commit};
use crate::{ErrorCode, LeaseId, OffsetToCommit, TopicPartition, Unanswered};

/// How large a request may be (SPEC C7). The coordinator writes a request as one batch, by
/// default of at most 1 048 588 bytes; half of it leaves room for what [`size`] does not know.
pub(super) const MOST_BYTES: usize = 512 * 1024;

/// What the coordinator's record of an offset has besides names and note: the fixed fields of its
/// key and value, and the record's framing (`OffsetCommitKey`, `OffsetCommitValue`). The group's
/// name is not counted.
const RECORD_BYTES: usize = 64;

/// How many bytes an offset adds to the coordinator's batch, estimated.
pub(super) fn size(partition: &TopicPartition, bid: &Bid) -> usize {
    RECORD_BYTES + partition.topic.len() + bid.metadata.as_ref().map_or(0, |note| note.len())
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Flight {
    pub(super) lines: Vec<Line>,
    /// Their [`size`].
    pub(super) bytes: usize,
}

/// One partition of the request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Line {
    pub(super) lease: LeaseId,
    pub(super) partition: TopicPartition,
    pub(super) bid: Bid,
    /// The bid is of the account's run, and not what stands from before a rewind or alone.
    pub(super) in_run: bool,
    /// It was also asked for to mend (SPEC C8).
    pub(super) mends: bool,
}

impl Line {
    pub(super) fn offset(&self) -> OffsetToCommit {
        OffsetToCommit {
            partition: self.partition.clone(),
            offset: self.bid.mark.offset,
            leader_epoch: self.bid.mark.leader_epoch,
            metadata: self.bid.metadata.clone(),
        }
    }
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Judged {
    pub(super) lines: Vec<(Line, Verdict)>,
    /// The worst of all partitions.
    pub(super) effect: CommitEffect,
    /// The request was too large, and its lines go again in smaller ones.
    pub(super) split: bool,
    /// Its size.
    pub(super) bytes: usize,
}

impl Flight {
    /// Reads the answer. A partition that it omits may have been applied; one that was not asked
    /// for is ignored.
    pub(super) fn judge(
        self,
        answer: Result<Vec<(TopicPartition, ErrorCode)>, Unanswered>,
    ) -> Judged {
        let gone = CommitEffect::Rediscover;
        let errors = answer.map(BTreeMap::from_iter);
        let verdict = |line: &Line| match &errors {
            Ok(errors) => match errors.get(&line.partition) {
                Some(error) => judge_commit(*error),
                None => (Verdict::InDoubt, CommitEffect::Nothing),
            },
            Err(Unanswered::NotSent) => (Verdict::NotApplied, gone),
            Err(Unanswered::Lost) => (Verdict::Lost, gone),
        };
        let verdicts: Vec<(Verdict, CommitEffect)> = self.lines.iter().map(verdict).collect();
        let split = self.lines.len() > 1 && is_too_large(&verdicts);
        let effect = verdicts.iter().map(|(_, effect)| *effect).max();
        let again = |verdict| match verdict {
            Verdict::TooLarge(_) | Verdict::Fault(_) if split => Verdict::NotApplied,
            other => other,
        };
        let verdicts = verdicts.into_iter().map(|(verdict, _)| again(verdict));
        Judged {
            lines: self.lines.into_iter().zip(verdicts).collect(),
            effect: effect.unwrap_or(CommitEffect::Nothing),
            split,
            bytes: self.bytes,
        }
    }
}

/// 3.9's Scala coordinator says it in so many words; 4.x has UNKNOWN_SERVER_ERROR for all.
fn is_too_large(verdicts: &[(Verdict, CommitEffect)]) -> bool {
    verdicts.iter().any(|(verdict, _)| matches!(verdict, Verdict::TooLarge(_)))
        || verdicts.iter().all(|(verdict, _)| matches!(verdict, Verdict::Fault(_)))
}
