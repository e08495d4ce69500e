//! Rows grouped by entity and ordered by time: sorted once, swept by every feature.

use contracts::{Code, Failure, Result};
use rayon::prelude::*;

/// Row positions ordered by code.
pub(crate) struct Order {
    /// The rows of code `c` are `rows[starts[c]..starts[c + 1]]`.
    pub(crate) starts: Vec<usize>,
    /// Row positions, those of one code in their given order.
    pub(crate) rows: Vec<u32>,
}

/// Counting sort of row positions by code.
///
/// Refuses with `RESOURCE_EXHAUSTED` at 2^32 rows and `PARAMETER_INVALID` for a code of `n_codes` or more.
pub(crate) fn order_by_code(codes: &[u32], n_codes: usize) -> Result<Order> {
    if codes.len() > u32::MAX as usize {
        let found = format!("{} rows", codes.len());
        return Err(Failure::at(Code::ResourceExhausted, "codes", "fewer than 2^32 rows", found));
    }
    let mut starts = vec![0_usize; n_codes + 1];
    let mut beyond = 0_usize;
    for &code in codes {
        match starts.get_mut(code as usize + 1) {
            Some(count) => *count += 1,
            None => beyond += 1,
        }
    }
    if beyond > 0 {
        let expected = format!("codes below {n_codes}");
        return Err(Failure::at(Code::ParameterInvalid, "codes", expected, format!("{beyond} others")));
    }
    for code in 0..n_codes {
        starts[code + 1] += starts[code];
    }
    let mut next = starts.clone();
    let mut rows = vec![0_u32; codes.len()];
    for (row, &code) in codes.iter().enumerate() {
        let slot = &mut next[code as usize];
        rows[*slot] = row as u32;
        *slot += 1;
    }
    Ok(Order { starts, rows })
}

/// Rows by entity, each entity's rows by time.
///
/// A *place* is a position in this order, a *row* a position in the caller's order.
#[derive(Debug, Clone)]
pub struct Grouped {
    /// The places of entity `e` are `starts[e]..starts[e + 1]`.
    starts: Vec<usize>,
    /// Row of each place.
    rows: Vec<u32>,
    /// Place of each row.
    places: Vec<u32>,
    /// Time of each place, rising within an entity.
    times: Vec<i64>,
    /// Bounds, in places, of runs of whole entities that are worked on as one task.
    tasks: Vec<(usize, usize)>,
}

/// Rows in one task, at least: large enough to hide what a task costs, small enough to balance threads.
const TASK_ROWS: usize = 16_384;

impl Grouped {
    /// Groups rows by entity code (0..`n_entities`) and orders each group by time, in nanoseconds.
    ///
    /// Refuses with `SHAPE_MISMATCH`, `PARAMETER_INVALID` (a code out of range) and `RESOURCE_EXHAUSTED` (2^32
    /// rows).
    pub fn new(entity: &[u32], n_entities: usize, time: &[i64]) -> Result<Self> {
        if entity.len() != time.len() {
            let expected = format!("{} values, one a row", entity.len());
            return Err(Failure::at(Code::ShapeMismatch, "time", expected, format!("{} values", time.len())));
        }
        let Order { starts, mut rows } = order_by_code(entity, n_entities)?;
        let tasks = tasks(&starts);
        let mut groups = Vec::with_capacity(n_entities);
        let mut rest = rows.as_mut_slice();
        for bound in starts.windows(2) {
            let (group, tail) = rest.split_at_mut(bound[1] - bound[0]);
            groups.push(group);
            rest = tail;
        }
        groups.into_par_iter().with_min_len(64).for_each(|group| {
            // The canonical order is by time already; then nothing is left to do.
            if !group.is_sorted_by_key(|&row| time[row as usize]) {
                group.sort_unstable_by_key(|&row| (time[row as usize], row));
            }
        });
        let times = rows.par_iter().map(|&row| time[row as usize]).collect();
        let mut places = vec![0_u32; rows.len()];
        for (place, &row) in rows.iter().enumerate() {
            places[row as usize] = place as u32;
        }
        Ok(Self { starts, rows, places, times, tasks })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of entities, those without rows included.
    pub fn entities(&self) -> usize {
        self.starts.len() - 1
    }

    /// Runs of whole entities to be worked on independently, as bounds in places.
    pub(super) fn tasks(&self) -> &[(usize, usize)] {
        &self.tasks
    }

    /// The entities of one run, each with its rows and their times.
    pub(super) fn groups(&self, task: (usize, usize)) -> impl Iterator<Item = Group<'_>> {
        let first = self.starts.partition_point(|&start| start <= task.0).saturating_sub(1);
        let bounds = self.starts[first..].windows(2).take_while(move |bound| bound[0] < task.1);
        bounds.filter(|bound| bound[0] < bound[1]).map(|bound| Group {
            rows: &self.rows[bound[0]..bound[1]],
            times: &self.times[bound[0]..bound[1]],
        })
    }

    /// Brings values by place into the caller's order.
    pub(super) fn by_row(&self, by_place: &[f64]) -> Vec<f64> {
        self.places.par_iter().map(|&place| by_place[place as usize]).collect()
    }
}

/// One entity's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    /// Rows in order of time.
    pub(super) rows: &'a [u32],
    /// Their times, rising.
    pub(super) times: &'a [i64],
}

fn tasks(starts: &[usize]) -> Vec<(usize, usize)> {
    let mut tasks = Vec::new();
    let mut first = 0;
    for &end in starts {
        if end - first >= TASK_ROWS {
            tasks.push((first, end));
            first = end;
        }
    }
    let end = starts.last().copied().unwrap_or(0);
    if end > first {
        tasks.push((first, end));
    }
    tasks
}
