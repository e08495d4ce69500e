//! Histograms of gradients over the bins of every column.
//!
//! ```text
//!   Binned (in order) ──► bundles ──► Tiles (by row, 16 bundles each) ──► Histogram of a leaf's rows
//! ```
//!
//! Flows in: bin codes, gradients, the rows of a leaf. Flows out: exact sums for every bin. Codes are kept
//! twice: by column, which makes dividing a leaf sequential, and by row in tiles, so that a row costs one
//! cache line and a tile's sums stay in the cache nearest to the core. By row, columns of few bins share a
//! code: one addition then serves all of them, and integers make the sums over a bundle's parts exact. Rows stand
//! in an [`Order`] in which many columns have long runs; a row bears the number of its run for all of these, and
//! where all rows are added, so are whole runs.

#![allow(clippy::inline_always, reason = "loops are compiled with the instructions of their caller")]

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bundle::{Bundle, MOST_BUSY, MOST_CODES, bundles},
    fetch::prefetch,
    fixed::{BLOCK_ROWS, Cell, Gradient, Sums},
    order::Order,
};
use crate::{
    binning::Binned,
    dispatch::{self, Work},
    idle::Idle,
};

/// Bundles of a tile.
const TILE_BUNDLES: usize = 16;
/// Bundles at the most whose codes are those of a run.
const SHARED: usize = 4;
/// A cell that no bundle has: what is added there is not looked at.
const SPARE: u16 = u16::MAX;
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
    /// The order in which both layouts, and whoever works with them, hold the rows.
    pub(super) order: Order,
    tiles: Vec<Tile>,
    /// Each column's sums in a histogram, the missing bin last.
    places: Vec<Range<usize>>,
}

/// Codes of up to [`TILE_BUNDLES`] bundles, row by row.
#[derive(Debug)]
struct Tile {
    bundles: Vec<Bundle>,
    /// Row by row, and after a row's codes the number of its run, if runs have codes.
    codes: Vec<u16>,
    /// Numbers that stand for a row.
    width: usize,
    /// For each run the codes of the last bundles; empty where there are none.
    runs: Vec<[u16; SHARED]>,
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
    /// Puts the rows in order and lays the codes out by row as well.
    pub(super) fn new(mut binned: Binned<u8>) -> Self {
        let (order, runs) = Order::new(&binned);
        binned.arrange(|codes| order.arrange(codes));
        let others: Vec<usize> =
            (0..binned.columns()).filter(|column| !runs.leading.contains(column)).collect();
        // Few additions are made there, so that many codes do not matter.
        let mut shared = bundles(&binned, &runs.leading, MOST_CODES);
        let mut own = shared.split_off(shared.len().min(SHARED));
        own.extend(bundles(&binned, &others, MOST_BUSY));
        let mut places = vec![0..0; binned.columns()];
        let mut end = 0;
        let rest = own.split_off(own.len().min(TILE_BUNDLES - shared.len()));
        let mut tiles = vec![Tile::new(&binned, &own, &shared, &runs.at)];
        tiles.extend(rest.chunks(TILE_BUNDLES).map(|bundles| Tile::new(&binned, bundles, &[], &[])));
        for part in tiles.iter().flat_map(|tile| &tile.bundles).flat_map(|bundle| &bundle.parts) {
            places[part.column] = end..end + part.bins;
            end += part.bins;
        }
        Self { binned, order, tiles, places }
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
    /// A tile of bundles with codes for each row and bundles with codes for each run, `runs` being those of the rows.
    fn new(binned: &Binned<u8>, own: &[Bundle], shared: &[Bundle], runs: &[u16]) -> Self {
        let mut bundles = [own, shared].concat();
        let end = Bundle::number(&mut bundles);
        let (own, shared) = bundles.split_at(own.len());
        let width = own.len() + usize::from(!shared.is_empty());
        let mut codes = vec![0; binned.codes(0).len() * width];
        codes.par_chunks_mut(width * TASK_ROWS).enumerate().for_each(|(task, codes)| {
            // A few rows at a time, which stay in the nearest cache while their bundles are written.
            for (block, codes) in codes.chunks_mut(width * WRITE_ROWS).enumerate() {
                let start = task * TASK_ROWS + block * WRITE_ROWS;
                for (position, bundle) in own.iter().enumerate() {
                    bundle.write(binned, start, codes[position..].iter_mut().step_by(width));
                }
                if !shared.is_empty() {
                    codes
                        .chunks_mut(width)
                        .zip(&runs[start..])
                        .for_each(|(codes, &run)| codes[width - 1] = run);
                }
            }
        });
        let parts = bundles.iter().flat_map(|bundle| &bundle.parts);
        let bins = parts.fold(0, |bins, part| bins + part.bins);
        let runs = if shared.is_empty() { Vec::new() } else { codes_of_runs(binned, shared, runs) };
        Self { bundles, codes, width, runs, end, bins, idle: Idle::new() }
    }

    /// Sums over at most [`BLOCK_ROWS`] rows: those in the list, or all of `gradients`, whose first is the row
    /// numbered `start`.
    fn sums(&self, gradients: &[Gradient], start: usize, list: Option<&[u32]>) -> Vec<Sums> {
        let Some(mut cells) = self.idle.take().or_else(no_sums) else { return Vec::new() };
        let add = Add { tile: self, cells: &mut cells, gradients, start, list };
        // One loop for each width, so that the bundles of a row are unrolled.
        match self.width {
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
        cells[usize::from(SPARE)] = Cell::default();
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
        let runs = tile.runs.as_slice();
        match list {
            None if runs.is_empty() => {
                for (codes, &gradient) in codes[start..].iter().zip(gradients) {
                    add_row(cells, codes, gradient.cell());
                }
            }
            None => add_runs(cells, &codes[start..], runs, gradients),
            Some(list) => {
                let ahead = list.get(AHEAD_ROWS..).unwrap_or_default();
                for (&row, &ahead) in list.iter().zip(ahead) {
                    prefetch(&codes[ahead as usize]);
                    prefetch(&gradients[ahead as usize]);
                    add_listed(cells, &codes[row as usize], runs, gradients[row as usize]);
                }
                for &row in &list[ahead.len()..] {
                    add_listed(cells, &codes[row as usize], runs, gradients[row as usize]);
                }
            }
        }
    }
}

/// Adds neighbouring rows: to the cells of a run's codes once a run.
#[inline(always)]
fn add_runs<const WIDTH: usize>(
    cells: &mut [Cell; CELLS],
    codes: &[[u16; WIDTH]],
    runs: &[[u16; SHARED]],
    gradients: &[Gradient],
) {
    let mut sum = Cell::default();
    let mut last = codes.first().map_or(0, |codes| codes[WIDTH - 1]);
    for (codes, &gradient) in codes.iter().zip(gradients) {
        let run = codes[WIDTH - 1];
        if run != last {
            add_row(cells, &runs[usize::from(last)], sum);
            sum = Cell::default();
            last = run;
        }
        let cell = gradient.cell();
        sum.add(cell);
        add_row(cells, &codes[..WIDTH - 1], cell);
    }
    add_row(cells, &runs[usize::from(last)], sum);
}

/// Adds a row: to the cells of its run's codes as well, where runs have any.
#[inline(always)]
fn add_listed<const WIDTH: usize>(
    cells: &mut [Cell; CELLS],
    codes: &[u16; WIDTH],
    runs: &[[u16; SHARED]],
    gradient: Gradient,
) {
    let cell = gradient.cell();
    if runs.is_empty() {
        add_row(cells, codes, cell);
    } else {
        add_row(cells, &codes[..WIDTH - 1], cell);
        add_row(cells, &runs[usize::from(codes[WIDTH - 1])], cell);
    }
}

/// Adds a gradient to the cell of each code.
#[inline(always)]
fn add_row(cells: &mut [Cell; CELLS], codes: &[u16], cell: Cell) {
    for &code in codes {
        cells[usize::from(code)].add(cell);
    }
}

/// For each run the codes of bundles whose columns are constant within it.
fn codes_of_runs(binned: &Binned<u8>, bundles: &[Bundle], runs: &[u16]) -> Vec<[u16; SHARED]> {
    let mut next = 0;
    let first_rows = runs.chunk_by(|a, b| a == b).map(|run| {
        let first = next;
        next += run.len();
        first
    });
    let code = |row, bundle: usize| bundles.get(bundle).map_or(SPARE, |bundle| bundle.code(binned, row));
    first_rows.map(|row| std::array::from_fn(|bundle| code(row, bundle))).collect()
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
            let whole = codes.histogram(&gradients, Rows::All);
            for column in 0..columns {
                let bins = &codes.binned.bins()[column];
                let mut expected = vec![Sums::default(); bins.len() + 1];
                for (place, gradient) in gradients.iter().enumerate() {
                    let bin = bins.index_of(features[[codes.order.row(place), column]]);
                    expected[bin] = expected[bin] + gradient.cell().unpack();
                }
                prop_assert_eq!(codes.column(&whole, column), &expected);
            }
            let rest = whole.subtract(&codes.histogram(&gradients, Rows::Listed(left)));
            prop_assert_eq!(rest, codes.histogram(&gradients, Rows::Listed(right)));
        }
    }
}
