//! SPEC.md is true to the code: each clause has code and checks, what it names is there, each
//! clause that a source cites exists, and the table of verdicts is the one that `judge` keeps.
//!
//! `HANDOVER_BLESS=1 cargo test -p handover-tests --test spec` writes the table anew.

#![allow(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use handover_machine::{Api, ErrorCode, judge};

/// Between these two lines of SPEC.md stands the table of verdicts.
const BEGIN: &str =
    "<!-- verdicts: written by `HANDOVER_BLESS=1 cargo test -p handover-tests --test spec` -->";
const END: &str = "<!-- end of the verdicts -->";

/// The folders whose sources cite clauses.
const SOURCES: [&str; 4] = ["core", "model", "adapters", "tests"];

/// A code that has no name: whatever a later Kafka says.
const UNNAMED: ErrorCode = ErrorCode::Other(i16::MAX);

#[derive(Default)]
struct Clause {
    id: String,
    code: Vec<String>,
    /// File and test.
    checks: Vec<(String, String)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The clauses of SPEC.md: headings `### C5 · title`, then a text, then items such as `- Code:` and
/// `- Checks:`.
fn clauses() -> Vec<Clause> {
    let spec = read("SPEC.md");
    let mut clauses: Vec<Clause> = Vec::new();
    for section in spec.split("\n### ").skip(1) {
        let section = section.split("\n## ").next().unwrap_or(section);
        let (id, rest) = section.split_once(" · ").unwrap_or_else(|| {
            panic!("`### {}`: begin the heading with `### C5 · title`", first_line(section))
        });
        let mut clause = Clause { id: id.to_owned(), ..Clause::default() };
        let mut field = "";
        for line in rest.lines().skip(1) {
            field = match line.strip_prefix("- ").and_then(|item| item.split_once(':')) {
                Some((name, _)) => name,
                None if line.starts_with("  ") => field,
                None => "",
            };
            let quoted = line.split('`').skip(1).step_by(2).map(str::to_owned);
            match field {
                "Code" => clause.code.extend(quoted),
                "Checks" => quoted.for_each(|check| clause.add_check(&check)),
                _ => {}
            }
        }
        clauses.push(clause);
    }
    clauses
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl Clause {
    /// `path::name`, or `::name` for another test of the file before it.
    fn add_check(&mut self, check: &str) {
        let (path, name) = check.split_once("::").unwrap_or_else(|| {
            panic!("{}: `{check}` is no check; write `path::test_name`", self.id)
        });
        let path = match (path, self.checks.last()) {
            ("", Some((before, _))) => before.clone(),
            ("", None) => panic!("{}: `{check}` follows no file; name its file", self.id),
            (path, _) => path.to_owned(),
        };
        self.checks.push((path, name.to_owned()));
    }
}

#[test]
fn each_clause_has_a_name_of_its_own_code_and_checks() {
    let mut ids = BTreeSet::new();
    for clause in clauses() {
        let id = &clause.id;
        assert!(is_id(id), "`### {id}`: name the clause by a letter and a number, as C5");
        let told = "with the path in backticks";
        assert!(!clause.code.is_empty(), "{id} has no code: add an item `- Code:` {told}");
        let told = "with `path::test_name`; if there is no such test, write it first";
        assert!(!clause.checks.is_empty(), "{id} has no check: add an item `- Checks:` {told}");
        assert!(ids.insert(id.clone()), "there are two clauses {id}: give one another number");
    }
    assert!(ids.len() > 80, "only {} clauses were found: is SPEC.md whole?", ids.len());
}

#[test]
fn what_a_clause_names_is_there() {
    for clause in clauses() {
        let id = &clause.id;
        for path in &clause.code {
            let there = root().join(path).exists();
            assert!(there, "{id}: there is no `{path}`; correct the path in SPEC.md");
        }
        for (path, name) in &clause.checks {
            let there = root().join(path).is_file();
            assert!(there, "{id}: there is no `{path}`; correct the check in SPEC.md");
            let test = format!("fn {name}(");
            assert!(
                read(path).contains(&test),
                "{id}: `{path}` has no `{test}..)`; name the test as it is called now, or one that \
                 does its work"
            );
        }
    }
}

#[test]
fn each_clause_that_is_cited_exists() {
    let known: BTreeSet<String> = clauses().into_iter().map(|clause| clause.id).collect();
    let mut cited: BTreeMap<String, String> =
        citations(&read("SPEC.md").replace("Carried by: ", "SPEC "))
            .into_iter()
            .map(|id| (id, String::from("SPEC.md")))
            .collect();
    let mut files = Vec::new();
    for folder in SOURCES {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 200, "only {} sources were found in {SOURCES:?}", files.len());
    for file in files {
        for id in citations(&fs::read_to_string(&file).unwrap()) {
            cited.entry(id).or_insert_with(|| file.display().to_string());
        }
    }
    assert!(cited.len() > 60, "only {} clauses are cited: is the pattern right?", cited.len());
    for (id, place) in cited {
        assert!(
            known.contains(&id),
            "{place} cites {id}, which SPEC.md has not: write the clause, or cite another"
        );
    }
}

/// The ids after each `SPEC `: `L1`, `P1, P10`, `B4 and P14`, `E1 to E5`.
fn citations(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for after in text.split("SPEC ").skip(1) {
        let mut to = false;
        for word in after.split_whitespace() {
            if word == "to" || word == "and" {
                to = word == "to";
                continue;
            }
            let id = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if !is_id(id) {
                break;
            }
            if let (true, Some(first)) = (to, ids.last().and_then(|id| number(id))) {
                let last = number(id).unwrap();
                ids.extend((first + 1..last).map(|n| format!("{}{n}", &id[..1])));
            }
            ids.push(id.to_owned());
            to = false;
            if !word.ends_with(',') && word.len() > id.len() {
                break;
            }
        }
    }
    ids
}

fn is_id(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase()) && number(word).is_some()
}

fn number(id: &str) -> Option<u32> {
    id.get(1..)?.parse().ok()
}

#[test]
fn citations_are_found_in_every_form() {
    let text =
        "(SPEC L1). SPEC P1, P10, D1. SPEC B1 to B3) and C9. SPEC C2 and C4, says X1; SPEC's";
    let found = citations(text);
    assert_eq!(found, ["L1", "P1", "P10", "D1", "B1", "B2", "B3", "C2", "C4"]);
}

/// Rust sources below `folder`. Links are passed over: the mirrors' sources are core's.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn the_table_of_verdicts_is_what_judge_says() {
    let spec = read("SPEC.md");
    let (before, rest) = spec.split_once(BEGIN).expect("SPEC.md lacks the line before the table");
    let (written, after) = rest.split_once(END).expect("SPEC.md lacks the line after the table");
    let table = format!("\n\n{}\n", verdicts());
    if std::env::var_os("HANDOVER_BLESS").is_some() {
        fs::write(root().join("SPEC.md"), format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    let told = "SPEC.md's table differs from `judge`: if the change is meant, rewrite the table by \
                HANDOVER_BLESS=1 cargo test -p handover-tests --test spec";
    let wrong: Vec<&str> = table.lines().filter(|line| !written.contains(*line)).collect();
    assert!(written == table, "{told}\nNow it should say:\n{}", wrong.join("\n"));
}

fn verdicts() -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let cells = |first: &str, of: &dyn Fn(Api) -> String| {
        std::iter::once(first.to_owned()).chain(Api::ALL.map(of)).collect()
    };
    let mut table = row(cells("answer", &|api| format!("{api:?}")));
    table += &row(cells("---", &|_| String::from("---")));
    for error in ErrorCode::NAMED.iter().copied().chain([UNNAMED]) {
        let name = match error {
            UNNAMED => String::from("any other"),
            error => format!("{} {}", error.code(), error.name()),
        };
        table += &row(cells(&name, &|api| format!("{:?}", judge(api, error))));
    }
    table
}
