//! Member ids and generations without end, as few as there are: the coordinator counts both, and
//! only their order and what may be issued again means anything (SPEC X1).

use handover_machine::{Identities, Name};

use super::{Part, Setup, System};

/// What a part mentions, and what it says about the rest.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Mentions {
    /// Member ids by client and number, sorted.
    ids: Vec<(u32, u64)>,
    /// Generations from 0 on, sorted.
    generations: Vec<i32>,
    /// Of the coordinator: how many ids it gave, and from which generation one may be issued
    /// again, should it reload and else.
    coordinator: Option<(u64, i32, i32)>,
    /// Of the outside: whether the coordinator may reload.
    may_reload: bool,
}

/// New names for all that a state mentions. They keep the order of the ids of each client and of
/// the generations, and the distance of generations that may be issued again.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Naming {
    mentions: Mentions,
}

impl Mentions {
    pub(crate) fn of(part: &Part) -> Mentions {
        let mut mentions = Mentions::default();
        match part.clone() {
            Part::Member(mut member) => member.visit(&mut mentions),
            Part::Connection(mut connection) => connection.visit(&mut mentions),
            Part::Coordinator(mut found) => {
                let floor = |may_reload| found.floor(Setup::GROUP, may_reload);
                mentions.coordinator = Some((found.ids(), floor(true), floor(false)));
                found.visit(&mut mentions);
            }
            Part::Outside(mut outside) => {
                let faults = outside.faults();
                mentions.may_reload = faults.reloads + faults.unloads > 0;
                outside.visit(&mut mentions);
            }
            Part::History(_) => {}
        }
        mentions.sort();
        mentions
    }

    fn sort(&mut self) {
        self.ids.sort_unstable();
        self.ids.dedup();
        self.generations.sort_unstable();
        self.generations.dedup();
    }
}

impl Identities for Mentions {
    fn member(&mut self, id: &mut Name) {
        self.ids.extend(parse(id));
    }

    fn generation(&mut self, generation: &mut i32) {
        if *generation >= 0 {
            self.generations.push(*generation);
        }
    }
}

impl Naming {
    /// The names for a state of which the parts mention this.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a Mentions>) -> Naming {
        let mut mentions = Mentions::default();
        for part in parts {
            mentions.ids.extend(&part.ids);
            mentions.generations.extend(&part.generations);
            mentions.coordinator = mentions.coordinator.or(part.coordinator);
            mentions.may_reload |= part.may_reload;
        }
        mentions.sort();
        Naming { mentions }
    }

    /// Whether nothing changes its name.
    pub(crate) fn is_idle(&self) -> bool {
        let Mentions { ids, generations, coordinator, .. } = &self.mentions;
        ids.iter().all(|id| self.id(*id) == id.1)
            && generations.iter().all(|generation| self.number(*generation) == *generation)
            && coordinator.is_none_or(|(given, _, _)| given == self.given())
    }

    /// A part under its new names.
    pub(crate) fn rename(&self, part: &Part) -> Part {
        let mut names = self.clone();
        let mut part = part.clone();
        match &mut part {
            Part::Member(member) => member.visit(&mut names),
            Part::Connection(connection) => connection.visit(&mut names),
            Part::Coordinator(coordinator) => {
                coordinator.visit(&mut names);
                coordinator.set_ids(self.given());
            }
            Part::Outside(outside) => outside.visit(&mut names),
            Part::History(_) => {}
        }
        part
    }

    /// The rank of an id among those of its client, from 1.
    fn id(&self, (client, number): (u32, u64)) -> u64 {
        let ids = &self.mentions.ids;
        let first = ids.partition_point(|id| *id < (client, 0));
        (ids.partition_point(|id| *id <= (client, number)) - first) as u64
    }

    /// The highest number that any id has now.
    fn given(&self) -> u64 {
        self.mentions.ids.iter().map(|id| self.id(*id)).max().unwrap_or(0)
    }

    /// The rank of a generation that is over for good; later ones keep their distance to it.
    fn number(&self, generation: i32) -> i32 {
        let floor = self.floor();
        let below = generation.min(floor);
        let rank = self.mentions.generations.partition_point(|known| *known < below) as i32;
        rank + (generation - below)
    }

    fn floor(&self) -> i32 {
        let Mentions { coordinator, may_reload, .. } = &self.mentions;
        coordinator.map_or(0, |(_, recorded, now)| if *may_reload { recorded } else { now })
    }
}

impl Identities for Naming {
    fn member(&mut self, id: &mut Name) {
        if let Some((client, number)) = parse(id) {
            let prefix = id.rsplit_once('-').map_or("", |(prefix, _)| prefix);
            *id = format!("{prefix}-{:06}", self.id((client, number))).into();
        }
    }

    fn generation(&mut self, generation: &mut i32) {
        if *generation >= 0 {
            *generation = self.number(*generation);
        }
    }
}

impl System<'_> {
    /// The same system under canonical names.
    pub(super) fn rename(&mut self) {
        let parts = self.clone().into_parts();
        let mentions: Vec<Mentions> = parts.iter().map(Mentions::of).collect();
        let naming = Naming::of(&mentions);
        let parts: Vec<Part> = parts.iter().map(|part| naming.rename(part)).collect();
        *self = System::from_parts(self.setup, &parts);
    }
}

/// `client-0-000007` is the seventh id, given to client 0.
fn parse(id: &str) -> Option<(u32, u64)> {
    let (client, number) = id.rsplit_once('-')?;
    Some((client.rsplit_once('-')?.1.parse().ok()?, number.parse().ok()?))
}
