//! Rows grouped by entity and ordered by time: sorted once, swept by every feature.

use std::{borrow::Cow, ops::Range};

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
    let starts = starts(codes, n_codes)?;
    if codes.is_sorted() {
        return Ok(Order { starts, rows: (0..codes.len() as u32).collect() });
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

/// Where the rows of each code start when rows are ordered by code, and at last their number.
fn starts(codes: &[u32], n_codes: usize) -> Result<Vec<usize>> {
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
    Ok(starts)
}

/// A feature by record. A number of rows takes half the memory of any other value.
pub(super) enum Values {
    Counts(Vec<u32>),
    Numbers(Vec<f64>),
}

/// Rows by entity, each entity's rows by time.
///
/// A *row* is a position in the caller's order, a *place* one in the order of entity and time. Going straight from
/// one to the other would miss the cache at each step, so values pass through *slots*: every task has a stretch of
/// them in which its rows stand in the caller's order. Between rows and slots there are then as many streams as
/// tasks, each read or written from its start to its end, and slots and places of one task lie close together.
#[derive(Debug, Clone)]
pub struct Grouped {
    /// The places of entity `e` are `starts[e]..starts[e + 1]`.
    starts: Vec<usize>,
    /// Slot of each row.
    slots: Vec<u32>,
    /// Slot of each place, in the same task; times rise within an entity.
    slot_of_place: Vec<u32>,
    /// Time of each slot.
    times: Vec<i64>,
    /// Rows that are asked about; the others only stand in their windows.
    asked: Range<usize>,
    /// Runs of whole entities that are worked on as one task: the same bounds hold for places and for slots.
    tasks: Vec<Task>,
}

/// A run of whole entities.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    pub(super) first: usize,
    pub(super) end: usize,
    /// The slots before this one are of rows before those that are asked about.
    pub(super) asked: usize,
    /// The first of its entities.
    entity: usize,
}

impl Task {
    /// Slots that have a record: those from the first on that is asked about.
    pub(super) const fn records(&self) -> usize {
        self.end - self.asked
    }
}

/// Rows in one task, at least: large enough to hide what a task costs, small enough to balance threads and to
/// stay in a cache.
const TASK_ROWS: usize = 1 << 12;
/// Tasks at most, large entities apart: a processor follows only so many streams.
const MAX_TASKS: usize = 1 << 9;

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
        let starts = starts(entity, n_entities)?;
        let tasks = tasks(&starts);
        let slots = slots(entity, n_entities, &tasks);
        let (codes, times) =
            rayon::join(|| staged(&slots, entity.iter().copied()), || staged(&slots, time.iter().copied()));
        let mut slot_of_place = vec![0; time.len()];
        let mut work = Vec::with_capacity(tasks.len());
        let mut rest = slot_of_place.as_mut_slice();
        for task in &tasks {
            let (of_task, tail) = rest.split_at_mut(task.end - task.first);
            work.push((task, of_task));
            rest = tail;
        }
        work.into_par_iter().for_each(|(task, slots)| order(task, &starts, &codes, &times, slots));
        let asked = 0..time.len();
        Ok(Self { starts, slots, slot_of_place, times, asked, tasks })
    }

    /// Asks about some of the rows alone: the others only stand in their windows.
    #[must_use]
    pub fn asking(mut self, rows: Range<usize>) -> Self {
        for task in &mut self.tasks {
            task.asked = task.first;
        }
        for &slot in &self.slots[..rows.start] {
            let task = self.task_of(slot);
            self.tasks[task].asked += 1;
        }
        self.asked = rows;
        self
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Number of entities, those without rows included.
    pub fn entities(&self) -> usize {
        self.starts.len() - 1
    }

    /// Runs of whole entities to be worked on independently.
    pub(super) fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The entities of one run that are asked about.
    pub(super) fn groups(&self, task: Task) -> impl Iterator<Item = Group<'_>> {
        let bounds = self.starts[task.entity..].windows(2).take_while(move |bound| bound[0] < task.end);
        let groups = bounds.map(move |bound| {
            let slots = &self.slot_of_place[bound[0]..bound[1]];
            let asked = slots.iter().position(|&slot| slot as usize >= task.asked);
            Group { slots, asked: asked.unwrap_or(slots.len()) }
        });
        groups.filter(|group| group.asked < group.slots.len())
    }

    /// Time of each slot.
    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    /// Slot of each row.
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Brings values, one a row, into the order of the slots.
    pub(super) fn staged<T: Copy + Default>(&self, values: impl Iterator<Item = T>) -> Vec<T> {
        staged(&self.slots, values)
    }

    /// Slots of all tasks that have a record.
    pub(super) fn records(&self) -> usize {
        self.tasks.iter().map(Task::records).sum()
    }

    /// Brings columns from the order of the records, task by task and slot by slot, into that of the rows that are asked
    /// about. A column at a time by each thread: one more than there are is all the memory that one takes.
    pub(super) fn bring_into_order(mut self, columns: Vec<Values>) -> Vec<Vec<f64>> {
        // Nobody asks for places and times any more.
        drop((std::mem::take(&mut self.slot_of_place), std::mem::take(&mut self.times)));
        let rows = self.record_of_row();
        let of_thread = columns.len().div_ceil(rayon::current_num_threads()).max(1);
        let of_threads = columns.into_par_iter().chunks(of_thread).map(|columns| {
            let mut room = Vec::new();
            let ordered = columns.into_iter().map(|column| {
                let mut ordered = std::mem::take(&mut room);
                ordered.clear();
                match column {
                    Values::Counts(counts) => {
                        ordered.extend(rows.iter().map(|&record| f64::from(counts[record as usize])));
                    }
                    Values::Numbers(numbers) => {
                        ordered.extend(rows.iter().map(|&record| numbers[record as usize]));
                        room = numbers;
                    }
                }
                ordered
            });
            ordered.collect::<Vec<_>>()
        });
        of_threads.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    /// The record of each row that is asked about: its slot, less those slots before it that have none.
    fn record_of_row(&self) -> Cow<'_, [u32]> {
        let slots = &self.slots[self.asked.clone()];
        if self.records() == self.len() {
            return Cow::Borrowed(slots);
        }
        let before = self.tasks.iter().scan(0, |skipped, task| {
            *skipped += task.asked - task.first;
            Some(*skipped as u32)
        });
        let skipped: Vec<u32> = before.collect();
        Cow::Owned(slots.par_iter().map(|&slot| slot - skipped[self.task_of(slot)]).collect())
    }

    /// Which task a slot is in.
    fn task_of(&self, slot: u32) -> usize {
        self.tasks.partition_point(|task| task.end <= slot as usize)
    }
}

/// One entity's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    /// Slots in order of time.
    pub(super) slots: &'a [u32],
    /// The first place that is asked about.
    pub(super) asked: usize,
}

fn tasks(starts: &[usize]) -> Vec<Task> {
    let rows = starts.last().copied().unwrap_or(0);
    let least = TASK_ROWS.max(rows / MAX_TASKS);
    let mut tasks = Vec::new();
    let (mut first, mut entity) = (0, 0);
    for (next, &end) in starts.iter().enumerate() {
        if end - first >= least {
            tasks.push(Task { first, end, asked: first, entity });
            (first, entity) = (end, next);
        }
    }
    if rows > first {
        tasks.push(Task { first, end: rows, asked: first, entity });
    }
    tasks
}

/// Gives each row the next slot of its entity's task.
fn slots(entity: &[u32], n_entities: usize, tasks: &[Task]) -> Vec<u32> {
    let mut task_of = vec![0_u32; n_entities];
    for (number, task) in tasks.iter().enumerate() {
        // Whatever comes after the last task has no row.
        task_of[task.entity..].fill(number as u32);
    }
    let mut next: Vec<u32> = tasks.iter().map(|task| task.first as u32).collect();
    let take = |&code: &u32| {
        let slot = &mut next[task_of[code as usize] as usize];
        *slot += 1;
        *slot - 1
    };
    entity.iter().map(take).collect()
}

fn staged<T: Copy + Default>(slots: &[u32], values: impl Iterator<Item = T>) -> Vec<T> {
    let mut staged = vec![T::default(); slots.len()];
    for (&slot, value) in slots.iter().zip(values) {
        staged[slot as usize] = value;
    }
    staged
}

/// Orders the slots of a task by entity, time and row.
fn order(task: &Task, starts: &[usize], codes: &[u32], times: &[i64], slots: &mut [u32]) {
    let entities = starts[task.entity..].partition_point(|&start| start < task.end);
    let bounds = &starts[task.entity..=task.entity + entities];
    let mut next: Vec<u32> = bounds.iter().map(|start| (start - task.first) as u32).collect();
    for slot in task.first..task.end {
        let place = &mut next[codes[slot] as usize - task.entity];
        slots[*place as usize] = slot as u32;
        *place += 1;
    }
    for bound in bounds.windows(2) {
        let group = &mut slots[bound[0] - task.first..bound[1] - task.first];
        // The canonical order is by time already; then nothing is left to do.
        if !group.is_sorted_by_key(|&slot| times[slot as usize]) {
            group.sort_unstable_by_key(|&slot| (times[slot as usize], slot));
        }
    }
}
