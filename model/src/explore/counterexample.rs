//! A counterexample for people: who did what, in which order, and how to have it again.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use crate::system::{Action, Setup, System, Violation};

use super::{Search, Table};

/// A shortest way to a violation.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What was searched.
    pub setup: Setup,
    /// What does not hold.
    pub violation: Violation,
    /// The actions from the initial state; the last one violates.
    pub path: Vec<Action>,
    /// For a run that never ends: the actions of a round, from where the path ends.
    pub round: Vec<Action>,
}

impl Counterexample {
    /// Lets it all happen once more.
    pub fn replay(&self) -> Result<(), Violation> {
        let mut system = System::new(&self.setup);
        self.path.iter().chain(&self.round).try_for_each(|action| system.apply(*action).map(drop))
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.setup.name, self.violation)?;
        let mut system = System::new(&self.setup);
        super::diagram::heading(f, &self.setup)?;
        let mut now = 0;
        for (step, action) in self.path.iter().chain(&self.round).enumerate() {
            if step == self.path.len() {
                writeln!(f, "and from here again and again:")?;
            }
            now += super::diagram::line(f, &mut system, step, now, *action)?;
        }
        writeln!(f, "to have it again, apply {:?}", self.path)
    }
}

impl std::error::Error for Counterexample {}

impl Search<'_> {
    /// The way to a state, and one action more.
    pub(super) fn explain(
        &mut self,
        violation: Violation,
        state: u32,
        action: Option<Action>,
    ) -> Box<Counterexample> {
        let mut path = self.path(state);
        path.extend(action);
        let setup = self.setup.clone();
        Box::new(Counterexample { setup, violation, path, round: Vec::new() })
    }

    /// The way to a set of states, and a round in it.
    pub(super) fn explain_cycle(
        &mut self,
        violation: Violation,
        set: &[u32],
    ) -> Box<Counterexample> {
        let start = set.iter().copied().min().unwrap_or(0);
        let mut found = self.explain(violation, start, None);
        let round = self.round(start, set);
        found.round = round.windows(2).map(|pair| self.action(pair[0], pair[1])).collect();
        found
    }

    fn path(&mut self, state: u32) -> Vec<Action> {
        let mut states = vec![state];
        let mut state = state;
        while state != 0 {
            state = self.parents[state as usize];
            states.push(state);
        }
        states.reverse();
        states.windows(2).map(|pair| self.action(pair[0], pair[1])).collect()
    }

    /// The first action that leads from one state to the other.
    fn action(&mut self, from: u32, to: u32) -> Action {
        let row = self.states.get(from).to_vec();
        let wanted = self.states.get(to).to_vec();
        for table in 0..self.tables.len() {
            let Ok(outcomes) = self.outcomes(table, &row) else { continue };
            for outcome in outcomes {
                let Table { scope, actions, after, .. } = &self.tables[table];
                let mut target = row.clone();
                let parts = &after[outcome * scope.len()..][..scope.len()];
                scope.iter().zip(parts).for_each(|(place, part)| target[*place] = *part);
                let action = actions[outcome];
                self.rename(&row, &mut target);
                if target == wanted {
                    return action;
                }
            }
        }
        unreachable!("a state is reached from its parent")
    }

    /// The states of a shortest round from a state back to it, within a set.
    fn round(&self, start: u32, set: &[u32]) -> Vec<u32> {
        let mut from: HashMap<u32, u32> = HashMap::new();
        let mut open = VecDeque::from([start]);
        while let Some(state) = open.pop_front() {
            for edge in self.edges(state) {
                let target = self.targets[edge];
                if !set.contains(&target) || from.contains_key(&target) {
                    continue;
                }
                from.insert(target, state);
                open.push_back(target);
            }
            if from.contains_key(&start) {
                break;
            }
        }
        let mut round = vec![start];
        let mut state = start;
        while let Some(before) = from.get(&state) {
            round.push(*before);
            state = *before;
            if state == start {
                break;
            }
        }
        round.reverse();
        round
    }
}
