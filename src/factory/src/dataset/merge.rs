//! All events in the order of the dataset, and once more by each entity that has windows.
//!
//! ```text
//!   runs, each by (time, id) ──► merged ──┬─► rows in order
//!                                         └─► dealt by entity: its id, the time, and what its windows look at
//! ```

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, binary_heap::PeekMut},
};

use contracts::{
    Result,
    feature::{Definition, Feature},
    names::ColumnName,
    time::DAY,
};

use super::{
    by_column::ByColumn,
    ids::Ids,
    intake::Aside,
    meter::Meter,
    rows::Values,
    runs::Layout,
    spec::{self, DatasetSpec},
    spill::{Cursor, Spill, Spread},
};

/// Rows that are merged before they are set aside.
const BATCH_ROWS: usize = 1 << 12;

/// The events, merged.
pub(super) struct Merged<'a> {
    /// All of them in one bucket, without what was said about their labels.
    pub(super) rows: ByColumn<'a>,
    /// By entity that has windows: the same events.
    pub(super) by_entity: Vec<ByEntity<'a>>,
    /// How many events each UTC day has that has some, in order.
    pub(super) days: Vec<usize>,
    /// The times of the first and the last event.
    pub(super) span: (i64, i64),
}

/// The events dealt by one entity; within a bucket they are in order.
pub(super) struct ByEntity<'a> {
    pub(super) entity: ColumnName,
    /// Its features, with their positions in the request.
    pub(super) features: Vec<(usize, Feature)>,
    /// The columns that its windows aggregate.
    pub(super) numbers: BTreeSet<ColumnName>,
    /// The entity's id, the time, those columns, and what was said about labels where a feature looks at it.
    pub(super) rows: Spill<'a>,
    /// Where these columns stand in a run.
    columns: Vec<usize>,
}

/// What a run offers next: the order of the dataset.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    time: i64,
    id: Id,
    run: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Int(i64),
    Text(Box<str>),
}

/// Merges the runs; no two rows have one id.
pub(super) fn merge<'a>(
    spec: &DatasetSpec,
    runs: &Spill<'_>,
    (store, spread): Aside<'a>,
    meter: &Meter<'_>,
) -> Result<Merged<'a>> {
    let layout = Layout::of(spec);
    let entities = spec.entity_columns();
    let mut merged = Merged {
        rows: ByColumn::new(store, Spread { buckets: 1, ..spread }, layout.said()),
        by_entity: by_entity(spec, &layout, (store, spread)),
        days: Vec::new(),
        span: (i64::MAX, i64::MIN),
    };
    let unswept = (entities.len() - merged.by_entity.len()) as u64;
    let mut cursors: Vec<Cursor<'_>> = (0..runs.buckets()).map(|run| runs.cursor(run)).collect();
    let mut heads = BinaryHeap::new();
    for (run, cursor) in cursors.iter_mut().enumerate() {
        if cursor.ready()? {
            heads.push(Reverse(head(cursor, run)?));
        }
    }
    let mut batch: Vec<Values> = Vec::new();
    let mut left = runs.rows();
    while let Some(first) = heads.peek_mut() {
        merged.count(first.0.time);
        next(first, &mut cursors, &mut batch)?;
        left -= 1;
        if batch[Layout::ID].len() == BATCH_ROWS || left == 0 {
            merged.set_aside(&batch, layout.said())?;
            meter.advance(unswept * batch[Layout::ID].len() as u64)?;
            batch.iter_mut().for_each(Values::clear);
        }
    }
    merged.rows.settle()?;
    merged.by_entity.iter_mut().try_for_each(|of_entity| of_entity.rows.settle())?;
    Ok(merged)
}

/// Moves the first row to the batch and puts the next one of its run in its place.
fn next(
    mut first: PeekMut<'_, Reverse<Head>>,
    cursors: &mut [Cursor<'_>],
    batch: &mut Vec<Values>,
) -> Result<()> {
    let run = first.0.run;
    let cursor = &mut cursors[run];
    if batch.is_empty() {
        batch.extend(cursor.columns.iter().map(Values::like));
    }
    for (to, from) in batch.iter_mut().zip(&cursor.columns) {
        to.push(from, cursor.row);
    }
    cursor.row += 1;
    if cursor.ready()? {
        first.0 = head(cursor, run)?;
    } else {
        PeekMut::pop(first);
    }
    Ok(())
}

fn head(cursor: &Cursor<'_>, run: usize) -> Result<Head> {
    let times = cursor.columns[Layout::TIME].times()?;
    let id = match cursor.columns[Layout::ID].ids()? {
        Ids::Int(values) => Id::Int(values[cursor.row]),
        Ids::Text(texts) => Id::Text(texts.get(cursor.row).into()),
    };
    Ok(Head { time: times[cursor.row], id, run })
}

fn by_entity<'a>(spec: &DatasetSpec, layout: &Layout, (store, spread): Aside<'a>) -> Vec<ByEntity<'a>> {
    let of_entity = |entity: ColumnName| {
        let features = spec.features.iter().cloned().enumerate();
        let features: Vec<_> = features.filter(|(_, feature)| is_window_of(feature, &entity)).collect();
        let numbers: BTreeSet<_> =
            features.iter().filter_map(|(_, feature)| aggregated(feature)).cloned().collect();
        let mut columns = vec![layout.entity(&entity), Layout::TIME];
        columns.extend(numbers.iter().map(|name| layout.number(name)));
        columns.extend(features.iter().any(|(_, feature)| spec::uses_labels(feature)).then(|| layout.said()));
        ByEntity { entity, features, numbers, rows: Spill::new(store, spread), columns }
    };
    spec.entity_columns().into_iter().map(of_entity).filter(|entity| !entity.features.is_empty()).collect()
}

fn is_window_of(feature: &Feature, of: &ColumnName) -> bool {
    matches!(&feature.definition, Definition::Window { entity, .. } if entity == of)
}

fn aggregated(feature: &Feature) -> Option<&ColumnName> {
    if let Definition::Window { column, .. } = &feature.definition { column.as_ref() } else { None }
}

impl Merged<'_> {
    fn count(&mut self, time: i64) {
        let same_day = self.span.1.div_euclid(DAY) == time.div_euclid(DAY);
        match self.days.last_mut() {
            Some(events) if same_day => *events += 1,
            _ => self.days.push(1),
        }
        self.span = (self.span.0.min(time), time);
    }

    fn set_aside(&mut self, batch: &[Values], said: usize) -> Result<()> {
        self.rows.put(0, &batch[..said])?;
        for ByEntity { rows, columns, .. } in &mut self.by_entity {
            let columns: Vec<_> = columns.iter().map(|&column| &batch[column]).collect();
            rows.deal(0, &columns)?;
        }
        Ok(())
    }
}
