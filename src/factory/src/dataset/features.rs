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
    window::{self, Aggregate, Column, Grouped, Inputs, Labels, Window},
};
use rayon::prelude::*;

use super::{events::Events, labels::POSITIVE, meter::Meter};

const HOUR: i64 = DAY / 24;
/// Days from a Monday to 1970-01-01, a Thursday.
const THURSDAY: i64 = 3;

/// Computes every feature: one column each, in their order, NaN meaning missing.
///
/// `timeline` says what was known of each event's label at any time up to the cut; only features that look at
/// labels need it. Refuses with
/// `NON_FINITE_INPUT` a feature that overflows.
pub(super) fn compute(
    features: &[Feature],
    events: &Events,
    timeline: Option<&Timeline>,
    meter: &Meter<'_>,
) -> Result<Vec<Vec<f64>>> {
    let mut windowed = windows(features, events, timeline, meter)?;
    let mut columns = Vec::with_capacity(features.len());
    for (index, feature) in features.iter().enumerate() {
        let column = match &feature.definition {
            Definition::Column { column } => events.numbers(column)?.to_vec(),
            Definition::Window { .. } => windowed.remove(&index).unwrap_or_default(),
            Definition::Weekend => flags(&events.times, |time| weekday(time) >= 5),
            Definition::HourBetween { first, last } => {
                flags(&events.times, |time| within(hour(time), i64::from(*first), i64::from(*last)))
            }
        };
        // Counts, shares and values that were there before are finite.
        let overflows = matches!(
            feature.definition,
            Definition::Window { aggregate: Asked::Sum | Asked::Mean | Asked::Std, .. }
        );
        let infinite =
            if overflows { column.par_iter().filter(|value| value.is_infinite()).count() } else { 0 };
        if infinite > 0 {
            let pointer = format!("features/{}", feature.name);
            return Err(Failure::at(
                Code::NonFiniteInput,
                pointer,
                "finite numbers",
                format!("{infinite} others"),
            )
            .with_hint("The sum of a window is beyond the range of a float; scale the column."));
        }
        columns.push(column);
    }
    Ok(columns)
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

/// The window features by position: events are grouped once an entity, then all its features are swept.
fn windows(
    features: &[Feature],
    events: &Events,
    timeline: Option<&Timeline>,
    meter: &Meter<'_>,
) -> Result<BTreeMap<usize, Vec<f64>>> {
    let names: BTreeSet<&ColumnName> = features
        .iter()
        .filter_map(|feature| match &feature.definition {
            Definition::Window { column, .. } => column.as_ref(),
            _ => None,
        })
        .collect();
    let columns: Vec<Column<'_>> =
        names.iter().map(|name| Column::new(name.as_str(), events.numbers(name)?)).collect::<Result<_>>()?;
    let labels: Vec<Labels<'_>> =
        timeline.map(|timeline| Labels::new(timeline, &[POSITIVE])).into_iter().collect();
    let inputs = Inputs { columns: &columns, labels: &labels };
    let mut computed = BTreeMap::new();
    for (entity, ids) in &events.entities {
        let mut positions = Vec::new();
        let mut asked = Vec::new();
        for (position, feature) in features.iter().enumerate() {
            if let Some(kernel) = of_entity(feature, entity, &names)? {
                positions.push(position);
                asked.push(kernel);
            }
        }
        if !asked.is_empty() {
            let codes = ids.codes();
            let grouped = Grouped::new(&codes.codes, codes.count, &events.times)?;
            computed.extend(positions.into_iter().zip(window::compute(&grouped, &inputs, &asked)?));
        }
        meter.advance(events.len() as u64)?;
    }
    Ok(computed)
}

/// The feature as the kernel takes it, if it is a window over this entity.
fn of_entity(
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
