//! Time as a capability: only this file reads a clock.
//!
//! Flows out: moments for the ledger and for receipts, which record each once, elapsed seconds for measurements, and
//! waiting. Invariant: nothing else in the core can learn the time, so no identity can depend on it.

#![allow(clippy::disallowed_methods, reason = "the clock is who reads clocks")]

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use contracts::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let nanoseconds = jiff::Timestamp::now().as_nanosecond();
        Timestamp::from_nanoseconds(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is set: for tests and for replaying a recorded run.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock that shows this moment.
    pub const fn new(moment: Timestamp) -> Self {
        Self(AtomicI64::new(moment.nanoseconds()))
    }

    /// Shows another moment from now on, earlier or later.
    pub fn set(&self, moment: Timestamp) {
        self.0.store(moment.nanoseconds(), Ordering::SeqCst);
    }

    /// Goes forward by so many seconds.
    pub fn advance(&self, seconds: u32) {
        self.0.fetch_add(i64::from(seconds) * 1_000_000_000, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanoseconds(self.0.load(Ordering::SeqCst))
    }
}

/// A wish to stop, and a way to wait that it cuts short.
#[derive(Debug, Default)]
pub struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Asks whoever waits or works to stop.
    pub fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so many seconds, or until somebody asks; gives whether somebody did.
    pub fn wait(&self, seconds: f64) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let waited = self.changed.wait_timeout_while(asked, patience, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Asks to stop when it goes away, however that comes about: whoever waits must not outlive whoever works, not even one
/// that panics.
#[derive(Debug)]
pub struct StopOnLeaving<'a>(pub &'a Stop);

impl Drop for StopOnLeaving<'_> {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Measures elapsed time by the monotonic clock; what it reads goes into measurements, never into an
/// identity.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = FixedClock::new(Timestamp::from_nanoseconds(5));
        assert_eq!(clock.now(), clock.now());
        clock.advance(2);
        assert_eq!(clock.now().nanoseconds(), 2_000_000_005);
        clock.set(Timestamp::from_nanoseconds(-1));
        assert_eq!(clock.now().nanoseconds(), -1);
    }

    #[test]
    fn the_system_clock_lies_in_this_century() {
        let now = SystemClock.now();
        assert!("2024-01-01T00:00:00Z".parse::<Timestamp>().is_ok_and(|start| start < now));
        assert!("2100-01-01T00:00:00Z".parse::<Timestamp>().is_ok_and(|end| now < end));
    }

    #[test]
    fn waiting_ends_when_somebody_asks() {
        let stop = Stop::default();
        assert!(!stop.wait(0.0) && !stop.is_asked());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| stop.wait(1e6));
            stop.ask();
            assert!(waiting.join().is_ok_and(|asked| asked));
        });
        assert!(stop.wait(1e6) && stop.is_asked());
    }

    #[test]
    fn who_leaves_by_a_panic_asks_to_stop() {
        let stop = Stop::default();
        let work = std::panic::AssertUnwindSafe(|| {
            let _leaving = StopOnLeaving(&stop);
            panic!("a defect");
        });
        assert!(std::panic::catch_unwind(work).is_err());
        assert!(stop.is_asked());
    }

    #[test]
    fn a_stopwatch_never_runs_backwards() {
        let watch = Stopwatch::start();
        let first = watch.seconds();
        assert!(first >= 0.0 && watch.seconds() >= first);
    }
}
