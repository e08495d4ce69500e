//! The events in the order in which the dataset holds them: by time, then by id.

use std::collections::BTreeMap;

use contracts::{Code, Failure, Result, names::ColumnName};
use rayon::prelude::*;

use super::{
    columns::{Columns, NUMBERED, Wanted},
    ids::{Ids, NOWHERE},
    spec::DatasetSpec,
};

/// Name of the table of events in refusals.
pub(super) const TABLE: &str = "events";

/// Events as columns, ordered by (time, id): the order in which they came in cannot show.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) ids: Ids,
    /// Nanoseconds since the epoch, UTC.
    pub(super) times: Vec<i64>,
    pub(super) entities: BTreeMap<ColumnName, Ids>,
    /// Raw numbers, NaN where there was none.
    pub(super) numbers: BTreeMap<ColumnName, Vec<f64>>,
}

/// Finds an event's row by its id.
#[derive(Debug)]
pub(super) struct EventIndex {
    sorted: Ids,
    /// Row of each sorted id.
    rows: Vec<u32>,
}

/// The columns that are needed of the events.
pub(super) fn wanted(spec: &DatasetSpec) -> Wanted {
    let mut ids = spec.entity_columns();
    ids.insert(spec.event_id.clone());
    Wanted {
        table: TABLE,
        naive_times_are_utc: spec.naive_times_are_utc,
        ids,
        times: [spec.event_time.clone()].into(),
        numbers: spec.number_columns(),
        instead_of_text: NUMBERED,
    }
}

impl Events {
    /// Orders the events. An id that stands there twice is found by [`EventIndex::repeated`].
    pub(super) fn new(spec: &DatasetSpec, mut columns: Columns) -> Result<(Self, EventIndex)> {
        let ids = columns.take_ids(&spec.event_id)?;
        let mut index = EventIndex::of(ids.clone());
        let times = columns.take_times(&spec.event_time)?;
        let mut order = index.rows.clone();
        // The sort is stable: events of one instant stay in the order of their ids.
        order.par_sort_by_key(|&row| times[row as usize]);
        index.renumber(&order);
        let mut events = Self {
            ids: ids.select(&order),
            times: pick(&times, &order),
            entities: BTreeMap::new(),
            numbers: BTreeMap::new(),
        };
        for name in spec.entity_columns() {
            let entities = columns.take_ids(&name)?.select(&order);
            events.entities.insert(name, entities);
        }
        for name in spec.number_columns().into_keys() {
            let numbers = pick(&columns.take_numbers(&name)?, &order);
            events.numbers.insert(name, numbers);
        }
        Ok((events, index))
    }

    /// Number of events.
    pub(super) const fn len(&self) -> usize {
        self.times.len()
    }
}

impl EventIndex {
    /// Of events in their given order; `name` is their column. Refuses with `DUPLICATE_EVENT`.
    pub(super) fn new(name: &ColumnName, ids: Ids) -> Result<Self> {
        let index = Self::of(ids);
        refuse_repeated(name, index.repeated())?;
        Ok(index)
    }

    /// Of events that may stand there twice.
    pub(super) fn of(ids: Ids) -> Self {
        let rows = ids.order();
        let sorted = if rows.is_sorted() { ids } else { ids.select(&rows) };
        Self { sorted, rows }
    }

    /// How many events repeat another.
    pub(super) fn repeated(&self) -> usize {
        self.sorted.repeated()
    }

    /// Number of events.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Names rows by their place in `order`.
    fn renumber(&mut self, order: &[u32]) {
        let mut places = vec![0_u32; order.len()];
        for (place, &row) in (0_u32..).zip(order) {
            places[row as usize] = place;
        }
        self.rows.iter_mut().for_each(|row| *row = places[*row as usize]);
    }

    /// The row of each event named, [`NOWHERE`] for others; `None` if the ids are of another type than the events'.
    pub(super) fn rows(&self, ids: &Ids) -> Option<Vec<u32>> {
        let mut rows = self.sorted.positions(ids)?;
        for row in rows.iter_mut().filter(|row| **row != NOWHERE) {
            *row = self.rows[*row as usize];
        }
        Some(rows)
    }
}

/// Refuses with `DUPLICATE_EVENT` so many events that repeat another; `name` is the column of their ids.
pub(super) fn refuse_repeated(name: &ColumnName, repeated: usize) -> Result<()> {
    if repeated == 0 {
        return Ok(());
    }
    let found = format!("{repeated} repetitions");
    Err(Failure::at(Code::DuplicateEvent, format!("{TABLE}/{name}"), "each event once", found))
}

/// The values of some rows, in their order.
pub(super) fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values[row as usize]).collect()
}
