//! The events a bucket at a time: each with what is known of its label, in the order of the dataset.
//!
//! ```text
//!   events of a bucket ──► Events, index of their ids ──┬─► resolved labels ──► a run: ordered by (time, id)
//!   assertions about them ──────────────────────────────┘
//! ```
//!
//! Events of one id are in one bucket, so what is counted over the buckets is what would be counted over all rows.

use std::collections::BTreeSet;

use contracts::{Code, Failure, Result, names::ColumnName, time::DAY};
use kernels::label::{Counts, Outcome, Resolved, refuse_early, resolve};
use rayon::prelude::*;

use super::{
    columns::Columns,
    events::{self, Events, refuse_repeated},
    intake::{Aside, Intake},
    labels::{Asserted, Joined, POSITIVE},
    meter::Meter,
    rows::Values,
    spec::{self, DatasetSpec},
    spill::Spill,
};

/// Buckets at most that are worked on at the same time: more threads must not take more memory.
pub(super) const MOST_AT_ONCE: usize = 4;

/// Where each column of an event with its label stands; what was said about the label is last, where it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    entities: BTreeSet<ColumnName>,
    numbers: Vec<ColumnName>,
}

impl Layout {
    pub(super) const ID: usize = 0;
    pub(super) const TIME: usize = 1;

    pub(super) fn of(spec: &DatasetSpec) -> Self {
        Self { entities: spec.entity_columns(), numbers: spec.number_columns().into_keys().collect() }
    }

    pub(super) fn entity(&self, name: &ColumnName) -> usize {
        2 + self.entities.iter().take_while(|other| *other != name).count()
    }

    pub(super) fn number(&self, name: &ColumnName) -> usize {
        2 + self.entities.len() + self.numbers.iter().take_while(|other| *other != name).count()
    }

    /// The outcome; the value and the time of its observation follow.
    pub(super) fn outcome(&self) -> usize {
        2 + self.entities.len() + self.numbers.len()
    }

    /// What was said, and the number of columns without it.
    pub(super) fn said(&self) -> usize {
        self.outcome() + 3
    }
}

/// What is known of all labels, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) counts: Counts,
    pub(super) positive: usize,
    pub(super) orphans: u64,
    repeated: usize,
    early: usize,
}

/// The ordered events of one bucket; no columns where they were refused.
#[derive(Default)]
struct Run {
    columns: Vec<Values>,
    totals: Totals,
}

/// Joins and orders the rows, a run for each bucket.
///
/// Refuses with `DUPLICATE_EVENT` and with `PARAMETER_INVALID` (a fact that was known before it was true).
pub(super) fn runs<'a>(
    spec: &DatasetSpec,
    intake: &Intake<'_>,
    (store, spread): Aside<'a>,
    meter: &Meter<'_>,
) -> Result<(Spill<'a>, Totals)> {
    let mut set_aside = Spill::new(store, spread);
    let mut totals = Totals::default();
    let buckets: Vec<usize> = (0..spread.buckets).collect();
    for together in buckets.chunks(rayon::current_num_threads().clamp(1, MOST_AT_ONCE)) {
        let runs: Vec<Result<Run>> = together.par_iter().map(|&bucket| run(spec, intake, bucket)).collect();
        for (&bucket, run) in together.iter().zip(runs) {
            let Run { columns, totals: of_run } = run?;
            totals.add(&of_run);
            set_aside.put(bucket, &columns.iter().collect::<Vec<_>>())?;
        }
        meter.advance(0)?;
    }
    set_aside.settle()?;
    refuse_repeated(&spec.event_id, totals.repeated)?;
    refuse_early(totals.early)?;
    Ok((set_aside, totals))
}

fn run(spec: &DatasetSpec, intake: &Intake<'_>, bucket: usize) -> Result<Run> {
    let mut totals = Totals::default();
    let rows = intake.events.bucket(bucket)?;
    let said = intake.labels.bucket(bucket)?;
    if rows.is_empty() {
        totals.orphans = said.first().map_or(0, |ids| ids.len() as u64);
        return Ok(Run { totals, ..Run::default() });
    }
    let (events, index) = Events::new(spec, Columns::of(&events::wanted(spec), rows))?;
    totals.repeated = index.repeated();
    let joined = if said.is_empty() {
        Joined::default()
    } else {
        Joined::new(&spec.labels, Asserted::of(said)?, &index)?
    };
    drop(index);
    totals.orphans = joined.orphans;
    totals.early = joined.early();
    if totals.repeated > 0 || totals.early > 0 {
        return Ok(Run { totals, ..Run::default() });
    }
    let cut = spec.labels.label_asof_utc.nanoseconds();
    let assertions = joined.assertions(events.len())?;
    let labels = resolve(&events.times, &assertions, cut, i64::from(spec.labels.maturity_days) * DAY)?;
    require_observed(&labels, cut)?;
    totals.counts = labels.counts;
    totals.positive = (0..events.len()).filter(|&event| labels.known(event) == Some(POSITIVE)).count();
    let said = spec.features.iter().any(spec::uses_labels).then(|| joined.said(events.len(), cut));
    drop(joined);
    let columns = [Values::Ids(events.ids), Values::Times(events.times)].into_iter();
    let columns = columns
        .chain(events.entities.into_values().map(Values::Ids))
        .chain(events.numbers.into_values().map(Values::Numbers))
        .chain([
            Values::Codes(labels.outcome.iter().map(|&outcome| outcome as u8).collect()),
            Values::Codes(labels.value),
            Values::Times(labels.observed_time),
        ])
        .chain(said.map(Values::Said));
    Ok(Run { columns: columns.collect(), totals })
}

/// The promise that the pass proof repeats, looked at once more where it matters most.
fn require_observed(labels: &Resolved, cut: i64) -> Result<()> {
    let known = labels.outcome.iter().zip(&labels.observed_time);
    let late = known.filter(|(outcome, observed)| **outcome == Outcome::Known && **observed > cut).count();
    if late == 0 {
        return Ok(());
    }
    Err(Failure::at(Code::LabelAfterAsof, "labels", "labels observed by the cut", format!("{late} later")))
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.counts.known += other.counts.known;
        self.counts.censored += other.counts.censored;
        self.counts.conflict += other.counts.conflict;
        self.counts.immature += other.counts.immature;
        self.positive += other.positive;
        self.orphans += other.orphans;
        self.repeated += other.repeated;
        self.early += other.early;
    }
}
