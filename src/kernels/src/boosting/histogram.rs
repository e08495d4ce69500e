//! Histograms of gradients over the bins of every column.
//!
//! ```text
//!   Binned (by column) ──► bundles ──► Tiles (by row, 16 bundles each) ──► Histogram of a leaf's rows
//! ```
//!
//! Flows in: bin codes, gradients, the rows of a leaf. Flows out: exact sums for every bin. Codes are kept
//! twice: by column, which makes dividing a leaf sequential, and by row in tiles, so that a row costs one
//! cache line and a tile's sums stay in the cache nearest to the core. By row, columns of few bins share a
//! code: one addition then serves all of them, and integers make the sums over a bundle's parts exact.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bundle::{Bundle, bundles},
    fixed::{BLOCK_ROWS, Cell, Gradient, Sums},
};
use crate::binning::Binned;

/// Bundles of a tile: 64 KiB of sums.
const TILE_BUNDLES: usize = 16;
/// Cells of a bundle: one for every value of a code, so that indexing by one needs no check, and a cache line
/// more, so that the same code of two bundles falls into different sets of the cache.
const CELLS: usize = 260;
/// Rows whose codes and gradients are fetched together: none of them waits for another.
const FETCH_ROWS: usize = 32;
/// Rows below which a second task costs more than it saves.
const TASK_ROWS: usize = 8_192;

/// Binned training rows in both layouts.
#[derive(Debug)]
pub(super) struct Codes {
    pub(super) binned: Binned<u8>,
    tiles: Vec<Tile>,
    /// Each column's sums in a histogram, the missing bin last.
    places: Vec<Range<usize>>,
}

/// Codes of up to [`TILE_BUNDLES`] bundles, row by row.
#[derive(Debug)]
struct Tile {
    bundles: Vec<Bundle>,
    codes: Vec<u8>,
}

/// The rows that a histogram is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'a> {
    /// Every row.
    All,
    /// These.
    Listed(&'a [u32]),
}

/// Sums for each bin of each column, over the rows of one leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    sums: Vec<Sums>,
}

impl Codes {
    /// Lays the codes out by row as well.
    pub(super) fn new(binned: Binned<u8>) -> Self {
        let bundles = bundles(&binned);
        let mut places = vec![0..0; binned.columns()];
        let mut end = 0;
        for part in bundles.iter().flat_map(|bundle| &bundle.parts) {
            places[part.column] = end..end + part.bins;
            end += part.bins;
        }
        let tiles =
            bundles.chunks(TILE_BUNDLES).map(|bundles| Tile::new(&binned, bundles.to_vec())).collect();
        Self { binned, tiles, places }
    }

    /// Sums the gradients of `rows` for every bin.
    pub(super) fn histogram(&self, gradients: &[Gradient], rows: Rows<'_>) -> Histogram {
        let count = match rows {
            Rows::All => gradients.len(),
            Rows::Listed(rows) => rows.len(),
        };
        let task = count.div_ceil(rayon::current_num_threads()).clamp(TASK_ROWS, BLOCK_ROWS);
        let tile_sums = |tile: &Tile| {
            (0..count.div_ceil(task).max(1))
                .into_par_iter()
                .map(|part| {
                    let part = part * task..((part + 1) * task).min(count);
                    match rows {
                        Rows::All => tile.sums(&gradients[part.clone()], part.start, None),
                        Rows::Listed(rows) => tile.sums(gradients, 0, Some(&rows[part])),
                    }
                })
                .reduce_with(|mut sums, others| {
                    sums.iter_mut().zip(others).for_each(|(sum, other)| *sum = *sum + other);
                    sums
                })
                .unwrap_or_default()
        };
        let parts: Vec<Vec<Sums>> = self.tiles.par_iter().map(tile_sums).collect();
        Histogram { sums: parts.concat() }
    }

    /// The sums of one column, the missing bin last.
    pub(super) fn column<'h>(&self, histogram: &'h Histogram, column: usize) -> &'h [Sums] {
        &histogram.sums[self.places[column].clone()]
    }
}

impl Tile {
    fn new(binned: &Binned<u8>, bundles: Vec<Bundle>) -> Self {
        let rows = binned.codes(0).len();
        let mut codes = vec![0; rows * bundles.len()];
        codes.par_chunks_mut(bundles.len() * TASK_ROWS).enumerate().for_each(|(task, codes)| {
            for (position, bundle) in bundles.iter().enumerate() {
                bundle.write(binned, task * TASK_ROWS, codes[position..].iter_mut().step_by(bundles.len()));
            }
        });
        Self { bundles, codes }
    }

    /// Sums over at most [`BLOCK_ROWS`] rows: those in the list, or all of `gradients`, whose first is the row
    /// numbered `start`.
    fn sums(&self, gradients: &[Gradient], start: usize, list: Option<&[u32]>) -> Vec<Sums> {
        // One loop for each width, so that the bundles of a row are unrolled and their tables at fixed places.
        match self.bundles.len() {
            1 => self.sums_of::<1>(gradients, start, list),
            2 => self.sums_of::<2>(gradients, start, list),
            3 => self.sums_of::<3>(gradients, start, list),
            4 => self.sums_of::<4>(gradients, start, list),
            5 => self.sums_of::<5>(gradients, start, list),
            6 => self.sums_of::<6>(gradients, start, list),
            7 => self.sums_of::<7>(gradients, start, list),
            8 => self.sums_of::<8>(gradients, start, list),
            9 => self.sums_of::<9>(gradients, start, list),
            10 => self.sums_of::<10>(gradients, start, list),
            11 => self.sums_of::<11>(gradients, start, list),
            12 => self.sums_of::<12>(gradients, start, list),
            13 => self.sums_of::<13>(gradients, start, list),
            14 => self.sums_of::<14>(gradients, start, list),
            15 => self.sums_of::<15>(gradients, start, list),
            _ => self.sums_of::<TILE_BUNDLES>(gradients, start, list),
        }
    }

    fn sums_of<const WIDTH: usize>(
        &self,
        gradients: &[Gradient],
        start: usize,
        list: Option<&[u32]>,
    ) -> Vec<Sums> {
        let mut cells = vec![[Cell::default(); CELLS]; WIDTH];
        let codes = self.codes.as_chunks::<WIDTH>().0;
        if let Some(cells) = cells.first_chunk_mut::<WIDTH>() {
            match list {
                None => add_rows(cells, &codes[start..], gradients),
                Some(list) => {
                    let mut fetched = ([[0; WIDTH]; FETCH_ROWS], [Gradient::default(); FETCH_ROWS]);
                    for rows in list.chunks(FETCH_ROWS) {
                        for ((code, gradient), &row) in fetched.0.iter_mut().zip(&mut fetched.1).zip(rows) {
                            *code = codes[row as usize];
                            *gradient = gradients[row as usize];
                        }
                        add_rows(cells, &fetched.0[..rows.len()], &fetched.1);
                    }
                }
            }
        }
        cells.iter().zip(&self.bundles).flat_map(|(cells, bundle)| bundle.sums(cells)).collect()
    }
}

/// Adds each row's gradient to the cell of its code in every bundle.
#[inline]
fn add_rows<const WIDTH: usize>(
    cells: &mut [[Cell; CELLS]; WIDTH],
    codes: &[[u8; WIDTH]],
    gradients: &[Gradient],
) {
    for (codes, gradient) in codes.iter().zip(gradients) {
        let cell = gradient.cell();
        for (cells, &code) in cells.iter_mut().zip(codes) {
            cells[usize::from(code)].add(cell);
        }
    }
}

impl Histogram {
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

    use super::*;
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
                let hash = (row * 31 + column * 17 + seed as usize).wrapping_mul(0x9E37_79B9) >> 7 & 63;
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

            let all: Vec<u32> = (0..rows as u32).collect();
            let (left, right) = all.split_at(rows / 3);
            let whole = codes.histogram(&gradients, Rows::All);
            for column in 0..columns {
                let bins = &codes.binned.bins()[column];
                let mut expected = vec![Sums::default(); bins.len() + 1];
                for row in 0..rows {
                    let bin = bins.index_of(features[[row, column]]);
                    expected[bin] = expected[bin] + gradients[row].cell().unpack();
                }
                prop_assert_eq!(codes.column(&whole, column), &expected);
            }
            let rest = whole.subtract(&codes.histogram(&gradients, Rows::Listed(left)));
            prop_assert_eq!(rest, codes.histogram(&gradients, Rows::Listed(right)));
        }
    }
}
