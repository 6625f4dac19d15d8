//! What makes two coordinators that behave alike equal, for the search.

use handover_machine::Time;

use super::{Caller, Coordinator, group::Phase};

impl Coordinator {
    /// Moves the clock's zero to `by`: every deadline counts from there, and what is past is at
    /// zero. `NEVER` stays.
    pub fn rebase(&mut self, by: Time) {
        let by = by.since(Time::ZERO);
        let shift = |at: &mut Time| *at = at.saturating_sub(by);
        for group in self.groups.values_mut() {
            if let Phase::Preparing { deadline, .. } = &mut group.phase {
                shift(deadline);
            }
            group.sync_deadline.as_mut().map(shift);
            group.pending.values_mut().for_each(shift);
            group.members.values_mut().for_each(|member| shift(&mut member.session));
        }
    }

    /// Gives the callers that are parked other names.
    pub fn rename_callers(&mut self, mut name: impl FnMut(Caller) -> Caller) {
        for member in self.groups.values_mut().flat_map(|group| group.members.values_mut()) {
            member.joining = member.joining.map(&mut name);
            member.syncing = member.syncing.map(&mut name);
        }
        for (caller, _) in &mut self.answers {
            *caller = name(*caller);
        }
    }
}
