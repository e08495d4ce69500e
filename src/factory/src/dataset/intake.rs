//! The raw rows, read once and dealt by the id of their event: an event and what is said about it come together.

use std::collections::BTreeMap;

use contracts::{Code, Failure, Result, dataset_manifest::ColumnType, names::ColumnName};

use super::{
    columns::{Columns, Wanted},
    events::{self, EventIndex, refuse_repeated},
    labels::{self, Asserted, another_type, refuse_others},
    meter::Meter,
    rows::Values,
    source::Source,
    spec::{DatasetSpec, LabelSpec},
    spill::{Spill, Spread},
};
use crate::store::Store;

/// Raw rows by bucket of their event's id.
pub(super) struct Intake<'a> {
    /// Columns as [`Columns::of`] takes them.
    pub(super) events: Spill<'a>,
    /// Columns as [`Asserted::of`] takes them.
    pub(super) labels: Spill<'a>,
    /// What the columns of identifiers of the events are.
    pub(super) types: BTreeMap<ColumnName, ColumnType>,
}

/// Where rows are set aside, and over how many buckets.
pub(super) type Aside<'a> = (&'a dyn Store, Spread);

impl<'a> Intake<'a> {
    /// Reads both tables. What the events are refused for is told first.
    pub(super) fn read(
        spec: &DatasetSpec,
        (events, assertions): (Source, Source),
        (store, spread): Aside<'a>,
        meter: &Meter<'_>,
    ) -> Result<Self> {
        let wanted = events::wanted(spec);
        let mut dealt = Spill::new(store, spread);
        let mut types = BTreeMap::new();
        let mut negative = 0;
        events.each(&wanted, meter, |columns| {
            let rows = columns.take_rows();
            for (name, column) in wanted.ids.iter().zip(&rows) {
                types.insert(name.clone(), column.ids()?.column_type());
            }
            negative += negative_weights(spec, &wanted, &rows);
            dealt.deal(place(wanted.ids.iter(), &spec.event_id), &rows.iter().collect::<Vec<_>>())
        })?;
        drop(events);
        dealt.settle()?;
        if dealt.rows() == 0 {
            return Err(Failure::at(Code::DatasetEmpty, events::TABLE, "at least one row", "none"));
        }
        let labels = refuse_negative(spec, negative).and_then(|()| {
            let event_ids = types.get(&spec.event_id).copied();
            read_labels(spec, &assertions, (store, spread), (event_ids, meter))
        });
        match labels {
            Ok(labels) => Ok(Self { events: dealt, labels, types }),
            Err(failure) => {
                require_distinct(spec, &wanted, &dealt)?;
                Err(failure)
            }
        }
    }
}

fn read_labels<'a>(
    spec: &DatasetSpec,
    source: &Source,
    (store, spread): Aside<'a>,
    (event_ids, meter): (Option<ColumnType>, &Meter<'_>),
) -> Result<Spill<'a>> {
    let labels: &LabelSpec = &spec.labels;
    let wanted = labels::wanted(labels, spec.naive_times_are_utc);
    let mut dealt = Spill::new(store, spread);
    let mut others = 0;
    let mut alike = true;
    source.each(&wanted, meter, |columns| {
        let asserted = Asserted::take(labels, &mut Columns::of(&wanted, columns.take_rows()))?;
        others += asserted.others();
        alike &= asserted.ids.is_empty() || event_ids == Some(asserted.ids.column_type());
        dealt.deal(0, &asserted.into_rows().each_ref())
    })?;
    dealt.settle()?;
    refuse_others(labels, others)?;
    if alike { Ok(dealt) } else { Err(another_type(labels)) }
}

/// The refusal of ids that stand there twice, where another refusal is at hand already.
fn require_distinct(spec: &DatasetSpec, wanted: &Wanted, events: &Spill<'_>) -> Result<()> {
    let mut repeated = 0;
    for bucket in 0..events.buckets() {
        let mut columns = Columns::of(wanted, events.bucket(bucket)?);
        repeated += EventIndex::of(columns.take_ids(&spec.event_id)?).repeated();
    }
    refuse_repeated(&spec.event_id, repeated)
}

/// Where a name stands among some.
fn place<'a>(names: impl IntoIterator<Item = &'a ColumnName>, name: &ColumnName) -> usize {
    names.into_iter().take_while(|other| *other != name).count()
}

fn negative_weights(spec: &DatasetSpec, wanted: &Wanted, rows: &[Values]) -> usize {
    let Some(weight) = &spec.weight else { return 0 };
    let place = wanted.ids.len() + wanted.times.len() + place(wanted.numbers.keys(), weight);
    match rows.get(place) {
        Some(Values::Numbers(weights)) => weights.iter().filter(|weight| **weight < 0.0).count(),
        _ => 0,
    }
}

fn refuse_negative(spec: &DatasetSpec, negative: usize) -> Result<()> {
    let Some(name) = spec.weight.as_ref().filter(|_| negative > 0) else { return Ok(()) };
    let pointer = format!("{}/{name}", events::TABLE);
    Err(Failure::at(Code::NonFiniteInput, pointer, "numbers of zero or more", format!("{negative} others"))
        .with_hint("A weight says how much a row counts; it cannot be negative."))
}
