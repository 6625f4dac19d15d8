//! A new member, in its parts.

use std::fmt;

use handover_machine::{Config, ConfigError, Machine};

use crate::bridge::{Bridge, Ends};
use crate::driver::Driver;
use crate::handle::Handle;
use crate::link::Link;
use crate::random::Random;
use crate::shared::assignments::{Assignments, assignments};
use crate::shared::deliveries::{Deliveries, delivery};
use crate::shared::events::{Events, events};
use crate::shared::feed::Feed;
use crate::shared::mailbox::Mailbox;
use crate::shared::notices::{Notices, notices};
use crate::status::Board;
use crate::sync::Arc;

/// How a member's parts behave in this process. What the group sees is in [`Config`].
///
/// ```
/// let options = handover_core::Options { buffer_bytes: 1 << 20, ..Default::default() };
/// assert!(options.listen);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// How many bytes of records may wait to be taken before the fetcher pauses. Default 32 MiB.
    pub buffer_bytes: usize,
    /// Whether the application takes the events. If it does, a hand-over waits until its
    /// `Revoking` event is finished; if not, events are discarded. Default true.
    pub listen: bool,
    /// The seed of the driver's dice. Default `None`: from the system's randomness.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options { buffer_bytes: 32 << 20, listen: true, seed: None }
    }
}

/// A member's parts, each for the thread or task that it suits. All may be moved freely; those
/// that are not needed may be dropped.
#[derive(Debug)]
pub struct Member<B> {
    /// Asks things of the member.
    pub handle: Handle,
    /// Tells the application what it must know.
    pub events: Events,
    /// Tells the application what it may want to know.
    pub notices: Notices,
    /// Where the application takes records from.
    pub deliveries: Deliveries<B>,
    /// Where the fetcher puts records.
    pub feed: Feed<B>,
    /// Where the assignor finds what to plan. Dropped, this member never leads successfully.
    pub assignments: Assignments,
    /// What makes it all go: run it.
    pub driver: Seed<B>,
}

/// A driver without a link yet. Dropped, it stops the member.
pub struct Seed<B>(Bridge<B>);

impl<B> Seed<B> {
    /// The driver, ready to be polled.
    pub fn run<L: Link>(self, link: L) -> Driver<L, B> {
        Driver::new(self.0, link)
    }
}

/// A new member that is in no group yet, with payloads of type `B`.
///
/// ```
/// use handover_core::machine::Config;
///
/// let member = handover_core::member::<Vec<u8>>(Config::new("orders"), Default::default())?;
/// let _subscribed = member.handle.subscribe(["orders", "refunds"]);
/// // Spawn `member.driver.run(link)`, and take events and deliveries.
/// # Ok::<(), handover_core::machine::ConfigError>(())
/// ```
///
/// # Errors
/// The first setting that can't stand; see [`Config::validate`].
pub fn member<B>(config: Config, options: Options) -> Result<Member<B>, ConfigError> {
    config.validate()?;
    let machine = Machine::new(config);
    let mailbox = Mailbox::new();
    let board = Arc::new(Board::new(machine.status()));
    let (queue, feed, deliveries) = delivery(options.buffer_bytes, mailbox.clone());
    let (event_queue, events) = events(options.listen);
    let (ring, notices) = notices();
    let (desk, assignments) = assignments();
    let ends = Ends {
        board: Arc::clone(&board),
        queue,
        events: event_queue,
        notices: ring,
        assignments: desk,
    };
    let driver = Seed(Bridge::new(machine, ends, Random::new(options.seed)));
    let handle = Handle::new(mailbox, board);
    Ok(Member { handle, events, notices, deliveries, feed, assignments, driver })
}

impl<B> fmt::Debug for Seed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}
