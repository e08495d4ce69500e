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

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bundle::{Bundle, bundles},
    fetch::prefetch,
    fixed::{BLOCK_ROWS, Cell, Gradient, Sums},
};
use crate::{
    binning::Binned,
    dispatch::{self, Work},
    idle::Idle,
};

/// Bundles of a tile.
const TILE_BUNDLES: usize = 16;
/// Cells of a tile: one for every value of a code, so that indexing by one needs no check.
const CELLS: usize = 1 << 16;
/// Rows of a list that are asked for before they are added.
const AHEAD_ROWS: usize = 24;
/// Rows whose codes are written together.
const WRITE_ROWS: usize = 1_024;
/// Rows below which a second task costs more than it saves.
const TASK_ROWS: usize = 8_192;

/// A tile's sums, all zero between two uses.
type Cells = Box<[Cell; CELLS]>;

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
    codes: Vec<u16>,
    /// One more than the largest code.
    end: usize,
    /// Bins of all columns.
    bins: usize,
    /// Cells that nobody uses at the moment.
    idle: Idle<Cells>,
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
        let tiles = bundles.chunks(TILE_BUNDLES).map(|bundles| Tile::new(&binned, bundles)).collect();
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
    fn new(binned: &Binned<u8>, bundles: &[Bundle]) -> Self {
        let mut bundles = bundles.to_vec();
        let end = Bundle::number(&mut bundles);
        let width = bundles.len();
        let mut codes = vec![0; binned.codes(0).len() * width];
        codes.par_chunks_mut(width * TASK_ROWS).enumerate().for_each(|(task, codes)| {
            // A few rows at a time, which stay in the nearest cache while their bundles are written.
            for (block, codes) in codes.chunks_mut(width * WRITE_ROWS).enumerate() {
                let start = task * TASK_ROWS + block * WRITE_ROWS;
                for (position, bundle) in bundles.iter().enumerate() {
                    bundle.write(binned, start, codes[position..].iter_mut().step_by(width));
                }
            }
        });
        let parts = bundles.iter().flat_map(|bundle| &bundle.parts);
        let bins = parts.fold(0, |bins, part| bins + part.bins);
        Self { bundles, codes, end, bins, idle: Idle::new() }
    }

    /// Sums over at most [`BLOCK_ROWS`] rows: those in the list, or all of `gradients`, whose first is the row
    /// numbered `start`.
    fn sums(&self, gradients: &[Gradient], start: usize, list: Option<&[u32]>) -> Vec<Sums> {
        let Some(mut cells) = self.idle.take().or_else(no_sums) else { return Vec::new() };
        let add = Add { tile: self, cells: &mut cells, gradients, start, list };
        // One loop for each width, so that the bundles of a row are unrolled.
        match self.bundles.len() {
            1 => dispatch::run(Unrolled::<1>(add)),
            2 => dispatch::run(Unrolled::<2>(add)),
            3 => dispatch::run(Unrolled::<3>(add)),
            4 => dispatch::run(Unrolled::<4>(add)),
            5 => dispatch::run(Unrolled::<5>(add)),
            6 => dispatch::run(Unrolled::<6>(add)),
            7 => dispatch::run(Unrolled::<7>(add)),
            8 => dispatch::run(Unrolled::<8>(add)),
            9 => dispatch::run(Unrolled::<9>(add)),
            10 => dispatch::run(Unrolled::<10>(add)),
            11 => dispatch::run(Unrolled::<11>(add)),
            12 => dispatch::run(Unrolled::<12>(add)),
            13 => dispatch::run(Unrolled::<13>(add)),
            14 => dispatch::run(Unrolled::<14>(add)),
            15 => dispatch::run(Unrolled::<15>(add)),
            _ => dispatch::run(Unrolled::<TILE_BUNDLES>(add)),
        }
        let mut sums = Vec::with_capacity(self.bins);
        self.bundles.iter().for_each(|bundle| bundle.sums(cells.as_slice(), &mut sums));
        cells[..self.end].fill(Cell::default());
        self.idle.give(cells);
        sums
    }
}

/// Adds rows to the cells of a tile.
struct Add<'a> {
    tile: &'a Tile,
    cells: &'a mut [Cell; CELLS],
    gradients: &'a [Gradient],
    start: usize,
    list: Option<&'a [u32]>,
}

/// The same for a tile of so many bundles.
struct Unrolled<'a, const WIDTH: usize>(Add<'a>);

impl<const WIDTH: usize> Work for Unrolled<'_, WIDTH> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Add { tile, cells, gradients, start, list } = self.0;
        let codes = tile.codes.as_chunks::<WIDTH>().0;
        match list {
            None => {
                for (codes, &gradient) in codes[start..].iter().zip(gradients) {
                    add_row(cells, codes, gradient);
                }
            }
            Some(list) => {
                let ahead = list.get(AHEAD_ROWS..).unwrap_or_default();
                for (&row, &ahead) in list.iter().zip(ahead) {
                    prefetch(&codes[ahead as usize]);
                    prefetch(&gradients[ahead as usize]);
                    add_row(cells, &codes[row as usize], gradients[row as usize]);
                }
                for &row in &list[ahead.len()..] {
                    add_row(cells, &codes[row as usize], gradients[row as usize]);
                }
            }
        }
    }
}

/// Adds a row's gradient to the cell of its code in every bundle.
#[inline(always)]
fn add_row<const WIDTH: usize>(cells: &mut [Cell; CELLS], codes: &[u16; WIDTH], gradient: Gradient) {
    let cell = gradient.cell();
    for &code in codes {
        cells[usize::from(code)].add(cell);
    }
}

/// Cells that are all zero.
fn no_sums() -> Option<Cells> {
    vec![Cell::default(); CELLS].into_boxed_slice().try_into().ok()
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
