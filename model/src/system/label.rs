//! The alphabet over which coverage is counted: inputs by what they are, errors by what the
//! machine is to do about them.

use handover_machine::{Api, Call, ErrorCode, Input, Response, Unanswered, Verdict, judge};

/// What a machine took in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Label {
    /// [`Input::Wake`].
    Wake,
    /// [`Input::Answer`] with a response, by the worst verdict in it.
    Answer(Api, Verdict),
    /// [`Input::Answer`] without a response, to whatever request.
    Unanswered(Unanswer),
    /// [`Input::Versions`].
    Versions,
    /// [`Input::Topics`].
    Topics,
    /// [`Input::Assigned`] with a plan.
    Planned,
    /// [`Input::Assigned`] without one.
    NoPlan,
    /// [`Input::Polled`].
    Polled,
    /// [`Input::Drained`] with a mark.
    DrainedMarked,
    /// [`Input::Drained`] without one.
    DrainedUnmarked,
    /// [`Input::Marks`].
    Marks,
    /// [`Input::Moved`].
    Moved,
    /// [`Call::Subscribe`].
    Subscribe,
    /// [`Call::Assign`].
    AssignByHand,
    /// [`Call::Commit`].
    Commit,
    /// [`Call::Committed`].
    Committed,
    /// [`Call::Seek`].
    Seek,
    /// [`Call::Rejoin`].
    Rejoin,
    /// [`Call::Close`].
    Close,
    /// [`Input::Cancel`].
    Cancel,
}

/// [`Unanswered`], in an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unanswer {
    /// [`Unanswered::NotSent`].
    NotSent,
    /// [`Unanswered::Lost`].
    Lost,
}

pub(super) fn label(input: &Input) -> Label {
    match input {
        Input::Wake => Label::Wake,
        Input::Answer { answer: Ok(response), .. } => {
            Label::Answer(response.api(), worst(response))
        }
        Input::Answer { answer: Err(Unanswered::NotSent), .. } => {
            Label::Unanswered(Unanswer::NotSent)
        }
        Input::Answer { answer: Err(Unanswered::Lost), .. } => Label::Unanswered(Unanswer::Lost),
        Input::Versions(_) => Label::Versions,
        Input::Topics(_) => Label::Topics,
        Input::Assigned { plan: Ok(_), .. } => Label::Planned,
        Input::Assigned { plan: Err(_), .. } => Label::NoPlan,
        Input::Polled => Label::Polled,
        Input::Drained { mark: Some(_), .. } => Label::DrainedMarked,
        Input::Drained { mark: None, .. } => Label::DrainedUnmarked,
        Input::Marks(_) => Label::Marks,
        Input::Moved { .. } => Label::Moved,
        Input::Call { call, .. } => match call {
            Call::Subscribe(_) => Label::Subscribe,
            Call::Assign(_) => Label::AssignByHand,
            Call::Commit { .. } => Label::Commit,
            Call::Committed { .. } => Label::Committed,
            Call::Seek { .. } => Label::Seek,
            Call::Rejoin { .. } => Label::Rejoin,
            Call::Close(_) => Label::Close,
        },
        Input::Cancel(_) => Label::Cancel,
    }
}

fn worst(response: &Response) -> Verdict {
    let api = response.api();
    let verdict = |error: ErrorCode| judge(api, error);
    match response {
        Response::FindCoordinator(found) => verdict(found.error),
        Response::JoinGroup(joined) => verdict(joined.error),
        Response::SyncGroup(synced) => verdict(synced.error),
        Response::Heartbeat(error) => verdict(*error),
        Response::LeaveGroup(left) => {
            let members = left.members.iter().map(|(_, _, error)| verdict(*error));
            members.fold(verdict(left.error), Ord::max)
        }
        Response::OffsetCommit(done) => {
            done.partitions.iter().map(|(_, error)| verdict(*error)).fold(Verdict::Fine, Ord::max)
        }
        Response::OffsetFetch(fetched) => {
            let offsets = fetched.offsets.iter().map(|offset| verdict(offset.error));
            offsets.fold(verdict(fetched.error), Ord::max)
        }
    }
}
