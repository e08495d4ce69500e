//! The feature columns of a dataset, each from what is known at the event's time.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use contracts::{
    Code, Failure, Result,
    feature::{Aggregate as Asked, Definition, Feature},
    names::ColumnName,
    time::DAY,
};
use kernels::{
    label::Timeline,
    window::{self, Aggregate, Column, Grouped, Inputs, Labels, Window},
};
use rayon::prelude::*;

use super::{events::Events, ids::Ids, labels::POSITIVE, meter::Meter};

const HOUR: i64 = DAY / 24;
/// Days from a Monday to 1970-01-01, a Thursday.
const THURSDAY: i64 = 3;

/// What is to be computed of some events, resolved against their columns.
///
/// Windows look back, never beyond their instant. So a stretch of the ordered rows is done with the rows before it
/// that its windows reach and those of its last instant, and no more than one stretch of features has to be in memory.
pub(super) struct Features<'a> {
    definitions: &'a [Feature],
    events: &'a Events,
    columns: Vec<Column<'a>>,
    labels: Vec<Labels<'a>>,
    windows: Vec<Windowed<'a>>,
}

/// The windows over one entity.
struct Windowed<'a> {
    ids: &'a Ids,
    /// Which of the features they are.
    positions: Vec<usize>,
    asked: Vec<window::Feature>,
}

impl<'a> Features<'a> {
    /// Resolves the features; those that look at labels need [`Self::knowing`] too.
    pub(super) fn new(features: &'a [Feature], events: &'a Events) -> Result<Self> {
        let names: BTreeSet<&ColumnName> = features
            .iter()
            .filter_map(|feature| match &feature.definition {
                Definition::Window { column, .. } => column.as_ref(),
                _ => None,
            })
            .collect();
        let columns = names.iter().map(|name| Column::new(name.as_str(), events.numbers(name)?));
        let windows = events.entities.iter().map(|(entity, ids)| {
            let mut of_entity = Windowed { ids, positions: Vec::new(), asked: Vec::new() };
            for (position, feature) in features.iter().enumerate() {
                if let Some(kernel) = kernel(feature, entity, &names)? {
                    of_entity.positions.push(position);
                    of_entity.asked.push(kernel);
                }
            }
            Ok(of_entity)
        });
        let mut windows = windows.collect::<Result<Vec<_>>>()?;
        windows.retain(|windows| !windows.asked.is_empty());
        Ok(Self {
            definitions: features,
            events,
            columns: columns.collect::<Result<_>>()?,
            labels: Vec::new(),
            windows,
        })
    }

    /// With what was known of each event's label at any time up to the cut.
    pub(super) fn knowing(self, timeline: Option<&'a Timeline>) -> Self {
        Self {
            labels: timeline.map(|timeline| Labels::new(timeline, &[POSITIVE])).into_iter().collect(),
            ..self
        }
    }

    /// Computes every feature of rows that are grouped already: one column each, in their order, NaN meaning missing.
    ///
    /// Rows that do not start with the first must be in order of time. A feature may overflow: see [`infinite`].
    pub(super) fn of(
        &self,
        rows: Range<usize>,
        grouped: Vec<Grouped>,
        meter: &Meter<'_>,
    ) -> Result<Vec<Vec<f64>>> {
        let mut windowed = self.windowed(&rows, grouped, meter)?;
        let column = |(index, feature): (usize, &Feature)| match windowed.remove(&index) {
            Some(column) => Ok(column),
            None => alone(feature, &self.events.times[rows.clone()], |column| {
                Ok(&self.events.numbers(column)?[rows.clone()])
            }),
        };
        self.definitions.iter().enumerate().map(column).collect()
    }

    /// The first of the rows that the windows of the row `first` reach, which must be in order of time.
    pub(super) fn reach(&self, first: usize) -> usize {
        let asked = self.windows.iter().flat_map(|windows| &windows.asked);
        let (Some(horizon), Some(&time)) =
            (asked.map(|feature| feature.window.horizon()).max(), self.events.times.get(first))
        else {
            return first;
        };
        self.events.times[..first].partition_point(|&earlier| time.abs_diff(earlier) >= horizon)
    }

    /// Some rows with those that stand in their windows, by each entity that has windows; labels need not be known yet.
    pub(super) fn group(&self, rows: &Range<usize>) -> Result<Vec<Grouped>> {
        let seen = self.seen(rows);
        let group = |windows: &Windowed<'_>| -> Result<Grouped> {
            let codes = windows.ids.codes(seen.clone());
            let grouped = Grouped::new(&codes.codes, codes.count, &self.events.times[seen.clone()])?;
            Ok(grouped.asking(rows.start - seen.start..rows.end - seen.start))
        };
        let grouped: Vec<Result<Grouped>> = self.windows.par_iter().map(group).collect();
        grouped.into_iter().collect()
    }

    /// The window features by position: all of an entity are swept at once.
    fn windowed(
        &self,
        rows: &Range<usize>,
        grouped: Vec<Grouped>,
        meter: &Meter<'_>,
    ) -> Result<BTreeMap<usize, Vec<f64>>> {
        let seen = self.seen(rows);
        let columns: Vec<_> = self.columns.iter().map(|column| column.range(seen.clone())).collect();
        let labels: Vec<_> = self.labels.iter().map(|labels| labels.range(seen.clone())).collect();
        let inputs = Inputs { columns: &columns, labels: &labels };
        let mut computed = BTreeMap::new();
        for (windows, grouped) in self.windows.iter().zip(grouped) {
            let columns = window::compute(&grouped, &inputs, &windows.asked)?;
            computed.extend(windows.positions.iter().copied().zip(columns));
            meter.advance(rows.len() as u64)?;
        }
        // No window may be over an entity that only stands in the dataset.
        let others = self.events.entities.len() - self.windows.len();
        meter.advance((rows.len() * others) as u64)?;
        Ok(computed)
    }

    /// Some rows with those that stand in their windows.
    fn seen(&self, rows: &Range<usize>) -> Range<usize> {
        self.reach(rows.start)..self.same_instant(rows.end)
    }

    /// The end of the rows of the instant of the one before `end`: they stand in its windows too.
    fn same_instant(&self, end: usize) -> usize {
        let times = &self.events.times;
        let last = end.checked_sub(1).map_or(i64::MIN, |last| times[last]);
        end + times[end..].partition_point(|&time| time <= last)
    }
}

/// Whether the feature can be infinite: counts, shares and values that were there before are finite.
const fn sums_up(feature: &Feature) -> bool {
    matches!(feature.definition, Definition::Window { aggregate: Asked::Sum | Asked::Mean | Asked::Std, .. })
}

/// A feature that an event has by itself; `numbers` gives a raw column of the same events.
pub(super) fn alone<'a>(
    feature: &Feature,
    times: &[i64],
    numbers: impl Fn(&ColumnName) -> Result<&'a [f64]>,
) -> Result<Vec<f64>> {
    match &feature.definition {
        Definition::Column { column } => numbers(column).map(<[f64]>::to_vec),
        Definition::Weekend => Ok(flags(times, |time| weekday(time) >= 5)),
        Definition::HourBetween { first, last } => {
            Ok(flags(times, |time| within(hour(time), i64::from(*first), i64::from(*last))))
        }
        Definition::Window { .. } => Err(Failure::new(Code::InternalError, "a window was not computed")),
    }
}

/// How many values of a feature are beyond the range of a float.
pub(super) fn infinite(feature: &Feature, column: &[f64]) -> usize {
    if sums_up(feature) { column.par_iter().filter(|value| value.is_infinite()).count() } else { 0 }
}

/// Refuses with `NON_FINITE_INPUT` so many values of a feature.
pub(super) fn refuse_infinite(feature: &Feature, infinite: usize) -> Result<()> {
    if infinite == 0 {
        return Ok(());
    }
    let pointer = format!("features/{}", feature.name);
    Err(Failure::at(Code::NonFiniteInput, pointer, "finite numbers", format!("{infinite} others"))
        .with_hint("The sum of a window is beyond the range of a float; scale the column."))
}

fn flags(times: &[i64], holds: impl Fn(i64) -> bool + Sync) -> Vec<f64> {
    times.par_iter().map(|&time| f64::from(u8::from(holds(time)))).collect()
}

/// Monday is 0.
const fn weekday(time: i64) -> i64 {
    (time.div_euclid(DAY) + THURSDAY).rem_euclid(7)
}

const fn hour(time: i64) -> i64 {
    time.rem_euclid(DAY) / HOUR
}

/// Whether the hour is from `first` to `last`, which may lie after midnight.
const fn within(hour: i64, first: i64, last: i64) -> bool {
    if first <= last { first <= hour && hour <= last } else { first <= hour || hour <= last }
}

/// The feature as the kernel takes it, if it is a window over this entity.
fn kernel(
    feature: &Feature,
    of: &ColumnName,
    names: &BTreeSet<&ColumnName>,
) -> Result<Option<window::Feature>> {
    let Definition::Window { entity, window, delay, aggregate, column } = &feature.definition else {
        return Ok(None);
    };
    if entity != of {
        return Ok(None);
    }
    let position = || {
        let found = names.iter().position(|name| column.as_ref() == Some(*name));
        found.ok_or_else(|| Failure::new(Code::InternalError, "a window without its column passed the check"))
    };
    let aggregate = match aggregate {
        Asked::Count => Aggregate::Count,
        Asked::Sum => Aggregate::Sum(position()?),
        Asked::Mean => Aggregate::Mean(position()?),
        Asked::Min => Aggregate::Min(position()?),
        Asked::Max => Aggregate::Max(position()?),
        Asked::Std => Aggregate::Std(position()?),
        Asked::Rate => Aggregate::Rate(0),
        Asked::TimeSinceLast => Aggregate::SinceLast,
    };
    Ok(Some(window::Feature { window: Window::new(window.nanoseconds(), delay.nanoseconds())?, aggregate }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use contracts::time::Timestamp;

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().nanoseconds()
    }

    #[test]
    fn days_and_hours_are_those_of_the_calendar() {
        for (text, day, of_day) in [
            ("2018-04-01T23:59:59.999999999Z", 6, 23),
            ("2018-04-02T00:00:00Z", 0, 0),
            ("1970-01-01T06:59:59Z", 3, 6),
            ("1969-12-28T07:00:00Z", 6, 7),
        ] {
            assert_eq!((weekday(at(text)), hour(at(text))), (day, of_day), "{text}");
        }
    }

    #[test]
    fn hours_may_pass_midnight() {
        let inside = |first, last| (0..24).filter(|&hour| within(hour, first, last)).collect::<Vec<_>>();
        assert_eq!(inside(0, 6), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(inside(22, 1), [0, 1, 22, 23]);
        assert_eq!(inside(5, 5), [5]);
    }
}
