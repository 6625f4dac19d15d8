//! What makes two coordinators that behave alike equal, for the search.

use alloc::collections::BTreeMap;
use core::mem;

use handover_machine::{Identities, Name, Time};

use super::{
    Caller, Coordinator,
    group::{Group, Phase},
};

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

    /// Shows all member ids and generations that it keeps, parked and recorded ones too.
    pub fn visit(&mut self, visitor: &mut dyn Identities) {
        for group in self.groups.values_mut() {
            visitor.generation(&mut group.generation);
            group.visit(visitor);
        }
        self.answers.iter_mut().for_each(|(_, response)| response.visit(visitor));
    }

    /// How many member ids were given.
    pub fn ids(&self) -> u64 {
        self.ids
    }

    /// As if only so many member ids had been given: the next one has the next number.
    pub fn set_ids(&mut self, given: u64) {
        self.ids = given;
    }

    /// The lowest generation from which one may be issued again: that of the record if the
    /// coordinator `may_reload`, else the present one.
    pub fn floor(&self, group: &str, may_reload: bool) -> i32 {
        let Some(group) = self.groups.get(group) else { return 0 };
        match &group.record {
            Some(record) if may_reload || self.available().is_err() => record.generation,
            _ => group.generation,
        }
    }
}

impl Group {
    fn visit(&mut self, visitor: &mut dyn Identities) {
        self.leader.iter_mut().for_each(|leader| visitor.member(leader));
        self.pending = renamed(&mut self.pending, visitor);
        self.members = renamed(&mut self.members, visitor);
        let unsynced = mem::take(&mut self.unsynced).into_iter();
        self.unsynced = unsynced.map(|id| rename(id, visitor)).collect();
        let members = self.members.values_mut();
        for protocol in members.flat_map(|member| &mut member.protocols) {
            visitor.subscription(&mut protocol.metadata);
        }
        if let Some(record) = &mut self.record {
            visitor.generation(&mut record.generation);
            record.leader.iter_mut().for_each(|leader| visitor.member(leader));
            record.members = renamed(&mut record.members, visitor);
            for member in record.members.values_mut() {
                visitor.subscription(&mut member.metadata);
            }
        }
    }
}

fn renamed<T>(map: &mut BTreeMap<Name, T>, visitor: &mut dyn Identities) -> BTreeMap<Name, T> {
    mem::take(map).into_iter().map(|(id, value)| (rename(id, visitor), value)).collect()
}

fn rename(mut id: Name, visitor: &mut dyn Identities) -> Name {
    visitor.member(&mut id);
    id
}
