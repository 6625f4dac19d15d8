//! Where member ids and generations are mentioned, so that a search can rename them: a
//! coordinator counts both without an end, and which numbers they are means nothing (SPEC X1).

use alloc::vec::Vec;

use crate::assign::Subscription;
use crate::machine::Machine;
use crate::{Identity, Name, Request, Response};

/// Whoever looks at member ids and generations, or gives them other names.
///
/// ```
/// use handover_machine::{Heartbeat, Identities, Identity, Name, Request};
///
/// struct Next;
/// impl Identities for Next {
///     fn member(&mut self, _: &mut Name) {}
///     fn generation(&mut self, generation: &mut i32) {
///         *generation += 1;
///     }
/// }
///
/// let identity = Identity { member: "m1".into(), generation: 1, instance: None };
/// let mut request = Request::Heartbeat(Heartbeat { group: "g".into(), identity });
/// request.visit(&mut Next);
/// assert!(matches!(request, Request::Heartbeat(beat) if beat.identity.generation == 2));
/// ```
pub trait Identities {
    /// Takes a member id, which may be empty.
    fn member(&mut self, id: &mut Name);
    /// Takes a generation, which may be -1.
    fn generation(&mut self, generation: &mut i32);

    /// Takes a `ConsumerProtocolSubscription`, which mentions a generation. Bytes that are none
    /// mention nothing.
    fn subscription(&mut self, bytes: &mut Vec<u8>) {
        let Ok(mut subscription) = Subscription::decode(bytes) else { return };
        self.generation(&mut subscription.generation);
        // `cooperative-sticky` repeats it in a note of its own.
        if let Ok(note) = <[u8; 4]>::try_from(&*subscription.user_data) {
            let mut generation = i32::from_be_bytes(note);
            self.generation(&mut generation);
            subscription.user_data = generation.to_be_bytes().to_vec();
        }
        *bytes = subscription.encode();
    }
}

impl Machine {
    /// Shows all member ids and generations that this machine keeps.
    pub fn visit(&mut self, visitor: &mut dyn Identities) {
        visitor.member(&mut self.member.id);
        visitor.generation(&mut self.member.generation);
        self.round.visit(visitor);
    }
}

impl Request {
    /// Shows all member ids and generations in it.
    pub fn visit(&mut self, visitor: &mut dyn Identities) {
        match self {
            Request::FindCoordinator(_) | Request::OffsetFetch(_) => {}
            Request::JoinGroup(join) => {
                visitor.member(&mut join.member);
                join.protocols.iter_mut().for_each(|p| visitor.subscription(&mut p.metadata));
            }
            Request::SyncGroup(sync) => {
                sync.identity.visit(visitor);
                sync.assignments.iter_mut().for_each(|(member, _)| visitor.member(member));
            }
            Request::Heartbeat(beat) => beat.identity.visit(visitor),
            Request::LeaveGroup(leave) => {
                leave.members.iter_mut().for_each(|leaver| visitor.member(&mut leaver.member));
            }
            Request::OffsetCommit(commit) => commit.identity.visit(visitor),
        }
    }
}

impl Response {
    /// Shows all member ids and generations in it.
    pub fn visit(&mut self, visitor: &mut dyn Identities) {
        match self {
            Response::JoinGroup(joined) => {
                visitor.generation(&mut joined.generation);
                visitor.member(&mut joined.leader);
                visitor.member(&mut joined.member);
                for member in &mut joined.members {
                    visitor.member(&mut member.member);
                    visitor.subscription(&mut member.metadata);
                }
            }
            Response::LeaveGroup(left) => {
                left.members.iter_mut().for_each(|(member, _, _)| visitor.member(member));
            }
            Response::FindCoordinator(_)
            | Response::SyncGroup(_)
            | Response::Heartbeat(_)
            | Response::OffsetCommit(_)
            | Response::OffsetFetch(_) => {}
        }
    }
}

impl Identity {
    fn visit(&mut self, visitor: &mut dyn Identities) {
        visitor.member(&mut self.member);
        visitor.generation(&mut self.generation);
    }
}
