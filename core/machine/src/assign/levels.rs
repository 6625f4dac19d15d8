//! Shares partitions out as evenly as subscriptions allow, moving what is owned only if it must.
//!
//! Partitions that the same members may get are one pool; only pools, loads and stacks of numbers
//! occur here. The measure of evenness is the sum of the squares of the loads. No single step
//! along a chain of members lowers it in the end, and for pools this means that nothing does: the
//! attainable loads are the bases of a polymatroid, on which a local optimum of a separable convex
//! function is a global one.

use alloc::{
    collections::{BinaryHeap, VecDeque},
    vec,
    vec::Vec,
};
use core::cmp::Reverse;

/// The members, by rank, and the pools that they draw from.
pub(super) struct Levels {
    /// The number of partitions of each member.
    loads: Vec<usize>,
    /// Where each member draws: pool and place in the pool, in the order of the pools.
    draws: Vec<Vec<(usize, usize)>>,
    pools: Vec<Pool>,
}

/// Partitions that the same members may get.
struct Pool {
    members: Vec<usize>,
    /// One for each of `members`.
    stacks: Vec<Stack>,
    free: Vec<usize>,
}

/// What a member has of a pool: what it owned before at the bottom, so that this goes last.
#[derive(Clone, Default)]
struct Stack {
    held: Vec<usize>,
    owned: usize,
}

/// Which partitions may move from one member to another.
#[derive(Clone, Copy, PartialEq)]
enum Movable {
    /// Those that their holder did not own before.
    New,
    All,
}

impl Stack {
    fn has(&self, movable: Movable) -> bool {
        self.held.len() > if movable == Movable::New { self.owned } else { 0 }
    }
}

impl Levels {
    pub(super) fn new(members: usize) -> Levels {
        Levels { loads: vec![0; members], draws: vec![Vec::new(); members], pools: Vec::new() }
    }

    /// Adds a pool for these members, in rising order.
    pub(super) fn add_pool(&mut self, members: Vec<usize>) {
        for (place, &member) in members.iter().enumerate() {
            self.draws[member].push((self.pools.len(), place));
        }
        let stacks = vec![Stack::default(); members.len()];
        self.pools.push(Pool { members, stacks, free: Vec::new() });
    }

    /// Puts a partition into a pool: as owned by a member that draws from it, else as free.
    /// Owned ones are given up from the last one on.
    pub(super) fn put(&mut self, pool: usize, partition: usize, owner: Option<usize>) {
        let place = owner.and_then(|owner| {
            let at = self.draws[owner].binary_search_by_key(&pool, |draw| draw.0).ok()?;
            Some(self.draws[owner][at].1)
        });
        match place {
            Some(place) => {
                self.give(pool, place, partition);
                self.pools[pool].stacks[place].owned += 1;
            }
            None => self.pools[pool].free.push(partition),
        }
    }

    /// Shares out everything: each member's partitions.
    ///
    /// New ones are levelled first, as far as they go, and only then owned ones move. What was
    /// given up in one round is free in the next; since levelling the new ones is exact, it finds
    /// the evenness of the first round again, and nothing more is given up (SPEC A6).
    pub(super) fn share_out(mut self) -> Vec<Vec<usize>> {
        self.deal();
        for movable in [Movable::New, Movable::All] {
            while (0..self.pools.len()).filter(|&pool| self.level(pool, movable)).count() > 0 {}
            self.level_along_chains(movable);
        }
        let mut shares = vec![Vec::new(); self.loads.len()];
        for pool in self.pools {
            for (member, stack) in pool.members.into_iter().zip(pool.stacks) {
                shares[member].extend(stack.held);
            }
        }
        shares
    }

    /// Gives each free partition to the least loaded member of its pool, pools with fewest
    /// members first: they have the least choice.
    fn deal(&mut self) {
        let mut order: Vec<usize> = (0..self.pools.len()).collect();
        order.sort_by_key(|&pool| self.pools[pool].members.len());
        for pool in order {
            let mut lightest = self.lightest(pool);
            for partition in core::mem::take(&mut self.pools[pool].free) {
                // A pool without members holds no topic that anybody wants.
                let Some(Reverse((load, place))) = lightest.pop() else { break };
                self.give(pool, place, partition);
                lightest.push(Reverse((load + 1, place)));
            }
        }
    }

    /// Moves partitions within a pool from the most to the least loaded while this levels.
    /// Whether any moved.
    ///
    /// A heap's entry for a member that the other heap moved is out of date, but never at the
    /// top before the two tops are level: who gave stays above who got.
    fn level(&mut self, pool: usize, movable: Movable) -> bool {
        let at = &self.pools[pool];
        let holders = at.stacks.iter().zip(&at.members).enumerate();
        let holders = holders.filter(|(_, (stack, _))| stack.has(movable));
        let loaded: Vec<(usize, usize)> =
            holders.map(|(place, (_, &member))| (self.loads[member], place)).collect();
        let least = at.members.iter().map(|&member| self.loads[member]).min();
        let most = loaded.iter().map(|(load, _)| *load).max();
        if most.zip(least).is_none_or(|(most, least)| most < least + 2) {
            return false;
        }
        let mut heaviest = BinaryHeap::from(loaded);
        let mut lightest = self.lightest(pool);
        while let (Some((most, from)), Some(Reverse((least, to)))) =
            (heaviest.pop(), lightest.pop())
        {
            if most < least + 2 {
                break;
            }
            self.shift(pool, from, to);
            lightest.push(Reverse((least + 1, to)));
            if self.pools[pool].stacks[from].has(movable) {
                heaviest.push((most - 1, from));
            }
        }
        true
    }

    /// Moves one partition along each chain of members that ends at one with two fewer, the most
    /// loaded first, until there is no such chain.
    ///
    /// Whom a member without a chain reaches is settled: they have at most one fewer, nothing
    /// leads out from among them, and whoever comes later has no more than it.
    fn level_along_chains(&mut self, movable: Movable) {
        let mut settled = vec![false; self.loads.len()];
        let with_rank = self.loads.iter().enumerate().map(|(member, &load)| (load, member));
        let mut heaviest: BinaryHeap<(usize, usize)> = with_rank.collect();
        while let Some((load, member)) = heaviest.pop().filter(|(load, _)| *load >= 2) {
            if settled[member] || self.loads[member] != load {
                continue;
            }
            match self.chain_from(member, movable, &settled) {
                Ok(chain) => {
                    let end = self.pools[chain[0].0].members[chain[0].2];
                    // From the end on, so that no member passes on what it has just got.
                    for (pool, from, to) in chain {
                        self.shift(pool, from, to);
                    }
                    heaviest.extend([member, end].map(|at| (self.loads[at], at)));
                }
                Err(reached) => reached.into_iter().for_each(|at| settled[at] = true),
            }
        }
    }

    /// The shortest chain from a member to one with at least two fewer, its last link (pool,
    /// place from, place to) first; or everyone whom it reaches.
    fn chain_from(
        &self,
        start: usize,
        movable: Movable,
        settled: &[bool],
    ) -> Result<Vec<(usize, usize, usize)>, Vec<usize>> {
        let mut links = vec![None; self.loads.len()];
        let mut seen_pools = vec![false; self.pools.len()];
        let mut reached = vec![start];
        let mut queue = VecDeque::from([start]);
        while let Some(member) = queue.pop_front() {
            for &(pool, from) in &self.draws[member] {
                let at = &self.pools[pool];
                if seen_pools[pool] || !at.stacks[from].has(movable) {
                    continue;
                }
                seen_pools[pool] = true;
                for (to, &next) in at.members.iter().enumerate() {
                    if next == start || settled[next] || links[next].is_some() {
                        continue;
                    }
                    links[next] = Some((pool, from, to));
                    if self.loads[next] + 2 <= self.loads[start] {
                        return Ok(self.chain_to(next, &links));
                    }
                    reached.push(next);
                    queue.push_back(next);
                }
            }
        }
        Err(reached)
    }

    fn chain_to(
        &self,
        end: usize,
        links: &[Option<(usize, usize, usize)>],
    ) -> Vec<(usize, usize, usize)> {
        let before = |link: &(usize, usize, usize)| links[self.pools[link.0].members[link.1]];
        core::iter::successors(links[end], before).collect()
    }

    fn lightest(&self, pool: usize) -> BinaryHeap<Reverse<(usize, usize)>> {
        let members = self.pools[pool].members.iter().enumerate();
        members.map(|(place, &member)| Reverse((self.loads[member], place))).collect()
    }

    fn give(&mut self, pool: usize, place: usize, partition: usize) {
        let at = &mut self.pools[pool];
        at.stacks[place].held.push(partition);
        self.loads[at.members[place]] += 1;
    }

    /// Moves the top of one stack onto another.
    fn shift(&mut self, pool: usize, from: usize, to: usize) {
        let at = &mut self.pools[pool];
        let stack = &mut at.stacks[from];
        if let Some(partition) = stack.held.pop() {
            stack.owned = stack.owned.min(stack.held.len());
            self.loads[at.members[from]] -= 1;
            self.give(pool, to, partition);
        }
    }
}
