//! An exact search of a closed system: every state that can be reached, none taken for another.
//!
//! Breadth first, so a counterexample is a shortest one. A state is a row of the numbers of its
//! parts, and what happens at a site is computed once for each combination of the parts that
//! matter to it ([`Site::scope`]). The search ends when no state is left, never before.

mod arena;
mod counterexample;
mod diagram;
mod progress;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use handover_machine::Phase;
use handover_world::Step;

use crate::system::{
    Action, ConnectionView, CoordinatorView, History, Label, MemberView, Mentions, Naming,
    OutsideView, Part, Setup, Site, System, View, Violation,
};
use arena::{Arena, Rows};

pub use counterexample::Counterexample;

/// What a search without a counterexample found.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// How many states can be reached.
    pub states: usize,
    /// How many steps there are between them.
    pub edges: usize,
    /// How many of the states are goals.
    pub goals: usize,
    /// How many steps the farthest state is away.
    pub depth: usize,
    /// How many different members, connections, coordinators and so on there were.
    pub parts: usize,
    /// How many steps were computed; the others were known from the same parts.
    pub computed: usize,
    /// In which phase the machines took in what.
    pub covered: BTreeSet<(Phase, Label)>,
    /// How long it took.
    pub took: Duration,
    /// How many bytes the states and steps fill, without their parts.
    pub bytes: usize,
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exploration { states, edges, goals, depth, parts, computed, covered, .. } = self;
        let (seconds, megabytes) = (self.took.as_secs_f64(), self.bytes / 1_000_000);
        write!(
            f,
            "{states} states, {edges} edges, {goals} goals, depth {depth}; {parts} parts, \
             {computed} steps computed, {} labels covered; {seconds:.1} s, {megabytes} MB",
            covered.len()
        )
    }
}

/// Searches a closed system: invariants after every step, then progress.
///
/// ```
/// use handover_model::{explore::search, system::{Setup, Timing}};
///
/// let one = Setup { members: 1, settled: 1, ..Setup::TWO_MEMBERS };
/// let found = search(&one).unwrap();
/// assert!(found.goals > 0, "the goal was reached");
/// ```
pub fn search(setup: &Setup) -> Result<Exploration, Box<Counterexample>> {
    let began = Instant::now();
    let mut search = Search::new(setup);
    let start = System::new(setup).into_parts();
    let row: Vec<u32> = start.into_iter().map(|part| search.part(part)).collect();
    search.arrive(&row, 0).map_err(|violation| search.explain(violation, 0, None))?;
    let mut state = 0;
    while (state as usize) < search.states.len() {
        search
            .expand(state)
            .map_err(|(action, violation)| search.explain(violation, state, action))?;
        state += 1;
    }
    search.check_progress()?;
    Ok(search.exploration(began.elapsed()))
}

/// The tables of a search.
struct Search<'s> {
    setup: &'s Setup,
    parts: Arena<Part>,
    views: Vec<PartView>,
    /// By part: what it mentions.
    speech: Vec<u32>,
    mentions: Arena<Mentions>,
    namings: Arena<Naming>,
    /// Parts under new names.
    renamed: HashMap<(u32, u32), u32>,
    tables: Vec<Table>,
    /// Each state: the numbers of its parts.
    states: Rows,
    /// From which state each was reached first.
    parents: Vec<u32>,
    depths: Vec<u16>,
    goals: Vec<bool>,
    /// Where the edges of each state begin; they are in the order of its actions.
    first: Vec<u64>,
    targets: Vec<u32>,
    /// The fairness class of each edge; [`UNFAIR`] of what need not happen.
    classes: Vec<u8>,
    class_of: BTreeMap<Action, u8>,
    covered: BTreeSet<(Phase, Label)>,
}

/// The class of what need not happen however long it could.
const UNFAIR: u8 = u8::MAX;

/// What is known of a part without another look at it.
enum PartView {
    Member(MemberView),
    Connection(ConnectionView),
    Coordinator(CoordinatorView),
    Outside(OutsideView),
    History,
}

/// What happens at a site, by the numbers of the parts in its scope.
struct Table {
    site: Site,
    scope: Vec<usize>,
    keys: Rows,
    /// By key: its outcomes.
    outcomes: Vec<Range<usize>>,
    actions: Vec<Action>,
    /// By outcome: the parts in the scope afterwards.
    after: Vec<u32>,
}

impl<'s> Search<'s> {
    fn new(setup: &'s Setup) -> Search<'s> {
        let table = |site: Site| {
            let scope = site.scope(setup.members);
            let keys = Rows::new(scope.len());
            Table {
                site,
                scope,
                keys,
                outcomes: Vec::new(),
                actions: Vec::new(),
                after: Vec::new(),
            }
        };
        Search {
            setup,
            parts: Arena::new(),
            views: Vec::new(),
            speech: Vec::new(),
            mentions: Arena::new(),
            namings: Arena::new(),
            renamed: HashMap::new(),
            tables: Site::all(setup.members).into_iter().map(table).collect(),
            states: Rows::new(4 * setup.members + 3),
            parents: Vec::new(),
            depths: Vec::new(),
            goals: Vec::new(),
            first: vec![0],
            targets: Vec::new(),
            classes: Vec::new(),
            class_of: BTreeMap::new(),
            covered: BTreeSet::new(),
        }
    }

    fn part(&mut self, part: Part) -> u32 {
        let (number, new) = self.parts.number(part);
        if new {
            let mentions = Mentions::of(self.parts.get(number));
            self.speech.push(self.mentions.number(mentions).0);
            self.views.push(match self.parts.get(number) {
                Part::Member(member) => PartView::Member(MemberView::of(member)),
                Part::Connection(found) => PartView::Connection(ConnectionView::of(found)),
                Part::Coordinator(found) => {
                    PartView::Coordinator(CoordinatorView::of(self.setup, found))
                }
                Part::Outside(outside) => PartView::Outside(OutsideView::of(outside)),
                Part::History(_) => PartView::History,
            });
        }
        number
    }

    /// Takes a state down if it is new, and checks what must hold of it as a whole.
    fn arrive(&mut self, row: &[u32], from: u32) -> Result<u32, Violation> {
        let (state, new) = self.states.number(row);
        if new {
            self.parents.push(from);
            let depth = self.depths.get(from as usize).map_or(0, |depth| depth + 1);
            self.depths.push(depth);
            let setup = self.setup;
            let (checked, goal) = self.view(row, |view, _| (view.check(setup), view.is_goal()));
            self.goals.push(goal);
            checked?;
        }
        Ok(state)
    }

    /// Takes all successors of a state down, in the order of the sites.
    fn expand(&mut self, state: u32) -> Result<(), (Option<Action>, Violation)> {
        let row = self.states.get(state).to_vec();
        let mut target = row.clone();
        for table in 0..self.tables.len() {
            for outcome in self.outcomes(table, &row)? {
                let Table { scope, actions, after, .. } = &self.tables[table];
                let action = actions[outcome];
                target.copy_from_slice(&row);
                let parts = &after[outcome * scope.len()..][..scope.len()];
                scope.iter().zip(parts).for_each(|(place, part)| target[*place] = *part);
                self.rename(&row, &mut target);
                let reached = self.arrive(&target, state).map_err(|v| (Some(action), v))?;
                self.targets.push(reached);
                let class = self.class(action);
                self.classes.push(class);
            }
        }
        self.first.push(self.targets.len() as u64);
        Ok(())
    }

    /// Gives a state the names that it would have had from the beginning, if it may have others
    /// than the one before it.
    fn rename(&mut self, before: &[u32], row: &mut [u32]) {
        let speech = |part: &u32| self.speech[*part as usize];
        if before.iter().zip(&*row).all(|(old, new)| old == new || speech(old) == speech(new)) {
            return;
        }
        let naming = Naming::of(row.iter().map(|part| self.mentions.get(speech(part))));
        if naming.is_idle() {
            return;
        }
        let (number, _) = self.namings.number(naming);
        for part in row {
            *part = match self.renamed.get(&(*part, number)) {
                Some(known) => *known,
                None => {
                    let renamed = self.namings.get(number).rename(self.parts.get(*part));
                    let renamed = self.part(renamed);
                    self.renamed.insert((*part, number), renamed);
                    renamed
                }
            };
        }
    }

    /// What happens at the site of a table in a state.
    fn outcomes(
        &mut self,
        table: usize,
        row: &[u32],
    ) -> Result<Range<usize>, (Option<Action>, Violation)> {
        let site = self.tables[table].site;
        if !self.view(row, |view, outside| site.is_live(view, outside)) {
            return Ok(0..0);
        }
        let Table { scope, keys, outcomes, .. } = &mut self.tables[table];
        let key: Vec<u32> = scope.iter().map(|place| row[*place]).collect();
        let (key, new) = keys.number(&key);
        if !new {
            return Ok(outcomes[key as usize].clone());
        }
        self.compute(table, row)
    }

    fn compute(
        &mut self,
        table: usize,
        row: &[u32],
    ) -> Result<Range<usize>, (Option<Action>, Violation)> {
        let site = self.tables[table].site;
        let parts = row.iter().map(|part| self.parts.get(*part));
        let system = System::from_parts(self.setup, parts);
        let begin = self.tables[table].actions.len();
        for action in system.actions().into_iter().filter(|action| Site::of(*action) == site) {
            let mut after = system.clone();
            let happened = after.happen(action).map_err(|v| (Some(action), v))?;
            self.covered.extend(happened.labels);
            let numbers: Vec<u32> =
                after.into_parts().into_iter().map(|part| self.part(part)).collect();
            let table = &mut self.tables[table];
            for (place, (before, after)) in row.iter().zip(&numbers).enumerate() {
                let inside = table.scope.contains(&place);
                assert!(inside || before == after, "{action:?} changed part {place}: {site:?}");
            }
            table.actions.push(action);
            table.after.extend(table.scope.iter().map(|place| numbers[*place]));
        }
        let found = begin..self.tables[table].actions.len();
        self.tables[table].outcomes.push(found.clone());
        Ok(found)
    }

    fn view<T>(&self, row: &[u32], look: impl FnOnce(&View<'_>, &OutsideView) -> T) -> T {
        let (mut members, mut connections) = (Vec::new(), Vec::new());
        let (mut coordinator, mut outside, mut history) = (None, None, None);
        for &part in row {
            match &self.views[part as usize] {
                PartView::Member(member) => members.push(member),
                PartView::Connection(connection) => connections.push(connection),
                PartView::Coordinator(found) => coordinator = Some(found),
                PartView::Outside(found) => outside = Some(found),
                PartView::History => history = self.history(part),
            }
        }
        let (Some(coordinator), Some(outside), Some(history)) = (coordinator, outside, history)
        else {
            unreachable!("each state has a coordinator, an outside and a history");
        };
        look(&View { members: &members, connections: &connections, coordinator, history }, outside)
    }

    fn history(&self, part: u32) -> Option<&History> {
        match self.parts.get(part) {
            Part::History(history) => Some(history),
            _ => None,
        }
    }

    /// Weak fairness is by class: each connection in each direction, each timer, each duty.
    fn class(&mut self, action: Action) -> u8 {
        if !action.is_progress() {
            return UNFAIR;
        }
        let class = match action {
            Action::Network(Step::Stray(_)) => Action::Network(Step::Stray(0)),
            action => action,
        };
        let next = u8::try_from(self.class_of.len()).unwrap_or(UNFAIR);
        assert!(next < 128, "a mask of 128 bits has room for every class");
        *self.class_of.entry(class).or_insert(next)
    }

    fn edges(&self, state: u32) -> Range<usize> {
        self.first[state as usize] as usize..self.first[state as usize + 1] as usize
    }

    fn exploration(self, took: Duration) -> Exploration {
        let lists = 4 * self.parents.capacity()
            + 3 * self.depths.capacity()
            + 8 * self.first.capacity()
            + 5 * self.targets.capacity();
        Exploration {
            states: self.states.len(),
            edges: self.targets.len(),
            goals: self.goals.iter().filter(|goal| **goal).count(),
            depth: self.depths.last().map_or(0, |depth| usize::from(*depth)),
            parts: self.parts.len(),
            computed: self.tables.iter().map(|table| table.actions.len()).sum(),
            covered: self.covered,
            took,
            bytes: self.states.bytes() + lists,
        }
    }
}
