//! The window features, a bucket of an entity's events at a time, set aside as the events were dealt.
//!
//! A window holds events of one entity, and a bucket all events of its entities: so a bucket is all that its features
//! need, however far their windows look back. Rows that are too many for one task, as where a few entities have most
//! events, are swept a stretch of time at a time.

use std::{collections::BTreeMap, ops::Range};

use contracts::{Result, names::ColumnName};
use kernels::{
    label::{Assertions, Columns, Timeline},
    window::{Feature, Grouped, Inputs, Staged},
};
use rayon::prelude::*;

use super::{
    by_column::ByColumn,
    features::{Windows, infinite, labelled, refuse_infinite},
    ids::Ids,
    intake::Aside,
    merge::ByEntity,
    meter::Meter,
    rows::{Said, Unpacked, Values},
    runs::MOST_AT_ONCE,
    spec::{self, DatasetSpec},
};

/// The window features of one entity, dealt as its events are.
pub(super) struct Windowed<'a> {
    pub(super) entity: ColumnName,
    /// The positions of the features in the request.
    pub(super) positions: Vec<usize>,
    pub(super) features: ByColumn<'a>,
}

/// Computes the window features of every entity; refuses with `NON_FINITE_INPUT` one that overflows.
pub(super) fn windowed<'a>(
    spec: &DatasetSpec,
    by_entity: Vec<ByEntity<'_>>,
    aside: Aside<'a>,
    meter: &Meter<'_>,
) -> Result<Vec<Windowed<'a>>> {
    let mut overflown = BTreeMap::new();
    let mut all = Vec::with_capacity(by_entity.len());
    for of_entity in by_entity {
        let mut features = ByColumn::new(aside.0, aside.1, of_entity.features.len());
        let buckets: Vec<usize> = (0..of_entity.rows.buckets()).collect();
        for together in buckets.chunks(rayon::current_num_threads().clamp(1, MOST_AT_ONCE)) {
            let computed: Vec<Result<Vec<Vec<f64>>>> =
                together.par_iter().map(|&bucket| sweep(spec, &of_entity, bucket, meter)).collect();
            for (&bucket, columns) in together.iter().zip(computed) {
                let columns = columns?;
                for ((position, feature), column) in of_entity.features.iter().zip(&columns) {
                    *overflown.entry(*position).or_insert(0) += infinite(feature, column);
                }
                let columns: Vec<Values> = columns.into_iter().map(Values::Numbers).collect();
                features.put(bucket, &columns)?;
                features.end(bucket)?;
            }
        }
        features.settle()?;
        let positions = of_entity.features.iter().map(|(position, _)| *position).collect();
        all.push(Windowed { entity: of_entity.entity, positions, features });
    }
    overflown
        .into_iter()
        .try_for_each(|(position, count)| refuse_infinite(&spec.features[position], count))?;
    Ok(all)
}

/// The features of one bucket.
fn sweep(spec: &DatasetSpec, of: &ByEntity<'_>, bucket: usize, meter: &Meter<'_>) -> Result<Vec<Vec<f64>>> {
    let rows = of.rows.bucket(bucket)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let definitions: Vec<_> = of.features.iter().map(|(_, feature)| feature.clone()).collect();
    let mut rows = Unpacked::new(rows);
    let ids = rows.ids()?;
    let times = rows.times()?;
    let numbers = of.numbers.iter().map(|name| Ok((name.clone(), rows.numbers()?)));
    let numbers = numbers.collect::<Result<_>>()?;
    let looks_at_labels = definitions.iter().any(spec::uses_labels);
    let cut = spec.labels.label_asof_utc.nanoseconds();
    let timeline = looks_at_labels.then(|| known(&rows.said()?, times.len(), cut)).transpose()?;
    let windows = Windows::new(&definitions)?;
    let columns = windows.columns(&numbers)?;
    let labels: Vec<_> = timeline.map(labelled).into_iter().collect();
    let mut computed = vec![Vec::new(); definitions.len()];
    for of_entity in windows.of_entities() {
        let reaching = Reaching::new(&times, &of_entity.asked);
        for stretch in reaching.stretches(of.rows.spread().swept_rows) {
            let seen = reaching.seen(&stretch);
            let grouped = group(&ids, seen.clone(), &times)?;
            let grouped = grouped.asking(stretch.start - seen.start..stretch.end - seen.start);
            let columns: Vec<_> = columns.iter().map(|column| column.range(seen.clone())).collect();
            let labels: Vec<_> = labels.iter().map(|labels| labels.range(seen.clone())).collect();
            let inputs = Inputs { columns: &columns, labels: &labels };
            let of_stretch = Staged::new(grouped, &inputs, &of_entity.asked)?.compute();
            for (&position, of_stretch) in of_entity.positions.iter().zip(of_stretch) {
                if computed[position].is_empty() {
                    computed[position] = of_stretch;
                } else {
                    computed[position].extend(of_stretch);
                }
            }
            meter.advance(stretch.len() as u64)?;
        }
    }
    Ok(computed)
}

fn group(ids: &Ids, rows: Range<usize>, times: &[i64]) -> Result<Grouped> {
    let codes = ids.codes(rows.clone());
    Grouped::new(&codes.codes, codes.count, &times[rows])
}

/// What was known of the label of each of so many events, at any time up to the cut.
fn known(said: &Said, events: usize, cut: i64) -> Result<Timeline> {
    let columns = Columns {
        event: &said.rows(),
        value: &said.value,
        effective_time: &said.effective_time,
        observed_time: &said.observed_time,
    };
    Timeline::new(&Assertions::new(events, columns)?, cut)
}

/// Rows in order of time, and the windows that look back on them.
///
/// Windows look back, never beyond their instant. So a stretch of the rows is done with the rows before it that its windows
/// reach and those of its last instant, and no more than one stretch of features has to be in memory.
struct Reaching<'a> {
    times: &'a [i64],
    /// Events of this age or more, in nanoseconds, are in no window.
    horizon: u64,
}

impl<'a> Reaching<'a> {
    fn new(times: &'a [i64], asked: &[Feature]) -> Self {
        Self {
            times,
            horizon: asked.iter().map(|feature| feature.window.horizon()).max().unwrap_or_default(),
        }
    }

    /// The rows in stretches of `least` rows and of half as many as the windows look back on, at least, so that looking
    /// back costs no more than three times the rows.
    fn stretches(&self, least: usize) -> impl Iterator<Item = Range<usize>> {
        let rows = self.times.len();
        let mut start = 0;
        std::iter::from_fn(move || {
            let history = start - self.reach(start);
            let end = rows.min(start + least.max(history / 2));
            let stretch = start..end;
            start = end;
            (!stretch.is_empty()).then_some(stretch)
        })
    }

    /// Some rows with those that stand in their windows.
    fn seen(&self, rows: &Range<usize>) -> Range<usize> {
        self.reach(rows.start)..self.same_instant(rows.end)
    }

    /// The first of the rows that the windows of the row `first` reach.
    fn reach(&self, first: usize) -> usize {
        let Some(&time) = self.times.get(first) else { return first };
        self.times[..first].partition_point(|&earlier| time.abs_diff(earlier) >= self.horizon)
    }

    /// The end of the rows of the instant of the one before `end`: they stand in its windows too.
    fn same_instant(&self, end: usize) -> usize {
        let last = end.checked_sub(1).map_or(i64::MIN, |last| self.times[last]);
        end + self.times[end..].partition_point(|&time| time <= last)
    }
}
