//! Histograms of gradients over the bins of every column.
//!
//! ```text
//!   Binned (in order) ──► bundles ──► Tiles (by row, eight bundles each) ──► Histogram of a leaf's rows
//! ```
//!
//! Flows in: bin codes, gradients, the rows of a leaf. Flows out: exact sums for every bin. Codes are kept
//! twice: by column, which makes dividing a leaf sequential, and by row in tiles, so that a row is one word and a
//! tile's sums stay in the cache nearest to the core. By row, columns of few bins share a code: one addition
//! then serves all of them, and integers make the sums over a bundle's parts exact. Rows stand in an [`Order`] in
//! which many columns have long runs; a row tells its run for all of these, and where neighbouring rows are added,
//! so are whole runs.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bundle::{MOST_CODES, MOST_SHARED_CODES, bundles},
    fixed::{BLOCK_ROWS, Gradient, Sums},
    order::Order,
    tile::{Cells, RUN_BYTE, Rows, SHARED, TASK_ROWS, TILE_BUNDLES, Tile},
};
use crate::binning::Binned;

/// Binned training rows in both layouts.
#[derive(Debug)]
pub(super) struct Codes {
    pub(super) binned: Binned<u8>,
    /// The order in which both layouts, and whoever works with them, hold the rows.
    pub(super) order: Order,
    tiles: Vec<Tile>,
    /// Each column's sums in a histogram, the missing bin last.
    places: Vec<Range<usize>>,
}

/// Sums for each bin of each column, over the rows of one leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    sums: Vec<Sums>,
}

/// A histogram over neighbouring rows that grows by some of them at a time.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    tiles: &'a [Tile],
    cells: Vec<Cells>,
}

impl Codes {
    /// Puts the rows in order and lays the codes out by row as well.
    pub(super) fn new(mut binned: Binned<u8>) -> Self {
        let (order, runs) = Order::new(&binned);
        binned.arrange(|codes, arranged| order.arrange_into(codes, arranged));
        // Few additions are made there, so that many codes do not matter.
        let mut shared = bundles(&binned, &runs.leading, MOST_SHARED_CODES);
        shared.truncate(SHARED);
        let is_shared =
            |column| shared.iter().flat_map(|bundle| &bundle.parts).any(|part| part.column == column);
        let others: Vec<usize> = (0..binned.columns()).filter(|&column| !is_shared(column)).collect();
        let own = bundles(&binned, &others, MOST_CODES);
        let (first, rest) = own.split_at(own.len().min(RUN_BYTE));
        let mut tiles = vec![Tile::new(&binned, first, Some((&shared, &runs)))];
        tiles.extend(rest.chunks(TILE_BUNDLES).map(|bundles| Tile::new(&binned, bundles, None)));
        let mut places = vec![0..0; binned.columns()];
        let mut end = 0;
        for part in tiles.iter().flat_map(|tile| &tile.bundles).flat_map(|bundle| &bundle.parts) {
            places[part.column] = end..end + part.bins;
            end += part.bins;
        }
        Self { binned, order, tiles, places }
    }

    /// Sums the gradients of the listed rows for every bin.
    pub(super) fn histogram(&self, gradients: &[Gradient], list: &[u32]) -> Histogram {
        let task = list.len().div_ceil(rayon::current_num_threads()).clamp(TASK_ROWS, BLOCK_ROWS);
        let tile_sums = |tile: &Tile| {
            list.par_chunks(task)
                .map(|list| {
                    let mut cells = tile.cells();
                    tile.add(&mut cells, gradients, Rows::Listed(list));
                    tile.sums(cells)
                })
                .reduce_with(added)
                .unwrap_or_else(|| vec![Sums::default(); tile.bins])
        };
        let parts: Vec<Vec<Sums>> = self.tiles.par_iter().map(tile_sums).collect();
        Histogram { sums: parts.concat() }
    }

    /// A histogram to which no row has been added.
    pub(super) fn tally(&self) -> Tally<'_> {
        Tally { tiles: &self.tiles, cells: self.tiles.iter().map(Tile::cells).collect() }
    }

    /// The histogram over all rows.
    #[cfg(test)]
    pub(super) fn histogram_of_all(&self, gradients: &[Gradient]) -> Histogram {
        let mut tally = self.tally();
        tally.add(0, gradients);
        tally.histogram()
    }

    /// The sums of one column, the missing bin last.
    pub(super) fn column<'h>(&self, histogram: &'h Histogram, column: usize) -> &'h [Sums] {
        &histogram.sums[self.places[column].clone()]
    }

    /// The sums of all rows.
    pub(super) fn total(&self, histogram: &Histogram) -> Sums {
        self.column(histogram, 0).iter().fold(Sums::default(), |total, &sums| total + sums)
    }
}

impl Tally<'_> {
    /// Adds the rows from `start` on, a multiple of [`super::tile::SPAN_ROWS`]; at most [`BLOCK_ROWS`] in all.
    pub(super) fn add(&mut self, start: usize, gradients: &[Gradient]) {
        for (tile, cells) in self.tiles.iter().zip(&mut self.cells) {
            tile.add(cells, gradients, Rows::From(start));
        }
    }

    /// The sums of the rows that were added.
    pub(super) fn histogram(self) -> Histogram {
        let parts = self.tiles.iter().zip(self.cells).map(|(tile, cells)| tile.sums(cells));
        Histogram { sums: parts.collect::<Vec<_>>().concat() }
    }
}

/// The sums of two sets of rows, bin by bin.
fn added(mut sums: Vec<Sums>, others: Vec<Sums>) -> Vec<Sums> {
    sums.iter_mut().zip(others).for_each(|(sum, other)| *sum = *sum + other);
    sums
}

impl Histogram {
    /// The sums of this one's rows and another's.
    pub(super) fn with(self, other: Self) -> Self {
        Self { sums: added(self.sums, other.sums) }
    }

    /// What is left of a leaf's sums when one child's are taken away: the other child's, exactly.
    pub(super) fn subtract(mut self, child: &Self) -> Self {
        self.sums.iter_mut().zip(&child.sums).for_each(|(sum, &child)| *sum = *sum - child);
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::{super::tile::SPAN_ROWS, *};
    use crate::{boosting::gradient::Loss, frame::Frame};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Against a plain loop, with columns that fill more than one tile and rows that fill more than one task.
        #[test]
        fn agrees_with_a_plain_loop_and_subtracts_exactly(
            rows in prop_oneof![2..50_usize, Just(3 * TASK_ROWS + 1)],
            columns in 1..40_usize,
            seed in any::<u32>(),
        ) {
            let value = |row: usize, column: usize| {
                let hash = (row * 31 + column * 17 + seed as usize).wrapping_mul(0x9E37_79B9) >> 7;
                let hash = hash & [63, 1, 0, 3][column % 4];
                if hash == 0 { f64::NAN } else { hash as f64 }
            };
            let features = Array2::from_shape_fn((rows, columns), |(row, column)| value(row, column));
            let positive: Vec<bool> = (0..rows).map(|row| row % 3 == 0).collect();
            let frame = Frame::new(features.view(), &positive, None).unwrap();
            let loss = Loss::new(&frame, [1.0; 2]).unwrap();
            let scores: Vec<f64> = (0..rows).map(|row| row as f64 / rows as f64 - 0.3).collect();
            let mut gradients = vec![Gradient::default(); rows];
            loss.gradients(0, &scores, Some(&|row| row % 5 != 0), &mut gradients);
            let codes = Codes::new(Binned::new(features.view(), 255));
            let gradients = codes.order.arrange(&gradients);

            let all: Vec<u32> = (0..rows as u32).collect();
            let (left, right) = all.split_at(rows / 3);
            let mut tally = codes.tally();
            for (part, gradients) in gradients.chunks(7 * SPAN_ROWS).enumerate() {
                tally.add(part * 7 * SPAN_ROWS, gradients);
            }
            let whole = tally.histogram();
            let total = gradients.iter().fold(Sums::default(), |sum, gradient| sum + gradient.cell().unpack());
            prop_assert_eq!(codes.total(&whole), total);
            for column in 0..columns {
                let bins = &codes.binned.bins()[column];
                let mut expected = vec![Sums::default(); bins.len() + 1];
                for (place, gradient) in gradients.iter().enumerate() {
                    let bin = bins.index_of(features[[codes.order.row(place), column]]);
                    expected[bin] = expected[bin] + gradient.cell().unpack();
                }
                prop_assert_eq!(codes.column(&whole, column), &expected);
            }
            let rest = whole.subtract(&codes.histogram(&gradients, left));
            prop_assert_eq!(rest, codes.histogram(&gradients, right));
        }
    }
}
