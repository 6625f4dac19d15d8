//! Only `sync.rs` names a primitive that a checker replaces (SPEC M1): else a model would explore
//! something other than what ships.

#![allow(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

use std::fs;
use std::path::{Path, PathBuf};

/// What no other file may name.
const PRIMITIVES: [&str; 6] =
    ["std::sync", "core::sync", "alloc::sync", "std::thread", "loom::", "shuttle::"];

/// Tests run on std and may use what they like.
fn shipped(source: &str) -> &str {
    source.split("#[cfg(test)]").next().unwrap_or(source)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn only_the_facade_names_primitives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&folder);
    assert!(files.len() > 15, "looked in the wrong place: {folder:?}");
    for file in files.iter().filter(|file| !file.ends_with("src/sync.rs")) {
        let source = fs::read_to_string(file).unwrap();
        for (number, line) in shipped(&source).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for primitive in PRIMITIVES {
                assert!(!code.contains(primitive), "{file:?}:{}: {line}", number + 1);
            }
        }
    }
}

/// A lock that is held while a waker is woken is a deadlock in waiting (SPEC M4), so locks are
/// taken in two files alone: the slot, whose essay says how, and the board, which wakes nobody.
#[test]
fn locks_are_taken_in_two_places() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&folder) {
        let allowed = ["sync.rs", "slot.rs", "status.rs"];
        if allowed.iter().any(|name| file.ends_with(name)) {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        assert!(!shipped(&source).contains(".lock()"), "{file:?} takes a lock of its own");
    }
}
