//! The driver against links that behave and links that do not. What it does with a coordinator
//! is explored in `handover-model`.

#![allow(clippy::unwrap_used, reason = "a test states what it expects by unwrapping")]

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use handover_core::machine::{
    Api, CloseOptions, Config, LeaveOutcome, Phase, Request, RequestId, Time, TopicPartition,
    Unanswered,
};
use handover_core::{
    Assignments, CallError, Deliveries, Driver, Events, Feed, Handle, Incoming, Link, Member,
    Notices, Options, Outgoing, member,
};

/// What a test sees and decides of its link.
#[derive(Default)]
struct Script {
    now: Time,
    sent: Vec<Request>,
    incoming: VecDeque<Incoming>,
    timer: Option<Time>,
    /// Answers for ever.
    babbles: bool,
    panics: bool,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Link for Scripted {
    fn now(&mut self) -> Time {
        self.0.lock().unwrap().now
    }

    fn poll_send(&mut self, _: &mut Context<'_>, request: &mut Option<Outgoing>) -> Poll<()> {
        self.0.lock().unwrap().sent.extend(request.take().map(|outgoing| outgoing.request));
        Poll::Ready(())
    }

    fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<Incoming> {
        let mut script = self.0.lock().unwrap();
        if script.panics {
            drop(script);
            panic!("the link breaks");
        }
        if script.babbles {
            let id = RequestId(u64::MAX);
            return Poll::Ready(Incoming::Answer { id, answer: Err(Unanswered::Lost) });
        }
        script.incoming.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_timer(&mut self, _: &mut Context<'_>, at: Time) -> Poll<()> {
        let mut script = self.0.lock().unwrap();
        script.timer = Some(at);
        if at <= script.now { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

struct Bench {
    handle: Handle,
    events: Events,
    notices: Notices,
    deliveries: Deliveries<()>,
    feed: Feed<()>,
    assignments: Assignments,
    driver: Driver<Scripted, ()>,
    script: Arc<Mutex<Script>>,
    woken: Arc<Woken>,
}

impl Bench {
    fn new() -> Bench {
        let options = Options { seed: Some(1), ..Options::default() };
        let Member { handle, events, notices, deliveries, feed, assignments, driver } =
            member(Config::new("orders"), options).unwrap();
        let link = Scripted::default();
        let script = Arc::clone(&link.0);
        let driver = driver.run(link);
        let woken = Arc::default();
        Bench { handle, events, notices, deliveries, feed, assignments, driver, script, woken }
    }

    fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.woken));
        Pin::new(&mut self.driver).poll(&mut Context::from_waker(&waker))
    }
}

fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_call_becomes_a_request() {
    let mut bench = Bench::new();
    assert!(bench.poll().is_pending());
    assert!(bench.script.lock().unwrap().sent.is_empty());

    let mut subscribed = bench.handle.subscribe(["orders"]);
    assert_eq!(bench.woken.0.load(Relaxed), 1, "the driver is woken by the call");
    assert!(bench.poll().is_pending());
    assert_eq!(once(&mut subscribed), Poll::Ready(Ok(())));
    let script = bench.script.lock().unwrap();
    assert_eq!(script.sent.iter().map(Request::api).collect::<Vec<_>>(), [Api::FindCoordinator]);
}

#[test]
fn a_failed_request_is_tried_again_when_the_timer_says() {
    let mut bench = Bench::new();
    let _subscribed = bench.handle.subscribe(["orders"]);
    assert!(bench.poll().is_pending());
    {
        let mut script = bench.script.lock().unwrap();
        let answer = Err(Unanswered::NotSent);
        script.incoming.push_back(Incoming::Answer { id: RequestId(0), answer });
    }
    assert!(bench.poll().is_pending());
    let retry = {
        let mut script = bench.script.lock().unwrap();
        assert_eq!(script.sent.len(), 1, "not at once");
        let at = script.timer.expect("it waits for a timer");
        script.now = at;
        at
    };
    // 100 ms, and 20 % of jitter either way.
    assert!((80..=120).contains(&retry.as_millis()), "{retry:?}");
    assert!(bench.poll().is_pending());
    assert_eq!(bench.script.lock().unwrap().sent.len(), 2);
}

#[test]
fn a_link_that_babbles_does_not_take_the_thread() {
    let mut bench = Bench::new();
    bench.script.lock().unwrap().babbles = true;
    assert!(bench.poll().is_pending());
    assert_eq!(bench.woken.0.load(Relaxed), 1, "it goes on after others had their turn");
    let mut closed = bench.handle.close(CloseOptions::default());
    assert!(bench.poll().is_ready());
    assert!(once(&mut closed).is_ready());
}

#[test]
fn a_panic_in_the_link_stops_everything() {
    let mut bench = Bench::new();
    let mut reply = bench.handle.committed([], std::time::Duration::from_secs(1));
    assert!(bench.poll().is_pending());
    bench.script.lock().unwrap().panics = true;
    assert!(catch_unwind(AssertUnwindSafe(|| bench.poll())).is_err());

    assert_eq!(once(&mut reply), Poll::Ready(Err(CallError::Stopped)));
    assert!(bench.handle.is_stopped());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(bench.deliveries.poll_next(&mut cx), Poll::Ready(None)));
    assert!(matches!(bench.feed.poll_change(&mut cx), Poll::Ready(None)));
    assert!(matches!(bench.events.poll_next(&mut cx), Poll::Ready(None)));
    assert!(matches!(bench.assignments.poll_next(&mut cx), Poll::Ready(None)));
    while let Poll::Ready(Some(_)) = bench.notices.poll_next(&mut cx) {}
    assert!(matches!(bench.notices.poll_next(&mut cx), Poll::Ready(None)));
    assert!(bench.poll().is_ready(), "polled again it has ended, and does not panic again");
}

#[test]
fn a_driver_that_never_ran_stops_everything_too() {
    let Member { handle, driver, .. } = member::<()>(Config::new("g"), Options::default()).unwrap();
    let mut reply = handle.subscribe(["orders"]);
    drop(driver);
    assert_eq!(once(&mut reply), Poll::Ready(Err(CallError::Stopped)));
    assert_eq!(reply.wait(), Err(CallError::Stopped), "it stays so");
}

#[test]
fn closing_again_gives_the_same_report() {
    let mut bench = Bench::new();
    let mut first = bench.handle.close(CloseOptions::default());
    let mut second = bench.handle.close(CloseOptions::default());
    assert!(bench.poll().is_ready());
    let report = first.wait().unwrap();
    assert_eq!(report.leave, LeaveOutcome::Stayed);
    assert_eq!(second.wait(), Ok(report.clone()));
    assert_eq!(bench.handle.close(CloseOptions::default()).wait(), Ok(report));
    assert_eq!(bench.handle.status().phase, Phase::Closed);
    let seek = handover_core::machine::SeekTo::Beginning;
    let mut other = bench.handle.seek(TopicPartition::new("orders", 0), seek);
    assert_eq!(other.wait(), Err(CallError::Stopped));
}

#[test]
fn waiting_on_the_thread_of_the_driver_is_refused() {
    let mut bench = Bench::new();
    assert!(bench.poll().is_pending());
    let second = std::time::Duration::from_secs(1);
    let mut reply = bench.handle.committed([TopicPartition::new("orders", 0)], second);
    assert_eq!(reply.wait(), Err(CallError::WouldDeadlock));
    drop(bench);
    assert_eq!(reply.wait(), Err(CallError::Stopped), "and the call went on");
}

#[test]
fn a_clock_that_goes_back_is_not_passed_on() {
    let mut bench = Bench::new();
    bench.script.lock().unwrap().now = Time::from_millis(5_000);
    let _subscribed = bench.handle.subscribe(["orders"]);
    assert!(bench.poll().is_pending());
    {
        let mut script = bench.script.lock().unwrap();
        script.now = Time::ZERO;
        let answer = Err(Unanswered::NotSent);
        script.incoming.push_back(Incoming::Answer { id: RequestId(0), answer });
    }
    assert!(bench.poll().is_pending());
    let timer = bench.script.lock().unwrap().timer.unwrap();
    assert!(timer > Time::from_millis(5_000), "{timer:?} counts from the latest time told");
}
