//! `handover demo`: a group in half a minute, with everything that goes wrong in one.

mod actor;
mod book;
mod stage;
mod verdict;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;

use crate::failure::Failure;
use book::Book;
use stage::Stage;

/// Shows a consumer group at work, and judges it.
///
/// Produces records to a topic of several partitions and lets a group consume them, while a member
/// joins, one leaves, one is cancelled in the middle of a commit, and one dies without a word.
/// Ends with a verdict; the exit code is 0 if it is clean and 1, with the reason, if not.
#[derive(ClapArgs, Clone)]
pub(crate) struct Args {
    /// Run on this Kafka instead of an embedded broker. The topic made there is deleted at the end
    #[arg(long, short, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// Members at the start; one more joins
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=50))]
    members: u32,
    /// Partitions of the topic
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// Records to produce
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    records: u64,
    /// Decides what happens when. The same seed makes the same choices
    #[arg(long)]
    seed: Option<u64>,
    /// Print lines instead of the live view
    #[arg(long)]
    plain: bool,
    /// Print the verdict as one JSON object on the last line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let stage = Stage::set(args.bootstrap.as_deref(), args.partitions, seed).await?;
    let book = Arc::new(Book::new(args.partitions));
    let view = view::View::new(args.plain || args.json, Arc::clone(&book), stage.title(seed));
    let started = Instant::now();
    let played = play(&args, seed, &stage, &book, &view).await;
    view.end().await;
    stage.strike().await;
    played?;
    let verdict = verdict::Verdict::of(&book, seed, started.elapsed());
    verdict.print(args.json);
    match verdict.reason() {
        None => Ok(()),
        Some(reason) => Err(Failure::new("the verdict is not clean", reason)),
    }
}

/// How long any one thing may take before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(25);

/// The play: who enters and leaves when. What happens at a fraction of the records processed
/// happens there at any speed.
async fn play(
    args: &Args,
    seed: u64,
    stage: &Stage,
    book: &Arc<Book>,
    view: &view::View,
) -> Result<(), Failure> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut cast: Vec<actor::Actor> = Vec::new();
    let enter = |cast: &mut Vec<actor::Actor>| {
        let number = cast.len();
        actor::Actor::enter(number, stage, book).map(|actor| cast.push(actor))
    };
    for _ in 0..args.members {
        enter(&mut cast)?;
    }
    let producing = stage.produce(args.records, book);
    let scenes = async {
        let mut at = |percent: u64| args.records * (percent + dice.u64(0..5)) / 100;
        book.processed_at_least(at(10), PATIENCE).await?;
        view.say("a member joins; another one's commit is cancelled in that rebalance");
        cast[0].cancel_a_commit();
        enter(&mut cast)?;
        book.processed_at_least(at(35), PATIENCE).await?;
        view.say("a member leaves");
        cast[1].leave(PATIENCE).await?;
        book.processed_at_least(at(55), PATIENCE).await?;
        view.say("a member dies without a word; its session must end before others take over");
        cast[2].die();
        book.all_processed(args.records, PATIENCE).await?;
        book.cancelled_once(PATIENCE).await?;
        book.all_committed(PATIENCE).await?;
        view.say("everything is processed and committed; the rest leave");
        for actor in &mut cast {
            actor.leave(PATIENCE).await?;
        }
        Ok::<(), Failure>(())
    };
    let (produced, played) = tokio::join!(producing, scenes);
    produced?;
    played
}
