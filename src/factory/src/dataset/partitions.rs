//! From ordered rows and their features to partitions: a row group is read back and encoded at a time.

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use contracts::{
    Code, Failure, Reference, Result,
    artifacts::Partition,
    dataset_manifest::{Column, ColumnRole, PartitionEntry},
    names::{ColumnName, ObjectKey},
    time::{TimeWindow, Timestamp},
};
use rayon::prelude::*;

use super::{
    features::alone,
    layout,
    merge::Merged,
    meter::Meter,
    partition::{Cells, Encoder, Pinned, ROW_GROUP_ROWS, split},
    rows::{Unpacked, Values, other_type},
    runs::Layout,
    spec::DatasetSpec,
    spill::{Collecting, Cursor},
    windowed::Windowed,
};
use crate::store::{self, Store};

/// The rows on their way from where they were set aside to partitions.
pub(super) struct Writing<'a> {
    spec: &'a DatasetSpec,
    schema: &'a [Column],
    layout: Layout,
    rows: Cursor<'a>,
    windowed: Vec<(&'a Windowed<'a>, Collecting<'a>)>,
}

/// Rows of one row group.
struct Batch {
    columns: Vec<Values>,
    /// By position in the request.
    features: Vec<Vec<f64>>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        spec: &'a DatasetSpec,
        schema: &'a [Column],
        merged: &'a Merged<'a>,
        windowed: &'a [Windowed<'a>],
    ) -> Self {
        let windowed = windowed.iter().map(|of| (of, of.features.collect())).collect();
        Self { spec, schema, layout: Layout::of(spec), rows: merged.rows.cursor(0), windowed }
    }

    /// Encodes and writes all rows, in their order; `days` are the events of each day.
    pub(super) fn write(
        mut self,
        store: &dyn Store,
        days: &[usize],
        meter: &Meter<'_>,
    ) -> Result<Vec<PartitionEntry>> {
        let arrow_schema = layout::arrow_schema(self.schema);
        let partitions = split(days, self.spec.partition_rows as usize).into_iter();
        partitions.map(|rows| self.partition(store, &arrow_schema, rows, meter)).collect()
    }

    fn partition(
        &mut self,
        store: &dyn Store,
        arrow_schema: &SchemaRef,
        rows: usize,
        meter: &Meter<'_>,
    ) -> Result<PartitionEntry> {
        let mut encoder = Encoder::new(arrow_schema, Pinned::new(store.draft()?))?;
        let mut span = (i64::MAX, i64::MIN);
        for start in (0..rows).step_by(ROW_GROUP_ROWS) {
            let of_group = ROW_GROUP_ROWS.min(rows - start);
            let batch = self.next(of_group)?;
            let times = batch.times()?;
            span = (span.0.min(times[0]), times[times.len() - 1]);
            encoder.push(self.cells(batch)?)?;
            meter.advance(of_group as u64)?;
        }
        let Pinned { draft, digest, bytes } = encoder.finish()?;
        let digest = digest.finish();
        let key = format!("{}/ofs/partitions/{}.parquet", self.spec.platform_run_id, digest.hex());
        let reference = Reference { uri: ObjectKey::new(key)?, digest };
        store::write_draft::<Partition>(store, &reference, draft)?;
        let Reference { uri, digest } = reference;
        Ok(PartitionEntry { uri, digest, rows: rows as u64, bytes, time_window: window(span)? })
    }
}

impl Writing<'_> {
    /// The next rows with their features.
    fn next(&mut self, rows: usize) -> Result<Batch> {
        let mut columns = Vec::new();
        self.rows.take(rows, &mut columns)?;
        let mut batch = Batch { columns, features: vec![Vec::new(); self.spec.features.len()] };
        let (columns, layout) = (&batch.columns, &self.layout);
        let collect = |(windowed, collecting): &mut (&Windowed<'_>, Collecting<'_>)| {
            collecting.numbers(columns[layout.entity(&windowed.entity)].ids()?)
        };
        let collected: Vec<Result<Vec<Vec<f64>>>> = self.windowed.par_iter_mut().map(collect).collect();
        for ((windowed, _), columns) in self.windowed.iter().zip(collected) {
            for (&position, column) in windowed.positions.iter().zip(columns?) {
                batch.features[position] = column;
            }
        }
        for (position, feature) in self.spec.features.iter().enumerate() {
            if batch.features[position].is_empty() {
                let of_event = |name: &ColumnName| batch.columns[self.layout.number(name)].numbers();
                batch.features[position] = alone(feature, batch.times()?, of_event)?;
            }
        }
        Ok(batch)
    }

    /// The values of each column of the schema, whose order within a role is that of the rows' columns.
    fn cells(&self, batch: Batch) -> Result<Vec<Cells>> {
        let mut columns = Unpacked::new(batch.columns);
        let mut ids = vec![columns.ids()?];
        let times = Cells::times(columns.times()?);
        for _ in self.spec.entity_columns() {
            ids.push(columns.ids()?);
        }
        let numbers = self.spec.number_columns().into_keys().map(|name| Ok((name, columns.numbers()?)));
        let mut numbers: BTreeMap<ColumnName, Vec<f64>> = numbers.collect::<Result<_>>()?;
        let (outcome, value) = (columns.codes()?, columns.codes()?);
        let mut observed = Some(columns.times()?);
        let (mut ids, mut features) = (ids.into_iter(), batch.features.into_iter());
        let cells = self.schema.iter().map(|column| {
            let cells = match column.role {
                ColumnRole::EventId | ColumnRole::Entity => ids.next().map(Cells::Ids),
                ColumnRole::EventTime | ColumnRole::FeatureAsof => Some(times.clone()),
                ColumnRole::Feature => features.next().map(Cells::Numbers),
                ColumnRole::Slice | ColumnRole::Weight => numbers.remove(&column.name).map(Cells::Numbers),
                ColumnRole::Label => Some(Cells::label(&outcome, &value)),
                ColumnRole::LabelOutcome => Some(Cells::Outcome(outcome.clone())),
                ColumnRole::LabelObservedTime => {
                    observed.take().map(|observed| Cells::observed(&outcome, observed))
                }
            };
            cells.ok_or_else(other_type)
        });
        cells.collect()
    }
}

impl Batch {
    fn times(&self) -> Result<&[i64]> {
        self.columns[Layout::TIME].times()
    }
}

/// From the first event to just after the last.
pub(super) fn window((first, last): (i64, i64)) -> Result<TimeWindow> {
    let end = last.checked_add(1).ok_or_else(|| {
        Failure::at(Code::ColumnTypeInvalid, "events", "times before the last nanosecond", "that one")
    })?;
    Ok(TimeWindow { start: Timestamp::from_nanoseconds(first), end: Timestamp::from_nanoseconds(end) })
}
