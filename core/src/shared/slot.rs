//! One lock, and those who wait for what it guards: the protocol that the other files share.
//!
//! **Check and register are one step.** [`Slot::poll`] looks at the value and, if it is not yet
//! as wanted, leaves its waker behind, both under the lock. A [`Slot::change`] comes wholly
//! before it, and is seen, or wholly after, and finds the waker. No wake-up is lost (SPEC M3).
//!
//! **No foreign code runs under the lock.** A waker is an executor's code, and a payload's `Drop`
//! is the application's: either may call straight back into this crate. So a waker is cloned
//! before the lock is taken, woken and dropped after it is released; and what a change throws
//! out is *returned* from the closure, so that it is dropped outside (SPEC M4).
//!
//! **The newest waker wins.** Each unsuccessful poll replaces the waker of the poll before, so a
//! future may move from task to task. A wake-up that went to an older one is not lost with it:
//! the value had changed by then, and the newer poll saw that.
//!
//! A slot has a fixed number of *places* to wait at; each belongs to one waiter, which is how
//! the fetching and the consuming side of one queue wait for different things.

use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;

/// A value behind a lock, with `PLACES` places to wait for it to change.
pub(crate) struct Slot<T, const PLACES: usize = 1> {
    inner: Mutex<Inner<T, PLACES>>,
}

struct Inner<T, const PLACES: usize> {
    value: T,
    /// At each place, the waker of the last unsuccessful poll; taken by the change that wakes it.
    waiting: [Option<Waker>; PLACES],
}

/// Which places a change wakes: bit `n` stands for place `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wake(u8);

impl Wake {
    pub(crate) const NOBODY: Wake = Wake(0);
    pub(crate) const FIRST: Wake = Wake(1);
    pub(crate) const SECOND: Wake = Wake(2);
    pub(crate) const BOTH: Wake = Wake(3);

    /// [`Wake::FIRST`] if `yes`.
    pub(crate) fn first_if(yes: bool) -> Wake {
        if yes { Wake::FIRST } else { Wake::NOBODY }
    }

    /// [`Wake::SECOND`] if `yes`.
    pub(crate) fn second_if(yes: bool) -> Wake {
        if yes { Wake::SECOND } else { Wake::NOBODY }
    }

    fn names(self, place: usize) -> bool {
        self.0 & (1 << place) != 0
    }
}

impl std::ops::BitOr for Wake {
    type Output = Wake;
    fn bitor(self, other: Wake) -> Wake {
        Wake(self.0 | other.0)
    }
}

impl<T, const PLACES: usize> Slot<T, PLACES> {
    pub(crate) fn new(value: T) -> Self {
        let waiting = [const { None }; PLACES];
        Slot { inner: Mutex::new(Inner { value, waiting }) }
    }

    /// Looks, without waking anybody.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.inner.lock().value)
    }

    /// Changes the value, then wakes whom `change` names.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> (R, Wake)) -> R {
        let mut inner = self.inner.lock();
        let (result, wake) = change(&mut inner.value);
        let woken = inner.take_wakers(wake);
        drop(inner);
        woken.into_iter().flatten().for_each(Waker::wake);
        result
    }

    /// Takes what `take` finds, or waits for it at `place`.
    pub(crate) fn poll<R>(
        &self,
        place: usize,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut T) -> Option<R>,
    ) -> Poll<R> {
        self.poll_waking(place, cx, |value| (take(value), Wake::NOBODY))
    }

    /// The same, where taking something may concern those who wait at other places.
    pub(crate) fn poll_waking<R>(
        &self,
        place: usize,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut T) -> (Option<R>, Wake),
    ) -> Poll<R> {
        let mut waker = Some(cx.waker().clone());
        let mut inner = self.inner.lock();
        let (taken, wake) = take(&mut inner.value);
        if taken.is_none() {
            std::mem::swap(&mut inner.waiting[place], &mut waker);
        }
        let woken = inner.take_wakers(wake);
        drop(inner);
        drop(waker);
        woken.into_iter().flatten().for_each(Waker::wake);
        taken.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T, const PLACES: usize> Inner<T, PLACES> {
    fn take_wakers(&mut self, wake: Wake) -> [Option<Waker>; PLACES] {
        std::array::from_fn(
            |place| {
                if wake.names(place) { self.waiting[place].take() } else { None }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    struct Counting(AtomicUsize);
    impl std::task::Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn only_the_newest_waker_is_woken_and_only_once() {
        let slot: Slot<u8> = Slot::new(0);
        let [old, new] = [(); 2].map(|()| Arc::new(Counting(AtomicUsize::new(0))));
        for counting in [&old, &new] {
            let waker = Waker::from(Arc::clone(counting));
            let mut cx = Context::from_waker(&waker);
            assert!(slot.poll(0, &mut cx, |n| (*n > 0).then_some(())).is_pending());
        }
        slot.change(|n| ((*n = 1), Wake::FIRST));
        slot.change(|n| ((*n = 2), Wake::FIRST));
        assert_eq!((old.0.load(Relaxed), new.0.load(Relaxed)), (0, 1));
        assert_eq!(Arc::strong_count(&old), 1, "a replaced waker is not kept");
    }

    #[test]
    fn each_place_is_woken_for_itself() {
        let slot: Slot<(), 2> = Slot::new(());
        let counting = [(); 2].map(|()| Arc::new(Counting(AtomicUsize::new(0))));
        for (place, counting) in counting.iter().enumerate() {
            let waker = Waker::from(Arc::clone(counting));
            let _ = slot.poll(place, &mut Context::from_waker(&waker), |()| None::<()>);
        }
        slot.change(|()| ((), Wake::SECOND));
        assert_eq!(counting.each_ref().map(|c| c.0.load(Relaxed)), [0, 1]);
        slot.change(|()| ((), Wake::FIRST | Wake::SECOND));
        assert_eq!(counting.each_ref().map(|c| c.0.load(Relaxed)), [1, 1]);
    }

    #[test]
    fn a_panic_under_the_lock_does_not_stop_the_others() {
        let slot: Slot<u8> = Slot::new(7);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            slot.change::<()>(|_| panic!("in a critical section"));
        }));
        assert!(panicked.is_err());
        assert_eq!(slot.peek(|n| *n), 7);
    }
}
