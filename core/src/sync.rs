//! The facade: the only file that knows which checker, if any, this build is for.
//!
//! `handover-core` has none of the features named here. Its mirrors `handover-core-loom` and
//! `handover-core-shuttle`, whose sources are these very files, have one each. Everything that
//! threads share is built from the names below, and `tests/facade.rs` fails if another file
//! names a primitive of `std`, loom or shuttle itself (SPEC M1).
//!
//! loom treats a `SeqCst` load, store or read-modify-write as `AcqRel`, so none is used.

use std::sync::PoisonError;
use std::task::{Context, Poll, Wake, Waker};

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
mod backend {
    pub use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64};
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread_local;
}

#[cfg(feature = "loom")]
mod backend {
    // Each clone and drop of loom's `Arc` is a branch point, so only the models of leaks use it.
    #[cfg(feature = "lifetimes")]
    pub use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicI32, AtomicI64, AtomicU64};
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use loom::thread_local;
    #[cfg(not(feature = "lifetimes"))]
    pub use std::sync::Arc;
}

#[cfg(feature = "shuttle")]
mod backend {
    pub(crate) use shuttle::sync::atomic::{AtomicI32, AtomicI64, AtomicU64};
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread_local;
    pub use std::sync::Arc;
}

pub use backend::Arc;
pub(crate) use backend::{AtomicI32, AtomicI64, AtomicU64, MutexGuard};
pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::thread::panicking;

/// A mutex that ignores poison.
///
/// No foreign code runs under a lock of this crate and every critical section leaves its data
/// whole at each step, so a panic elsewhere must not turn into a second panic, or a hang, here
/// (SPEC M2).
pub(crate) struct Mutex<T>(backend::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(backend::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the calling thread to sleep until it is woken by the waker it hands to `step`, over and
/// over, until `step` has a result.
pub(crate) fn block_on<R>(mut step: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
    let sleeper = std::sync::Arc::new(Sleeper {
        woken: backend::Mutex::new(false),
        changed: backend::Condvar::new(),
    });
    let waker = Waker::from(std::sync::Arc::clone(&sleeper));
    let mut cx = Context::from_waker(&waker);
    loop {
        match step(&mut cx) {
            Poll::Ready(result) => return result,
            Poll::Pending => sleeper.sleep(),
        }
    }
}

/// A thread that sleeps. A flag and not the thread's own parking, which in shuttle ends without a
/// reason as often as the search likes: no such search comes to an end.
struct Sleeper {
    woken: backend::Mutex<bool>,
    changed: backend::Condvar,
}

impl Sleeper {
    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !std::mem::replace(&mut *woken, false) {
            woken = self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Wake for Sleeper {
    fn wake(self: std::sync::Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

/// A number that no other thread has, and never zero.
pub(crate) fn thread_token() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    backend::thread_local! {
        static TOKEN: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    TOKEN.with(|token| *token)
}
