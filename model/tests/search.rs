//! The exact search of each named system: nothing is violated, the goal is always reached, and
//! there are exactly as many states and steps as there were.

#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping")]

use std::collections::HashMap;

use handover_model::configs::{self, Searched};
use handover_model::explore::search;
use handover_model::system::{Setup, System};

/// Searches a named system. After a change that is meant to alter the counts, `configs.rs` takes
/// the line that is printed.
fn explored(name: &str) {
    let known = configs::ALL.iter().find(|known| known.setup.name == name);
    let Searched { setup, states, edges } = known.expect("the system has that name");
    let found = search(setup).unwrap_or_else(|counterexample| panic!("{counterexample}"));
    println!("{name}: {found}");
    assert_eq!(
        (found.states, found.edges),
        (*states, *edges),
        "{name} is not as large as configs.rs states"
    );
}

macro_rules! searches {
    ($($test:ident $name:literal;)*) => {
        $(#[test] fn $test() { explored($name); })*

        #[test]
        fn every_named_system_is_searched() {
            let names: Vec<&str> = configs::ALL.iter().map(|known| known.setup.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

searches! {
    eager_closes "eager-closes";
    cooperative_closes "cooperative-closes";
    eager_cut "eager-cut";
    cooperative_cut "cooperative-cut";
    eager_blocking "eager-blocking";
    cooperative_blocking "cooperative-blocking";
    blocking_cut "blocking-cut";
    straggler "straggler";
    blocking_straggler "blocking-straggler";
    stall "stall";
    reload "reload";
    unload "unload";
    late_write "late-write";
    delay "delay";
    later "later";
    deadlines "deadlines";
    two_partitions "two-partitions";
    cut_closes "cut-closes";
}

/// The same search without any of its tables: whole states, each step computed anew.
fn plainly_explored(setup: &Setup) -> (usize, usize) {
    let mut known = HashMap::from([(System::new(setup), ())]);
    let mut open: Vec<System<'_>> = known.keys().cloned().collect();
    let mut edges = 0;
    while let Some(system) = open.pop() {
        for action in system.actions() {
            edges += 1;
            let mut next = system.clone();
            next.apply(action).unwrap();
            if known.insert(next.clone(), ()).is_none() {
                open.push(next);
            }
        }
    }
    (known.len(), edges)
}

#[test]
fn the_tables_of_the_search_leave_nothing_out() {
    for (name, cooperative) in [("eager-blocking", false), ("cooperative-cut", true)] {
        let known = configs::ALL.iter().find(|known| known.setup.name == name);
        let mut setup = known.expect("the system has that name").setup.clone();
        setup.settled = 1;
        setup.faults.reloads = 1;
        assert_eq!(setup.cooperative, cooperative);
        let found = search(&setup).unwrap();
        assert_eq!(plainly_explored(&setup), (found.states, found.edges), "{name}");
    }
}
