//! Windows cut out of features: each value goes from where it is decoded to where it is fitted or judged.

use std::array;

use contracts::{Code, Failure, Result};
use kernels::Progress;
use rayon::prelude::*;

use super::{encoded::Encoded, ids::NOWHERE, meter::Meter};

/// The features of a [`Table`]'s rows, still encoded, until windows are cut out of them.
///
/// [`Table`]: super::Table
#[derive(Debug)]
pub struct Features {
    /// How many there are.
    pub(super) columns: usize,
    /// Partition by partition.
    pub(super) parts: Vec<Encoded>,
    /// For each row of the table its place among all partitions' rows; none where that is the same.
    pub(super) order: Option<Vec<u32>>,
}

impl Features {
    /// Number of features.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Cuts out the rows named, in the order named, each once a window: for each window its values column by column, a
    /// row each; NaN is missing.
    ///
    /// Refuses with `PARTITION_INVALID` what is not finite, in a window or not, and what cannot be decoded. A partition is
    /// let go of as soon as it is cut, so that no more than one stands in memory twice.
    pub fn cut<const N: usize>(self, windows: [&[u32]; N], progress: &dyn Progress) -> Result<[Vec<f64>; N]> {
        let rows: usize = self.parts.iter().map(|part| part.rows).sum();
        let order = self.order.as_deref();
        let mut runs = Vec::with_capacity(N);
        for window in windows {
            runs.push(Run::all(window, order, rows)?);
        }
        let mut cut = windows.map(|window| vec![0.0; window.len() * self.columns]);
        let mut rest = cut.each_mut().map(Vec::as_mut_slice);
        let column = |_| array::from_fn(|at| rest[at].split_off_mut(..windows[at].len()).unwrap_or_default());
        let mut columns: Vec<[&mut [f64]; N]> = (0..self.columns).map(column).collect();
        let meter = Meter::after(rows as u64, progress, 2 * rows as u64);
        let mut before = 0;
        for part in self.parts {
            let write = |(number, column): (usize, &mut [&mut [f64]; N])| {
                part.decode(number, |first, values| {
                    for (runs, window) in runs.iter().zip(column.iter_mut()) {
                        Run::write(runs, before + first, values, window);
                    }
                })
            };
            // Collected before the first failure is looked for: the one told is the first by position, not by time.
            let written = columns.par_iter_mut().enumerate().map(write).collect::<Vec<Result<()>>>();
            written.into_iter().collect::<Result<()>>()?;
            meter.advance(part.rows as u64)?;
            before += part.rows;
        }
        Ok(cut)
    }
}

/// Rows that follow each other in the partitions and in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Place of the first among all partitions' rows.
    from: u32,
    /// Its place in the window.
    to: u32,
    rows: u32,
}

impl Run {
    /// The runs of a window, in the order of the partitions' rows, of which there are so many.
    fn all(window: &[u32], order: Option<&[u32]>, rows: usize) -> Result<Vec<Self>> {
        let mut places = vec![NOWHERE; rows];
        for (to, &row) in (0..).zip(window) {
            let place = order.map_or(row, |order| order[row as usize]);
            if std::mem::replace(&mut places[place as usize], to) != NOWHERE {
                return Err(Failure::new(Code::InternalError, "a row that stands in a window twice"));
            }
        }
        let mut runs: Vec<Self> = Vec::new();
        for (from, to) in (0..).zip(places).filter(|(_, to)| *to != NOWHERE) {
            match runs.last_mut() {
                Some(run) if run.from + run.rows == from && run.to + run.rows == to => run.rows += 1,
                _ => runs.push(Self { from, to, rows: 1 }),
            }
        }
        Ok(runs)
    }

    /// Writes those values that stand in a window, of rows from `first` on.
    fn write(runs: &[Self], first: usize, values: &[f64], window: &mut [f64]) {
        let end = first + values.len();
        let begin = runs.partition_point(|run| (run.from + run.rows) as usize <= first);
        for run in runs[begin..].iter().take_while(|run| (run.from as usize) < end) {
            let (from, to) = (run.from as usize, run.to as usize);
            let (start, until) = (from.max(first), (from + run.rows as usize).min(end));
            let into = &mut window[to + start - from..to + until - from];
            into.copy_from_slice(&values[start - first..until - first]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn windows_hold_what_their_rows_hold(
            order in (1_u32..60).prop_flat_map(|rows| Just((0..rows).collect::<Vec<_>>()).prop_shuffle()),
            window in (Just((0..60_u32).collect::<Vec<_>>()).prop_shuffle(), 0_usize..60),
            [moved, rising] in any::<[bool; 2]>(),
            batch in 1_usize..9,
        ) {
            let rows = order.len();
            let mut window: Vec<u32> =
                window.0.into_iter().filter(|row| (*row as usize) < rows).take(window.1).collect();
            if rising {
                window.sort_unstable();
            }
            let order = moved.then_some(&order[..]);
            let runs = Run::all(&window, order, rows).unwrap();
            let values: Vec<f64> = (0..rows).map(|place| place as f64).collect();
            let mut cut = vec![f64::NAN; window.len()];
            for (number, batch_values) in values.chunks(batch).enumerate() {
                Run::write(&runs, number * batch, batch_values, &mut cut);
            }
            let expected = window.iter().map(|&row| f64::from(order.map_or(row, |order| order[row as usize])));
            prop_assert_eq!(cut, expected.collect::<Vec<_>>());
            // Each place once: a row named again would leave another's place unwritten.
            window.extend(window.first().copied());
            prop_assert_eq!(Run::all(&window, order, rows).is_err(), !window.is_empty());
        }
    }

    #[test]
    fn rows_that_follow_each_other_are_one_run() {
        let runs = Run::all(&[2, 3, 4, 7, 8], None, 10).unwrap();
        assert_eq!(runs, [Run { from: 2, to: 0, rows: 3 }, Run { from: 7, to: 3, rows: 2 }]);
        let order: Vec<u32> = (0..10).rev().collect();
        assert_eq!(Run::all(&[2, 3], Some(&order), 10).unwrap().len(), 2);
    }
}
