//! From ordered rows and their features to partitions: a row group is read back and encoded at a time.

use std::ops::Range;

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
    by_column::{ByColumn, Collecting},
    features::alone,
    layout,
    merge::Merged,
    meter::Meter,
    partition::{Cells, Encoder, Pinned, ROW_GROUP_ROWS, split},
    rows::other_type,
    runs::Layout,
    spec::DatasetSpec,
    windowed::Windowed,
};
use crate::store::{self, Store};

/// The rows on their way from where they were set aside to partitions.
pub(super) struct Writing<'a> {
    spec: &'a DatasetSpec,
    schema: &'a [Column],
    layout: Layout,
    rows: &'a ByColumn<'a>,
    windowed: Vec<(&'a Windowed<'a>, Collecting<'a>)>,
    /// Rows that were written.
    written: usize,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        spec: &'a DatasetSpec,
        schema: &'a [Column],
        merged: &'a Merged<'a>,
        windowed: &'a [Windowed<'a>],
    ) -> Self {
        let windowed = windowed.iter().map(|of| (of, of.features.collect())).collect();
        Self { spec, schema, layout: Layout::of(spec), rows: &merged.rows, windowed, written: 0 }
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
        let end = self.written + rows;
        let span = (self.time(self.written)?, self.time(end - 1)?);
        while self.written < end {
            let group = self.written..end.min(self.written + ROW_GROUP_ROWS);
            self.windowed.par_iter_mut().try_for_each(|(windowed, collecting)| {
                let entity = self.layout.entity(&windowed.entity);
                let entities = self.rows.part(0, entity, group.clone())?;
                entities.ids().map(|ids| collecting.advance(ids))
            })?;
            encoder.push(|place| self.cells(&self.schema[place], &group))?;
            self.written = group.end;
            meter.advance(group.len() as u64)?;
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
    /// The values of one column of a row group, whose window features are at hand.
    fn cells(&self, column: &Column, group: &Range<usize>) -> Result<Cells> {
        let part = |place| self.rows.part(0, place, group.clone());
        let times = |place| part(place)?.into_times();
        let outcome = self.layout.outcome();
        let codes = |place| part(place)?.into_codes();
        Ok(match column.role {
            ColumnRole::EventId => Cells::Ids(part(Layout::ID)?.into_ids()?),
            ColumnRole::Entity => Cells::Ids(part(self.layout.entity(&column.name))?.into_ids()?),
            ColumnRole::EventTime | ColumnRole::FeatureAsof => Cells::times(times(Layout::TIME)?),
            ColumnRole::Feature => Cells::Numbers(self.feature(&column.name, group)?),
            ColumnRole::Slice | ColumnRole::Weight => Cells::Numbers(self.numbers(&column.name, group)?),
            ColumnRole::Label => Cells::label(&codes(outcome)?, &codes(outcome + 1)?),
            ColumnRole::LabelOutcome => Cells::Outcome(codes(outcome)?),
            ColumnRole::LabelObservedTime => Cells::observed(&codes(outcome)?, times(outcome + 2)?),
        })
    }

    /// The values of one feature.
    fn feature(&self, name: &ColumnName, group: &Range<usize>) -> Result<Vec<f64>> {
        let missing = || Failure::new(Code::InternalError, format!("no feature {name} was asked for"));
        let features = &self.spec.features;
        let position = features.iter().position(|feature| feature.name == *name).ok_or_else(missing)?;
        for (windowed, collecting) in &self.windowed {
            if let Some(of_entity) = windowed.positions.iter().position(|of| *of == position) {
                return collecting.numbers(of_entity);
            }
        }
        let times = || self.rows.part(0, Layout::TIME, group.clone())?.into_times();
        alone(&features[position], times, |name| self.numbers(name, group))
    }

    /// The values of one raw column of numbers.
    fn numbers(&self, name: &ColumnName, group: &Range<usize>) -> Result<Vec<f64>> {
        self.rows.part(0, self.layout.number(name), group.clone())?.into_numbers()
    }

    /// When one of the events was.
    fn time(&self, row: usize) -> Result<i64> {
        let times = self.rows.part(0, Layout::TIME, row..row + 1)?.into_times()?;
        times.first().copied().ok_or_else(other_type)
    }
}

/// From the first event to just after the last.
pub(super) fn window((first, last): (i64, i64)) -> Result<TimeWindow> {
    let end = last.checked_add(1).ok_or_else(|| {
        Failure::at(Code::ColumnTypeInvalid, "events", "times before the last nanosecond", "that one")
    })?;
    Ok(TimeWindow { start: Timestamp::from_nanoseconds(first), end: Timestamp::from_nanoseconds(end) })
}
