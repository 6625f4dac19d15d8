//! What is said of it in the end.

use std::time::Duration;

use serde::Serialize;

use super::book::Book;

/// The verdict. Times are in milliseconds.
#[derive(Serialize)]
pub(super) struct Verdict {
    clean: bool,
    seed: u64,
    seconds: f64,
    produced: u64,
    processed: u64,
    /// As far as the members know: the sum of the committed offsets.
    committed: u64,
    /// Processed again by whoever took over from the member that died, or after the cancelled
    /// commit.
    processed_twice: u64,
    rebalances: u64,
    commits_cancelled: u64,
    commits_fenced: u64,
    commit_p50: f64,
    commit_p99: f64,
    handovers: usize,
    handover_p50: f64,
    handover_p99: f64,
    violations: Vec<String>,
}

impl Verdict {
    pub(super) fn of(book: &Book, seed: u64, took: Duration) -> Verdict {
        let mut pages = book.read();
        pages.commits.sort();
        pages.handovers.sort();
        let sum = |of: fn(&super::book::Partition) -> u64| pages.partitions.iter().map(of).sum();
        let produced: u64 = sum(|page| page.produced.unsigned_abs());
        let committed: u64 = sum(|page| page.committed.unsigned_abs());
        let processed = pages.processed();
        let mut violations = pages.violations.clone();
        if processed != produced {
            violations.push(format!("{processed} of {produced} records were processed"));
        }
        if committed != processed {
            violations.push(format!("{committed} committed, {processed} processed"));
        }
        Verdict {
            clean: violations.is_empty(),
            seed,
            seconds: took.as_secs_f64(),
            produced,
            processed,
            committed,
            processed_twice: sum(|page| page.twice),
            rebalances: pages.rebalances,
            commits_cancelled: pages.cancelled,
            commits_fenced: pages.fenced,
            commit_p50: percentile(&pages.commits, 50),
            commit_p99: percentile(&pages.commits, 99),
            handovers: pages.handovers.len(),
            handover_p50: percentile(&pages.handovers, 50),
            handover_p99: percentile(&pages.handovers, 99),
            violations,
        }
    }

    pub(super) fn reason(&self) -> Option<String> {
        let first = self.violations.first()?;
        Some(match self.violations.len() {
            1 => first.clone(),
            more => format!("{first}, and {} more", more - 1),
        })
    }

    pub(super) fn print(&self, json: bool) {
        if json {
            // Only numbers, flags and strings: always JSON.
            println!("{}", serde_json::to_string(self).unwrap_or_default());
            return;
        }
        let yes = |good: bool| if good { "yes" } else { "NO" };
        println!();
        println!(
            "every record processed        {}  ({})",
            yes(self.processed == self.produced),
            self.processed
        );
        println!(
            "committed = processed         {}  ({})",
            yes(self.committed == self.processed),
            self.committed
        );
        println!("nothing else went wrong       {}", yes(self.clean));
        for violation in self.violations.iter().take(10) {
            println!("    {violation}");
        }
        println!(
            "processed twice               {} (after the death and the cancelled commit)",
            self.processed_twice
        );
        println!(
            "commits                       p50 {:.1} ms, p99 {:.1} ms; {} cancelled, {} fenced",
            self.commit_p50, self.commit_p99, self.commits_cancelled, self.commits_fenced
        );
        println!(
            "hand-overs                    p50 {:.1} ms, p99 {:.1} ms; {} partitions in {} rebalances",
            self.handover_p50, self.handover_p99, self.handovers, self.rebalances
        );
        let word = if self.clean { "CLEAN" } else { "NOT CLEAN" };
        println!("verdict: {word} after {:.1} s (seed {})", self.seconds, self.seed);
    }
}

/// Of sorted values, in milliseconds; 0 if there are none.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).map_or(0.0, |value| value.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_is_there() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), 50.0);
        assert_eq!(percentile(&values, 99), 99.0);
        assert_eq!(percentile(&values[..1], 99), 1.0);
        assert_eq!(percentile(&[], 99), 0.0);
    }
}
