//! A few rows laid out column by column, so that every sum over rows is a loop over neighbours.
//!
//! Flows in: a stretch of a feature matrix of any layout. Flows out: the same values less their column's mean.
//! Invariant: sums run over [`LANES`] interleaved partial sums that are joined as a fixed tree, whatever the
//! width of the machine's registers; places past the last row hold zeros and add nothing.

use ndarray::{ArrayView2, Axis, Slice};

/// Rows of a tile: its columns stay in the fastest caches.
pub(super) const TILE: usize = 256;
/// Rows that are turned into columns at a time: row by row they still fit the fastest cache.
const BLOCK: usize = 64;
/// Partial sums of a sum.
const LANES: usize = 8;

/// One number for each row of a tile.
pub(super) type Column = [f64; TILE];

/// Up to [`TILE`] rows.
pub(super) struct Tile {
    rows: usize,
    columns: Vec<Column>,
    block: Vec<f64>,
}

impl Tile {
    /// A tile of so many columns, without rows.
    pub(super) fn new(columns: usize) -> Self {
        Self { rows: 0, columns: vec![[0.0; TILE]; columns], block: Vec::new() }
    }

    /// Holds the rows from `start` on, centred; columns past those of `features` are 1 in each row.
    pub(super) fn load(&mut self, features: ArrayView2<'_, f64>, start: usize, mean: &[f64]) {
        let end = features.nrows().min(start + TILE);
        self.rows = end - start;
        for place in (0..self.rows).step_by(BLOCK) {
            let rows = start + place..end.min(start + place + BLOCK);
            let values = features.slice_axis(Axis(0), Slice::from(rows));
            let columns = self.columns.iter_mut().zip(mean).enumerate();
            if let Some(values) = values.to_slice() {
                // In the order of memory first: from afar, neighbours come fastest together.
                self.block.clear();
                self.block.extend_from_slice(values);
                for (index, (target, mean)) in columns {
                    let values = self.block[index..].iter().step_by(features.ncols());
                    target[place..].iter_mut().zip(values).for_each(|(held, value)| *held = value - mean);
                }
            } else {
                for (index, (target, mean)) in columns {
                    let values = values.column(index);
                    target[place..].iter_mut().zip(values).for_each(|(held, value)| *held = value - mean);
                }
            }
        }
        for (index, target) in self.columns.iter_mut().enumerate() {
            if index >= mean.len() {
                target.fill(1.0);
            }
            target[self.rows..].fill(0.0);
        }
    }

    /// Number of rows held.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// The columns.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }
}

/// Sum of the products of two columns.
#[inline(never)] // Merged with its neighbours' the loop is vectorised across sums, at the price of shuffles.
pub(super) fn dot(left: &Column, right: &Column) -> f64 {
    let mut lanes = [0.0; LANES];
    for (left, right) in left.as_chunks::<LANES>().0.iter().zip(right.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] += left[lane] * right[lane];
        }
    }
    joined(lanes)
}

/// Sum of a column.
pub(super) fn sum(column: &Column) -> f64 {
    let mut lanes = [0.0; LANES];
    for values in column.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            lanes[lane] += values[lane];
        }
    }
    joined(lanes)
}

/// Adds the upper half of the lanes to the lower until one is left: neighbours stay in one register.
fn joined(mut lanes: [f64; LANES]) -> f64 {
    for width in [LANES / 2, LANES / 4, LANES / 8] {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn places_without_a_row_add_nothing() {
        let features = Array2::from_shape_fn((TILE + 3, 2), |(row, column)| (row * 2 + column) as f64);
        let mut tile = Tile::new(3);
        tile.load(features.view(), 0, &[0.0, 1.0]);
        assert_eq!(tile.rows(), TILE);
        tile.load(features.view(), TILE, &[500.0, 1.0]);
        assert_eq!(tile.rows(), 3);
        let [first, second, ones] = [0, 1, 2].map(|column| &tile.columns()[column]);
        assert_eq!(first[..4], [12.0, 14.0, 16.0, 0.0]);
        assert_eq!(second[..4], [512.0, 514.0, 516.0, 0.0]);
        assert_eq!((sum(first), sum(ones)), (42.0, 3.0));
        assert_eq!(dot(first, second), 12.0 * 512.0 + 14.0 * 514.0 + 16.0 * 516.0);
        assert_eq!(dot(ones, second), sum(second));
    }
}
