//! The order in which a fit holds its rows: neighbours have most in common.
//!
//! ```text
//!   codes ──► columns, the one of the most frequent code first ──► runs of rows alike in the leading ones
//! ```
//!
//! Flows in: binned columns. Flows out: an [`Order`] of their rows, and its [`Runs`]. What a tree asks for is most often rare, and
//! stands together in this order; and what the rows of a run have in common is summed once a run. Invariant: sums
//! over rows are exact, so that nothing a fit decides depends on the order; it only saves work.

use rayon::prelude::*;

use crate::binning::Binned;

/// Runs at the most, so that 16 bits number them.
const MOST_RUNS: usize = 1 << 16;
/// Rows that a run has on average, at least: below, it is no less work than its rows.
const RUN_ROWS: usize = 16;
/// Codes of a column times runs, at the most: what is counted stays in the second cache.
const MOST_COUNTS: usize = 1 << 20;

/// Which row stands at each place.
#[derive(Debug)]
pub(super) struct Order {
    rows: Vec<u32>,
}

/// Rows that stand together and are alike in all leading columns.
#[derive(Debug)]
pub(super) struct Runs {
    /// The number of the run that each place belongs to, rising by one at most.
    pub(super) at: Vec<u16>,
    /// Columns that are constant within every run, in rising order.
    pub(super) leading: Vec<usize>,
}

/// A column and how it tells rows apart.
#[derive(Debug)]
struct Column {
    number: usize,
    /// One more than its largest code.
    radix: usize,
    /// Rows of the most frequent code.
    alike: usize,
}

impl Order {
    /// The order of the rows of `binned`: by the codes of columns, those that tell fewest rows apart first, while
    /// runs are long enough; and rows of one run as they stood.
    pub(super) fn new(binned: &Binned<u8>) -> (Self, Runs) {
        let rows = binned.codes(0).len();
        let mut columns: Vec<Column> = (0..binned.columns())
            .into_par_iter()
            .map(|column| Column::new(column, binned.codes(column)))
            .collect();
        columns.sort_unstable_by_key(|column| (std::cmp::Reverse(column.alike), column.number));
        let most_runs = (rows / RUN_ROWS).clamp(1, MOST_RUNS);
        let mut runs = vec![0; rows];
        let mut count = 1;
        let mut leading = Vec::new();
        for Column { number, radix, .. } in columns {
            if count * radix > MOST_COUNTS {
                break;
            }
            let Some(more) = part(&mut runs, count, binned.codes(number), radix, most_runs) else { break };
            count = more;
            leading.push(number);
        }
        let order = Self { rows: sorted(&runs, count) };
        let at = order.arrange(&runs);
        leading.sort_unstable();
        (order, Runs { at, leading })
    }

    /// The row that stands at a place.
    pub(super) fn row(&self, place: usize) -> usize {
        self.rows[place] as usize
    }

    /// Writes what belongs to each row in this order.
    pub(super) fn arrange_into<T: Copy + Send + Sync>(&self, of_rows: &[T], arranged: &mut [T]) {
        arranged.par_iter_mut().zip(&self.rows).for_each(|(place, &row)| *place = of_rows[row as usize]);
    }

    /// What belongs to each row, in this order.
    pub(super) fn arrange<T: Copy + Send + Sync>(&self, of_rows: &[T]) -> Vec<T> {
        self.rows.par_iter().map(|&row| of_rows[row as usize]).collect()
    }
}

impl Column {
    fn new(number: usize, codes: &[u8]) -> Self {
        let mut counts = [0_usize; 256];
        for &code in codes {
            counts[usize::from(code)] += 1;
        }
        let radix = counts.iter().rposition(|&count| count > 0).unwrap_or(0) + 1;
        let alike = counts.iter().copied().max().unwrap_or(0);
        Self { number, radix, alike }
    }
}

/// Parts each of `count` runs by the codes of a column, if these make no more than `most`; how many they make.
fn part(runs: &mut [u16], count: usize, codes: &[u8], radix: usize, most: usize) -> Option<usize> {
    let place = |run: u16, code: u8| usize::from(run) * radix + usize::from(code);
    let mut numbers = vec![0_u32; count * radix];
    for (&run, &code) in runs.iter().zip(codes) {
        numbers[place(run, code)] = 1;
    }
    let found = numbers.iter().filter(|&&number| number > 0).count();
    if found > most {
        return None;
    }
    let mut next = 0;
    for number in &mut numbers {
        let is_there = *number;
        *number = next;
        next += is_there;
    }
    for (run, &code) in runs.iter_mut().zip(codes) {
        *run = numbers[place(*run, code)] as u16;
    }
    Some(found)
}

/// The rows by the number of their run, those of one run in their old order.
fn sorted(runs: &[u16], count: usize) -> Vec<u32> {
    let mut starts = vec![0_u32; count + 1];
    for &run in runs {
        starts[usize::from(run) + 1] += 1;
    }
    for run in 0..count {
        starts[run + 1] += starts[run];
    }
    let mut rows = vec![0; runs.len()];
    for (row, &run) in (0..).zip(runs) {
        let place = &mut starts[usize::from(run)];
        rows[*place as usize] = row;
        *place += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_has_a_place_in_a_run_of_its_like(rows in 1..3_000_usize, columns in 1..8_usize, seed in any::<u32>()) {
            let value = |row: usize, column: usize| {
                let hash = (row * 31 + column * 17 + seed as usize).wrapping_mul(0x9E37_79B9) >> 7;
                (hash % (1 + column * column)) as f64
            };
            let features = Array2::from_shape_fn((rows, columns), |(row, column)| value(row, column));
            let binned = Binned::new(features.view(), 255);
            let (order, runs) = Order::new(&binned);
            let key = |row: usize| -> Vec<u8> { runs.leading.iter().map(|&column| binned.codes(column)[row]).collect() };
            prop_assert!(runs.leading.contains(&0), "a constant column parts nothing");
            prop_assert_eq!(runs.at[0], 0);
            for place in 1..rows {
                let (before, row) = (order.row(place - 1), order.row(place));
                let is_same = runs.at[place - 1] == runs.at[place];
                prop_assert_eq!(key(before) == key(row), is_same);
                prop_assert!(before < row || !is_same);
                prop_assert!(is_same || runs.at[place] == runs.at[place - 1] + 1);
            }
            prop_assert!(usize::from(runs.at[rows - 1]) * RUN_ROWS < rows.max(RUN_ROWS));
            let mut keys: Vec<Vec<u8>> = (0..rows).map(key).collect();
            keys.sort();
            keys.dedup();
            prop_assert_eq!(keys.len(), usize::from(runs.at[rows - 1]) + 1);
            let mut all = order.arrange(&(0..rows).collect::<Vec<_>>());
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..rows));
        }
    }
}
