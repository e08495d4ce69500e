//! Long work that can be watched and stopped from Python.
//!
//! ```text
//!   calling thread   waits without the interpreter ──► every 50 ms: signals, progress(done, total) ──► ...
//!                                                          │ an exception                 ▲
//!                                                          ▼ raises the flag              │ counters
//!   working threads  ─────────────────────────────── step(done, total) ───────────────────┘
//! ```
//!
//! Invariant: working threads never speak to Python, so whoever holds the interpreter can wait for them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use contracts::{Code, Failure};
use factory::watch::{Stage, Watch};
use kernels::Progress;
use pyo3::prelude::*;

use crate::{
    failure::Result,
    threads::{Threads, on},
};

/// Short to a person, long to the work.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// What the working threads and the calling thread share.
#[derive(Default)]
pub(crate) struct Watched {
    /// What the line is at; none where the work has no stages. Counters belong to the stage.
    stage: Mutex<Option<Stage>>,
    done: AtomicU64,
    total: AtomicU64,
    stopped: AtomicBool,
}

/// What was reported last.
type Told = (Option<Stage>, u64);

impl Progress for Watched {
    fn step(&self, done: u64, total: u64) -> contracts::Result<()> {
        // Steps of several threads may arrive out of order; a bar that goes back helps nobody.
        self.done.fetch_max(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Failure::new(Code::Interrupted, "the caller stopped the work"));
        }
        Ok(())
    }
}

impl Watch for Watched {
    fn stage(&self, stage: Stage) {
        let mut present = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        self.done.store(0, Ordering::Relaxed);
        self.total.store(0, Ordering::Relaxed);
        *present = Some(stage);
    }
}

impl Watched {
    /// Stops the work at its next step.
    pub(crate) fn interrupt(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// The stage, steps done and steps in all.
    fn read(&self) -> (Option<Stage>, u64, u64) {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        (*stage, self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Lets a waiting Ctrl-C through and tells the caller how far the work is.
    fn glance(&self, report: Option<&Py<PyAny>>, told: &mut Told) -> PyResult<()> {
        let (stage, done, total) = self.read();
        Python::attach(|py| {
            py.check_signals()?;
            if let Some(report) = report.filter(|_| stage != told.0 || done > told.1) {
                match stage {
                    Some(stage) => report.call1(py, (stage.as_str(), done, total))?,
                    None => report.call1(py, (done, total))?,
                };
                *told = (stage, done);
            }
            Ok(())
        })
    }
}

/// Runs `work` on threads of its own while this one watches.
///
/// `report` is called with (done, total), or where the work has stages with (stage, done, total), at most every
/// 50 ms, and once at the end. What it raises, or a signal's handler, stops the work at its next step and is
/// raised in its place.
pub(crate) fn watch<T: Send>(
    py: Python<'_>,
    threads: Threads,
    report: Option<Py<PyAny>>,
    work: impl FnOnce(&Watched) -> contracts::Result<T> + Send,
) -> Result<T> {
    let watched = Watched::default();
    let (finished, raised) = py.detach(|| {
        std::thread::scope(|scope| {
            let (send, receive) = sync_channel(1);
            let shared = &watched;
            scope.spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| on(threads, || work(shared))));
                // The receiver waits until this arrives, so it cannot be gone.
                drop(send.send(outcome.unwrap_or_else(|_| Err(defect()))));
            });
            let (mut raised, mut told) = (None, (None, 0));
            loop {
                match receive.recv_timeout(GLANCE) {
                    Ok(outcome) => {
                        let last = watched.glance(report.as_ref().filter(|_| raised.is_none()), &mut told);
                        return (outcome, raised.or(last.err()));
                    }
                    Err(RecvTimeoutError::Disconnected) => return (Err(defect()), raised),
                    Err(RecvTimeoutError::Timeout) if raised.is_none() => {
                        raised = watched.glance(report.as_ref(), &mut told).err();
                        watched.stopped.store(raised.is_some(), Ordering::Relaxed);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
        })
    });
    match raised {
        Some(error) => Err(error.into()),
        None => Ok(finished?),
    }
}

pub(crate) fn defect() -> Failure {
    Failure::new(Code::InternalError, "a working thread panicked; what it said stands in the error output")
}
