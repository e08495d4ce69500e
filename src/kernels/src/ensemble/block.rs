//! A block of rows, column by column, so that what is done to a column is done to neighbours in memory.

use ndarray::{ArrayView2, CowArray, Ix2};

/// Rows of a block: its columns and what is computed from them stay in the cache.
pub(super) const ROWS: usize = 256;

/// Distance between columns. A power of two would map all columns to the same few lines of the cache.
const STRIDE: usize = ROWS + 8;

/// A number as callers hold it; what is computed is computed in `f64`, which holds either exactly.
pub trait Value: Copy + Into<f64> + Send + Sync + 'static {
    /// The same numbers in `f64`, copied only where they are not.
    fn wide(values: ArrayView2<'_, Self>) -> CowArray<'_, f64, Ix2>;
}

impl Value for f32 {
    fn wide(values: ArrayView2<'_, Self>) -> CowArray<'_, f64, Ix2> {
        values.mapv(f64::from).into()
    }
}

impl Value for f64 {
    fn wide(values: ArrayView2<'_, Self>) -> CowArray<'_, f64, Ix2> {
        values.into()
    }
}

/// Columns of at most [`ROWS`] rows.
#[derive(Debug)]
pub(super) struct Block {
    columns: Vec<[f64; STRIDE]>,
    rows: usize,
}

impl Block {
    /// An empty block over so many columns.
    pub(super) fn new(columns: usize) -> Self {
        Self { columns: vec![[0.0; STRIDE]; columns], rows: 0 }
    }

    /// Takes `rows` (rows x columns), at most [`ROWS`] of them, in the place of what was here.
    pub(super) fn load<T: Value>(&mut self, rows: ArrayView2<'_, T>) {
        self.rows = rows.nrows();
        if rows.strides()[0].abs() < rows.strides()[1].abs() {
            for (column, values) in self.columns.iter_mut().zip(rows.columns()) {
                for (slot, &value) in column.iter_mut().zip(values) {
                    *slot = value.into();
                }
            }
        } else {
            for (position, values) in rows.rows().into_iter().enumerate().take(ROWS) {
                // A slice's loop is tighter than that of a view, whose steps could be of any length.
                match values.as_slice() {
                    Some(values) => self.take_row(position, values),
                    None => self.take_row(position, &values.to_vec()),
                }
            }
        }
    }

    fn take_row<T: Value>(&mut self, position: usize, values: &[T]) {
        for (column, &value) in self.columns.iter_mut().zip(values) {
            column[position % ROWS] = value.into();
        }
    }

    /// Number of rows; what stands behind them in a column means nothing.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// One column.
    pub(super) fn column(&self, column: usize) -> &[f64; ROWS] {
        let [values @ .., _, _, _, _, _, _, _, _] = &self.columns[column];
        values
    }

    /// One value.
    #[inline]
    pub(super) fn value(&self, row: usize, column: usize) -> f64 {
        self.columns[column][row % ROWS]
    }
}
