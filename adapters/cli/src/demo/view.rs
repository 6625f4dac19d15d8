//! The live view, or lines where there is no terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handover_tokio::machine::{Phase, Status, Waiting};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::book::{Book, Pages};

pub(super) struct View {
    live: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// What happened last, for the live view.
    said: Arc<Mutex<String>>,
    plain: bool,
}

impl View {
    pub(super) fn new(plain: bool, book: Arc<Book>, title: String) -> View {
        let plain = plain || !std::io::stdout().is_terminal();
        let said = Arc::new(Mutex::new(String::new()));
        println!("{title}");
        let live = (!plain).then(|| {
            let (stop, stopped) = oneshot::channel();
            (stop, tokio::spawn(redraw(book, Arc::clone(&said), stopped)))
        });
        View { live, said, plain }
    }

    /// A scene begins.
    pub(super) fn say(&self, what: &str) {
        if self.plain {
            println!("{what}");
        }
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = what.to_owned();
    }

    pub(super) async fn end(self) {
        if let Some((stop, drawing)) = self.live {
            let _ = stop.send(());
            let _ = drawing.await;
        }
    }
}

async fn redraw(book: Arc<Book>, said: Arc<Mutex<String>>, mut stopped: oneshot::Receiver<()>) {
    let mut lines = 0;
    let mut every = tokio::time::interval(Duration::from_millis(100));
    loop {
        let last = tokio::select! {
            _ = &mut stopped => true,
            _ = every.tick() => false,
        };
        let frame = frame(&book.read(), &said.lock().unwrap_or_else(PoisonError::into_inner));
        let mut out = std::io::stdout().lock();
        // Up to where the last frame began, and clear what is below.
        let _ = match lines {
            0 => write!(out, "{frame}"),
            up => write!(out, "\x1b[{up}A\x1b[J{frame}"),
        };
        let _ = out.flush();
        lines = frame.lines().count();
        if last {
            return;
        }
    }
}

fn frame(pages: &Pages, said: &str) -> String {
    let mut text = String::new();
    let produced: i64 = pages.partitions.iter().map(|page| page.produced).sum();
    let committed: i64 = pages.partitions.iter().map(|page| page.committed).sum();
    let _ = writeln!(
        text,
        "produced {produced:>8}  processed {:>8}  committed {committed:>8}",
        pages.processed()
    );
    let mut waits = Vec::new();
    for (name, page) in &pages.members {
        let Some(handle) = &page.handle else {
            let end = page.end.unwrap_or("?");
            let _ =
                writeln!(text, "\x1b[2m{name:>5}  {end:<10} {:>8} records\x1b[0m", page.processed);
            continue;
        };
        let status = handle.status();
        let _ = writeln!(
            text,
            "{name:>5}  {:<10} {:>8} records  {}",
            status.phase.to_string(),
            page.processed,
            leases(&status)
        );
        waits.extend(waiting(name, &status));
    }
    let joining = pages.members.values().filter_map(|page| page.handle.as_ref());
    let rebalancing = joining.filter(|handle| handle.status().phase != Phase::Stable).count();
    if rebalancing > 0 && waits.is_empty() {
        waits.extend(late(pages));
    }
    let _ = writeln!(
        text,
        "{}",
        if waits.is_empty() {
            String::new()
        } else {
            format!("rebalance waits for {}", waits.join(", "))
        }
    );
    let _ = writeln!(text, "\x1b[1m{said}\x1b[0m");
    text
}

/// Its partitions: those on their way out in brackets.
fn leases(status: &Status) -> String {
    let one = |lease: &handover_tokio::machine::LeaseStatus| {
        let number = lease.partition.partition;
        if lease.waiting.is_some() { format!("[{number}]") } else { number.to_string() }
    };
    status.leases.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Why a member keeps the others waiting.
fn waiting(name: &str, status: &Status) -> Option<String> {
    let held = |lease: &&handover_tokio::machine::LeaseStatus| {
        matches!(lease.waiting, Some(Waiting::Holds { .. }))
    };
    let holds = status.leases.iter().filter(held).count();
    let commits = status.leases.iter().filter(|lease| lease.waiting.is_some()).count() - holds;
    match (holds, commits) {
        (0, 0) => None,
        (0, _) => Some(format!("{name}, whose last commits are not answered yet")),
        _ => Some(format!("{name}, who works on records of {holds} partitions")),
    }
}

/// Members that have not heard of the rebalance, or never will.
fn late(pages: &Pages) -> Vec<String> {
    let quiet = |(name, page): (&&'static str, &super::book::Page)| match &page.handle {
        Some(handle) if handle.status().phase == Phase::Stable => {
            Some(format!("{name}, who hears of it with the next heartbeat"))
        }
        None if page.end == Some("died") => Some(format!("{name}'s session to end, maybe")),
        _ => None,
    };
    pages.members.iter().filter_map(quiet).collect()
}
