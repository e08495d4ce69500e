//! The feature columns of a dataset, each from what is known at the event's time.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{
    Code, Failure, Result,
    feature::{Aggregate as Asked, Definition, Feature},
    names::ColumnName,
    time::DAY,
};
use kernels::{
    label::Timeline,
    window::{self, Aggregate, Column, Labels, Window},
};
use rayon::prelude::*;

use super::labels::POSITIVE;

const HOUR: i64 = DAY / 24;
/// Days from a Monday to 1970-01-01, a Thursday.
const THURSDAY: i64 = 3;

/// Window features, resolved against the columns that they look at.
pub(super) struct Windows<'a> {
    /// The columns that they aggregate: the kernels name them by position.
    columns: BTreeSet<&'a ColumnName>,
    of_entities: Vec<OfEntity<'a>>,
}

/// The windows over one entity.
pub(super) struct OfEntity<'a> {
    pub(super) entity: &'a ColumnName,
    /// Which of the features they are.
    pub(super) positions: Vec<usize>,
    pub(super) asked: Vec<window::Feature>,
}

impl<'a> Windows<'a> {
    /// Of those features that are windows, by entity.
    pub(super) fn new(features: &'a [Feature]) -> Result<Self> {
        let columns = features.iter().filter_map(|feature| match &feature.definition {
            Definition::Window { column, .. } => column.as_ref(),
            _ => None,
        });
        let columns: BTreeSet<&ColumnName> = columns.collect();
        let mut of_entities: BTreeMap<&ColumnName, OfEntity<'a>> = BTreeMap::new();
        for (position, feature) in features.iter().enumerate() {
            if let Some((entity, asked)) = kernel(feature, &columns)? {
                let empty = OfEntity { entity, positions: Vec::new(), asked: Vec::new() };
                let of_entity = of_entities.entry(entity).or_insert(empty);
                of_entity.positions.push(position);
                of_entity.asked.push(asked);
            }
        }
        Ok(Self { columns, of_entities: of_entities.into_values().collect() })
    }

    /// In the order of the entities' names.
    pub(super) fn of_entities(&self) -> &[OfEntity<'a>] {
        &self.of_entities
    }

    /// The columns that they aggregate, checked.
    pub(super) fn columns<'n>(&self, numbers: &'n BTreeMap<ColumnName, Vec<f64>>) -> Result<Vec<Column<'n>>> {
        let column = |name: &&ColumnName| Column::new(name.as_str(), of_name(numbers, name)?);
        self.columns.iter().map(column).collect()
    }
}

/// The labels that rates look at, by what was known of them at any time.
pub(super) fn labelled(timeline: Timeline) -> Labels {
    Labels::new(timeline, &[POSITIVE])
}

/// Whether the feature looks at other events.
pub(super) const fn is_window(feature: &Feature) -> bool {
    matches!(feature.definition, Definition::Window { .. })
}

/// Whether the feature can be infinite: counts, shares and values that were there before are finite.
const fn sums_up(feature: &Feature) -> bool {
    matches!(feature.definition, Definition::Window { aggregate: Asked::Sum | Asked::Mean | Asked::Std, .. })
}

/// A feature that an event has by itself; `times` gives those of the events, `numbers` a raw column of them.
pub(super) fn alone<T: AsRef<[i64]>>(
    feature: &Feature,
    times: impl FnOnce() -> Result<T>,
    numbers: impl FnOnce(&ColumnName) -> Result<Vec<f64>>,
) -> Result<Vec<f64>> {
    match &feature.definition {
        Definition::Column { column } => numbers(column),
        Definition::Weekend => Ok(flags(times()?.as_ref(), |time| weekday(time) >= 5)),
        Definition::HourBetween { first, last } => {
            let (first, last) = (i64::from(*first), i64::from(*last));
            Ok(flags(times()?.as_ref(), |time| within(hour(time), first, last)))
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

/// The feature as the kernel takes it, if it is a window, and its entity.
fn kernel<'a>(
    feature: &'a Feature,
    columns: &BTreeSet<&ColumnName>,
) -> Result<Option<(&'a ColumnName, window::Feature)>> {
    let Definition::Window { entity, window, delay, aggregate, column } = &feature.definition else {
        return Ok(None);
    };
    let position = || {
        let found = columns.iter().position(|name| column.as_ref() == Some(*name));
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
    let window = Window::new(window.nanoseconds(), delay.nanoseconds())?;
    Ok(Some((entity, window::Feature { window, aggregate })))
}

/// A raw column of numbers.
pub(super) fn of_name<'n>(
    numbers: &'n BTreeMap<ColumnName, Vec<f64>>,
    name: &ColumnName,
) -> Result<&'n [f64]> {
    let found = numbers.get(name).map(Vec::as_slice);
    found.ok_or_else(|| Failure::new(Code::InternalError, format!("column {name} was not read")))
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
