//! What this process knows of the ledger without asking.
//!
//! Flows in: what was written, and moments of the server's clock as they are told. Flows out: what a write may go by.
//! Invariant: nothing here is true because it is here; a write that goes by it says so, and the server compares.

use std::collections::BTreeMap;

use contracts::{identity::ids::TrainRunId, time::Timestamp};

use crate::{clock::Stopwatch, ledger::Run};

/// Runs that are remembered at the most: as many as one process holds at a time, and more.
const MOST_RUNS: usize = 64;

/// How runs were left, and what time it is there.
#[derive(Default)]
pub(super) struct Known {
    held: BTreeMap<TrainRunId, Run>,
    told: Option<(Timestamp, Stopwatch)>,
}

impl Known {
    /// Hears the moment that the server's clock shows.
    pub(super) fn hears(&mut self, moment: Timestamp) {
        self.told = Some((moment, Stopwatch::start()));
    }

    /// The moment that it shows now, if it and the clock here go on as they went.
    pub(super) fn now(&self) -> Option<Timestamp> {
        let (moment, since) = self.told?;
        Some(Timestamp::from_nanoseconds(moment.nanoseconds().saturating_add((since.seconds() * 1e9) as i64)))
    }

    /// Hears how a run was left; of one that nobody holds nothing is to be known.
    pub(super) fn leaves(&mut self, run: Run) {
        if run.holder.is_none() {
            self.forget(&run.run_id);
            return;
        }
        if self.held.len() >= MOST_RUNS {
            self.held.clear();
        }
        self.held.insert(run.run_id.clone(), run);
    }

    /// How a run was left that somebody here may hold.
    pub(super) fn left(&self, id: &TrainRunId) -> Option<&Run> {
        self.held.get(id)
    }

    /// Knows no more of a run that was not as it was left.
    pub(super) fn forget(&mut self, id: &TrainRunId) {
        self.held.remove(id);
    }
}
