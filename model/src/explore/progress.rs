//! Progress: from every state the goal stays reachable, and no fair run avoids it for ever.
//!
//! Both are decided on the whole graph of the search. A run is fair if whatever stays possible
//! happens in the end (weak fairness, by class). A strongly connected set of states without a
//! goal has a fair run in it if every class is either taken within the set or impossible in one
//! of its states.

use crate::system::{Property, Violation};

use super::{Counterexample, Search, UNFAIR};

impl Search<'_> {
    pub(super) fn check_progress(&mut self) -> Result<(), Box<Counterexample>> {
        if let Some(state) = self.first_hopeless() {
            let what = String::from("from here no goal can be reached any more");
            let violation = Violation::new(Property::GoalReachable, what);
            return Err(self.explain(violation, state, None));
        }
        if let Some(set) = self.first_fair_set() {
            let what = format!("a fair run goes round {} states, none of them a goal", set.len());
            let violation = Violation::new(Property::GoalReached, what);
            return Err(self.explain_cycle(violation, &set));
        }
        Ok(())
    }

    /// The first state from which no goal can be reached: backward closure from the goals.
    fn first_hopeless(&self) -> Option<u32> {
        let states = self.states.len();
        let mut first = vec![0u64; states + 1];
        for target in &self.targets {
            first[*target as usize + 1] += 1;
        }
        for state in 0..states {
            first[state + 1] += first[state];
        }
        let mut next = first.clone();
        let mut sources = vec![0u32; self.targets.len()];
        for state in 0..states as u32 {
            for edge in self.edges(state) {
                let place = &mut next[self.targets[edge] as usize];
                sources[*place as usize] = state;
                *place += 1;
            }
        }
        let mut hopeful = self.goals.clone();
        let mut open: Vec<u32> = (0..states as u32).filter(|s| hopeful[*s as usize]).collect();
        while let Some(state) = open.pop() {
            let before = first[state as usize] as usize..first[state as usize + 1] as usize;
            for &source in &sources[before] {
                if !std::mem::replace(&mut hopeful[source as usize], true) {
                    open.push(source);
                }
            }
        }
        hopeful.iter().position(|hopeful| !hopeful).map(|state| state as u32)
    }

    /// The first strongly connected set without a goal in which a fair run can stay.
    fn first_fair_set(&self) -> Option<Vec<u32>> {
        let mut fair: Option<Vec<u32>> = None;
        self.for_each_set(|set| {
            let earlier = fair.as_ref().is_none_or(|known| set.iter().min() < known.iter().min());
            if earlier && self.is_fair(set) {
                fair = Some(set.to_vec());
            }
        });
        fair
    }

    fn is_fair(&self, set: &[u32]) -> bool {
        let mut sorted = set.to_vec();
        sorted.sort_unstable();
        let (mut always, mut taken, mut any) = (u128::MAX, 0u128, false);
        for &state in set {
            let mut possible = 0u128;
            for edge in self.edges(state) {
                let class = self.classes[edge];
                let bit = if class == UNFAIR { 0 } else { 1 << class };
                possible |= bit;
                if sorted.binary_search(&self.targets[edge]).is_ok() {
                    any = true;
                    taken |= bit;
                }
            }
            always &= possible;
        }
        any && always & !taken == 0
    }

    /// Tarjan's strongly connected components of the states that are no goal, without recursion.
    fn for_each_set(&self, mut visit: impl FnMut(&[u32])) {
        const NEW: u32 = u32::MAX;
        let states = self.states.len();
        let mut order = vec![NEW; states];
        let mut low = vec![0u32; states];
        let mut on_stack = vec![false; states];
        let (mut stack, mut calls, mut count) = (Vec::new(), Vec::<(u32, usize)>::new(), 0u32);
        for root in (0..states as u32).filter(|root| !self.goals[*root as usize]) {
            if order[root as usize] != NEW {
                continue;
            }
            calls.push((root, self.edges(root).start));
            while let Some((state, edge)) = calls.last_mut() {
                let at = *state as usize;
                if order[at] == NEW {
                    (order[at], low[at]) = (count, count);
                    count += 1;
                    stack.push(*state);
                    on_stack[at] = true;
                }
                if *edge < self.edges(*state).end {
                    let target = self.targets[*edge];
                    let to = target as usize;
                    *edge += 1;
                    if self.goals[to] {
                    } else if order[to] == NEW {
                        calls.push((target, self.edges(target).start));
                    } else if on_stack[to] {
                        low[at] = low[at].min(order[to]);
                    }
                    continue;
                }
                calls.pop();
                if let Some((caller, _)) = calls.last() {
                    let caller = *caller as usize;
                    low[caller] = low[caller].min(low[at]);
                }
                if low[at] == order[at] {
                    let begin = stack.iter().rposition(|s| *s as usize == at).unwrap_or(0);
                    visit(&stack[begin..]);
                    stack.drain(begin..).for_each(|state| on_stack[state as usize] = false);
                }
            }
        }
    }
}
