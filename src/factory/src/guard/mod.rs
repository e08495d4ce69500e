//! The leakage guards, on documents and then on every row.
//!
//! ```text
//!   Resolved ──► documents ──► read partitions by digest ──► rows ──► windows ──► Guarded
//! ```
//!
//! Invariant: a [`Guarded`] holds no label from after the cut, no feature from after its event, and windows that
//! neither overlap nor touch. Each guard that looked is noted in the audit with what it looked at.

mod documents;
mod rows;
mod windows;

use contracts::{Result, eval_report::LeakageCheck, names::Name};
use kernels::Progress;

pub use windows::{Window, Windows};

use crate::{clock::Clock, dataset, resolve::Resolved, store::Store};

/// A resolved run whose data passed every guard.
#[derive(Debug)]
pub struct Guarded {
    /// The run.
    pub(crate) resolved: Resolved,
    /// The rows that are fitted and judged.
    pub(crate) windows: Windows,
    /// What the guards looked at.
    pub(crate) audit: Vec<LeakageCheck>,
}

/// What the guards have looked at so far.
#[derive(Debug, Default)]
struct Audit(Vec<LeakageCheck>);

impl Audit {
    fn note(&mut self, code: contracts::Code, checked: usize) -> Result<()> {
        self.0.push(LeakageCheck { guard: Name::new(code.as_str())?, checked: checked as u64 });
        Ok(())
    }
}

/// Reads the data of a resolved run and lets every guard look.
///
/// Refuses with the codes of the category LEAKAGE, with those of a partition that is not what its manifest says,
/// and with `DEGENERATE_LABELS` and `DATASET_EMPTY` for a window that cannot be fitted or judged.
pub fn guard(
    store: &dyn Store,
    clock: &dyn Clock,
    resolved: Resolved,
    progress: &dyn Progress,
) -> Result<Guarded> {
    // On one thread of the pool from end to end: handing over between the steps costs more than some of them.
    rayon::scope(|_| looked_at(store, clock, resolved, progress))
}

fn looked_at(
    store: &dyn Store,
    clock: &dyn Clock,
    resolved: Resolved,
    progress: &dyn Progress,
) -> Result<Guarded> {
    let mut audit = Audit::default();
    let plan = resolved.plan();
    documents::check(plan, clock.now(), &mut audit)?;
    let seen = rows::Seen::new(plan);
    let selection = windows::selection(plan);
    let (table, features) =
        dataset::read(store, resolved.manifests(), &selection, progress, &|moments| seen.look(moments))?;
    seen.check(table.rows(), &mut audit)?;
    let windows = windows::split(plan, &table, &mut audit)?.cut(plan, table, features, progress)?;
    rows::check_features(plan, &windows.train, &mut audit)?;
    Ok(Guarded { windows, audit: audit.0, resolved })
}
