//! Each promise broken by hand, and the same history without the fault.

use super::*;

/// Events from lines such as `5 a assigned 0 1`, `7 a consumed 0 0..9`, `8 a committed 0 10`:
/// time, member, what, and partitions of topic `t`.
fn history(lines: &str) -> History {
    let mut history = History::default();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [at, member, what, rest @ ..] = &words[..] else { panic!("{line}") };
        let number = |word: &str| word.parse::<i64>().unwrap();
        let partition = |word: &str| Partition::new("t", number(word) as i32);
        let all = || rest.iter().map(|word| partition(word)).collect();
        let kind = match *what {
            "started" => Kind::Started,
            "assigned" => Kind::Assigned(all()),
            "revoked" => Kind::Revoked(all()),
            "overrun" => Kind::Lost(all(), Loss::Overrun),
            "expired" => Kind::Lost(all(), Loss::SessionExpired),
            "lost" => Kind::Lost(all(), Loss::Other),
            "stopped" => Kind::Stopped,
            "killed" => Kind::Killed,
            "cut" => Kind::Cut,
            _ => {
                let partition = partition(rest[0]);
                let (first, last) = rest[1].split_once("..").unwrap_or((rest[1], rest[1]));
                let (first, last) = (number(first), number(last));
                match *what {
                    "consumed" => Kind::Consumed { partition, first, last },
                    "committed" => Kind::Committed { partition, offset: first },
                    "failed" => Kind::CommitFailed { partition, offset: first },
                    "rewound" => Kind::Rewound { partition, to: first },
                    "produced" => Kind::Produced { partition, offset: first },
                    _ => panic!("{line}"),
                }
            }
        };
        history.record(Event { at: at.parse().unwrap(), member: (*member).into(), kind });
    }
    history
}

#[track_caller]
fn violations(lines: &str) -> Vec<Violation> {
    history(lines).judge().violations
}

fn p(partition: i32) -> Partition {
    Partition::new("t", partition)
}

const HANDED_OVER: &str = "
    0 p produced 0 0
    0 p produced 0 1
    1 a started
    2 a assigned 0
    3 a consumed 0 0..0
    4 a committed 0 1
    5 a revoked 0
    5 b assigned 0
    6 b consumed 0 1..1
    7 b committed 0 2
    8 b revoked 0
    9 b stopped
    9 a stopped";

#[test]
fn a_clean_hand_over_keeps_every_promise() {
    let verdict = history(HANDED_OVER).judge();
    verdict.assert_kept();
    assert_eq!((verdict.produced, verdict.consumed, verdict.commits), (2, 2, (2, 0)));
    assert!(verdict.twice.is_empty());
}

#[test]
fn the_clock_merges_what_members_told_in_any_order() {
    let mut lines: Vec<&str> = HANDED_OVER.lines().collect();
    lines.sort_by_key(|line| line.contains(" a "));
    assert_eq!(violations(&lines.join("\n")), []);
}

#[test]
fn what_nobody_consumed_is_told() {
    let lines = "0 p produced 0 3\n0 p produced 0 4\n1 a assigned 0\n2 a consumed 0 3..3";
    let left = Violation::Unconsumed { partition: p(0), first: 4, records: 1 };
    assert_eq!(violations(lines), [left]);
    assert_eq!(history(lines).outstanding(), &[(p(0), 4)].into());
    // A producer may tell it after the consumer.
    assert_eq!(violations("1 a assigned 0\n2 a consumed 0 0..0\n3 p produced 0 0"), []);
}

#[test]
fn two_owners_at_one_time_are_told() {
    let lines = "1 a assigned 0 1\n5 b assigned 0\n6 a revoked 0";
    let (owner, other) = ("a".into(), "b".into());
    let twice = Violation::OwnedTwice { partition: p(0), owner, other, at: 5 };
    assert_eq!(violations(lines), std::slice::from_ref(&twice));
    assert_eq!(violations("1 a assigned 0 1\n5 b assigned 0"), [twice]);
}

#[test]
fn who_was_killed_cut_or_lost_it_may_be_overlapped() {
    for line in ["6 a killed", "4 a cut", "6 a overrun 0", "6 a expired 0", "6 a lost 0"] {
        assert_eq!(violations(&format!("1 a assigned 0\n5 b assigned 0\n{line}")), [], "{line}");
    }
    // A cut ends with the tenure: what is assigned after it is judged again.
    let lines = "1 a assigned 0\n2 a cut\n3 a revoked 0\n4 a assigned 0\n5 b assigned 0";
    assert_eq!(violations(lines).len(), 1);
}

fn consumed_again(end: &str) -> Verdict {
    let lines = "1 a assigned 0\n2 a consumed 0 0..9\n9 b assigned 0\n9 b consumed 0 7..11";
    history(&format!("{lines}\n{end}")).judge()
}

#[test]
fn a_record_consumed_twice_over_a_clean_hand_over_is_told() {
    for end in ["3 a revoked 0", "3 a stopped"] {
        let verdict = consumed_again(end);
        let (by, again_by) = ("a".into(), "b".into());
        let (partition, first, records) = (p(0), 7, 3);
        let twice = Violation::ConsumedTwice { partition, first, records, by, again_by };
        assert_eq!(verdict.violations, [twice], "{end}");
        assert_eq!(verdict.twice, [(Cause::Clean, 3)].into());
    }
}

#[test]
fn a_record_consumed_twice_after_a_fault_is_counted_apart() {
    for (end, cause) in [
        ("3 a killed", Cause::Killed),
        ("3 a overrun 0", Cause::Overrun),
        ("3 a expired 0", Cause::SessionExpired),
        ("3 a lost 0", Cause::Lost),
        ("3 a cut\n4 a revoked 0", Cause::Cut),
        ("3 a failed 0 10\n4 a revoked 0", Cause::CommitFailed),
    ] {
        let verdict = consumed_again(end);
        verdict.assert_kept();
        assert_eq!(verdict.twice, [(cause, 3)].into(), "{end}");
        assert_eq!(verdict.twice_by(cause), 3);
    }
    // A later commit that was acknowledged takes the excuse away.
    let verdict = consumed_again("3 a failed 0 10\n4 a committed 0 7\n5 a revoked 0");
    assert_eq!(verdict.twice_by(Cause::Clean), 3);
}

#[test]
fn a_member_that_wakes_up_and_goes_on_is_the_cause() {
    let lines = "1 a assigned 0\n2 a cut\n8 b assigned 0\n9 b consumed 0 0..9\n9 a consumed 0 0..1";
    assert_eq!(history(lines).judge().twice, [(Cause::Cut, 2)].into());
    // But what is cut after it was given the partition has no excuse for what it did before.
    let lines = "1 b assigned 0\n2 b consumed 0 0..9\n3 b revoked 0\n4 a assigned 0";
    let verdict = history(&format!("{lines}\n5 a consumed 0 0..1\n6 a killed")).judge();
    assert_eq!(verdict.twice, [(Cause::Clean, 2)].into());
}

#[test]
fn a_redelivery_is_no_violation_and_a_rewind_is_not_even_that() {
    let lines = "1 a assigned 0\n2 a consumed 0 0..9\n3 a consumed 0 5..9";
    assert_eq!(history(lines).judge().twice, [(Cause::Redelivered, 5)].into());
    let lines = "1 a assigned 0\n2 a consumed 0 0..9\n3 a rewound 0 5\n4 a consumed 0 5..9";
    assert!(history(lines).judge().twice.is_empty());
}

#[test]
fn consuming_or_committing_what_one_has_not_is_told() {
    let (partition, member) = (p(1), "a".into());
    let unowned = Violation::ConsumedUnowned { partition, first: 3, member };
    let never = "1 a assigned 0\n2 a consumed 1 3..4";
    assert_eq!(violations(never), std::slice::from_ref(&unowned));
    assert_eq!(violations("1 a assigned 1\n2 a revoked 1\n3 a consumed 1 3..4"), [unowned]);
    let lines = "1 a assigned 1\n2 a consumed 1 0..4\n3 a revoked 1\n4 a committed 1 5";
    let (partition, member) = (p(1), "a".into());
    let unowned = Violation::CommittedUnowned { partition, offset: 5, member };
    assert_eq!(violations(lines), [unowned]);
}

#[test]
fn a_commit_that_goes_back_is_told_unless_asked_for() {
    let lines = "1 a assigned 0\n2 a consumed 0 0..9\n3 a committed 0 8\n4 a committed 0 5";
    let (partition, member) = (p(0), "a".into());
    let back = Violation::CommitWentBack { partition, from: 8, to: 5, member };
    assert_eq!(violations(lines), [back]);
    assert_eq!(violations(&lines.replace("4 a", "4 a rewound 0 2\n 4 a")), []);
    assert_eq!(violations(&lines.replace("4 a", "4 a cut\n 4 a")), []);
    assert_eq!(violations(&lines.replace("0 5", "0 8")), []);
}

#[test]
fn a_commit_ahead_of_consumption_is_told() {
    let ahead = |offset, covers| {
        let (partition, member) = (p(0), "a".into());
        [Violation::CommitAhead { partition, offset, covers, member }]
    };
    let lines = "1 a assigned 0\n2 a consumed 0 0..4\n";
    assert_eq!(violations(&format!("{lines}3 a committed 0 6")), ahead(6, 5));
    assert_eq!(violations(&format!("{lines}3 a committed 0 5")), []);
    // 2 is a record and was skipped; 3 is none.
    let lines = "0 p produced 0 2\n1 a assigned 0\n2 a consumed 0 0..1\n3 a consumed 0 4..4\n";
    let later = "\n5 a consumed 0 2..2";
    assert_eq!(violations(&format!("{lines}4 a committed 0 5{later}")), ahead(5, 2));
    assert_eq!(violations(&format!("{lines}4 a consumed 0 2..2\n5 a committed 0 5")), []);
}

#[test]
fn a_member_has_what_it_was_given_and_did_not_give_up() {
    let history = history("1 a assigned 0 1\n2 a assigned 2\n3 a revoked 1\n4 b assigned 1");
    assert_eq!(history.owned_by("a"), [p(0), p(2)].into());
    assert_eq!(history.owned_by("b"), [p(1)].into());
    assert_eq!(history.owned_by("c"), [].into());
}

#[test]
fn a_recorder_wakes_who_waits_and_says_what_came_instead() {
    let recorder = Recorder::default();
    let teller = recorder.clone();
    let thread = std::thread::spawn(move || teller.tell("a", Kind::Started));
    let limit = std::time::Duration::from_secs(30);
    recorder.wait("a start", limit, |history| history.of("a").count() == 1).unwrap();
    thread.join().unwrap();
    let error = recorder.wait("an end", std::time::Duration::ZERO, |_| false).unwrap_err();
    assert!(error.to_string().starts_with("waited 0ns in vain for an end; the last events are"));
    assert!(error.to_string().contains("a: Started"));
}

#[test]
fn a_verdict_reads_as_a_sentence() {
    let verdict = history("0 p produced 0 0").judge();
    let sentence = "1 records produced, 0 consumed, again {}; 0 commits, 0 failed; 1 violations\n  \
                    Unconsumed { partition: t-0, first: 0, records: 1 }";
    assert_eq!(verdict.to_string(), sentence);
}

#[test]
fn a_history_reads_in_the_order_of_time() {
    let history = history("2 b assigned 0\n1 a started");
    assert_eq!(history.to_string(), "1 a: Started\n2 b: Assigned([t-0])\n");
}
